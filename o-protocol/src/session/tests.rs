//! What a session must do, and what it must hold against: two of them with bytes between, or one
//! and frames made by hand. No I/O and no clock.

mod calls;
mod ending;
mod limits;
mod parting;
mod random;
mod rules;

use std::time::Instant;

use ciborium::Value as Cbor;
use o_core::{CallTerms, Encoding, Shape};

use super::*;
use crate::frame::Frame;

impl Session {
    /// Bytes of answers that wait to be sent.
    pub(crate) fn control_len(&self) -> usize {
        self.control.len()
    }

    /// Bytes that wait to be sent, over all calls.
    pub(crate) fn outgoing_len(&self) -> usize {
        self.outgoing
    }
}

/// A frame that a session has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sent {
    kind: u8,
    flags: u8,
    id: u64,
    header: Vec<u8>,
    body: Vec<u8>,
}

/// All frames that are ready.
fn sent(session: &mut Session) -> Vec<Sent> {
    let mut out = Vec::new();
    session.transmit(&mut out, usize::MAX);
    let mut rest = out.as_slice();
    let mut frames = Vec::new();
    while let Some((frame, length)) = crate::frame::decode(rest, usize::MAX).unwrap() {
        frames.push(Sent {
            kind: frame.kind,
            flags: frame.flags,
            id: frame.id,
            header: frame.header.to_vec(),
            body: frame.body.to_vec(),
        });
        rest = &rest[length..];
    }
    assert!(rest.is_empty(), "transmit gives whole frames");
    frames
}

fn notices(session: &mut Session) -> Vec<Notice> {
    std::iter::from_fn(|| session.poll_notice()).collect()
}

/// A CBOR map with integer keys.
fn map(entries: &[(i64, Cbor)]) -> Vec<u8> {
    let entries = entries
        .iter()
        .map(|(key, value)| ((*key).into(), value.clone()));
    let mut bytes = Vec::new();
    ciborium::into_writer(&Cbor::Map(entries.collect()), &mut bytes).unwrap();
    bytes
}

fn header(shape: Shape) -> CallHeader {
    CallHeader {
        target: "o://leader/echo".parse().unwrap(),
        method: "echo".into(),
        shape,
        encoding: Encoding::default(),
        terms: CallTerms::default(),
    }
}

fn until(shape: Shape, deadline: Instant) -> CallHeader {
    let mut header = header(shape);
    header.terms.deadline = Some(deadline);
    header
}

fn body(length: usize) -> Body {
    Body::cbor(vec![7; length])
}

fn item(length: usize, last: bool) -> Option<Received> {
    Some(Received::Item {
        body: body(length),
        last,
    })
}

/// Nothing is left of any call.
#[track_caller]
fn assert_clean(session: &Session) {
    let counts = (session.our_calls, session.their_calls, session.buffered);
    assert_eq!(counts, (0, 0, 0), "our calls, their calls, buffered bytes");
    assert_eq!(session.outgoing, 0, "bytes to be sent");
    assert!(session.held.is_empty(), "{:?}", session.held);
    assert!(session.calls.is_empty(), "{:?}", session.calls);
    assert!(
        session.deadlines.first().is_none(),
        "{:?}",
        session.deadlines
    );
    assert!(session.schedule.is_empty(), "{:?}", session.schedule);
    assert!(session.unsent.first().is_none(), "{:?}", session.unsent);
}

/// Feeds whole frames from `wire` to `session`, as long as it wants any.
fn deliver(wire: &mut Vec<u8>, session: &mut Session, now: Instant) -> bool {
    let mut used = 0;
    while session.wants_input()
        && let Some((frame, length)) =
            crate::frame::decode(&wire[used..], session.config().max_frame as usize).unwrap()
    {
        session.receive(&frame, now);
        used += length;
    }
    wire.drain(..used);
    used > 0
}

/// Two sessions and the bytes between them.
struct Pair {
    dialer: Session,
    listener: Session,
    now: Instant,
    to_listener: Vec<u8>,
    to_dialer: Vec<u8>,
}

impl Pair {
    /// Both have said HELLO.
    fn new() -> Self {
        Self::with(SessionConfig::default(), SessionConfig::default())
    }

    fn with(dialer: SessionConfig, listener: SessionConfig) -> Self {
        let mut pair = Self::silent(dialer, listener);
        pair.pump();
        assert_eq!(notices(&mut pair.dialer), [Notice::Hello]);
        assert_eq!(notices(&mut pair.listener), [Notice::Hello]);
        pair
    }

    /// Nothing has been sent yet.
    fn silent(dialer: SessionConfig, listener: SessionConfig) -> Self {
        let now = Instant::now();
        let hello = Hello::new(NetworkId::default());
        Self {
            dialer: Session::new(Side::Dialer, dialer, hello.clone(), now),
            listener: Session::new(Side::Listener, listener, hello, now),
            now,
            to_listener: Vec::new(),
            to_dialer: Vec::new(),
        }
    }

