//! A look at encoded values before they are decoded: one pass, without recursion.

use super::{DecodeError, TranscodeError};

/// What is still to come inside of an array, map or string.
enum Open {
    /// So many items; of a map, keys and values.
    Items(u64),
    /// An array up to its break.
    Array,
    /// A map up to its break, and whether a value is due.
    Map { value_due: bool },
    /// A string in chunks of this major type up to its break.
    Chunks(u8),
}

struct Header {
    major: u8,
    /// The value or length; `None` for an indefinite length or a break.
    argument: Option<u64>,
    /// Whether the argument takes a byte where it would fit into the first.
    long: bool,
    offset: usize,
}

/// Checks that `input` is one well-formed CBOR item, without tags, that every declared length fits
/// into it, and that nothing follows. Returns how many items there are in all.
pub(super) fn check_cbor(input: &[u8], max_depth: usize) -> Result<usize, DecodeError> {
    let mut rest = Rest { input, at: 0 };
    let mut open: Vec<Open> = Vec::new();
    let mut items = 0_usize;
    loop {
        items = items.saturating_add(1);
        let header = rest.header()?;
        match enter(&header, open.last(), &mut rest)? {
            Entered::Open(_) if open.len() >= max_depth => {
                return Err(DecodeError::TooDeep { limit: max_depth });
            }
            Entered::Open(item) => {
                open.push(item);
                continue;
            }
            Entered::Break => drop(open.pop()),
            Entered::Done => {}
        }
        while leave(open.last_mut()) {
            if open.pop().is_none() {
                return rest.end().map(|()| items);
            }
        }
    }
}

enum Entered {
    /// It has items of its own.
    Open(Open),
    /// It was complete.
    Done,
    /// It ended the innermost.
    Break,
}

fn enter(
    header: &Header,
    parent: Option<&Open>,
    rest: &mut Rest<'_>,
) -> Result<Entered, DecodeError> {
    let malformed = || DecodeError::malformed_at(header.offset);
    if let Some(Open::Chunks(major)) = parent
        && (header.major, header.argument) != (7, None)
        && (header.major != *major || header.argument.is_none())
    {
        return Err(malformed());
    }
    match (header.major, header.argument) {
        (0 | 1, Some(_)) => Ok(Entered::Done),
        (2 | 3, Some(length)) => rest.skip(length).map(|()| Entered::Done),
        (2 | 3, None) => Ok(Entered::Open(Open::Chunks(header.major))),
        (4 | 5, Some(0)) => Ok(Entered::Done),
        (4, Some(count)) => rest
            .holds(count)
            .map(|()| Entered::Open(Open::Items(count))),
        (4, None) => Ok(Entered::Open(Open::Array)),
        (5, Some(count)) => {
            let count = count.checked_mul(2).ok_or_else(malformed)?;
            rest.holds(count)?;
            Ok(Entered::Open(Open::Items(count)))
        }
        (5, None) => Ok(Entered::Open(Open::Map { value_due: false })),
        (6, Some(number)) => Err(DecodeError::Tag {
            number,
            offset: header.offset,
        }),
        // A simple value below 32 may not take two bytes.
        (7, Some(value)) if header.long && value < 32 => Err(malformed()),
        (7, Some(_)) => Ok(Entered::Done),
        (7, None) => match parent {
            Some(Open::Array | Open::Chunks(_) | Open::Map { value_due: false }) => {
                Ok(Entered::Break)
            }
            _ => Err(malformed()),
        },
        _ => Err(malformed()),
    }
}

/// Counts a complete item in what is around it; says whether that is complete now too.
fn leave(parent: Option<&mut Open>) -> bool {
    match parent {
        None => true,
        Some(Open::Items(left)) => {
            *left = left.saturating_sub(1);
            *left == 0
        }
        Some(Open::Map { value_due }) => {
            *value_due = !*value_due;
            false
        }
        Some(Open::Array | Open::Chunks(_)) => false,
    }
}

struct Rest<'a> {
    input: &'a [u8],
    at: usize,
}

