//! Which files are the ones to read: by the words of a query, or by looking important.

use std::{
    collections::{BTreeSet, HashMap},
    time::Instant,
};

use super::{
    library::Library,
    sentences::is_prose,
    wire::{Found, Hit, SearchParams},
    words::words,
};

/// Most files in one answer.
pub(super) const MAX_HITS: usize = 50;

/// Names of files that are about the project rather than of it.
const FORMALITIES: [&str; 9] = [
    "authors",
    "changelog",
    "changes",
    "code_of_conduct",
    "copying",
    "copyright",
    "license",
    "notice",
    "requirements",
];

/// Searches the files of a library. It blocks, at most for twice the library's time limit.
pub(super) fn search(library: &Library, params: &SearchParams) -> Found {
    let limit = params.limit.clamp(1, MAX_HITS);
    let query: BTreeSet<String> = params.query.iter().flat_map(|query| words(query)).collect();
    let listing = library.list();
    let mut names: Vec<(f64, &String)> = listing
        .paths
        .iter()
        .map(|name| (importance(name), name))
        .collect();
    // The sort is stable: of equals the first by name wins.
    names.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut search = Search {
        query: &query,
        library,
        found: Found::default(),
        read: 0,
        texts: Vec::new(),
    };
    search.found.files = listing.paths.len();
    search.found.truncated = listing.truncated;
    // Without a query the order is known: it ends with enough texts.
    let enough = if params.query.is_some() {
        usize::MAX
    } else {
        limit
    };
    search.read_all(&names, enough);
    let mut found = search.ranked(params.query.is_some());
    found.hits.truncate(limit);
    found
}

/// How likely a file is to say what all of this is about, by its name alone.
fn importance(name: &str) -> f64 {
    let leaf = name.rsplit('/').next().unwrap_or(name).to_lowercase();
    let stem = leaf.split('.').next().unwrap_or_default();
    let depth = name.matches('/').count() as f64;
    let kind = match stem {
        "readme" => 3.0,
        _ if FORMALITIES
            .iter()
            .any(|formality| stem.starts_with(formality)) =>
        {
            0.1
        }
        _ if leaf.ends_with(".lock") => 0.0,
        _ => 1.0,
    };
    kind * if is_prose(name) { 1.0 } else { 0.2 } / (1.0 + depth)
}

/// One search under way.
struct Search<'a> {
    query: &'a BTreeSet<String>,
    library: &'a Library,
    found: Found,
    read: u64,
    texts: Vec<Text<'a>>,
}

/// What is kept of a file's text.
struct Text<'a> {
    name: &'a str,
    importance: f64,
    bytes: usize,
    /// Number of its words.
    words: f64,
    /// How often each word of the query stands in it.
    times: HashMap<String, f64>,
}