    /// Carries bytes until none are left.
    fn pump(&mut self) {
        loop {
            self.dialer.transmit(&mut self.to_listener, 64 * 1024);
            self.listener.transmit(&mut self.to_dialer, 64 * 1024);
            let there = deliver(&mut self.to_listener, &mut self.listener, self.now);
            let back = deliver(&mut self.to_dialer, &mut self.dialer, self.now);
            if !there && !back && !self.dialer.has_output() && !self.listener.has_output() {
                return;
            }
        }
    }

    /// The dialer calls; the listener has accepted.
    fn call(&mut self, header: CallHeader, params: Body) -> CallId {
        let ended = !header.shape.streams_in();
        let id = self
            .dialer
            .open(&header, params.bytes.clone(), ended, self.now)
            .unwrap();
        self.pump();
        assert_eq!(notices(&mut self.listener), [Notice::Incoming(id)]);
        let (_, body) = self.listener.accept(id).unwrap();
        assert_eq!(body, params);
        assert!(
            self.listener.accept(id).is_none(),
            "a call is accepted once"
        );
        id
    }
}

/// One session, and a peer whose frames are made by hand.
struct Hand {
    session: Session,
    now: Instant,
}

impl Hand {
    /// A listener that has heard HELLO and said its own.
    fn new(config: SessionConfig) -> Self {
        let mut hand = Self::silent(Side::Listener, config);
        hand.hello();
        hand
    }

    /// A dialer that has heard HELLO and said its own.
    fn dialer() -> Self {
        let mut hand = Self::silent(Side::Dialer, SessionConfig::default());
        hand.hello();
        hand
    }

    fn silent(side: Side, config: SessionConfig) -> Self {
        let now = Instant::now();
        let hello = Hello::new(NetworkId::default());
        Self {
            session: Session::new(side, config, hello, now),
            now,
        }
    }

    fn hello(&mut self) {
        self.tell(
            Kind::Hello,
            0,
            0,
            &Hello::new(NetworkId::default()).encode(),
            &[],
        );
        assert_eq!(notices(&mut self.session), [Notice::Hello]);
        assert_eq!(sent(&mut self.session).len(), 1);
    }

    fn tell(&mut self, kind: Kind, flags: u8, id: u64, header: &[u8], body: &[u8]) {
        self.tell_any(kind as u8, flags, id, header, body);
    }

    fn tell_any(&mut self, kind: u8, flags: u8, id: u64, header: &[u8], body: &[u8]) {
        let frame = Frame {
            kind,
            flags,
            id,
            header,
            body,
        };
        self.session.receive(&frame, self.now);
    }

    /// A call of the peer's, with one byte of parameters.
    fn called(&mut self, id: u64, shape: Shape, flags: u8) {
        let header = header(shape).encode(self.now);
        self.tell(Kind::Call, flags, id, &header, &[7]);
    }

    /// A call of ours that has been sent.
    fn open(&mut self, shape: Shape) -> CallId {
        let ended = !shape.streams_in();
        let id = self
            .session
            .open(&header(shape), body(1).bytes, ended, self.now)
            .unwrap();
        assert_eq!(sent(&mut self.session).len(), 1);
        id
    }

    /// How the session ended over a violation; it has said so in a goodbye.
    #[track_caller]
    fn violation(&mut self) -> String {
        let Some(SessionEnd::Protocol { reason }) = self.session.end().cloned() else {
            panic!("not a violation: {:?}", self.session.end());
        };
        let last = sent(&mut self.session).pop().unwrap();
        assert_eq!(last.kind, Kind::Goodbye as u8);
        let goodbye = Goodbye::decode(&last.header).unwrap();
        assert_eq!(goodbye.code, ErrorCode::Protocol.number());
        assert_eq!(goodbye.message, reason);
        assert!(!self.session.wants_input());
        reason
    }

    /// The errors that were sent since the last look, by call.
    fn errors(&mut self) -> Vec<(u64, u64)> {
        let errors = sent(&mut self.session).into_iter();
        let errors = errors.filter(|frame| frame.kind == Kind::Error as u8);
        errors
            .map(|frame| (frame.id, code_of(&frame.header)))
            .collect()
    }
}

/// The number in an ERROR's header.
fn code_of(header: &[u8]) -> u64 {
    let value: Cbor = ciborium::from_reader(header).unwrap();
    let entries = value.into_map().unwrap();
    let (_, code) = entries
        .into_iter()
        .find(|(key, _)| *key == 1.into())
        .unwrap();
    u64::try_from(code.into_integer().unwrap()).unwrap()
}

fn code(code: ErrorCode) -> u64 {
    code.number().into()
}
