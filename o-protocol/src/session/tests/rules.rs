//! What the other side may not do, and what is ignored.

use o_core::{CallError, Shape};

use super::*;
use crate::frame::{FLAG_EMPTY, FLAG_MORE, FLAG_PONG};

/// A listener that has taken call 1, bidirectional, and call 3, unary, which was answered.
fn busy_listener() -> Hand {
    let mut hand = Hand::new(SessionConfig::default());
    hand.called(1, Shape::Bidirectional, 0);
    hand.called(3, Shape::Unary, FLAG_END);
    hand.session.send(CallId(3), body(0), true).unwrap();
    assert_eq!(sent(&mut hand.session).len(), 1);
    notices(&mut hand.session);
    hand
}

#[track_caller]
fn violates(kind: Kind, flags: u8, id: u64, header: &[u8], body: &[u8]) -> String {
    let mut hand = busy_listener();
    hand.tell(kind, flags, id, header, body);
    let reason = hand.violation();
    // The open call is gone with the session.
    let expected = [Notice::Gone(CallId(1)), Notice::Closed];
    assert!(notices(&mut hand.session).ends_with(&expected));
    assert_clean(&hand.session);
    reason
}

#[track_caller]
fn is_ignored(kind: Kind, flags: u8, id: u64, header: &[u8], body: &[u8]) {
    let mut hand = busy_listener();
    hand.tell(kind, flags, id, header, body);
    assert_eq!(hand.session.end(), None);
    assert_eq!(sent(&mut hand.session), []);
    assert_eq!(notices(&mut hand.session), []);
    assert_eq!(hand.session.active_calls(), 1);
}

fn unary() -> Vec<u8> {
    header(Shape::Unary).encode(Instant::now())
}

#[test]
fn call_ids_go_up_and_are_the_callers() {
    let order = "a call id that is not the next of the caller's side";
    for id in [0, 1, 2, 3, 4, 6] {
        assert_eq!(
            violates(Kind::Call, FLAG_END, id, &unary(), &[]),
            order,
            "id {id}"
        );
    }
    // Gaps are calls that were cancelled before they were sent.
    let mut hand = busy_listener();
    hand.called(101, Shape::Unary, FLAG_END);
    hand.called(u64::MAX, Shape::Unary, FLAG_END);
    assert_eq!(notices(&mut hand.session).len(), 2);
    hand.called(103, Shape::Unary, FLAG_END);
    assert_eq!(hand.violation(), order);
}

#[test]
fn a_call_has_parameters_and_its_shape_says_whether_more_comes() {
    let reason = violates(Kind::Call, FLAG_EMPTY | FLAG_END, 5, &unary(), &[]);
    assert_eq!(reason, "a call without parameters");
    let reason = violates(Kind::Call, 0, 5, &unary(), &[]);
    assert_eq!(
        reason,
        "a call without an input stream does not end with its parameters"
    );
    let mut hand = busy_listener();
    hand.tell(Kind::Call, FLAG_MORE, 5, &unary(), &[1]);
    assert_eq!(notices(&mut hand.session), []);
    assert!(
        hand.session.accept(CallId(5)).is_none(),
        "not all of it is here"
    );
    hand.tell(Kind::Item, 0, 5, &[], &[2]);
    hand.violation();
    // A stream may be empty from the start.
    let mut hand = busy_listener();
    hand.called(5, Shape::Client, FLAG_END);
    assert_eq!(notices(&mut hand.session), [Notice::Incoming(CallId(5))]);
    hand.session.accept(CallId(5)).unwrap();
    assert_eq!(hand.session.take(CallId(5)), Some(Received::End));
}

#[test]
fn items_end_once() {
    let mut hand = busy_listener();
    hand.tell(Kind::Item, FLAG_END, 1, &[], &[1]);
    assert_eq!(notices(&mut hand.session), [Notice::Readable(CallId(1))]);
    hand.tell(Kind::Item, 0, 1, &[], &[1]);
    assert_eq!(hand.violation(), "an item after the end");

    let mut hand = busy_listener();
    hand.tell(Kind::Item, FLAG_END | FLAG_EMPTY, 1, &[], &[]);
    hand.tell(Kind::Item, FLAG_END | FLAG_EMPTY, 1, &[], &[]);
    assert_eq!(hand.violation(), "an item after the end");
}

