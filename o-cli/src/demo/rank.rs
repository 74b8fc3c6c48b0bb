//! Which sentences say most: LexRank, a walk over the graph of their similarity.
//!
//! G. Erkan and D. R. Radev, "LexRank: Graph-based Lexical Centrality as Salience in Text
//! Summarization", Journal of Artificial Intelligence Research 22 (2004), 457–479; the continuous
//! variant. R. Mihalcea and P. Tarau's TextRank (EMNLP 2004) is the same walk over another measure.
//!
//! A sentence is a vector of its words' TF-IDF weights, an edge is the cosine of two sentences, and
//! a sentence's score is how often a reader comes by who follows edges in proportion to their
//! weight, and every so often begins anew anywhere.

use std::collections::{BTreeMap, HashMap};

use super::words::words;

/// Most sentences that are ranked against each other; the graph has the square of it.
pub(super) const MAX_SENTENCES: usize = 300;

/// How probable it is that the reader follows an edge and does not begin anew.
const DAMPING: f64 = 0.85;
/// The walk ends when the scores together change by less than this, or after so many steps.
const TOLERANCE: f64 = 1e-9;
const MAX_STEPS: usize = 200;
/// Two sentences that are at least this similar say the same; only the better one is picked.
const SAME: f64 = 0.5;

/// Sentences ranked against each other.
#[derive(Debug)]
pub(super) struct Ranking {
    /// One for each sentence, in their order; together 1.
    scores: Vec<f64>,
    /// Row by row; zero between a sentence and itself.
    similarity: Vec<f64>,
}

impl Ranking {
    /// Ranks sentences; of more than [`MAX_SENTENCES`] only the first.
    pub(super) fn of<S: AsRef<str>>(sentences: &[S]) -> Self {
        let vectors = vectors(sentences.get(..MAX_SENTENCES).unwrap_or(sentences));
        let count = vectors.len();
        let mut similarity = vec![0.0; count * count];
        for (i, one) in vectors.iter().enumerate() {
            for (j, other) in vectors.iter().enumerate().skip(i + 1) {
                let cosine = dot(one, other);
                similarity[i * count + j] = cosine;
                similarity[j * count + i] = cosine;
            }
        }
        let scores = walk(&similarity, count);
        Self { scores, similarity }
    }

    /// The scores, in the order of the sentences. They are not negative, and their sum is 1.
    pub(super) fn scores(&self) -> &[f64] {
        &self.scores
    }

    /// The indices of the best sentences, no two of which say the same, in the order of the text.
    pub(super) fn best(&self, most: usize) -> Vec<usize> {
        let count = self.scores.len();
        let mut order: Vec<usize> = (0..count).collect();
        // The sort is stable: of equals the earlier sentence wins.
        order.sort_by(|a, b| self.scores[*b].total_cmp(&self.scores[*a]));
        let mut picked: Vec<usize> = Vec::new();
        for candidate in order {
            if picked.len() == most {
                break;
            }
            if picked
                .iter()
                .all(|other| self.similarity[candidate * count + other] < SAME)
            {
                picked.push(candidate);
            }
        }
        picked.sort_unstable();
        picked
    }
}

/// A sentence's words by number, each with its weight; of length 1 unless it is empty.
type Vector = Vec<(usize, f64)>;

fn vectors<S: AsRef<str>>(sentences: &[S]) -> Vec<Vector> {
    let mut numbers: HashMap<String, usize> = HashMap::new();
    let mut in_sentences: Vec<usize> = Vec::new();
    let mut counts: Vec<BTreeMap<usize, f64>> = Vec::new();
    for sentence in sentences {
        let mut count: BTreeMap<usize, f64> = BTreeMap::new();
        for word in words(sentence.as_ref()) {
            let next = numbers.len();
            let number = *numbers.entry(word).or_insert(next);
            *count.entry(number).or_default() += 1.0;
        }
        in_sentences.resize(numbers.len(), 0);
        count.keys().for_each(|number| in_sentences[*number] += 1);
        counts.push(count);
    }
    let all = sentences.len() as f64;
    // A word of every sentence still counts a little, so that two sentences alone can be similar.
    let rarity = |number: usize| (1.0 + all / in_sentences[number] as f64).ln();
    let weigh = |count: BTreeMap<usize, f64>| {
        let weighed: Vector = count
            .into_iter()
            .map(|(number, times)| (number, times * rarity(number)))
            .collect();
        let length = weighed
            .iter()
            .map(|(_, weight)| weight * weight)
            .sum::<f64>()
            .sqrt();
        weighed
            .into_iter()
            .map(|(number, weight)| (number, weight / length))
            .collect()
    };
    counts.into_iter().map(weigh).collect()
}

