//! Why bytes or a text are not a peer id.

/// Why bytes or a text are not a [`PeerId`](crate::PeerId).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerIdError {
    /// There is nothing.
    #[error("a peer id is not empty")]
    Empty,
    /// The text is longer than any peer id can be; nothing else about it was looked at.
    #[error("text of {length} bytes: a peer id has at most {limit}")]
    TextTooLong {
        /// How long the text is, in bytes.
        length: usize,
        /// How long it may be, in bytes.
        limit: usize,
    },
    /// The text contains something else than characters of base58.
    #[error(
        "character {found:?} at byte {offset}: base58 has ASCII letters and digits without `0`, `I`, `O` and `l`"
    )]
    BadCharacter {
        /// Where the character begins, in bytes from the beginning of the peer id.
        offset: usize,
        /// The character.
        found: char,
    },
    /// The bytes begin with another code than those of an inlined key (0x00) and of SHA-256 (0x12).
    #[error("hash code {code:#04x}: a peer id begins with 0x00 (inlined key) or 0x12 (SHA-256)")]
    UnknownCode {
        /// The first byte.
        code: u8,
    },
    /// The second byte declares a length that the code in the first does not allow.
    #[error(
        "declared length {length} for hash code {code:#04x}: it is at most 42 for 0x00 and 32 for 0x12"
    )]
    BadLength {
        /// The first byte.
        code: u8,
        /// The second byte: how many bytes are said to follow.
        length: u8,
    },
    /// Fewer or more bytes follow than the second byte declares, or the second byte is missing.
    #[error("{found} bytes of peer id: by its first two bytes it has {expected}")]
    WrongSize {
        /// How many bytes the peer id should have.
        expected: usize,
        /// How many it has.
        found: usize,
    },
}
