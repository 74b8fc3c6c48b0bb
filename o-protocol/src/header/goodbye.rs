//! The header of GOODBYE.

use std::time::Duration;

use o_core::ErrorCode;

use super::{
    HeaderError, MAX_MESSAGE, cut,
    map::{MapError, MapReader, MapWriter, Value},
    small, unknown,
};

/// Why no further call is taken. The codes are those of errors.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Goodbye {
    /// Number of an [`ErrorCode`].
    pub code: u16,
    /// In words.
    pub message: String,
    /// How long running calls are waited for.
    pub drain: Duration,
    /// The last call of the receiver's that was taken; later ones never run. A session fills it in.
    pub last: Option<u64>,
    /// Nothing but idleness ends the connection: calls that cross this goodbye are taken.
    pub idle: bool,
}

impl Goodbye {
    /// A goodbye with this code that waits for nothing.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code: code.number(),
            message: message.into(),
            drain: Duration::ZERO,
            last: None,
            idle: false,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut map = MapWriter::new();
        map.uint(1, self.code.into());
        map.text(2, cut(&self.message, MAX_MESSAGE));
        map.uint(3, u64::try_from(self.drain.as_millis()).unwrap_or(u64::MAX));
        if let Some(last) = self.last {
            map.uint(4, last);
        }
        if self.idle {
            map.bool(5, true);
        }
        map.finish()
    }

    pub(crate) fn decode(input: &[u8]) -> Result<Self, HeaderError> {
        let mut goodbye = Self::new(ErrorCode::ShuttingDown, "");
        let mut map = MapReader::new(input)?;
        while let Some((key, value)) = map.next()? {
            match (key, value) {
                (1, Value::Uint(value)) => goodbye.code = small(key, value)?,
                (2, Value::Text(text)) => goodbye.message = cut(text, MAX_MESSAGE).to_owned(),
                (3, Value::Uint(value)) => goodbye.drain = Duration::from_millis(value),
                (4, Value::Uint(value)) => goodbye.last = Some(value),
                (5, Value::Bool(value)) => goodbye.idle = value,
                (1..=5, _) => return Err(MapError::WrongType(key).into()),
                (key, _) => unknown(key)?,
            }
        }
        Ok(goodbye)
    }
}
