//! Names of what an agent can do.

use std::{fmt, str::FromStr, sync::Arc};

/// What an agent can do: 1 to 8 segments of `[a-z0-9][a-z0-9._-]*` joined by `/`, at most 128
/// bytes, compared exactly. Cloning is cheap.
///
/// ```
/// let capability: o_core::Capability = "text/summarize".parse().unwrap();
/// assert_eq!(capability.as_str(), "text/summarize");
/// assert!("Text/Summarize".parse::<o_core::Capability>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability(Arc<str>);

impl Capability {
    /// Longest text, in bytes.
    pub const MAX_LENGTH: usize = 128;
    /// Most segments.
    pub const MAX_SEGMENTS: usize = 8;

    /// Checks `text` and keeps it.
    ///
    /// # Errors
    /// Says what is wrong and at which byte.
    pub fn parse(text: &str) -> Result<Self, CapabilityError> {
        if text.len() > Self::MAX_LENGTH {
            return Err(CapabilityError::TooLong { length: text.len() });
        }
        let mut offset = 0;
        for (index, segment) in text.split('/').enumerate() {
            if index >= Self::MAX_SEGMENTS {
                return Err(CapabilityError::TooManySegments { offset });
            }
            if segment.is_empty() {
                return Err(CapabilityError::EmptySegment { offset });
            }
            for (at, found) in segment.char_indices() {
                let good = found.is_ascii_lowercase()
                    || found.is_ascii_digit()
                    || (at > 0 && matches!(found, '.' | '_' | '-'));
                if !good {
                    return Err(CapabilityError::BadCharacter {
                        offset: offset + at,
                        found,
                    });
                }
            }
            offset += segment.len() + 1;
        }
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Capability({})", self.0)
    }
}

impl FromStr for Capability {
    type Err = CapabilityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Capability {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Capability {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a text is not a capability.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CapabilityError {
    /// A segment has no characters.
    #[error("empty segment at byte {offset}")]
    EmptySegment {
        /// Where the segment would begin.
        offset: usize,
    },
    /// A character outside `[a-z0-9._-]`, or `.`, `_`, `-` at a segment's start.
    #[error("{found:?} at byte {offset} is not allowed: use a-z, 0-9, and inside a segment . _ -")]
    BadCharacter {
        /// Where it stands.
        offset: usize,
        /// The character.
        found: char,
    },
    /// More than [`Capability::MAX_SEGMENTS`].
    #[error("more than 8 segments, the next at byte {offset}")]
    TooManySegments {
        /// Where the first excess segment begins.
        offset: usize,
    },
    /// More than [`Capability::MAX_LENGTH`].
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
    fn errors_say_where() {
        let check = |text: &str| Capability::parse(text).unwrap_err();
        assert_eq!(check(""), CapabilityError::EmptySegment { offset: 0 });
        assert_eq!(check("a//b"), CapabilityError::EmptySegment { offset: 2 });
        assert_eq!(
            check("a/-b"),
            CapabilityError::BadCharacter {
                offset: 2,
                found: '-'
            }
        );
        assert_eq!(
            check("a/B"),
            CapabilityError::BadCharacter {
                offset: 2,
                found: 'B'
            }
        );
        assert_eq!(
            check("1/2/3/4/5/6/7/8/9"),
            CapabilityError::TooManySegments { offset: 16 }
        );
        assert_eq!(
            check(&"a".repeat(129)),
            CapabilityError::TooLong { length: 129 }
        );
        assert!(Capability::parse("text/summarize.v2_x-y").is_ok());
    }
}