impl Rest<'_> {
    fn header(&mut self) -> Result<Header, DecodeError> {
        let offset = self.at;
        let malformed = || DecodeError::malformed_at(offset);
        let first = *self.input.get(offset).ok_or_else(malformed)?;
        let (major, info) = (first >> 5, first & 0x1f);
        let (argument, size) = match info {
            0..=23 => (Some(u64::from(info)), 0),
            24..=27 => {
                let size = 1_usize << (info - 24);
                let bytes = self
                    .input
                    .get(offset + 1..offset + 1 + size)
                    .ok_or_else(malformed)?;
                let value = bytes
                    .iter()
                    .fold(0, |value, byte| value << 8 | u64::from(*byte));
                (Some(value), size)
            }
            31 => (None, 0),
            _ => return Err(malformed()),
        };
        self.at = offset + 1 + size;
        let long = info == 24;
        Ok(Header {
            major,
            argument,
            long,
            offset,
        })
    }

    /// Whether so many items, of at least one byte each, can still come.
    fn holds(&self, count: u64) -> Result<(), DecodeError> {
        let left = self.input.len().saturating_sub(self.at);
        match usize::try_from(count) {
            Ok(count) if count <= left => Ok(()),
            _ => Err(DecodeError::Malformed {
                reason: format!(
                    "a length before byte {} is more than what is there",
                    self.at
                ),
            }),
        }
    }

    fn skip(&mut self, length: u64) -> Result<(), DecodeError> {
        self.holds(length)?;
        self.at = self
            .at
            .saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
        Ok(())
    }

    fn end(&self) -> Result<(), DecodeError> {
        if self.at == self.input.len() {
            return Ok(());
        }
        Err(DecodeError::Trailing { offset: self.at })
    }
}

/// Checks how deep arrays and objects are nested in `text`, which may be anything. Returns how many
/// values it can have at most.
pub(super) fn check_json_depth(text: &[u8], max_depth: usize) -> Result<usize, DecodeError> {
    let mut depth = 0_usize;
    // Each value but the first follows one of these.
    let mut values = 1_usize;
    let mut tokens = JsonTokens { text, at: 0 };
    while let Some(token) = tokens.next() {
        match token.first() {
            Some(b'[' | b'{') if depth >= max_depth => {
                return Err(DecodeError::TooDeep { limit: max_depth });
            }
            Some(b'[' | b'{') => {
                depth += 1;
                values = values.saturating_add(1);
            }
            Some(b',') => values = values.saturating_add(1),
            Some(b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(values)
}

/// Checks that no integer in `text` is outside of 64 bits: serde_json would round it to a float.
pub(super) fn check_json_integers(text: &[u8]) -> Result<(), TranscodeError> {
    let mut tokens = JsonTokens { text, at: 0 };
    while let Some(token) = tokens.next() {
        let digits = token.strip_prefix(b"-").unwrap_or(token);
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            continue;
        }
        let number = String::from_utf8_lossy(token);
        if number.parse::<u64>().is_err() && number.parse::<i64>().is_err() {
            let number = number.chars().take(40).collect();
            return Err(TranscodeError::IntegerRange { number });
        }
    }
    Ok(())
}

/// Brackets, commas and numbers of a JSON text, without what stands in strings.
struct JsonTokens<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> JsonTokens<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let start = self.at;
            self.at += 1;
            match self.text.get(start)? {
                b'"' => self.skip_string(),
                b'[' | b']' | b'{' | b'}' | b',' => return self.text.get(start..self.at),
                b'-' | b'0'..=b'9' => {
                    let in_number =
                        |b: &u8| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
                    while self.text.get(self.at).is_some_and(in_number) {
                        self.at += 1;
                    }
                    return self.text.get(start..self.at);
                }
                _ => {}
            }
        }
    }

    fn skip_string(&mut self) {
        while let Some(byte) = self.text.get(self.at) {
            self.at += 1;
            match byte {
                b'"' => return,
                b'\\' => self.at += 1,
                _ => {}
            }
        }
    }
}
