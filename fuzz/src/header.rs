//! Headers of every kind of frame: what a session understands, it writes so that another understands the same.

use std::time::Instant;

use o_core::{Body, Encoding, ErrorCode};
use o_protocol::{
    CallHeader, CallId, Goodbye, Hello, MAX_HEADER, MAX_HOSTED, Notice, Received, Session,
    SessionConfig, SessionEnd, Side,
    frame::{self, FLAG_END, Kind},
};

use crate::{
    Seed,
    wire::{calling, deliver, frame_of, frames, golden, greeted, sent, silent},
};

/// The first byte chooses the kind of frame, the rest is its header.
///
/// # Panics
/// When something does not hold.
pub fn run(data: &[u8]) {
    let Some((kind, header)) = data.split_first() else {
        return;
    };
    let header = &header[..header.len().min(usize::from(u16::MAX))];
    let now = Instant::now();
    match Kind::from_number(kind % 9) {
        Some(Kind::Hello) => hello(header, now),
        Some(Kind::Call) => call(header, now),
        Some(Kind::Item) => item(header, now),
        Some(Kind::Error) => error(header, now),
        Some(Kind::Goodbye) => goodbye(header, now),
        Some(kind) => other(kind, header, now),
        None => {}
    }
}

/// What the peer said first, when the session is content with it.
fn heard(header: &[u8], now: Instant) -> Option<Hello> {
    let mut session = silent(Side::Listener, now);
    session.receive(&frame_of(Kind::Hello, 0, 0, header), now);
    assert_eq!(session.peer_hello().is_none(), session.end().is_some());
    session.peer_hello().map(|hello| (**hello).clone())
}

fn hello(header: &[u8], now: Instant) {
    let Some(hello) = heard(header, now) else {
        return;
    };
    assert!(header.len() <= MAX_HEADER && hello.hosted.len() <= MAX_HOSTED);
    let mut config = SessionConfig::default();
    config.max_frame = hello.max_frame;
    config.max_calls = hello.max_calls;
    config.initial_credit = hello.initial_credit;
    let mut again = Session::new(Side::Dialer, config, hello.clone(), now);
    let bytes = sent(&mut again);
    let Some(mut repeated) = frames(&bytes)
        .first()
        .and_then(|frame| heard(frame.header, now))
    else {
        panic!("a HELLO that was understood cannot be repeated: {hello:?}");
    };
    // A writer keeps to 8192 bytes of hosted names, a reader to the whole header.
    assert!(hello.hosted.starts_with(&repeated.hosted));
    if hello
        .hosted
        .iter()
        .map(|name| name.as_str().len())
        .sum::<usize>()
        > 8 * 1024
    {
        repeated.hosted.clone_from(&hello.hosted);
    }
    assert_eq!(repeated, hello);
}

/// A call as the callee sees it, or how it was answered instead.
fn called(header: &[u8], now: Instant) -> Option<CallHeader> {
    let mut session = greeted(Side::Listener, now);
    session.receive(&frame_of(Kind::Call, FLAG_END, 1, header), now);
    let taken = session.accept(CallId(1));
    let bytes = sent(&mut session);
    let answered = frames(&bytes)
        .iter()
        .any(|frame| (frame.kind, frame.id) == (Kind::Error as u8, 1));
    let outcomes = [taken.is_some(), answered, session.end().is_some()];
    let outcomes = outcomes.iter().filter(|outcome| **outcome).count();
    assert_eq!(outcomes, 1, "taken, answered or a violation: {session:?}");
    taken.map(|(header, body)| {
        assert_eq!(&body.bytes[..], b"x");
        header
    })
}

fn call(header: &[u8], now: Instant) {
    let Some(call) = called(header, now) else {
        return;
    };
    let mut caller = greeted(Side::Dialer, now);
    let opened = caller.open(&call, b"x".as_slice().into(), true, now);
    if call.terms.deadline.is_some_and(|deadline| deadline <= now) {
        assert!(opened.is_err(), "its time was over when it came");
        return;
    }
    let bytes = sent(&mut caller);
    let Some(again) = frames(&bytes)
        .first()
        .and_then(|frame| called(frame.header, now))
    else {
        panic!("a call that was understood cannot be repeated: {call:?}, {opened:?}");
    };
    // Everything in it prints in full, but opaque bytes are compared as such.
    assert_eq!(format!("{again:?}"), format!("{call:?}"));
    assert_eq!(again.target, call.target);
    assert_eq!(again.terms.deadline, call.terms.deadline);
    assert_eq!(again.terms.schema, call.terms.schema);
    assert_eq!(again.terms.signed_context, call.terms.signed_context);
    assert_eq!(again.terms.tokens, call.terms.tokens);
}

