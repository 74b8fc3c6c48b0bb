//! Sentences of a document: prose out of Markdown and plain text, comments out of source code.

use std::path::Path;

/// Longest sentence that is kept, in characters.
const MAX_CHARS: usize = 400;
/// Fewest and most words of a sentence.
const WORDS: std::ops::RangeInclusive<usize> = 5..=60;
/// Words from which on a line without a full stop counts as a sentence.
const LONG_ENOUGH: usize = 8;
/// What a full stop does not end.
const ABBREVIATIONS: [&str; 18] = [
    "al", "approx", "cf", "dr", "e.g", "ed", "etc", "fig", "i.e", "jr", "mr", "mrs", "no", "p",
    "pp", "prof", "st", "vs",
];

/// Whether a file of this name is written for people, by its extension; without one it is.
pub(super) fn is_prose(name: &str) -> bool {
    let extension = Path::new(name)
        .extension()
        .and_then(|e| e.to_str())
        .unwrap_or("txt");
    let prose = ["adoc", "markdown", "md", "mdx", "org", "rst", "text", "txt"];
    prose
        .iter()
        .any(|known| extension.eq_ignore_ascii_case(known))
}

/// The sentences of a document, each as it stands there but for line breaks and runs of spaces.
///
/// Headings, code blocks, tables and markup lines are left out. Of a file that is not
/// [prose](is_prose) only line comments are read.
pub(super) fn sentences(name: &str, text: &str) -> Vec<String> {
    let paragraphs = if is_prose(name) {
        prose(text)
    } else {
        comments(text)
    };
    paragraphs
        .iter()
        .flat_map(|paragraph| split(paragraph))
        .filter(|s| reads_well(s))
        .collect()
}

/// Paragraphs in the making: lines are joined until something ends one.
#[derive(Default)]
struct Paragraphs {
    done: Vec<String>,
    open: String,
}

impl Paragraphs {
    fn line(&mut self, line: &str) {
        for word in line.split_whitespace() {
            if !self.open.is_empty() {
                self.open.push(' ');
            }
            self.open.push_str(word);
        }
    }

    fn end(&mut self) {
        if !self.open.is_empty() {
            self.done.push(std::mem::take(&mut self.open));
        }
    }

    fn into_inner(mut self) -> Vec<String> {
        self.end();
        self.done
    }
}

fn prose(text: &str) -> Vec<String> {
    let mut paragraphs = Paragraphs::default();
    let mut fenced = false;
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with("```") || line.starts_with("~~~") {
            fenced = !fenced;
            paragraphs.end();
        } else if fenced {
            // Code.
        } else if is_markup(line) {
            paragraphs.end();
        } else if let Some(item) = list_item(line) {
            paragraphs.end();
            paragraphs.line(item);
        } else {
            paragraphs.line(line.trim_start_matches(['>', ' ']));
        }
    }
    paragraphs.into_inner()
}

/// Whether a line is no text: empty, a heading, rule, table, image, link target, tag, directive.
fn is_markup(line: &str) -> bool {
    const STARTS: [&str; 9] = ["#", "|", "<", "![", "[![", "..", "+++", ":::", "@"];
    STARTS.iter().any(|start| line.starts_with(start))
        || line.starts_with('[') && line.contains("]:")
        || !line.contains(char::is_alphanumeric)
}

/// The text of a list's item, if the line begins one.
fn list_item(line: &str) -> Option<&str> {
    let bullet = ["- ", "* ", "+ ", "• "]
        .iter()
        .find_map(|bullet| line.strip_prefix(bullet));
    bullet.or_else(|| {
        let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
        let numbered = rest.len() < line.len();
        rest.strip_prefix(". ")
            .or(rest.strip_prefix(") "))
            .filter(|_| numbered)
    })
}

fn comments(text: &str) -> Vec<String> {
    const MARKS: [&str; 8] = ["///", "//!", "//", "#", "--", ";;", "* ", "% "];
    let mut paragraphs = Paragraphs::default();
    let mut fenced = false;
    for line in text.lines() {
        let line = line.trim();
        let comment = MARKS
            .iter()
            .find_map(|mark| line.strip_prefix(mark))
            .map(str::trim);
        match comment {
            Some(comment) if comment.starts_with("```") => {
                fenced = !fenced;
                paragraphs.end();
            }
            Some(comment) if !fenced && !is_markup(comment) => match list_item(comment) {
                Some(item) => {
                    paragraphs.end();
                    paragraphs.line(item);
                }
                None => paragraphs.line(comment),
            },
            Some(_) => paragraphs.end(),
            None => {
                fenced = false;
                paragraphs.end();
            }
        }
    }
    paragraphs.into_inner()
}

/// Cuts a paragraph after full stops, question and exclamation marks that end a sentence.
fn split(paragraph: &str) -> Vec<String> {
    let mut sentences = Vec::new();
    let mut begin = 0;
    let mut at = paragraph.char_indices().peekable();
    while let Some((index, c)) = at.next() {
        let wide = matches!(c, '。' | '！' | '？');
        if !wide && !matches!(c, '.' | '!' | '?' | '…') {
            continue;
        }
        while at.next_if(|(_, c)| is_closing(*c)).is_some() {}
        let end = at.peek().map_or(paragraph.len(), |(index, _)| *index);
        let rest = &paragraph[end..];
        let ends = wide
            || rest.is_empty()
            || rest.starts_with(' ')
                && begins_sentence(rest.trim_start())
                && !(c == '.' && is_abbreviation(&paragraph[begin..index]));
        if ends {
            sentences.push(paragraph[begin..end].trim().to_owned());
            begin = end;
        }
    }
    sentences.push(paragraph[begin..].trim().to_owned());
    sentences.retain(|sentence| !sentence.is_empty());
    sentences
}

