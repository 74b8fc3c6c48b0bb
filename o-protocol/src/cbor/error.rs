//! Why a value could not be written, read or moved between encodings.

use o_core::CallError;

/// Why a value could not be encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The value has no form in the encoding: not a finite number in JSON, a key that is no text,
    /// or a type that refuses to be serialized.
    #[error("the value cannot be encoded: {message}")]
    Value {
        /// What cannot.
        message: String,
    },
    /// Only bytes, text and nothing at all can be sent raw.
    #[error("only bytes and text can be sent raw")]
    NotBytes,
    /// This version cannot write the encoding.
    #[error("the encoding cannot be written")]
    UnknownEncoding,
}

/// Why bytes could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Longer than allowed; not looked at.
    #[error("{length} bytes are more than {limit}")]
    TooLarge {
        /// Its length, in bytes.
        length: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// Arrays and maps inside each other.
    #[error("nested more than {limit} deep")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// More values than are taken apart without a type.
    #[error("more than {limit} values")]
    TooManyValues {
        /// The limit.
        limit: usize,
    },
    /// Not the encoding that it claims to be, or cut off.
    #[error("malformed: {reason}")]
    Malformed {
        /// What is wrong and where.
        reason: String,
    },
    /// Something follows the value.
    #[error("more bytes after the value's end at byte {offset}")]
    Trailing {
        /// Where the value ends.
        offset: usize,
    },
    /// A CBOR tag.
    #[error("tag {number} at byte {offset}: tags are not used here")]
    Tag {
        /// The tag's number.
        number: u64,
        /// Where it stands.
        offset: usize,
    },
    /// A value of another type.
    #[error("{}{message}", prefix(path))]
    Mismatch {
        /// Where in the value, as in `items[2].name`; empty at its top.
        path: String,
        /// What was found and what was expected.
        message: String,
    },
    /// This version cannot read the encoding.
    #[error("the encoding cannot be read")]
    UnknownEncoding,
}

impl DecodeError {
    pub(super) fn mismatch(message: String) -> Self {
        let path = String::new();
        Self::Mismatch { path, message }
    }

    pub(super) fn malformed_at(offset: usize) -> Self {
        Self::Malformed {
            reason: format!("no well-formed CBOR at byte {offset}"),
        }
    }

    /// The error for parameters, or an item of the caller's stream, that do not decode.
    #[must_use]
    pub fn into_invalid_params(self) -> CallError {
        CallError::InvalidParams {
            message: self.to_string(),
        }
    }

    /// The error for an answer, or an item of it, that does not decode.
    #[must_use]
    pub fn into_invalid_reply(self) -> CallError {
        CallError::InvalidReply {
            message: self.to_string(),
        }
    }
}

fn prefix(path: &str) -> String {
    match path {
        "" => String::new(),
        path => format!("at {path}: "),
    }
}

/// Why a value of one encoding has no form in another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TranscodeError {
    /// The value could not be read.
    #[error("the value cannot be read")]
    Decode(#[from] DecodeError),
    /// The value could not be written.
    #[error("the value cannot be written")]
    Encode(#[from] EncodeError),
    /// Raw bytes have no form in an encoding, nor has a value one as raw bytes.
    #[error("raw bytes have no other encoding")]
    Raw,
    /// An integer below -2^63 or above 2^64 - 1.
    #[error("an integer is outside of 64 bits: {number}")]
    IntegerRange {
        /// The integer, or its beginning.
        number: String,
    },
    /// NaN or an infinity, which JSON does not have.
    #[error("a number is not finite")]
    NotFinite,
    /// A key of a CBOR map that is not text.
    #[error("a map key is not text")]
    KeyNotText,
    /// The same key twice in one CBOR map.
    #[error("the map key {key:?} occurs twice")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// A CBOR map that in JSON would stand for a byte string.
    #[error("a map with the only key \"$bytes\" would become a byte string")]
    ReservedKey,
    /// `$bytes` in JSON without base64 text.
    #[error("\"$bytes\" needs base64 text as its value")]
    BadBytes,
}
