//! Frames for the targets: the golden vectors, and frames as a session sends and takes them.

use std::{fs, path::Path, time::Instant};

use o_core::{Body, CallTerms, Encoding, NetworkId, Shape};
use o_protocol::{
    CallHeader, CallId, Hello, Session, SessionConfig, Side,
    frame::{self, Frame, Kind},
};

use crate::Seed;

/// The golden vectors of docs/wire.md, by the names of their files.
///
/// # Panics
/// When they are not there, or are not hexadecimal digits.
pub fn golden() -> Vec<Seed> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../o-protocol/testdata");
    let Ok(entries) = fs::read_dir(&directory) else {
        panic!("{} is not there", directory.display());
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut vectors: Vec<Seed> = paths
        .filter(|path| path.extension().is_some_and(|found| found == "hex"))
        .filter_map(|path| {
            let name = path.file_stem()?.to_str()?.to_owned();
            Some((name, unhex(&fs::read_to_string(&path).ok()?)))
        })
        .collect();
    vectors.sort();
    assert!(!vectors.is_empty(), "no vectors in {}", directory.display());
    vectors
}

fn unhex(text: &str) -> Vec<u8> {
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default());
    let digits: Vec<u8> = lines
        .flat_map(str::chars)
        .filter(|c| !c.is_whitespace())
        .map(
            |c| match c.to_digit(16).and_then(|d| u8::try_from(d).ok()) {
                Some(digit) => digit,
                None => panic!("{c:?} is no hexadecimal digit"),
            },
        )
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
        .collect()
}

/// A session of the network `main`, whose own HELLO is still to be sent.
pub(crate) fn silent(side: Side, now: Instant) -> Session {
    Session::new(
        side,
        SessionConfig::default(),
        Hello::new(NetworkId::default()),
        now,
    )
}

/// A session that has heard a HELLO, with nothing left to send.
pub(crate) fn greeted(side: Side, now: Instant) -> Session {
    let mut session = silent(side, now);
    let other = match side {
        Side::Dialer => Side::Listener,
        Side::Listener => Side::Dialer,
    };
    deliver(&mut silent(other, now), &mut session, now);
    assert!(session.peer_hello().is_some(), "a plain HELLO is taken");
    sent(&mut session);
    while session.poll_notice().is_some() {}
    session
}

/// Everything that a session has to send.
pub(crate) fn sent(session: &mut Session) -> Vec<u8> {
    let mut out = Vec::new();
    session.transmit(&mut out, usize::MAX);
    out
}

/// Carries everything that one session has to send to another one.
pub(crate) fn deliver(from: &mut Session, to: &mut Session, now: Instant) {
    let bytes = sent(from);
    for frame in frames(&bytes) {
        to.receive(&frame, now);
    }
}

/// The frames in bytes that a session has sent.
pub(crate) fn frames(bytes: &[u8]) -> Vec<Frame<'_>> {
    let mut rest = bytes;
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let Ok(Some((frame, length))) = frame::decode(rest, usize::MAX) else {
            panic!("a session sends whole frames, not {rest:02x?}");
        };
        frames.push(frame);
        rest = &rest[length..];
    }
    frames
}

/// A frame with a body of one byte.
pub(crate) fn frame_of(kind: Kind, flags: u8, id: u64, header: &[u8]) -> Frame<'_> {
    Frame {
        kind: kind as u8,
        flags,
        id,
        header,
        body: match kind {
            Kind::Call | Kind::Item | Kind::Error => b"x",
            _ => b"",
        },
    }
}

/// The header of an ordinary call.
pub(crate) fn call(shape: Shape) -> CallHeader {
    let Ok(target) = "o://leader/echo".parse() else {
        panic!("a good address");
    };
    CallHeader {
        target,
        method: "echo".into(),
        shape,
        encoding: Encoding::default(),
        terms: CallTerms::default(),
    }
}

/// A dialer with an open call, and the listener that has accepted it.
pub(crate) fn calling(now: Instant) -> (Session, Session, CallId) {
    let (mut caller, mut callee) = (greeted(Side::Dialer, now), greeted(Side::Listener, now));
    let header = call(Shape::Bidirectional);
    let Ok(id) = caller.open(&header, Body::default().bytes, false, now) else {
        panic!("a first call can be opened");
    };
    deliver(&mut caller, &mut callee, now);
    assert!(callee.accept(id).is_some(), "a plain call is taken");
    while callee.poll_notice().is_some() {}
    (caller, callee, id)
}
