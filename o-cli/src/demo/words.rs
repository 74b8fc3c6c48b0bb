//! Words of a text as search and ranking compare them: lower case, without plurals, without filler.

/// The words that carry meaning, in the order of the text.
///
/// Written for languages that put spaces between words; the filler that it leaves out is English.
pub(super) fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric() && c != '\'' && c != '’')
        .map(|word| word.trim_matches(['\'', '’']))
        .filter(|word| word.chars().nth(1).is_some())
        .map(str::to_lowercase)
        .filter(|word| STOP_WORDS.binary_search(&word.as_str()).is_err())
        .map(singular)
}

/// Harman's S-stemmer: takes the plural off an English word and does nothing else.
///
/// D. Harman, "How effective is suffixing?", JASIS 42 (1991), 7–15.
fn singular(mut word: String) -> String {
    let ends = |ending: &str, except: &[&str]| {
        word.len() > 3 && word.ends_with(ending) && !except.iter().any(|e| word.ends_with(e))
    };
    if ends("ies", &["eies", "aies"]) {
        word.truncate(word.len() - 3);
        word.push('y');
    } else if ends("es", &["aes", "ees", "oes"]) || ends("s", &["us", "ss", "'s"]) {
        word.truncate(word.len() - 1);
    } else if ends("'s", &[]) || ends("’s", &[]) {
        let kept = word
            .trim_end_matches('s')
            .trim_end_matches(['\'', '’'])
            .len();
        word.truncate(kept);
    }
    word
}

/// English words that say nothing about a text's subject, sorted.
const STOP_WORDS: [&str; 135] = [
    "about", "above", "after", "again", "all", "also", "am", "an", "and", "any", "are", "as", "at",
    "be", "because", "been", "before", "being", "below", "between", "both", "but", "by", "can",
    "can't", "cannot", "could", "did", "do", "does", "doesn't", "doing", "don't", "down", "during",
    "each", "either", "else", "even", "every", "few", "for", "from", "further", "had", "has",
    "have", "having", "he", "her", "here", "hers", "him", "his", "how", "if", "in", "into", "is",
    "isn't", "it", "it's", "its", "itself", "just", "many", "may", "me", "might", "more", "most",
    "much", "must", "my", "no", "nor", "not", "of", "off", "on", "once", "one", "only", "or",
    "other", "our", "out", "over", "own", "same", "shall", "she", "should", "so", "some", "such",
    "than", "that", "the", "their", "them", "then", "there", "these", "they", "this", "those",
    "through", "to", "too", "two", "under", "until", "up", "us", "use", "used", "very", "was",
    "we", "were", "what", "when", "where", "which", "while", "who", "whom", "whose", "why", "will",
    "with", "would", "you", "your",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_compared_without_case_plural_and_filler() {
        let found: Vec<_> =
            words("The Agents' ADDRESSES, and a query's queries: don't pass x!").collect();
        assert_eq!(found, ["agent", "addresse", "query", "query", "pass"]);
    }

    #[test]
    fn other_scripts_are_words_too() {
        let found: Vec<_> = words("Straße é — Größe 日本語 über").collect();
        assert_eq!(found, ["straße", "größe", "日本語", "über"]);
    }

    #[test]
    fn the_filler_can_be_searched() {
        assert!(STOP_WORDS.is_sorted());
    }
}