/// The sum of products of two vectors, both sorted by number.
fn dot(one: &Vector, other: &Vector) -> f64 {
    let (mut one, mut other) = (one.iter().peekable(), other.iter().peekable());
    let mut sum = 0.0;
    while let (Some((a, x)), Some((b, y))) = (one.peek(), other.peek()) {
        if a == b {
            sum += x * y;
        }
        if a <= b {
            one.next();
        } else {
            other.next();
        }
    }
    sum
}

/// The stationary distribution of the walk, by power iteration.
fn walk(similarity: &[f64], count: usize) -> Vec<f64> {
    if count == 0 {
        return Vec::new();
    }
    let anywhere = 1.0 / count as f64;
    let rows: Vec<&[f64]> = similarity.chunks(count).collect();
    let degrees: Vec<f64> = rows.iter().map(|row| row.iter().sum()).collect();
    let mut scores = vec![anywhere; count];
    for _ in 0..MAX_STEPS {
        // A sentence without edges leads anywhere.
        let stranded: f64 = scores
            .iter()
            .zip(&degrees)
            .filter(|(_, d)| **d == 0.0)
            .map(|(s, _)| s)
            .sum();
        let start = (1.0 - DAMPING) * anywhere + DAMPING * stranded * anywhere;
        let mut next = vec![start; count];
        for ((row, degree), score) in rows.iter().zip(&degrees).zip(&scores) {
            if *degree > 0.0 {
                let share = DAMPING * score / degree;
                next.iter_mut()
                    .zip(*row)
                    .for_each(|(next, weight)| *next += share * weight);
            }
        }
        let change: f64 = next.iter().zip(&scores).map(|(a, b)| (a - b).abs()).sum();
        scores = next;
        if change < TOLERANCE {
            break;
        }
    }
    scores
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text about one thing, with two sentences about others.
    const TEXT: [&str; 7] = [
        "An agent announces its capabilities to the network of agents.",
        "The weather was cold and wet all week.",
        "Other agents of the network find the agent by its capabilities.",
        "An agent calls another agent over an encrypted connection.",
        "The encrypted connection is kept for further calls.",
        "A network without servers has nothing that can fail for all agents.",
        "My neighbor's dog likes apples.",
    ];

    #[test]
    fn the_subject_of_a_text_beats_what_is_beside_it() {
        let ranking = Ranking::of(&TEXT);
        // As computed apart from this, by solving the linear system instead of walking.
        let golden = [0.2272, 0.0283, 0.2272, 0.2490, 0.1172, 0.1229, 0.0283];
        for (score, golden) in ranking.scores().iter().zip(golden) {
            assert!((score - golden).abs() < 5e-5, "{:?}", ranking.scores());
        }
        // The third sentence says what the first does, and the fifth what the fourth does.
        assert_eq!(ranking.best(3), [0, 3, 5]);
        assert_eq!(ranking.best(7), [0, 1, 3, 5, 6]);
    }

    #[test]
    fn scores_are_a_distribution_whatever_the_text() {
        let long: Vec<String> = (0..400)
            .map(|i| format!("word{} word{} common", i % 7, i % 11))
            .collect();
        let odd: Vec<String> = ["", "the of and", "same same", "same same", "é"]
            .map(String::from)
            .into();
        for text in [long, odd, vec![String::new()]] {
            let ranking = Ranking::of(&text);
            assert_eq!(ranking.scores().len(), text.len().min(MAX_SENTENCES));
            assert!((ranking.scores().iter().sum::<f64>() - 1.0).abs() < 1e-6);
            assert!(ranking.scores().iter().all(|score| *score > 0.0));
        }
        assert!(Ranking::of::<&str>(&[]).best(3).is_empty());
    }

    #[test]
    fn the_scores_do_not_depend_on_the_order_of_the_sentences() {
        let mut reversed = TEXT;
        reversed.reverse();
        let (forth, back) = (Ranking::of(&TEXT), Ranking::of(&reversed));
        for (a, b) in forth.scores().iter().zip(back.scores().iter().rev()) {
            assert!((a - b).abs() < 1e-8);
        }
    }

    #[test]
    fn what_was_said_is_not_said_again() {
        let text = [
            "Agents find each other by capability in the network.",
            "In the network agents find each other by capability.",
            "Calls are encrypted on the network between agents.",
        ];
        assert_eq!(Ranking::of(&text).best(2), [0, 2]);
    }
}