#[test]
fn flags_that_contradict_each_other() {
    let reason = violates(Kind::Item, FLAG_MORE | FLAG_END, 1, &[], &[1]);
    assert_eq!(reason, "an end in the middle of an item");
    let middle = "an empty frame in the middle of an item";
    assert_eq!(violates(Kind::Item, FLAG_EMPTY, 1, &[], &[1]), middle);
    assert_eq!(
        violates(Kind::Item, FLAG_EMPTY | FLAG_MORE, 1, &[], &[]),
        middle
    );
    let mut hand = busy_listener();
    hand.tell(Kind::Item, FLAG_MORE, 1, &[], &[1]);
    hand.tell(Kind::Item, FLAG_EMPTY | FLAG_END, 1, &[], &[]);
    assert_eq!(hand.violation(), middle);
    // An empty frame that ends nothing says nothing.
    is_ignored(Kind::Item, FLAG_EMPTY, 1, &[], &[]);
}

#[test]
fn frames_of_calls_that_were_never_opened() {
    for id in [0, 2, 5, u64::MAX] {
        let reason = violates(Kind::Item, 0, id, &[], &[]);
        assert_eq!(reason, "an item of a call that was never opened", "id {id}");
        violates(Kind::Error, 0, id, &[], &[]);
        violates(Kind::Cancel, 0, id, &[], &[]);
        let reason = violates(Kind::Credit, 0, id, &map(&[(1, 1.into())]), &[]);
        assert_eq!(reason, "credit for a call that was never opened", "id {id}");
    }
}

#[test]
fn frames_of_calls_that_are_over_are_ignored() {
    is_ignored(Kind::Item, 0, 3, &[], &[1]);
    is_ignored(Kind::Item, FLAG_END, 3, &[], &[1]);
    is_ignored(Kind::Cancel, 0, 3, &[], &[]);
    is_ignored(Kind::Credit, 0, 3, &map(&[(1, u64::MAX.into())]), &[]);
    // Each side's own: what arrives after the answer or the cancel.
    let mut hand = Hand::dialer();
    let id = hand.open(Shape::Server).0;
    hand.session.cancel(CallId(id));
    assert_eq!(sent(&mut hand.session).len(), 1);
    for kind in [Kind::Item, Kind::Error, Kind::Credit] {
        hand.tell(kind, FLAG_END, id, &map(&[(1, 7.into())]), &[1]);
    }
    let id = hand.open(Shape::Unary).0;
    hand.tell(Kind::Item, FLAG_END, id, &[], &[1]);
    hand.tell(Kind::Item, FLAG_END, id, &[], &[2]);
    assert_eq!(hand.session.end(), None);
    assert_eq!(
        hand.session.take(CallId(id)),
        Some(Received::Item {
            body: Body::cbor(vec![1]),
            last: true,
        })
    );
    assert_clean(&hand.session);
}

#[test]
fn only_the_callee_sends_errors_and_only_the_caller_cancels() {
    violates(Kind::Error, 0, 1, &map(&[(1, 7.into())]), &[]);
    let mut hand = Hand::dialer();
    let id = hand.open(Shape::Unary).0;
    hand.tell(Kind::Cancel, 0, id, &[], &[]);
    assert_eq!(hand.violation(), "only the caller cancels");
    let error = hand.session.take(CallId(id));
    assert!(
        matches!(error, Some(Received::Failed(CallError::Protocol { .. }))),
        "{error:?}"
    );
    assert_clean(&hand.session);
}

#[test]
fn hello_comes_first_and_once() {
    let hello = Hello::new(NetworkId::default()).encode();
    assert_eq!(violates(Kind::Hello, 0, 0, &hello, &[]), "a second HELLO");
    for kind in [
        Kind::Call,
        Kind::Item,
        Kind::Error,
        Kind::Cancel,
        Kind::Credit,
        Kind::Ping,
    ] {
        let mut hand = Hand::silent(Side::Listener, SessionConfig::default());
        hand.tell(kind, FLAG_END, 1, &unary(), &[]);
        assert_eq!(hand.violation(), "the first frame is not HELLO");
    }
}

