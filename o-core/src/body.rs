//! Bodies of calls and replies: bytes plus how they are encoded.

use std::fmt;

use bytes::Bytes;
use futures::stream::BoxStream;

use crate::CallError;

/// How the bytes of a [`Body`] are encoded. The numbers are those of the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// CBOR, RFC 8949: the default between typed ends.
    #[default]
    Cbor = 1,
    /// JSON, RFC 8259.
    Json = 2,
    /// Bytes that only the two ends understand.
    Raw = 3,
}

impl Encoding {
    /// The encoding with this wire number, if there is one.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Cbor),
            2 => Some(Self::Json),
            3 => Some(Self::Raw),
            _ => None,
        }
    }

    /// The number that stands for it on the wire.
    pub fn number(self) -> u8 {
        self as u8
    }
}

/// Bytes plus their encoding. Cloning shares the bytes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Body {
    /// The encoded value.
    pub bytes: Bytes,
    /// How `bytes` is encoded.
    pub encoding: Encoding,
}

impl Body {
    /// A body of these bytes in this encoding.
    pub fn new(encoding: Encoding, bytes: impl Into<Bytes>) -> Self {
        Self {
            bytes: bytes.into(),
            encoding,
        }
    }

    /// A body of raw bytes.
    pub fn raw(bytes: impl Into<Bytes>) -> Self {
        Self::new(Encoding::Raw, bytes)
    }

    /// A body of JSON text. The text is not checked here.
    pub fn json(text: impl Into<Bytes>) -> Self {
        Self::new(Encoding::Json, text)
    }

    /// A body of encoded CBOR. The bytes are not checked here.
    pub fn cbor(bytes: impl Into<Bytes>) -> Self {
        Self::new(Encoding::Cbor, bytes)
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({:?}, {} bytes)", self.encoding, self.bytes.len())
    }
}

/// Bodies that arrive one by one. It ends after its first error; dropping it cancels the call.
pub type BodyStream = BoxStream<'static, Result<Body, CallError>>;

/// What a call answers: one body, or a stream of them.
pub enum Reply {
    /// The whole answer.
    One(Body),
    /// Answers as they are made. Dropping the stream cancels the call.
    Stream(BodyStream),
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(body) => f.debug_tuple("One").field(body).finish(),
            Self::Stream(_) => f.write_str("Stream(..)"),
        }
    }
}

impl From<Body> for Reply {
    fn from(body: Body) -> Self {
        Self::One(body)
    }
}
