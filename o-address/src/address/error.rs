//! Why a text is not an address, and at which byte.

use crate::PeerIdError;

/// Why a text is not an [`Address`](crate::Address).
///
/// Offsets count bytes from the beginning of the text that was given: of the whole address for
/// [`Address::parse`](crate::Address::parse), of the protocol id for
/// [`Address::from_protocol`](crate::Address::from_protocol), and of the one segment for
/// [`Address::child`](crate::Address::child).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// The text does not begin with `o://`, in lower case.
    #[error("an address begins with `o://`")]
    MissingScheme,
    /// The text given as a protocol id does not begin with `/o/`, in lower case.
    #[error("the protocol id of an address begins with `/o/`")]
    MissingProtocolPrefix,
    /// Nothing stands where the first segment should begin.
    #[error("no name at byte {offset}: a name has at least one segment")]
    Empty {
        /// Where the first segment should begin.
        offset: usize,
    },
    /// Nothing stands between two slashes.
    #[error("empty segment at byte {offset}: between two slashes stands at least one character")]
    EmptySegment {
        /// Where the segment should begin.
        offset: usize,
    },
    /// The name ends in a slash.
    #[error("slash at the end of the name at byte {offset}: a name ends in a segment")]
    TrailingSlash {
        /// Where the slash stands.
        offset: usize,
    },
    /// A segment contains something else than ASCII letters, digits, `.`, `_`, `~` and `-`.
    #[error(
        "character {found:?} at byte {offset}: a segment has ASCII letters, digits, `.`, `_`, `~` and `-`"
    )]
    BadCharacter {
        /// Where the character begins.
        offset: usize,
        /// The character.
        found: char,
    },
    /// A segment is longer than [`Address::MAX_SEGMENT_LEN`](crate::Address::MAX_SEGMENT_LEN).
    #[error("segment of {length} bytes at byte {offset}: the limit is {limit}")]
    SegmentTooLong {
        /// Where the segment begins.
        offset: usize,
        /// How long the segment is, in bytes.
        length: usize,
        /// How long a segment may be, in bytes.
        limit: usize,
    },
    /// A name has more segments than [`Address::MAX_SEGMENTS`](crate::Address::MAX_SEGMENTS).
    #[error("one segment too many at byte {offset}: the limit is {limit}")]
    TooManySegments {
        /// Where the first segment too many begins.
        offset: usize,
        /// How many segments a name may have.
        limit: usize,
    },
    /// The text is longer than any address can be; nothing else about it was looked at.
    #[error("text of {length} bytes: the limit is {limit}")]
    TooLong {
        /// How long the text is, in bytes.
        length: usize,
        /// How long it may be, in bytes.
        limit: usize,
    },
    /// A segment is `.` or `..`, which many tools would remove from the name.
    #[error("segment `.` or `..` at byte {offset}: a name has no relative segments")]
    DotSegment {
        /// Where the segment begins.
        offset: usize,
    },
    /// What stands after `#` is not a peer id.
    #[error("bad pin at byte {offset}: after `#` stands a peer id")]
    BadPin {
        /// Where the text after `#` begins.
        offset: usize,
        /// What is wrong with it; its own offset counts from there.
        source: PeerIdError,
    },
}

impl AddressError {
    /// The byte at which the text leaves the grammar: 0 if it begins wrongly, the limit if it is too long.
    #[must_use]
    pub fn offset(&self) -> usize {
        match self {
            Self::MissingScheme | Self::MissingProtocolPrefix => 0,
            Self::TooLong { limit, .. } => *limit,
            Self::Empty { offset }
            | Self::EmptySegment { offset }
            | Self::TrailingSlash { offset }
            | Self::BadCharacter { offset, .. }
            | Self::SegmentTooLong { offset, .. }
            | Self::TooManySegments { offset, .. }
            | Self::DotSegment { offset }
            | Self::BadPin { offset, .. } => *offset,
        }
    }
}