#[test]
fn a_hello_may_not_take_back_what_was_assumed() {
    let mut low_credit = Hello::new(NetworkId::default());
    low_credit.initial_credit = ASSUMED_CREDIT - 1;
    let mut low_frame = Hello::new(NetworkId::default());
    low_frame.max_frame = ASSUMED_MAX_FRAME - 1;
    for hello in [low_credit, low_frame] {
        let mut hand = Hand::silent(Side::Listener, SessionConfig::default());
        hand.tell(Kind::Hello, 0, 0, &hello.encode(), &[]);
        assert_eq!(
            hand.violation(),
            "a HELLO with limits below those assumed before it"
        );
    }
    let critical = map(&[(6, "main".into()), (-1, 1.into())]);
    for header in [vec![], vec![0xff], critical] {
        let mut hand = Hand::silent(Side::Listener, SessionConfig::default());
        hand.tell(Kind::Hello, 0, 0, &header, &[]);
        hand.violation();
    }
}

#[test]
fn a_header_that_is_no_map_ends_the_session() {
    for kind in [Kind::Call, Kind::Credit, Kind::Goodbye] {
        violates(kind, FLAG_END, 5, &[0xa1, 0x01], &[]);
    }
    violates(Kind::Item, 0, 1, &[0x80], &[]);
    let mut deep = vec![0xa1, 0x18, 0x40];
    deep.extend([0x81; 10_000]);
    deep.push(0);
    let reason = violates(Kind::Call, FLAG_END, 5, &deep, &[]);
    assert_eq!(reason, "malformed header: the header is nested too deep");
    let long = vec![0; MAX_HEADER + 1];
    assert_eq!(
        violates(Kind::Call, FLAG_END, 5, &long, &[]),
        "a header over 16 KiB"
    );
}

#[test]
fn a_call_that_cannot_be_read_is_answered_and_the_next_one_works() {
    let mut hand = busy_listener();
    let target = (1, Cbor::from("o://a"));
    let method = (2, Cbor::from("m"));
    let cases = [
        (
            5,
            map(&[target.clone(), method.clone(), (-1, 1.into())]),
            ErrorCode::Unsupported,
        ),
        (
            7,
            map(&[target.clone(), method.clone(), (14, 1.into())]),
            ErrorCode::Unsupported,
        ),
        (9, map(&[(1, "o://a".into())]), ErrorCode::InvalidParams),
        (
            11,
            map(&[(1, "nowhere".into()), method.clone()]),
            ErrorCode::InvalidParams,
        ),
        (
            13,
            map(&[target.clone(), method.clone(), (4, 200.into())]),
            ErrorCode::InvalidParams,
        ),
        (15, Vec::new(), ErrorCode::InvalidParams),
    ];
    for (id, header, expected) in cases {
        hand.tell(Kind::Call, FLAG_MORE, id, &header, &[1; 100]);
        assert_eq!(hand.errors(), [(id, code(expected))]);
        hand.tell(Kind::Item, FLAG_END, id, &[], &[1; 100]);
    }
    hand.tell(
        Kind::Call,
        FLAG_END,
        17,
        &map(&[target, method, (99, 1.into())]),
        &[],
    );
    assert_eq!(notices(&mut hand.session), [Notice::Incoming(CallId(17))]);
    assert_eq!(hand.session.end(), None);
}

#[test]
fn an_item_or_error_that_cannot_be_read_ends_its_call_only() {
    for key in [(4, 200), (-3, 1)] {
        let mut hand = busy_listener();
        hand.tell(Kind::Item, 0, 1, &map(&[(key.0, key.1.into())]), &[1]);
        assert_eq!(hand.errors().len(), 1);
        assert_eq!(notices(&mut hand.session), [Notice::Gone(CallId(1))]);
        assert_eq!(hand.session.end(), None);
        assert_clean(&hand.session);

        let mut hand = Hand::dialer();
        let id = hand.open(Shape::Server);
        hand.tell(Kind::Item, 0, id.0, &map(&[(key.0, key.1.into())]), &[1]);
        let cancel = sent(&mut hand.session);
        assert_eq!((cancel[0].kind, cancel[0].id), (Kind::Cancel as u8, id.0));
        let error = hand.session.take(id);
        let right = match error {
            Some(Received::Failed(CallError::InvalidReply { .. })) => key.0 == 4,
            Some(Received::Failed(CallError::Unsupported { .. })) => key.0 == -3,
            _ => false,
        };
        assert!(right, "{error:?}");
        assert_clean(&hand.session);
    }
    let mut hand = Hand::dialer();
    let id = hand.open(Shape::Unary);
    hand.tell(Kind::Error, 0, id.0, &map(&[(1, 70_000.into())]), &[1]);
    let error = hand.session.take(id);
    assert!(
        matches!(
            error,
            Some(Received::Failed(CallError::InvalidReply { .. }))
        ),
        "{error:?}"
    );
    assert_clean(&hand.session);
}

