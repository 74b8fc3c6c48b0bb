//! CBOR maps with integer keys: what a frame's header is made of.
//!
//! Written in one pass without any tree, read without allocation. Text and byte strings have
//! definite lengths; nesting is limited to [`MAX_DEPTH`].

use ciborium_ll::{Decoder, Encoder, Header};

/// Deepest nesting inside an unknown value that is skipped.
const MAX_DEPTH: usize = 16;

/// Writes a map. Keys should be given in ascending order.
pub(super) struct MapWriter {
    entries: u64,
    bytes: Vec<u8>,
}

impl MapWriter {
    pub(super) fn new() -> Self {
        Self {
            entries: 0,
            bytes: Vec::with_capacity(64),
        }
    }

    fn push(&mut self, header: Header) {
        // Writing into memory cannot fail.
        let _ = Encoder::from(&mut self.bytes).push(header);
    }

    fn key(&mut self, key: u64) {
        self.entries += 1;
        self.push(Header::Positive(key));
    }

    pub(super) fn uint(&mut self, key: u64, value: u64) {
        self.key(key);
        self.push(Header::Positive(value));
    }

    pub(super) fn bool(&mut self, key: u64, value: bool) {
        self.key(key);
        self.push(Header::Simple(if value { 21 } else { 20 }));
    }

    pub(super) fn text(&mut self, key: u64, value: &str) {
        self.key(key);
        self.push_text(value);
    }

    pub(super) fn bytes(&mut self, key: u64, value: &[u8]) {
        self.key(key);
        self.push(Header::Bytes(Some(value.len())));
        self.bytes.extend_from_slice(value);
    }

    pub(super) fn texts<'a>(&mut self, key: u64, values: impl ExactSizeIterator<Item = &'a str>) {
        self.key(key);
        self.push(Header::Array(Some(values.len())));
        values.for_each(|value| self.push_text(value));
    }

    fn push_text(&mut self, value: &str) {
        self.push(Header::Text(Some(value.len())));
        self.bytes.extend_from_slice(value.as_bytes());
    }

    /// The whole map. Header maps are small: the entries move by the few bytes of the map's head.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let body = std::mem::take(&mut self.bytes);
        self.bytes.reserve(body.len() + 9);
        let entries = usize::try_from(self.entries).unwrap_or(usize::MAX);
        self.push(Header::Map(Some(entries)));
        self.bytes.extend_from_slice(&body);
        self.bytes
    }
}

/// Why a header cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum MapError {
    #[error("the header is not well-formed")]
    Malformed,
    #[error("the header's value {0} has the wrong type")]
    WrongType(i64),
    #[error("the header is nested too deep")]
    TooDeep,
    #[error("the header has key {0} twice")]
    Twice(i64),
}

/// A value of a kind that headers use; anything else is `Other` and was skipped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Uint(u64),
    Bool(bool),
    Text(&'a str),
    Bytes(&'a [u8]),
    Array(&'a [u8], usize),
    Other,
}

/// Reads a map entry by entry. Empty input is an empty map.
pub(super) struct MapReader<'a> {
    rest: &'a [u8],
    entries: usize,
    /// Which of the keys from 0 to 63 have been there: two readers must not choose differently.
    seen: u64,
}

impl<'a> MapReader<'a> {
    pub(super) fn new(input: &'a [u8]) -> Result<Self, MapError> {
        if input.is_empty() {
            return Ok(Self {
                rest: input,
                entries: 0,
                seen: 0,
            });
        }
        let mut reader = Self {
            rest: input,
            entries: 0,
            seen: 0,
        };
        match reader.pull()? {
            Header::Map(Some(entries)) => reader.entries = entries,
            _ => return Err(MapError::Malformed),
        }
        Ok(reader)
    }

    /// The next entry; keys may be negative.
    pub(super) fn next(&mut self) -> Result<Option<(i64, Value<'a>)>, MapError> {
        let Some(left) = self.entries.checked_sub(1) else {
            return if self.rest.is_empty() {
                Ok(None)
            } else {
                Err(MapError::Malformed)
            };
        };
        self.entries = left;
        let key = match self.pull()? {
            Header::Positive(key) => i64::try_from(key).map_err(|_| MapError::Malformed)?,
            Header::Negative(key) => !i64::try_from(key).map_err(|_| MapError::Malformed)?,
            _ => return Err(MapError::Malformed),
        };
        let bit = u32::try_from(key)
            .ok()
            .and_then(|key| 1_u64.checked_shl(key))
            .unwrap_or(0);
        if self.seen & bit != 0 {
            return Err(MapError::Twice(key));
        }
        self.seen |= bit;
        Ok(Some((key, self.value(0)?)))
    }

    fn value(&mut self, depth: usize) -> Result<Value<'a>, MapError> {
        if depth > MAX_DEPTH {
            return Err(MapError::TooDeep);
        }
        Ok(match self.pull()? {
            Header::Positive(value) => Value::Uint(value),
            Header::Simple(20) => Value::Bool(false),
            Header::Simple(21) => Value::Bool(true),
            Header::Text(Some(length)) => Value::Text(
                std::str::from_utf8(self.take(length)?).map_err(|_| MapError::Malformed)?,
            ),
            Header::Bytes(Some(length)) => Value::Bytes(self.take(length)?),
            Header::Array(Some(length)) => {
                let start = self.rest;
                self.skip(length, depth)?;
                let used = start.len().saturating_sub(self.rest.len());
                Value::Array(start.get(..used).unwrap_or_default(), length)
            }
            Header::Map(Some(length)) => {
                self.skip(length.saturating_mul(2), depth)?;
                Value::Other
            }
            Header::Tag(_) => {
                self.skip(1, depth)?;
                Value::Other
            }
            Header::Negative(_) | Header::Float(_) | Header::Simple(_) => Value::Other,
            // Indefinite lengths are not allowed in headers.
            _ => return Err(MapError::Malformed),
        })
    }

    fn skip(&mut self, items: usize, depth: usize) -> Result<(), MapError> {
        // Each item takes at least a byte, so that a claimed length ends with the input.
        for _ in 0..items {
            self.value(depth + 1)?;
        }
        Ok(())
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], MapError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(MapError::Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn pull(&mut self) -> Result<Header, MapError> {
        let mut decoder = Decoder::from(self.rest);
        let header = decoder.pull().map_err(|_| MapError::Malformed)?;
        let used = decoder.offset();
        self.rest = self.rest.get(used..).ok_or(MapError::Malformed)?;
        Ok(header)
    }
}

/// The texts of a [`Value::Array`].
pub(super) fn texts(bytes: &[u8], length: usize) -> Result<Vec<&str>, MapError> {
    let mut reader = MapReader {
        rest: bytes,
        entries: 0,
        seen: 0,
    };
    let mut texts = Vec::new();
    for _ in 0..length {
        match reader.value(0)? {
            Value::Text(text) => texts.push(text),
            _ => return Err(MapError::Malformed),
        }
    }
    Ok(texts)
}
