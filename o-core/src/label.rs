//! Labels: what an agent says about itself beside its capabilities.

use std::{fmt, str::FromStr, sync::Arc};

/// A key, or a key and a value joined by `=`, as in `lang=de` or `gpu`. Cloning is cheap.
///
/// The key has 1 to 64 bytes of `[a-z0-9._/-]`, the value any text without control characters; both
/// together at most 128 bytes. Compared exactly.
///
/// ```
/// let label: o_core::Label = "lang=de".parse().unwrap();
/// assert_eq!((label.key(), label.value()), ("lang", Some("de")));
/// assert!("Lang=de".parse::<o_core::Label>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(Arc<str>);

impl Label {
    /// Longest text, in bytes.
    pub const MAX_LENGTH: usize = 128;
    /// Longest key, in bytes.
    pub const MAX_KEY: usize = 64;

    /// Checks `text` and keeps it.
    ///
    /// # Errors
    /// Says what is wrong and at which byte.
    pub fn parse(text: &str) -> Result<Self, LabelError> {
        if text.len() > Self::MAX_LENGTH {
            return Err(LabelError::TooLong { length: text.len() });
        }
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        if key.is_empty() || key.len() > Self::MAX_KEY {
            return Err(LabelError::BadKey { length: key.len() });
        }
        let in_key = |c: char| {
            c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '/' | '-')
        };
        let bad_in_key = key.char_indices().find(|(_, c)| !in_key(*c));
        let bad_in_value = value.char_indices().find(|(_, c)| !is_plain(*c));
        let bad_in_value = bad_in_value.map(|(at, c)| (key.len() + 1 + at, c));
        match bad_in_key.or(bad_in_value) {
            Some((offset, found)) => Err(LabelError::BadCharacter { offset, found }),
            None => Ok(Self(text.into())),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the `=`, or all of it.
    pub fn key(&self) -> &str {
        self.0.split_once('=').map_or(&self.0, |(key, _)| key)
    }

    /// What stands behind the `=`, if there is one.
    pub fn value(&self) -> Option<&str> {
        self.0.split_once('=').map(|(_, value)| value)
    }
}

/// Whether a character may stand in text that others show to people and models: no control
/// characters, nothing invisible and nothing that turns the direction of writing.
pub(crate) fn is_plain(character: char) -> bool {
    let invisible = matches!(
        character,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    );
    !invisible && !character.is_control()
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Label({})", self.0)
    }
}

impl FromStr for Label {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Label {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Label {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a text is not a label.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    /// No key, or one over [`Label::MAX_KEY`].
    #[error("a key has 1 to 64 bytes, this one {length}")]
    BadKey {
        /// Its length, in bytes.
        length: usize,
    },
    /// A character outside `[a-z0-9._/-]` in the key, or a control or invisible one in the value.
    #[error(
        "{found:?} at byte {offset} is not allowed: a key is made of a-z 0-9 . _ / -, a value of visible text"
    )]
    BadCharacter {
        /// Where it stands.
        offset: usize,
        /// The character.
        found: char,
    },
    /// More than [`Label::MAX_LENGTH`].
    #[error("{length} bytes are more than 128")]
    TooLong {
        /// Length of the text, in bytes.
        length: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_a_key_and_perhaps_a_value() {
        let parts = |text: &str| {
            let label: Label = text.parse().unwrap();
            (label.key().to_owned(), label.value().map(str::to_owned))
        };
        assert_eq!(parts("gpu"), ("gpu".into(), None));
        assert_eq!(
            parts("a/b-c.d_e=x=y"),
            ("a/b-c.d_e".into(), Some("x=y".into()))
        );
        assert_eq!(parts("empty="), ("empty".into(), Some(String::new())));
        assert_eq!(parts("stadt=Köln"), ("stadt".into(), Some("Köln".into())));
    }

    #[test]
    fn errors_say_where() {
        let check = |text: &str| Label::parse(text).unwrap_err();
        assert_eq!(check(""), LabelError::BadKey { length: 0 });
        assert_eq!(check("=x"), LabelError::BadKey { length: 0 });
        assert_eq!(check(&"k".repeat(65)), LabelError::BadKey { length: 65 });
        let bad = |offset, found| LabelError::BadCharacter { offset, found };
        assert_eq!(check("aB"), bad(1, 'B'));
        assert_eq!(check("a=x\u{1b}[2J"), bad(3, '\u{1b}'));
        assert_eq!(check("a=\u{202e}x"), bad(2, '\u{202e}'));
        let long = format!("a={}", "x".repeat(127));
        assert_eq!(check(&long), LabelError::TooLong { length: 129 });
    }
}
