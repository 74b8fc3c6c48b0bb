//! Cutting a sequence of JSON values into single ones while it arrives.

use bytes::{Buf, Bytes, BytesMut};

/// Collects bytes and gives back each value as soon as it is complete. Looks at every byte once,
/// and only at brackets, quotes and white space: what it gives back has to be checked.
#[derive(Debug)]
pub(crate) struct Splitter {
    buffer: BytesMut,
    /// How much of the buffer was looked at.
    seen: usize,
    state: State,
    limit: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between two values.
    Between,
    /// In a number, `true`, `false`, `null`, or rubbish: ends where white space or a value begins.
    Word,
    /// In a string that is a value by itself.
    Text { escaped: bool },
    /// Inside brackets.
    Nested { depth: usize },
    /// In a string inside brackets.
    NestedText { depth: usize, escaped: bool },
}

/// A value is longer than the buffer may be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SplitError {
    /// How long it may be, in bytes.
    pub(crate) limit: usize,
}

impl Splitter {
    /// Takes values of at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            seen: 0,
            state: State::Between,
            limit,
        }
    }

    /// Where the next bytes go; to be asked for values before it is filled again.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next complete value, or `None` when it takes more bytes.
    ///
    /// # Errors
    /// When a value is over the limit.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, SplitError> {
        while let Some(&byte) = self.buffer.get(self.seen) {
            match self.step(byte) {
                Step::Skip => self.buffer.advance(1),
                Step::Go => self.seen += 1,
                Step::EndAfter => {
                    self.seen += 1;
                    return self.cut().map(Some);
                }
                Step::EndBefore => return self.cut().map(Some),
            }
        }
        match self.buffer.len() > self.limit {
            true => Err(SplitError { limit: self.limit }),
            false => Ok(None),
        }
    }

    /// The next value when nothing more arrives: also a last word, or half of a value.
    ///
    /// # Errors
    /// When it is over the limit.
    pub(crate) fn finish(&mut self) -> Result<Option<Bytes>, SplitError> {
        match self.next()? {
            None if self.buffer.is_empty() => Ok(None),
            None => self.cut().map(Some),
            value => Ok(value),
        }
    }

    fn cut(&mut self) -> Result<Bytes, SplitError> {
        self.state = State::Between;
        let value = self.buffer.split_to(self.seen).freeze();
        self.seen = 0;
        match value.len() > self.limit {
            true => Err(SplitError { limit: self.limit }),
            false => Ok(value),
        }
    }

    fn step(&mut self, byte: u8) -> Step {
        let (state, step) = match self.state {
            State::Between => match byte {
                b' ' | b'\n' | b'\r' | b'\t' => (State::Between, Step::Skip),
                b'{' | b'[' => (State::Nested { depth: 1 }, Step::Go),
                b'"' => (State::Text { escaped: false }, Step::Go),
                _ => (State::Word, Step::Go),
            },
            State::Word => match byte {
                b' ' | b'\n' | b'\r' | b'\t' | b'{' | b'[' | b'"' => (State::Word, Step::EndBefore),
                _ => (State::Word, Step::Go),
            },
            State::Text { escaped: false } if byte == b'"' => (self.state, Step::EndAfter),
            State::Text { escaped } => {
                let escaped = !escaped && byte == b'\\';
                (State::Text { escaped }, Step::Go)
            }
            State::Nested { depth } => match byte {
                b'{' | b'[' => (State::Nested { depth: depth + 1 }, Step::Go),
                b'}' | b']' if depth == 1 => (self.state, Step::EndAfter),
                b'}' | b']' => (State::Nested { depth: depth - 1 }, Step::Go),
                b'"' => {
                    let escaped = false;
                    (State::NestedText { depth, escaped }, Step::Go)
                }
                _ => (self.state, Step::Go),
            },
            State::NestedText {
                depth,
                escaped: false,
            } if byte == b'"' => (State::Nested { depth }, Step::Go),
            State::NestedText { depth, escaped } => {
                let escaped = !escaped && byte == b'\\';
                (State::NestedText { depth, escaped }, Step::Go)
            }
        };
        self.state = state;
        step
    }
}

enum Step {
    /// The byte belongs to nothing.
    Skip,
    /// The byte belongs to the value.
    Go,
    /// The value ends with this byte.
    EndAfter,
    /// The value ended before this byte.
    EndBefore,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEQUENCE: &str =
        "1 \"a \\\" b\"{\"x\":[1,\"}]\\\\\"]}\n[ ]true{\n  \"pretty\": 2\n}-3.5e7";

    fn values() -> Vec<&'static str> {
        vec![
            "1",
            "\"a \\\" b\"",
            "{\"x\":[1,\"}]\\\\\"]}",
            "[ ]",
            "true",
            "{\n  \"pretty\": 2\n}",
            "-3.5e7",
        ]
    }

    fn split(chunks: &[&[u8]], limit: usize) -> Result<Vec<String>, SplitError> {
        let mut splitter = Splitter::new(limit);
        let mut found = Vec::new();
        for chunk in chunks {
            splitter.buffer().extend_from_slice(chunk);
            while let Some(value) = splitter.next()? {
                found.push(String::from_utf8(value.to_vec()).unwrap());
            }
        }
        if let Some(value) = splitter.finish()? {
            found.push(String::from_utf8(value.to_vec()).unwrap());
        }
        Ok(found)
    }

    #[test]
    fn values_are_the_same_however_the_bytes_arrive() {
        let bytes = SEQUENCE.as_bytes();
        for size in 1..=bytes.len() {
            let chunks: Vec<_> = bytes.chunks(size).collect();
            assert_eq!(split(&chunks, 100).unwrap(), values(), "chunks of {size}");
        }
    }

    #[test]
    fn a_complete_value_does_not_wait_for_the_next_byte() {
        let mut splitter = Splitter::new(100);
        splitter.buffer().extend_from_slice(b"{\"a\":1}");
        assert_eq!(splitter.next().unwrap().unwrap(), "{\"a\":1}");
        splitter.buffer().extend_from_slice(b"12");
        // More digits may follow.
        assert_eq!(splitter.next().unwrap(), None);
        splitter.buffer().extend_from_slice(b"3\n");
        assert_eq!(splitter.next().unwrap().unwrap(), "123");
        assert_eq!(splitter.finish().unwrap(), None);
    }

    #[test]
    fn white_space_is_not_kept_and_long_values_are_refused() {
        assert_eq!(split(&[&[b' '; 1000], b"1"], 10).unwrap(), ["1"]);
        assert_eq!(split(&[b"[\"12345", b"67\"]"], 11).unwrap().len(), 1);
        let refused = Err(SplitError { limit: 10 });
        assert_eq!(split(&[b"[\"12345", b"67\"]"], 10), refused);
        assert_eq!(split(&[&[b'['; 11]], 10), refused);
        assert_eq!(split(&[&[b'1'; 11]], 10), refused);
    }

    #[test]
    fn half_a_value_is_given_back_at_the_end() {
        assert_eq!(split(&[b"1 {\"a\""], 100).unwrap(), ["1", "{\"a\""]);
    }
}
