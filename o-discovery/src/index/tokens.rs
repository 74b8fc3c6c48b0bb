//! From text to words that can be compared.

/// Longest word, in bytes; the rest of a longer one is not looked at.
const MAX_WORD: usize = 32;

/// The words of a text: runs of letters and digits in lower case, without the endings that English
/// puts to a stem. `camelCase` is two words.
pub(super) fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    spelled(text).map(|(word, _)| word)
}

/// The same, each with how it stands in the text.
pub(super) fn spelled(text: &str) -> impl Iterator<Item = (String, &str)> {
    let runs = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|run| !run.is_empty());
    runs.flat_map(parts)
        .map(|part| (stem(&part.to_lowercase()).to_owned(), part))
}

/// A run, cut where a capital follows a small letter.
fn parts(run: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(run);
    std::iter::from_fn(move || {
        let run = rest.take()?;
        let mut before_small = false;
        let cut = run.char_indices().find(|(_, c)| {
            let border = before_small && c.is_uppercase();
            before_small = c.is_lowercase();
            border
        });
        let Some((cut, _)) = cut else {
            return Some(run);
        };
        let (part, behind) = run.split_at(cut);
        rest = Some(behind);
        Some(part)
    })
}

/// Both sides of a comparison are cut the same way: that is what counts, not that a stem is a word.
fn stem(word: &str) -> &str {
    let mut end = word.len().min(MAX_WORD);
    while !word.is_char_boundary(end) {
        end -= 1;
    }
    let word = &word[..end];
    let cut = |suffix: &str, least: usize| {
        word.strip_suffix(suffix)
            .filter(|stem| stem.chars().count() >= least)
    };
    let plural = || cut("s", 3).filter(|stem| !stem.ends_with('s'));
    let stem = cut("ing", 3)
        .or_else(|| cut("ed", 3))
        .or_else(|| cut("es", 3))
        .or_else(plural);
    let stem = stem.unwrap_or(word);
    match stem.strip_suffix('e') {
        Some(shorter) if shorter.chars().count() >= 3 => shorter,
        _ => stem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<String> {
        words(text).collect()
    }

    #[test]
    fn words_of_one_stem_are_equal() {
        for group in [
            ["summarize", "summarizes", "summarized", "Summarizing"],
            ["translate", "translates", "translated", "TRANSLATING"],
            ["contract", "contracts", "Contract", "contracted"],
        ] {
            let stems: Vec<_> = group.iter().map(|word| all(word)).collect();
            assert!(stems.windows(2).all(|two| two[0] == two[1]), "{stems:?}");
        }
        assert_eq!(all("class gas ring"), ["class", "gas", "ring"]);
    }

    #[test]
    fn text_is_cut_at_what_is_no_letter_and_at_capitals() {
        assert_eq!(
            all("text/to-speech readFile x2"),
            ["text", "to", "speech", "read", "fil", "x2"]
        );
        assert_eq!(all("Köln, 東京!"), ["köln", "東京"]);
        assert_eq!(all(" \u{1b}[31m "), ["31m"]);
        let long = "ä".repeat(100);
        assert_eq!(all(&long)[0].len(), 32);
    }
}
