//! JSON as text: finding where a value ends while it arrives, and laying it out, without changing a
//! digit of it.

mod check;
mod split;

use serde::de::IgnoredAny;

pub(crate) use self::{
    check::{check, decode_base64},
    split::Splitter,
};

/// The deepest nesting that is laid out on several lines: beyond it there is more white space than
/// value, and that grows with the square of the depth.
const MAX_INDENT: usize = 64;

/// Checks that `text` is one JSON value and returns it without white space between its parts.
///
/// # Errors
/// What is wrong, and where.
pub(crate) fn compact(text: &[u8]) -> Result<String, String> {
    let text = checked(text)?;
    Ok(lay_out(text, None))
}

/// The same JSON value on several lines, two spaces a level; on one line where it is nested too
/// deeply for that. What is not JSON comes back as it is.
pub(crate) fn pretty(text: &str) -> String {
    match checked(text.as_bytes()) {
        Ok(text) => lay_out(text, (depth(text) <= MAX_INDENT).then_some("  ")),
        Err(_) => text.to_owned(),
    }
}

fn checked(text: &[u8]) -> Result<&str, String> {
    // The parser below does not look at the characters of a string that nobody reads.
    let text = std::str::from_utf8(text).map_err(|error| format!("not UTF-8: {error}"))?;
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| error.to_string())?;
    Ok(text)
}

/// How deeply a correct value is nested.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if in_string => {
                in_string = escaped || byte != b'"';
                escaped = !escaped && byte == b'\\';
            }
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth = depth.saturating_add(1);
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Writes a correct value anew. Strings are copied, so that escapes, big numbers, the order of keys
/// and duplicates stay what they are.
fn lay_out(text: &str, indent: Option<&str>) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    let mut characters = text.chars().peekable();
    let line = |out: &mut String, depth: usize| {
        if let Some(indent) = indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(indent, depth));
        }
    };
    while let Some(character) = characters.next() {
        if in_string {
            out.push(character);
            in_string = escaped || character != '"';
            escaped = !escaped && character == '\\';
            continue;
        }
        match character {
            ' ' | '\n' | '\r' | '\t' => {}
            '{' | '[' => {
                out.push(character);
                while characters
                    .next_if(|next| next.is_ascii_whitespace())
                    .is_some()
                {}
                match characters.next_if(|next| matches!(next, '}' | ']')) {
                    Some(close) => out.push(close),
                    None => {
                        depth += 1;
                        line(&mut out, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(character);
            }
            ',' => {
                out.push(character);
                line(&mut out, depth);
            }
            ':' => {
                out.push(character);
                if indent.is_some() {
                    out.push(' ');
                }
            }
            _ => {
                in_string = character == '"';
                out.push(character);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compact_changes_nothing_but_white_space() {
        let text = br#" { "b" : [ 1.50 , 123456789012345678901234567890 , "a \" , {x" ] ,
            "a" : { } , "b":[ ] , "\u00e9 \\" : null } "#;
        let expected = r#"{"b":[1.50,123456789012345678901234567890,"a \" , {x"],"a":{},"b":[],"\u00e9 \\":null}"#;
        assert_eq!(compact(text).unwrap(), expected);
    }

    #[test]
    fn pretty_is_two_spaces_a_level() {
        assert_eq!(
            pretty(r#"{"a":[1,{"b":[]}],"c":"d"}"#),
            "{\n  \"a\": [\n    1,\n    {\n      \"b\": []\n    }\n  ],\n  \"c\": \"d\"\n}"
        );
        assert_eq!(pretty("\"x\""), "\"x\"");
        assert_eq!(pretty("{oops"), "{oops");
    }

    #[test]
    fn deep_nesting_does_not_explode() {
        let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(pretty(&deep(MAX_INDENT)).contains('\n'));
        for depth in [MAX_INDENT + 1, 100_000] {
            assert_eq!(pretty(&deep(depth)), deep(depth));
        }
        // Brackets in a string are no nesting.
        let text = format!("{{\"a\\\"\":\"{}\"}}", "[".repeat(100));
        assert_eq!(depth(&text), 1);
        assert!(pretty(&text).contains('\n'));
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in ["", "{", "NaN", "1 2", "{\"a\":Infinity}", "'a'", "nul"] {
            assert!(compact(text.as_bytes()).is_err(), "{text}");
        }
        assert!(compact(b"\"\xff\"").unwrap_err().contains("UTF-8"));
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(compact(deep.as_bytes()).unwrap().len(), deep.len());
    }
}
