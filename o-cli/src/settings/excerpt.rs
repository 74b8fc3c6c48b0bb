//! What an error shows of somebody's configuration: enough to find the place, and no more.

/// Most characters of a value or of a line that are shown.
const MAX_SHOWN: usize = 80;
/// Most characters of what a library says, which may list every field that there is.
const MAX_MESSAGE: usize = 1500;

/// A value, cut where it is long.
pub(super) fn cut(text: &str) -> String {
    shortened(text, MAX_SHOWN)
}

/// A value in quotes, cut where it is long.
pub(super) fn quoted(text: &str) -> String {
    format!("{:?}", cut(text))
}

/// What a library says, with each value that it quotes cut where it is long.
pub(super) fn brief(message: &str) -> String {
    const QUOTES: [char; 3] = ['"', '`', '\''];
    let mut out = String::new();
    let mut rest = message;
    while let Some((before, quote, from)) = split_at_any(rest, QUOTES)
        && let Some((inner, after)) = from.split_once(quote)
    {
        out.push_str(before);
        out.push(quote);
        out.push_str(&cut(inner));
        out.push(quote);
        rest = after;
    }
    out.push_str(rest);
    shortened(&out, MAX_MESSAGE)
}

/// Where an error is in a text, what it is, and the piece of the line where it is.
pub(super) fn in_place(text: &str, offset: usize, message: &str) -> String {
    let before = text.get(..offset).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let number = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count();
    let line = text.get(start..).unwrap_or_default();
    let line = line.lines().next().unwrap_or_default();
    // The place itself is seen, with something of what stands before it.
    let skipped = match line.chars().count() > MAX_SHOWN {
        true => column.saturating_sub(MAX_SHOWN / 2),
        false => 0,
    };
    let shown: String = line.chars().skip(skipped).collect();
    let shown = cut(&shown).replace('\t', " ");
    let message = brief(message);
    let column = column + 1;
    let mark = " ".repeat(column - 1 - skipped);
    format!("line {number}, column {column}: {message}\n  {shown}\n  {mark}^")
}

fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// What stands before the first of these characters, which it is, and what stands behind it.
fn split_at_any(text: &str, any: [char; 3]) -> Option<(&str, char, &str)> {
    let (at, found) = text.char_indices().find(|(_, c)| any.contains(c))?;
    let behind = text.get(at + found.len_utf8()..)?;
    Some((text.get(..at)?, found, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_is_cut_and_what_is_said_about_it_is_not() {
        let long = "é ".repeat(500_000);
        let shown = "é ".repeat(40);
        assert_eq!(quoted(&long), format!("\"{shown}…\""));
        for quote in ['"', '`', '\''] {
            let message = format!("invalid type: string {quote}{long}{quote}, expected `usize`");
            let expected = format!("invalid type: string {quote}{shown}…{quote}, expected `usize`");
            assert_eq!(brief(&message), expected);
        }
        assert_eq!(brief(&long).chars().count(), MAX_MESSAGE + 1);
        assert_eq!(brief("it isn't `a`"), "it isn't `a`");
    }

    #[test]
    fn the_place_in_a_long_line_is_seen() {
        let place = in_place("a = 1\n\tb = x\n", 11, "no");
        assert_eq!(place, "line 2, column 6: no\n   b = x\n       ^");
        let line = format!("a = \"{}\"x", "y".repeat(1_000_000));
        let place = in_place(&line, line.len() - 1, "no");
        let piece = format!("{}\"x", "y".repeat(39));
        let mark = " ".repeat(40);
        assert_eq!(
            place,
            format!("line 1, column 1000007: no\n  {piece}\n  {mark}^")
        );
        assert!(in_place(&line, 0, "no").chars().count() < 200);
        assert_eq!(in_place("", 7, "no"), "line 1, column 1: no\n  \n  ^");
    }
}