impl<'a> Search<'a> {
    fn read_all(&mut self, names: &[(f64, &'a String)], enough: usize) {
        let (begun, limits) = (Instant::now(), *self.library.limits());
        for (importance, name) in names {
            if self.texts.len() >= enough {
                return;
            }
            if self.read >= limits.total_bytes || begun.elapsed() > limits.time {
                self.found.truncated = true;
                return;
            }
            match self.library.read(name) {
                Ok(text) if !text.trim().is_empty() => {
                    self.read += text.len() as u64;
                    self.texts.push(self.look_at(name, *importance, &text));
                }
                _ => self.found.skipped += 1,
            }
        }
    }

    fn look_at(&self, name: &'a str, importance: f64, text: &str) -> Text<'a> {
        let (mut times, mut count): (HashMap<String, f64>, f64) = (HashMap::new(), 0.0);
        if !self.query.is_empty() {
            for word in words(name).chain(words(text)) {
                count += 1.0;
                if self.query.contains(&word) {
                    *times.entry(word).or_default() += 1.0;
                }
            }
        }
        Text {
            name,
            importance,
            bytes: text.len(),
            words: count,
            times,
        }
    }

    /// The files with a score, the best first.
    ///
    /// With a query that is Okapi BM25 (S. Robertson and H. Zaragoza, "The Probabilistic Relevance
    /// Framework", 2009), less for what is not prose; else it is their importance.
    fn ranked(mut self, by_query: bool) -> Found {
        const SATURATION: f64 = 1.2;
        const LENGTH: f64 = 0.75;
        let count = self.texts.len() as f64;
        let average = self.texts.iter().map(|text| text.words).sum::<f64>() / count.max(1.0);
        let rarity = |word: &String| {
            let having = self
                .texts
                .iter()
                .filter(|text| text.times.contains_key(word))
                .count() as f64;
            (1.0 + (count - having + 0.5) / (having + 0.5)).ln()
        };
        let rarities: HashMap<&String, f64> = self.query.iter().map(|w| (w, rarity(w))).collect();
        let score = |text: &Text<'_>| {
            if !by_query {
                return text.importance;
            }
            let norm = SATURATION * (1.0 - LENGTH + LENGTH * text.words / average.max(1.0));
            let weigh = |(word, times): (&String, &f64)| {
                rarities.get(word).unwrap_or(&0.0) * times * (SATURATION + 1.0) / (times + norm)
            };
            let sum: f64 = self
                .query
                .iter()
                .filter_map(|w| text.times.get_key_value(w))
                .map(weigh)
                .sum();
            sum * if is_prose(text.name) { 1.0 } else { 0.4 }
        };
        let hits = self.texts.iter().map(|text| Hit {
            path: text.name.to_owned(),
            score: score(text),
            bytes: text.bytes,
        });
        let mut hits: Vec<Hit> = hits.filter(|hit| !by_query || hit.score > 0.0).collect();
        hits.sort_by(|a, b| b.score.total_cmp(&a.score));
        self.found.searched = self.texts.len();
        self.found.hits = hits;
        self.found
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::demo::library::Limits;

    fn library() -> (tempfile::TempDir, Library) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("README.md", "Apples and pears, and how to grow them."),
            ("LICENSE", "You may eat the apples."),
            ("docs/pears.md", "Pears. All about pears and nothing else."),
            ("docs/empty.md", " \n"),
            ("src/apple.rs", "// The apple falls.\nfn apple() {}"),
            ("photo.jpg", "\0\0\0"),
        ] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let library = Library::open(dir.path(), Limits::default()).unwrap();
        (dir, library)
    }

    fn paths(found: &Found) -> Vec<&str> {
        found.hits.iter().map(|hit| hit.path.as_str()).collect()
    }

    fn find(library: &Library, query: Option<&str>, limit: usize) -> Found {
        search(
            library,
            &SearchParams {
                query: query.map(str::to_owned),
                limit,
            },
        )
    }

    #[test]
    fn without_a_query_the_documents_come_first() {
        let (_dir, library) = library();
        let found = find(&library, None, 9);
        assert_eq!(
            paths(&found),
            ["README.md", "docs/pears.md", "LICENSE", "src/apple.rs"]
        );
        assert_eq!((found.files, found.searched, found.skipped), (6, 4, 2));
        assert_eq!(paths(&find(&library, None, 1)), ["README.md"]);
    }

    #[test]
    fn a_query_finds_what_is_about_it() {
        let (_dir, library) = library();
        assert_eq!(
            paths(&find(&library, Some("pear"), 9)),
            ["docs/pears.md", "README.md"]
        );
        let found = find(&library, Some("apples falling"), 9);
        assert_eq!(found.hits.len(), 3);
        assert!(found.hits.is_sorted_by(|a, b| a.score >= b.score));
        for nothing in ["zebra", "", "the of and"] {
            assert!(
                find(&library, Some(nothing), 9).hits.is_empty(),
                "{nothing}"
            );
        }
    }

    #[test]
    fn a_search_reads_no_more_than_it_may() {
        let (dir, _) = library();
        let limits = Limits {
            total_bytes: 10,
            ..Limits::default()
        };
        let found = find(&Library::open(dir.path(), limits).unwrap(), Some("pear"), 9);
        assert!(found.truncated);
        assert_eq!(found.searched, 1);
    }
}