#[test]
fn details_of_an_error_are_bounded_here_too() {
    let mut hand = Hand::dialer();
    let id = hand.open(Shape::Unary);
    hand.tell(
        Kind::Error,
        0,
        id.0,
        &map(&[(1, 7.into()), (2, "no".into())]),
        &[1; 60_000],
    );
    let expected = CallError::failed("no");
    assert_eq!(hand.session.take(id), Some(Received::Failed(expected)));
}

#[test]
fn what_is_unknown_is_skipped() {
    let mut hand = busy_listener();
    for kind in [0, 9, 77, 255] {
        hand.tell_any(kind, 0xff, 999, &[0xff; 9], &[0xff; 99]);
    }
    hand.tell(Kind::Item, 0xf0, 1, &map(&[(9, true.into())]), &[1]);
    hand.tell(
        Kind::Credit,
        0xff,
        1,
        &map(&[(1, 1.into()), (2, "x".into())]),
        &[1],
    );
    hand.tell(Kind::Ping, FLAG_PONG, 7, &[], &[]);
    assert_eq!(hand.session.end(), None);
    assert_eq!(sent(&mut hand.session), []);
    assert!(matches!(
        hand.session.take(CallId(1)),
        Some(Received::Item { .. })
    ));
    // Before HELLO as well.
    let mut hand = Hand::silent(Side::Listener, SessionConfig::default());
    hand.tell_any(77, 0, 0, &[], &[]);
    hand.hello();
}

#[test]
fn credit_without_end_is_no_overflow() {
    let mut hand = busy_listener();
    for _ in 0..3 {
        hand.tell(Kind::Credit, 0, 1, &map(&[(1, u64::MAX.into())]), &[]);
    }
    hand.session.send(CallId(1), body(300_000), true).unwrap();
    let bytes: usize = sent(&mut hand.session)
        .iter()
        .map(|frame| frame.body.len())
        .sum();
    assert_eq!(bytes, 300_000);
}

#[test]
fn a_stream_cut_at_any_byte_ends_every_call() {
    let mut source = Hand::silent(Side::Dialer, SessionConfig::default());
    let now = source.now;
    for shape in [Shape::Unary, Shape::Client] {
        let ended = !shape.streams_in();
        source
            .session
            .open(&header(shape), body(40).bytes, ended, now)
            .unwrap();
    }
    source.session.finish(CallId(3)).unwrap();
    let mut bytes = Vec::new();
    source.session.transmit(&mut bytes, usize::MAX);
    for cut in 0..=bytes.len() {
        let mut session = Hand::silent(Side::Listener, SessionConfig::default()).session;
        let mut wire = bytes[..cut].to_vec();
        deliver(&mut wire, &mut session, now);
        assert_eq!(session.end(), None);
        let open = session.active_calls();
        session.receive_end();
        assert!(matches!(session.end(), Some(SessionEnd::Lost { .. })));
        let gone = notices(&mut session);
        let gone = gone
            .iter()
            .filter(|notice| matches!(notice, Notice::Gone(_)));
        assert_eq!(gone.count(), open);
        assert_clean(&session);
    }
}

#[test]
fn garbage_ends_the_session_with_a_reason() {
    let mut hand = busy_listener();
    let limit = hand.session.config().max_frame as usize;
    let error = crate::frame::decode(&[0xff; 16], limit).unwrap_err();
    hand.session.receive_garbage(error);
    assert_eq!(
        hand.violation(),
        "a frame of 4294967299 bytes is over the limit of 131072"
    );
}

#[test]
fn a_violation_is_named_after_a_goodbye_too() {
    let mut hand = busy_listener();
    hand.session
        .goodbye(&Goodbye::new(ErrorCode::ShuttingDown, ""));
    hand.tell(Kind::Call, FLAG_END, 2, &unary(), &[]);
    hand.violation();
}
