//! Ranking by words: BM25 over the fields of records.
//!
//! The score is BM25F (Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and
//! Beyond", 2009, section 3.5) with one length for all fields: a word's count in each field, times the
//! field's weight, is its frequency f; with the length l of the record in words and their average a,
//! it gives idf · f · (k1 + 1) / (f + k1 · (1 - b + b · l / a)), where idf = ln(1 + (N - n + 0.5) /
//! (n + 0.5)) for N records of which n have the word.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::Arc,
};

use o_address::{Address, PeerId};
use o_core::{Capability, Label, Match, Record, Text};

use super::tokens::{spelled, words};

const K1: f32 = 1.2;
const B: f32 = 0.75;
/// What the last word of a query is worth where it only begins a word.
const BEGINNING: f32 = 0.5;
/// Words that one beginning may stand for.
const MAX_BEGUN: usize = 32;
/// Words of a query that are looked at.
const MAX_WORDS: usize = 32;

/// A record among the others; never used again.
pub(super) type Document = u64;

/// Where a word stands, and what that is worth. The order is that of the bits of a posting.
const FIELDS: [(&str, f32); 7] = [
    ("capability", 3.0),
    ("specialisation", 2.5),
    ("name", 2.0),
    ("label", 2.0),
    ("method", 2.0),
    ("description", 1.0),
    ("method description", 0.7),
];

/// Which records have which words. What it holds is bounded by the records.
#[derive(Debug, Default)]
pub(super) struct Words {
    postings: BTreeMap<Box<str>, HashMap<Document, Posting>>,
    documents: HashMap<Document, Counted>,
    /// Words of all records.
    length: u64,
    next: Document,
}

#[derive(Clone, Copy, Debug, Default)]
struct Posting {
    /// How often, times what each place is worth.
    frequency: f32,
    /// In which fields: the bit of each.
    fields: u8,
}

#[derive(Debug)]
struct Counted {
    key: (Address, PeerId),
    length: u32,
}

/// A record that has some of the words.
#[derive(Debug)]
pub(super) struct Hit {
    pub(super) key: (Address, PeerId),
    pub(super) matched: Match,
}

/// The words of a record with their places.
fn of_record(record: &Record) -> (HashMap<String, Posting>, u32) {
    let mut found: HashMap<String, Posting> = HashMap::new();
    let mut length = 0_u32;
    let mut add = |field: usize, text: &str| {
        let (_, weight) = FIELDS.get(field).copied().unwrap_or_default();
        for word in words(text) {
            length = length.saturating_add(1);
            let posting = found.entry(word).or_default();
            posting.frequency += weight;
            posting.fields |= 1 << field;
        }
    };
    record
        .capabilities
        .iter()
        .map(Capability::as_str)
        .for_each(|text| add(0, text));
    record
        .specialisations
        .iter()
        .map(Capability::as_str)
        .for_each(|text| add(1, text));
    record.address.segments().for_each(|text| add(2, text));
    record
        .labels
        .iter()
        .map(Label::as_str)
        .for_each(|text| add(3, text));
    for method in &record.methods {
        add(4, &method.name);
        add(6, &method.description);
    }
    add(5, &record.description);
    (found, length)
}

impl Words {
    /// Takes the words of a record in.
    pub(super) fn add(&mut self, record: &Record) -> Document {
        let document = self.next;
        self.next += 1;
        let (found, length) = of_record(record);
        for (word, posting) in found {
            self.postings
                .entry(word.into())
                .or_default()
                .insert(document, posting);
        }
        self.length += u64::from(length);
        let key = (record.address.without_pin(), record.peer);
        self.documents.insert(document, Counted { key, length });
        document
    }

    /// Takes the words of a record out.
    pub(super) fn remove(&mut self, record: &Record, document: Document) {
        let (found, length) = of_record(record);
        for word in found.keys() {
            if let Some(having) = self.postings.get_mut(word.as_str()) {
                having.remove(&document);
                if having.is_empty() {
                    self.postings.remove(word.as_str());
                }
            }
        }
        self.length -= u64::from(length);
        self.documents.remove(&document);
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.postings.is_empty() && self.documents.is_empty() && self.length == 0
    }

    /// Records that have at least one of the words, the best first, and of equals those whose names
    /// come first.
    pub(super) fn search(&self, query: &str) -> Vec<Hit> {
        let mut end = query.len().min(Text::MAX_LENGTH);
        while !query.is_char_boundary(end) {
            end -= 1;
        }
        let query = &query[..end];
        let mut wanted: Vec<(String, &str)> = spelled(query).take(MAX_WORDS).collect();
        // Somebody may still be typing it.
        let last = wanted.last().map(|(word, _)| word.clone());
        let last = last.filter(|_| query.ends_with(char::is_alphanumeric));
        wanted.sort_unstable();
        wanted.dedup_by(|one, other| one.0 == other.0);
        let mut scores: HashMap<Document, Vec<(f32, &str, u8)>> = HashMap::new();
        for (word, spelled) in &wanted {
            if let Some(having) = self.postings.get(word.as_str()) {
                self.score(spelled, having, 1.0, &mut scores);
            }
        }
        if let Some(last) = last {
            let begun = (Bound::Excluded(last.as_str()), Bound::Unbounded);
            let begun = self.postings.range::<str, _>(begun);
            let begun = begun.take_while(|(word, _)| word.starts_with(last.as_str()));
            for (word, having) in begun.take(MAX_BEGUN) {
                self.score(word, having, BEGINNING, &mut scores);
            }
        }
        let hits = scores.into_iter().filter_map(|(document, parts)| {
            let key = self.documents.get(&document)?.key.clone();
            Some(Hit {
                key,
                matched: explained(parts),
            })
        });
        let mut hits: Vec<Hit> = hits.collect();
        hits.sort_by(|one, other| {
            let better = other.matched.score.cmp(&one.matched.score);
            better.then_with(|| one.key.cmp(&other.key))
        });
        hits
    }

    fn score<'a>(
        &'a self,
        word: &'a str,
        having: &HashMap<Document, Posting>,
        worth: f32,
        scores: &mut HashMap<Document, Vec<(f32, &'a str, u8)>>,
    ) {
        let all = self.documents.len() as f32;
        let with = having.len() as f32;
        let idf = (1.0 + (all - with + 0.5) / (with + 0.5)).ln();
        let average = (self.length as f32 / all).max(1.0);
        for (document, posting) in having {
            let length = self
                .documents
                .get(document)
                .map_or(0, |counted| counted.length);
            let norm = K1 * (1.0 - B + B * length as f32 / average);
            let frequency = posting.frequency;
            let score = worth * idf * frequency * (K1 + 1.0) / (frequency + norm);
            scores
                .entry(*document)
                .or_default()
                .push((score, word, posting.fields));
        }
    }
}

/// The sum of the parts, and for each word where it stands, the weightiest first.
fn explained(mut parts: Vec<(f32, &str, u8)>) -> Match {
    parts.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(other.1)));
    let sum: f32 = parts.iter().map(|(score, ..)| score).sum();
    let why = parts.iter().map(|(_, word, fields)| {
        let places = FIELDS
            .iter()
            .enumerate()
            .filter(|(bit, _)| fields & (1 << bit) != 0);
        let places: Vec<_> = places.map(|(_, (name, _))| *name).collect();
        Arc::from(format!("{word} in {}", places.join(", ")))
    });
    // Saturates, and a score is never negative.
    Match::new((sum * 1000.0) as u32, why.collect())
}
