//! CBOR maps with integer keys: what a frame's header is made of.
//!
//! Written in one pass without any tree, read without allocation. Text and byte strings have
//! definite lengths; nesting is limited to [`MAX_DEPTH`]. Heads of items are read and written here
//! (RFC 8949, section 3): every frame has some, and a general codec made them a tenth of a call.

/// Deepest nesting inside an unknown value that is skipped.
const MAX_DEPTH: usize = 16;

// Major types of RFC 8949, section 3.1.
const UINT: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
const SIMPLE: u8 = 7;
const FALSE: u64 = 20;
const TRUE: u64 = 21;
/// Most entries of a map whose head is one byte. No header of ours has more.
const SHORT: u8 = 23;

/// Writes a map. Keys should be given in ascending order; at most [`SHORT`] of them.
pub(super) struct MapWriter {
    entries: u8,
    bytes: Vec<u8>,
}

impl MapWriter {
    pub(super) fn new() -> Self {
        // The map's own head comes first and is known last.
        let mut bytes = Vec::with_capacity(64);
        bytes.push(0);
        Self { entries: 0, bytes }
    }

    /// The shortest head for a value, as RFC 8949, section 4.2.1, prefers.
    fn push(&mut self, major: u8, value: u64) {
        let major = major << 5;
        let big = value.to_be_bytes();
        let [.., d, c, b, a] = big;
        match value {
            0..=23 => self.bytes.push(major | a),
            24..=0xff => self.bytes.extend_from_slice(&[major | 24, a]),
            0x100..=0xffff => self.bytes.extend_from_slice(&[major | 25, b, a]),
            0x1_0000..=0xffff_ffff => self.bytes.extend_from_slice(&[major | 26, d, c, b, a]),
            _ => {
                self.bytes.push(major | 27);
                self.bytes.extend_from_slice(&big);
            }
        }
    }

    fn key(&mut self, key: u64) {
        self.entries += 1;
        self.push(UINT, key);
    }

    pub(super) fn uint(&mut self, key: u64, value: u64) {
        self.key(key);
        self.push(UINT, value);
    }

    pub(super) fn bool(&mut self, key: u64, value: bool) {
        self.key(key);
        self.push(SIMPLE, if value { TRUE } else { FALSE });
    }

    pub(super) fn text(&mut self, key: u64, value: &str) {
        self.key(key);
        self.push_text(value);
    }

    pub(super) fn bytes(&mut self, key: u64, value: &[u8]) {
        self.key(key);
        self.push(BYTES, value.len() as u64);
        self.bytes.extend_from_slice(value);
    }

    pub(super) fn texts<'a>(&mut self, key: u64, values: impl ExactSizeIterator<Item = &'a str>) {
        self.key(key);
        self.push(ARRAY, values.len() as u64);
        values.for_each(|value| self.push_text(value));
    }

    fn push_text(&mut self, value: &str) {
        self.push(TEXT, value.len() as u64);
        self.bytes.extend_from_slice(value.as_bytes());
    }

    /// The whole map.
    pub(super) fn finish(mut self) -> Vec<u8> {
        debug_assert!(self.entries <= SHORT, "a map with a longer head");
        if let Some(head) = self.bytes.first_mut() {
            *head = MAP << 5 | self.entries;
        }
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
            (MAP, entries) => reader.entries = length(entries)?,
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
            (UINT, key) => i64::try_from(key).map_err(|_| MapError::Malformed)?,
            (NEGATIVE, key) => !i64::try_from(key).map_err(|_| MapError::Malformed)?,
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
            (UINT, value) => Value::Uint(value),
            (SIMPLE, FALSE) => Value::Bool(false),
            (SIMPLE, TRUE) => Value::Bool(true),
            (TEXT, count) => {
                let bytes = self.take(length(count)?)?;
                Value::Text(std::str::from_utf8(bytes).map_err(|_| MapError::Malformed)?)
            }
            (BYTES, count) => Value::Bytes(self.take(length(count)?)?),
            (ARRAY, count) => {
                let start = self.rest;
                let count = length(count)?;
                self.skip(count, depth)?;
                let used = start.len().saturating_sub(self.rest.len());
                Value::Array(start.get(..used).unwrap_or_default(), count)
            }
            (MAP, count) => {
                self.skip(length(count)?.saturating_mul(2), depth)?;
                Value::Other
            }
            (TAG, _) => {
                self.skip(1, depth)?;
                Value::Other
            }
            // Negative numbers, floats and other simple values.
            _ => Value::Other,
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

    /// The head of the next item: its major type and argument. Indefinite lengths, which headers may
    /// not have, and reserved forms are malformed.
    fn pull(&mut self) -> Result<(u8, u64), MapError> {
        let (first, rest) = self.rest.split_first().ok_or(MapError::Malformed)?;
        self.rest = rest;
        let (major, short) = (first >> 5, first & 0x1f);
        let argument = match short {
            0..=SHORT => short.into(),
            24 => u64::from_be_bytes(widen(self.take(1)?)),
            25 => u64::from_be_bytes(widen(self.take(2)?)),
            26 => u64::from_be_bytes(widen(self.take(4)?)),
            27 => u64::from_be_bytes(widen(self.take(8)?)),
            _ => return Err(MapError::Malformed),
        };
        if major == SIMPLE {
            return match (short, argument) {
                // Section 3.3: simple values below 32 have the short form only.
                (24, 0..=31) => Err(MapError::Malformed),
                // The argument of a float is its bits, not to be taken for a simple value.
                (25.., _) => Ok((SIMPLE, u64::MAX)),
                simple => Ok((SIMPLE, simple.1)),
            };
        }
        Ok((major, argument))
    }
}

/// Up to eight big-endian bytes as eight.
fn widen(bytes: &[u8]) -> [u8; 8] {
    let mut wide = [0; 8];
    for (to, from) in wide.iter_mut().rev().zip(bytes.iter().rev()) {
        *to = *from;
    }
    wide
}

fn length(argument: u64) -> Result<usize, MapError> {
    usize::try_from(argument).map_err(|_| MapError::Malformed)
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
