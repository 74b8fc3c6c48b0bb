//! Why a text is not a transport address, and at which byte.

/// Why a text is not a [`TransportAddr`](crate::TransportAddr). Offsets count bytes from the beginning of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportAddrError {
    /// The text does not begin with a slash.
    #[error("a transport address begins with `/`, as in `/ip4/127.0.0.1/tcp/4001`")]
    MissingSlash,
    /// Nothing stands after a slash.
    #[error("empty component at byte {offset}: after every `/` stands at least one character")]
    EmptyComponent {
        /// Where the component should begin.
        offset: usize,
    },
    /// The text contains something else than printable ASCII, or a space.
    #[error(
        "character {found:?} at byte {offset}: a transport address has printable ASCII without spaces"
    )]
    BadCharacter {
        /// Where the character begins.
        offset: usize,
        /// The character.
        found: char,
    },
    /// The text, or the part of it before the peer id at its end, is too long.
    #[error("transport address of {length} bytes: the limit is {limit}")]
    TooLong {
        /// How long it is, in bytes.
        length: usize,
        /// How long it may be, in bytes.
        limit: usize,
    },
}

impl TransportAddrError {
    /// The byte at which the text leaves the grammar: 0 if it begins wrongly, the limit if it is too long.
    #[must_use]
    pub fn offset(&self) -> usize {
        match self {
            Self::MissingSlash => 0,
            Self::TooLong { limit, .. } => *limit,
            Self::EmptyComponent { offset } | Self::BadCharacter { offset, .. } => *offset,
        }
    }
}