/// What a caller with an open call makes of one frame about it.
fn received(kind: Kind, flags: u8, header: &[u8], now: Instant) -> Option<Received> {
    let (mut caller, _, id) = calling(now);
    caller.receive(&frame_of(kind, flags, id.0, header), now);
    let taken = caller.take(id);
    assert!(taken.is_some(), "{kind:?} says nothing to its call");
    caller.end().is_none().then_some(taken).flatten()
}

fn item(header: &[u8], now: Instant) {
    let Some(Received::Item { body, .. }) = received(Kind::Item, FLAG_END, header, now) else {
        return;
    };
    let (mut caller, mut callee, id) = calling(now);
    assert_eq!(callee.send(id, body.clone(), true), Ok(()));
    deliver(&mut callee, &mut caller, now);
    assert_eq!(caller.take(id), Some(Received::Item { body, last: true }));
}

fn error(header: &[u8], now: Instant) {
    let Some(Received::Failed(error)) = received(Kind::Error, 0, header, now) else {
        return;
    };
    let (mut caller, mut callee, id) = calling(now);
    callee.fail(id, &error);
    deliver(&mut callee, &mut caller, now);
    assert_eq!(caller.take(id), Some(Received::Failed(error)));
}

fn goodbye(header: &[u8], now: Instant) {
    let refusal = |header: &[u8]| {
        let mut session = greeted(Side::Dialer, now);
        session.receive(&frame_of(Kind::Goodbye, 0, 0, header), now);
        let told = session.poll_notice();
        assert!(
            matches!(told, Some(Notice::Goodbye | Notice::Closed)),
            "{told:?}"
        );
        match session.end() {
            Some(SessionEnd::Refused { reason, .. }) => Some(reason.clone()),
            _ => None,
        }
    };
    let Some(reason) = refusal(header) else {
        return;
    };
    let mut other = greeted(Side::Listener, now);
    other.goodbye(&Goodbye::new(ErrorCode::Refused, reason.clone()));
    let bytes = sent(&mut other);
    let again = frames(&bytes)
        .first()
        .and_then(|frame| refusal(frame.header));
    assert_eq!(again, Some(reason));
}

/// Kinds whose header a session only acts on: it goes on, or ends over a violation.
fn other(kind: Kind, header: &[u8], now: Instant) {
    let (mut caller, mut callee, id) = calling(now);
    for (side, session) in [("caller", &mut caller), ("callee", &mut callee)] {
        session.receive(&frame_of(kind, 0, id.0, header), now);
        let end = session.end();
        assert!(
            matches!(end, None | Some(SessionEnd::Protocol { .. })),
            "{side}: {end:?}"
        );
        assert!(
            kind != Kind::Ping || end.is_none(),
            "the header of a PING is ignored"
        );
    }
    // Credit that is given is spent; a call goes on in any case where the session does.
    if callee.end().is_none() && callee.is_live(id) {
        assert_eq!(callee.send(id, Body::new(Encoding::Raw, "x"), true), Ok(()));
        deliver(&mut callee, &mut caller, now);
    }
}

/// The headers of the golden vectors, and maps that readers must refuse.
pub fn seeds() -> Vec<Seed> {
    let mut seeds: Vec<Seed> = golden()
        .into_iter()
        .filter_map(|(name, bytes)| {
            let (frame, _) = frame::decode(&bytes, usize::MAX).ok()??;
            Some((name, [&[frame.kind], frame.header].concat()))
        })
        .collect();
    let refused: [(&str, &[u8]); 8] = [
        ("twice", &[2, 0xa2, 3, 1, 3, 1]),
        ("critical", &[2, 0xa1, 0x20, 1]),
        ("not-a-map", &[4, 0x80]),
        ("indefinite", &[1, 0xbf, 1, 1, 0xff]),
        ("trailing", &[8, 0xa1, 1, 5, 0]),
        (
            "unknown-nested",
            &[6, 0xa2, 1, 7, 0x18, 99, 0x82, 0x81, 0xa1, 1, 2, 0xc1, 1],
        ),
        (
            "huge-array",
            &[1, 0xa1, 7, 0x9b, 255, 255, 255, 255, 255, 255, 255, 255],
        ),
        (
            "long-forms",
            &[6, 0xb8, 1, 0x19, 0, 1, 0x1b, 0, 0, 0, 0, 0, 0, 0, 7],
        ),
    ];
    let mut nested = vec![6, 0xa2, 1, 7, 0x18, 99];
    nested.resize(MAX_HEADER, 0x81);
    seeds.push(("nested".to_owned(), nested));
    let mut other = vec![2, 0xa6, 1, 0x65];
    other.extend_from_slice(b"o://a");
    other.extend_from_slice(&[2, 0x61, b'm', 3, 4, 4, 3, 5, 0x19, 3, 232, 6, 3]);
    seeds.push(("call-nothing-as-usual".to_owned(), other));
    seeds.extend(refused.map(|(name, bytes)| (name.to_owned(), bytes.to_vec())));
    seeds
}
