//! Frames in a stream of bytes: read at once and in pieces they are the same, and so are they when written again.

use o_protocol::frame::{self, Frame, FrameError, Kind, PREFIX};

use crate::{
    Seed,
    input::{Input, Numbers},
    wire::golden,
};

/// The limits that the input may choose.
const LIMITS: [usize; 4] = [PREFIX, 64, 300, 80 * 1024];

/// Two bytes choose how the rest is cut and one the limit; the rest is the stream.
///
/// # Panics
/// When something does not hold.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let (Some(seed), Some(limit)) = (input.word(), input.byte()) else {
        return;
    };
    let limit = LIMITS[usize::from(limit) % LIMITS.len()];
    let stream = input.0;
    let whole = at_once(stream, limit);
    assert_eq!(in_pieces(stream, limit, Numbers::new(seed.into())), whole);
}

/// A frame with everything in it, and what the whole of it takes.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    kind: u8,
    flags: u8,
    id: u64,
    header: Vec<u8>,
    body: Vec<u8>,
}

impl From<Frame<'_>> for Read {
    fn from(frame: Frame<'_>) -> Self {
        Self {
            kind: frame.kind,
            flags: frame.flags,
            id: frame.id,
            header: frame.header.to_vec(),
            body: frame.body.to_vec(),
        }
    }
}

/// The frames, how many bytes are left that are no whole frame, and what ended the reading.
type Outcome = (Vec<Read>, usize, Option<FrameError>);

fn at_once(stream: &[u8], limit: usize) -> Outcome {
    let mut rest = stream;
    let mut frames = Vec::new();
    loop {
        match frame::decode(rest, limit) {
            Ok(Some((frame, length))) => {
                check(&rest[..length], &frame, limit);
                frames.push(frame.into());
                rest = &rest[length..];
            }
            Ok(None) => {
                assert!(rest.len() < limit, "more than a frame is there");
                return (frames, rest.len(), None);
            }
            Err(error) => return (frames, rest.len(), Some(error)),
        }
    }
}

/// As a driver reads: a buffer that grows by what arrives, and shrinks by each frame.
fn in_pieces(stream: &[u8], limit: usize, mut sizes: Numbers) -> Outcome {
    let (mut buffer, mut frames, mut arrived) = (Vec::new(), Vec::new(), 0);
    loop {
        loop {
            match frame::decode(&buffer, limit) {
                Ok(Some((frame, length))) => {
                    frames.push(frame.into());
                    buffer.drain(..length);
                }
                Ok(None) => break,
                // What comes after it does not change it.
                Err(error) => {
                    let left = buffer.len() + stream.len() - arrived;
                    return (frames, left, Some(error));
                }
            }
        }
        assert!(buffer.len() < limit, "the buffer outgrows the limit");
        let next = (arrived + 1 + sizes.below(40)).min(stream.len());
        if next == arrived {
            return (frames, buffer.len(), None);
        }
        buffer.extend_from_slice(&stream[arrived..next]);
        arrived = next;
    }
}

fn check(bytes: &[u8], frame: &Frame<'_>, limit: usize) {
    assert!((PREFIX..=limit).contains(&bytes.len()));
    assert_eq!(bytes.len(), PREFIX + frame.header.len() + frame.body.len());
    for cut in [0, 3, 4, PREFIX - 1, bytes.len() - 1] {
        assert_eq!(frame::decode(&bytes[..cut], limit), Ok(None));
    }
    let Some(kind) = Kind::from_number(frame.kind) else {
        return;
    };
    let mut again = Vec::new();
    let done = frame::encode(
        &mut again,
        kind,
        frame.flags,
        frame.id,
        frame.header,
        frame.body,
    );
    assert_eq!((done, again.as_slice()), (Ok(()), bytes));
}

/// Each golden vector alone, all of them in a row, and lengths that cannot be.
pub fn seeds() -> Vec<Seed> {
    let vectors = golden();
    let all = vectors
        .iter()
        .flat_map(|(_, bytes)| bytes.clone())
        .collect();
    let more = [
        ("all".to_owned(), all),
        ("too-short".to_owned(), vec![0, 0, 0, 11]),
        ("too-large".to_owned(), vec![0xff; 4]),
        (
            "header-behind-the-end".to_owned(),
            vec![0, 0, 0, 12, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7],
        ),
    ];
    let prefix = |(name, bytes): Seed| (name, [[1, 2, 3].as_slice(), &bytes].concat());
    vectors.into_iter().chain(more).map(prefix).collect()
}