fn is_closing(c: char) -> bool {
    matches!(
        c,
        '.' | '!' | '?' | '"' | '\'' | ')' | ']' | '*' | '_' | '`' | '”' | '’' | '»'
    )
}

fn begins_sentence(text: &str) -> bool {
    let first = text
        .trim_start_matches(['"', '\'', '(', '[', '*', '_', '“', '‘', '«'])
        .chars()
        .next();
    first.is_some_and(|c| c == '`' || c.is_numeric() || c.is_alphabetic() && !c.is_lowercase())
}

/// Whether the text before a full stop ends in an abbreviation or an initial.
fn is_abbreviation(before: &str) -> bool {
    let word = before.rsplit([' ', '(', '[']).next().unwrap_or(before);
    let mut letters = word.chars();
    let initial = letters.next().is_some_and(char::is_uppercase) && letters.next().is_none();
    initial || ABBREVIATIONS.contains(&word.to_lowercase().as_str())
}

/// Whether it is a sentence that somebody would want to read.
fn reads_well(sentence: &str) -> bool {
    let words = sentence.split(' ').count();
    let chars = sentence.chars().count();
    let plain = sentence
        .chars()
        .filter(|c| c.is_alphabetic() || *c == ' ')
        .count();
    // Scripts without spaces have few "words"; there the length speaks.
    let unspaced = chars >= 12 && !sentence.is_ascii() && words * 12 < chars;
    let complete = sentence
        .trim_end_matches(is_quote)
        .ends_with(['.', '!', '?', '…', '。', '！', '？']);
    chars <= MAX_CHARS
        && (WORDS.contains(&words) || unspaced)
        && plain * 4 >= chars * 3
        && (complete || words >= LONG_ENOUGH)
}

fn is_quote(c: char) -> bool {
    is_closing(c) && !matches!(c, '.' | '!' | '?')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_gives_its_prose() {
        let text = "# A heading of some more words here\n\n\
            An agent owns an address\nand keeps it. It calls others, e.g. Bob's, by name!\n\n\
            - A bullet point that is a whole sentence.\n\
            1. Another point, which runs\n   over two lines.\n\n\
            ```sh\nthis is not text that anybody reads.\n```\n\
            | a table | is not prose either, is it. |\n\
            [link]: https://example.org/this/is/not/a/sentence\n\
            > A quoted line, after all, counts.\n";
        assert_eq!(
            sentences("README.md", text),
            [
                "An agent owns an address and keeps it.",
                "It calls others, e.g. Bob's, by name!",
                "A bullet point that is a whole sentence.",
                "Another point, which runs over two lines.",
                "A quoted line, after all, counts.",
            ]
        );
    }

    #[test]
    fn source_code_gives_its_comments() {
        let text = "//! The node starts here and stops there.\n\n\
            fn main() { println!(\"this is not a comment at all.\"); }\n\n\
            /// Waits for the first answer\n/// of any peer.\n/// ```\n/// let no_code_please = true;\n/// ```\n";
        assert_eq!(
            sentences("main.rs", text),
            [
                "The node starts here and stops there.",
                "Waits for the first answer of any peer."
            ]
        );
    }

    #[test]
    fn full_stops_inside_a_sentence_end_nothing() {
        let text = "Mr. J. Doe (cf. Fig. 3) measured 1.5 ms on v2.0.1 of it. \
            See `o call` for the rest of it. \"Is that so?\" Yes, that is how it was.";
        assert_eq!(
            split(text),
            [
                "Mr. J. Doe (cf. Fig. 3) measured 1.5 ms on v2.0.1 of it.",
                "See `o call` for the rest of it.",
                "\"Is that so?\"",
                "Yes, that is how it was.",
            ]
        );
        assert_eq!(
            split("一つ目の文。二つ目の文。"),
            ["一つ目の文。", "二つ目の文。"]
        );
    }

    #[test]
    fn what_nobody_would_read_is_left_out() {
        for line in [
            "Too short.",
            "a1 = b2 * (c3 - d4) / e5 + f6 ^ g7.",
            "no stop and only six words",
        ] {
            assert_eq!(sentences("x.txt", line), Vec::<String>::new(), "{line}");
        }
        assert_eq!(
            sentences("x.txt", &"word ".repeat(5000)),
            Vec::<String>::new()
        );
        assert_eq!(
            sentences("x.txt", "one line of notes without any full stop").len(),
            1
        );
    }

    #[test]
    fn any_text_is_survived() {
        for text in [
            "",
            ".",
            "...",
            "?!",
            "```",
            "é.É",
            "\u{feff}\r\n.\r\n",
            "[",
            "- ",
            "1) ",
            "// ",
            "「。」。",
        ] {
            for name in ["a.md", "a.rs", ""] {
                sentences(name, text);
            }
        }
    }
}
