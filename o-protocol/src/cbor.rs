//! Values as CBOR and JSON: the only module that names ciborium for values.
//!
//! What arrives is looked at before it is decoded: its size, its nesting, and that every declared
//! length fits into what is there, so that no length can make a decoder allocate for it. The value
//! must end where the bytes end.
//!
//! # CBOR
//! - Tags are refused: a value means what the method's schema says. So integers beyond 64 bits,
//!   which are tags in CBOR, do not travel; the writer does not check for them.
//! - Where the type is a float, an integer is taken too: JavaScript cannot tell `1` from `1.0`.
//! - Map keys of a struct are its field names. Unknown fields are ignored.
//!
//! # JSON
//! - A byte string is `{"$bytes":"<base64>"}`, with padding when written, with or without when read.
//! - NaN and the infinities are refused.
//!
//! Types that serialize in another way for people (IP addresses, UUIDs) are text in JSON and may be
//! bytes in CBOR; [`transcode()`] cannot know that.

mod adapt;
mod blob;
mod body;
mod error;
mod json;
mod scan;
#[cfg(test)]
mod tests;
mod transcode;

use serde::{Serialize, de::DeserializeOwned};

use self::adapt::{Decoded, Trace};
pub use self::{
    blob::Blob,
    body::{decode_body, encode_body},
    error::{DecodeError, EncodeError, TranscodeError},
    transcode::transcode,
};

/// What a decoder accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Longest input, in bytes. Default: 64 MiB.
    pub max_bytes: usize,
    /// How deep arrays and maps may be nested; each level costs the decoder stack. Default: 100.
    /// JSON has a limit of 127 of its own.
    pub max_depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: 64 * 1024 * 1024,
            max_depth: 100,
        }
    }
}

impl Limits {
    fn check_size(&self, length: usize) -> Result<(), DecodeError> {
        let limit = self.max_bytes;
        if length > limit {
            return Err(DecodeError::TooLarge { length, limit });
        }
        Ok(())
    }
}

/// Encodes `value` as CBOR: definite lengths, shortest integers and floats, fields in their order.
///
/// # Errors
/// When the value refuses to be serialized.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).map_err(|error| match error {
        ciborium::ser::Error::Value(message) => EncodeError::Value { message },
        ciborium::ser::Error::Io(error) => EncodeError::Value {
            message: error.to_string(),
        },
    })?;
    Ok(bytes)
}

/// Decodes one CBOR value that is all of `bytes`.
///
/// # Errors
/// Too large, too deep, not CBOR, more than one value, a tag, or not a `T`.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8], limits: Limits) -> Result<T, DecodeError> {
    limits.check_size(bytes.len())?;
    scan::check_cbor(bytes, limits.max_depth)?;
    match read_cbor::<Decoded<T>>(bytes, limits) {
        Ok(decoded) => Ok(decoded.value),
        // Only a failure pays for keeping track of where in the value it happened.
        Err(DecodeError::Mismatch { message, .. }) => {
            let path = read_cbor::<Trace<T>>(bytes, limits)
                .map(|trace| trace.path)
                .unwrap_or_default();
            Err(DecodeError::Mismatch { path, message })
        }
        Err(error) => Err(error),
    }
}

/// Runs ciborium over bytes that were scanned.
fn read_cbor<T: DeserializeOwned>(bytes: &[u8], limits: Limits) -> Result<T, DecodeError> {
    use ciborium::de::Error;

    ciborium::de::from_reader_with_recursion_limit(bytes, limits.max_depth).map_err(|error| {
        match error {
            Error::RecursionLimitExceeded => DecodeError::TooDeep {
                limit: limits.max_depth,
            },
            Error::Semantic(_, message) => DecodeError::mismatch(message),
            Error::Syntax(offset) => DecodeError::malformed_at(offset),
            // A short read: the type reads on where the value has ended.
            Error::Io(_) => DecodeError::mismatch("the value is shorter than its type".to_owned()),
        }
    })
}
