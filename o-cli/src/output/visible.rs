//! What others wrote, without the characters that do something to a terminal.

use std::{borrow::Cow, fmt::Write};

/// Moves a terminal's cursor, recolors it or answers in its name; or turns around the order in which
/// text is shown.
fn is_unseen(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text that may have several lines: line ends and tabs stay, everything else that is not seen
/// becomes a mark.
pub(crate) fn visible(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\t' => c,
        c if is_unseen(c) => '\u{fffd}',
        c => c,
    };
    text.chars().map(shown).collect()
}

/// A name, or anything else that has one line.
pub(crate) fn one_line(text: &str) -> String {
    visible(text).replace(['\n', '\t'], " ")
}

/// A message. Its further lines are indented: none of them looks like one of this program.
pub(crate) fn message(text: &str) -> String {
    visible(text).replace('\n', "\n  ")
}

/// A correct JSON value with nothing unseen in its strings; it stays the same value. Line ends stay
/// between its parts, where they are the only ones.
pub(crate) fn in_json(json: &str) -> Cow<'_, str> {
    let is_unseen = |c: char| c != '\n' && is_unseen(c);
    if !json.contains(is_unseen) {
        return json.into();
    }
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match is_unseen(c) {
            // All of them have one unit of UTF-16.
            true => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            false => out.push(c),
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{1b}[31mb\r\u{9b}c\nd\te\u{7f}\u{202e}f é";

    #[test]
    fn a_peer_cannot_send_escape_sequences() {
        assert_eq!(
            visible(HOSTILE),
            "a\u{fffd}[31mb\u{fffd}\u{fffd}c\nd\te\u{fffd}\u{fffd}f é"
        );
        assert_eq!(
            one_line(HOSTILE),
            "a\u{fffd}[31mb\u{fffd}\u{fffd}c d e\u{fffd}\u{fffd}f é"
        );
    }

    #[test]
    fn a_peer_cannot_write_a_line_of_ours() {
        assert_eq!(message("no\nhint: x\n"), "no\n  hint: x\n  ");
    }

    #[test]
    fn json_stays_the_same_value() {
        // JSON itself escapes what ASCII has, but for DEL.
        let json = serde_json::to_string(HOSTILE).unwrap();
        assert!(json.contains(is_unseen));
        let shown = in_json(&json);
        assert!(!shown.contains(is_unseen), "{shown}");
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), HOSTILE);
        let lines = "[\n  \"é\"\n]";
        assert!(matches!(in_json(lines), Cow::Borrowed(same) if same == lines));
    }
}
