//! How a session ends: refusals, goodbyes, silence, the end of the stream.

use std::time::Duration;

use o_core::{CallError, Shape};

use super::*;
use crate::frame::{FLAG_END, FLAG_PONG};

const SECOND: Duration = Duration::from_secs(1);

fn goodbye(code: ErrorCode) -> Vec<u8> {
    Goodbye::new(code, "because").encode()
}

#[test]
fn another_network_is_refused_for_certain_at_both_ends() {
    let mut pair = Pair::silent(SessionConfig::default(), SessionConfig::default());
    let other = Hello::new("elsewhere".parse().unwrap());
    let config = SessionConfig::default();
    pair.listener = Session::new(Side::Listener, config, other, pair.now);
    let now = pair.now;
    let id = pair
        .dialer
        .open(&header(Shape::Unary), Bytes::new(), true, now)
        .unwrap();
    pair.pump();
    for session in [&pair.dialer, &pair.listener] {
        let end = session.end();
        assert!(
            matches!(end, Some(SessionEnd::Refused { certain: true, .. })),
            "{end:?}"
        );
    }
    let error = pair.dialer.take(id);
    let Some(Received::Failed(CallError::Refused {
        certain: true,
        reason,
        ..
    })) = error
    else {
        panic!("{error:?}");
    };
    assert!(
        reason.contains("`main`") && reason.contains("`elsewhere`"),
        "{reason}"
    );
    assert_clean(&pair.dialer);
    assert_clean(&pair.listener);
    let error = pair
        .dialer
        .open(&header(Shape::Unary), Bytes::new(), true, now)
        .unwrap_err();
    assert!(matches!(error, CallError::Refused { certain: true, .. }));
}

#[test]
fn a_goodbye_instead_of_a_hello_says_that_nothing_ran() {
    let reason = || "because".to_owned();
    let refused = CallError::Refused {
        peer: None,
        reason: reason(),
        certain: true,
    };
    let busy = CallError::Busy { reason: reason() };
    for (code, expected) in [(ErrorCode::Refused, refused), (ErrorCode::Busy, busy)] {
        let mut hand = Hand::silent(Side::Dialer, SessionConfig::default());
        let id = hand
            .session
            .open(&header(Shape::Unary), Bytes::new(), true, hand.now)
            .unwrap();
        sent(&mut hand.session);
        hand.tell(Kind::Goodbye, 0, 0, &goodbye(code), &[]);
        assert!(expected.is_before_execution());
        assert_eq!(hand.session.take(id), Some(Received::Failed(expected)));
        assert_eq!(sent(&mut hand.session), []);
        assert_clean(&hand.session);
    }
}

#[test]
fn a_refusal_in_the_middle_does_not_say_that_nothing_ran() {
    in_the_middle(ErrorCode::Refused);
    in_the_middle(ErrorCode::Busy);
}

fn in_the_middle(code: ErrorCode) {
    let mut hand = Hand::dialer();
    let ran = hand.open(Shape::Unary);
    let waits = hand
        .session
        .open(&header(Shape::Unary), Bytes::new(), true, hand.now)
        .unwrap();
    hand.tell(Kind::Goodbye, 0, 0, &goodbye(code), &[]);
    let Some(Received::Failed(error)) = hand.session.take(ran) else {
        panic!("no error")
    };
    assert!(matches!(error, CallError::ConnectionLost { .. }), "{error}");
    assert!(!error.is_before_execution());
    let Some(Received::Failed(error)) = hand.session.take(waits) else {
        panic!("no error")
    };
    assert!(error.is_before_execution(), "{error}");
    assert_clean(&hand.session);
}

#[test]
fn the_end_of_the_stream_before_hello_looks_like_a_refusal_to_the_dialer() {
    let mut hand = Hand::silent(Side::Dialer, SessionConfig::default());
    let id = hand
        .session
        .open(&header(Shape::Unary), Bytes::new(), true, hand.now)
        .unwrap();
    hand.session.receive_end();
    let error = hand.session.take(id);
    assert!(
        matches!(
            error,
            Some(Received::Failed(CallError::Refused { certain: false, .. }))
        ),
        "{error:?}"
    );
    let mut hand = Hand::silent(Side::Listener, SessionConfig::default());
    hand.session.receive_end();
    assert!(matches!(hand.session.end(), Some(SessionEnd::Lost { .. })));
}

#[test]
fn the_end_of_the_stream_in_the_middle_loses_every_call() {
    let mut pair = Pair::new();
    let streaming = pair.call(header(Shape::Server), body(0));
    let waiting = pair.call(header(Shape::Unary), body(0));
    pair.listener.send(streaming, body(1), false).unwrap();
    pair.pump();
    notices(&mut pair.dialer);
    pair.dialer.receive_end();
    pair.listener.receive_end();
    let lost = |received: Option<Received>| {
        matches!(
            received,
            Some(Received::Failed(CallError::ConnectionLost { .. }))
        )
    };
    // What had arrived is still there.
    assert_eq!(pair.dialer.take(streaming), item(1, false));
    assert!(lost(pair.dialer.take(streaming)));
    assert!(lost(pair.dialer.take(waiting)));
    let expected = [
        Notice::Gone(streaming),
        Notice::Gone(waiting),
        Notice::Closed,
    ];
    assert_eq!(notices(&mut pair.listener), expected);
    let expected = [
        Notice::Readable(streaming),
        Notice::Readable(waiting),
        Notice::Closed,
    ];
    assert_eq!(notices(&mut pair.dialer), expected);
    assert_clean(&pair.dialer);
    assert_clean(&pair.listener);
    // Nothing comes after the end.
    let (now, hello) = (pair.now, Hello::new(NetworkId::default()).encode());
    let frame = Frame {
        kind: 1,
        flags: 0,
        id: 0,
        header: &hello,
        body: &[],
    };
    pair.dialer.receive(&frame, now);
    pair.dialer.close(SessionEnd::Finished);
    pair.dialer.on_timeout(now + 1000 * SECOND);
    assert_eq!(pair.dialer.next_timeout(), None);
    assert_eq!(notices(&mut pair.dialer), []);
    assert!(matches!(pair.dialer.end(), Some(SessionEnd::Lost { .. })));
}

#[test]
fn a_goodbye_lets_running_calls_end_and_takes_no_new_ones() {
    let mut pair = Pair::new();
    let running = pair.call(header(Shape::Unary), body(0));
    let now = pair.now;
    let crossing = pair
        .dialer
        .open(&header(Shape::Unary), Bytes::new(), true, now)
        .unwrap();
    pair.listener
        .goodbye(&Goodbye::new(ErrorCode::ShuttingDown, "restarting"));
    pair.listener
        .goodbye(&Goodbye::new(ErrorCode::ShuttingDown, "again"));
    pair.pump();
    let shutting_down = Some(Received::Failed(CallError::ShuttingDown));
    assert_eq!(pair.dialer.take(crossing), shutting_down);
    let seen = notices(&mut pair.dialer);
    assert_eq!(
        seen.iter()
            .filter(|notice| **notice == Notice::Goodbye)
            .count(),
        1
    );
    for session in [&mut pair.dialer, &mut pair.listener] {
        let error = session.open(&header(Shape::Unary), Bytes::new(), true, now);
        assert_eq!(error, Err(CallError::ShuttingDown));
    }
    assert!(!pair.listener.is_drained());
    pair.listener.send(running, body(1), true).unwrap();
    pair.pump();
    assert_eq!(pair.dialer.take(running), item(1, true));
    assert!(pair.listener.is_drained());
    assert!(
        !pair.dialer.is_drained(),
        "the stream is ended by whoever said goodbye"
    );
    pair.listener.close(SessionEnd::Finished);
    pair.dialer.receive_end();
    assert_eq!(pair.dialer.end(), Some(&SessionEnd::ShuttingDown));
}

#[test]
fn a_lost_goodbye_says_which_calls_never_ran() {
    let mut pair = Pair::new();
    let taken = pair.call(header(Shape::Unary), body(0));
    pair.listener
        .goodbye(&Goodbye::new(ErrorCode::ShuttingDown, "idle"));
    pair.listener.transmit(&mut pair.to_dialer, usize::MAX);
    let now = pair.now;
    let crossing = pair
        .dialer
        .open(&header(Shape::Unary), Bytes::new(), true, now)
        .unwrap();
    pair.dialer.transmit(&mut pair.to_listener, usize::MAX);
    deliver(&mut pair.to_dialer, &mut pair.dialer, now);
    // The call is on its way, nobody will answer it, and that is known.
    let never_ran = Some(Received::Failed(CallError::ShuttingDown));
    assert_eq!(pair.dialer.take(crossing), never_ran);
    assert_eq!(pair.dialer.take(taken), None);
    pair.dialer.receive_end();
    let lost = pair.dialer.take(taken);
    assert!(
        matches!(
            lost,
            Some(Received::Failed(CallError::ConnectionLost { .. }))
        ),
        "{lost:?}"
    );
    assert_clean(&pair.dialer);
}

#[test]
fn a_second_goodbye_takes_no_more_calls_than_the_first() {
    let mut hand = Hand::new(SessionConfig::default());
    hand.called(3, Shape::Unary, FLAG_END);
    hand.session
        .goodbye(&Goodbye::new(ErrorCode::ShuttingDown, "idle"));
    hand.called(5, Shape::Unary, FLAG_END);
    // A violation, which is answered by a goodbye too.
    hand.tell(Kind::Hello, 0, 0, &[], &[]);
    let goodbyes = sent(&mut hand.session)
        .into_iter()
        .filter(|frame| frame.kind == Kind::Goodbye as u8)
        .map(|frame| Goodbye::decode(&frame.header).unwrap());
    let told: Vec<_> = goodbyes.map(|told| (told.code, told.last)).collect();
    assert_eq!(told, [(17, Some(3)), (16, Some(3))]);
}

#[test]
fn calls_that_wait_to_be_sent_survive_a_goodbye_of_ones_own() {
    let mut pair = Pair::new();
    let now = pair.now;
    let id = pair
        .dialer
        .open(&header(Shape::Unary), Bytes::new(), true, now)
        .unwrap();
    pair.dialer
        .goodbye(&Goodbye::new(ErrorCode::ShuttingDown, "restarting"));
    // The goodbye overtakes the call.
    pair.dialer.transmit(&mut pair.to_listener, 1);
    deliver(&mut pair.to_listener, &mut pair.listener, now);
    assert!(notices(&mut pair.listener).contains(&Notice::Goodbye));
    assert!(!pair.listener.is_drained());
    pair.pump();
    assert!(pair.listener.accept(id).is_some());
    pair.listener.send(id, body(1), true).unwrap();
    pair.pump();
    assert!(!pair.dialer.is_drained());
    assert_eq!(pair.dialer.take(id), item(1, true));
    assert!(pair.dialer.is_drained());
}

#[test]
fn hello_has_its_time() {
    let mut hand = Hand::silent(Side::Listener, SessionConfig::default());
    let due = hand.session.next_timeout().unwrap();
    assert_eq!(due, hand.now + 10 * SECOND);
    // Frames of unknown kinds do not count as a HELLO.
    hand.now = due - SECOND;
    hand.tell_any(99, 0, 0, &[], &[]);
    assert_eq!(hand.session.next_timeout(), Some(due));
    hand.session.on_timeout(due);
    assert!(matches!(hand.session.end(), Some(SessionEnd::Lost { .. })));
}

#[test]
fn a_silent_connection_is_pinged_and_lost() {
    let mut pair = Pair::new();
    let without_calls = pair.dialer.next_timeout();
    assert_eq!(without_calls, Some(pair.now + 15 * SECOND));
    let id = pair.call(header(Shape::Unary), body(0));
    let due = pair.dialer.next_timeout().unwrap();
    assert_eq!(due, pair.now + 15 * SECOND);
    pair.now = due;
    pair.dialer.on_timeout(pair.now);
    pair.pump();
    assert_eq!(pair.dialer.pinged, None, "it was answered");
    assert_eq!(pair.dialer.next_timeout(), Some(pair.now + 15 * SECOND));

    pair.now += 15 * SECOND;
    pair.dialer.on_timeout(pair.now);
    let ping = sent(&mut pair.dialer);
    assert_eq!((ping[0].kind, ping[0].flags), (Kind::Ping as u8, 0));
    let due = pair.dialer.next_timeout().unwrap();
    assert_eq!(due, pair.now + 15 * SECOND);
    pair.dialer.on_timeout(due - Duration::from_nanos(1));
    assert_eq!(pair.dialer.end(), None);
    assert_eq!(sent(&mut pair.dialer), []);
    pair.dialer.on_timeout(due);
    let error = pair.dialer.take(id);
    assert!(matches!(
        error,
        Some(Received::Failed(CallError::ConnectionLost { .. }))
    ));
    assert_clean(&pair.dialer);
}

#[test]
fn any_frame_is_a_sign_of_life() {
    let mut hand = Hand::new(SessionConfig::default());
    hand.called(1, Shape::Unary, FLAG_END);
    for _ in 0..10 {
        hand.now += 15 * SECOND;
        hand.session.on_timeout(hand.now);
        assert_eq!(sent(&mut hand.session).len(), 1);
        hand.now += 14 * SECOND;
        hand.tell_any(99, 0, 0, &[], &[]);
        hand.session.on_timeout(hand.now);
        assert_eq!((hand.session.end(), hand.session.pinged), (None, None));
    }
    // A ping that is out when the last call ends still finds out whether the other side is there.
    hand.now += 15 * SECOND;
    hand.session.on_timeout(hand.now);
    assert!(hand.session.pinged.is_some());
    hand.session.send(CallId(1), body(0), true).unwrap();
    sent(&mut hand.session);
    let due = hand.session.next_timeout();
    assert_eq!(due, Some(hand.now + 15 * SECOND));
    hand.tell(Kind::Ping, FLAG_PONG, 0, &[], &[]);
    assert_eq!(hand.session.pinged, None);
}

#[test]
fn calls_too_short_for_a_ping_still_find_out_that_nobody_is_there() {
    let mut hand = Hand::dialer();
    let opened = hand.now;
    while hand.session.end().is_none() {
        assert!(hand.now < opened + 60 * SECOND, "nobody notices");
        let deadline = hand.now + 5 * SECOND;
        let id = hand
            .session
            .open(&until(Shape::Unary, deadline), Bytes::new(), true, hand.now)
            .unwrap();
        while hand.now < deadline && hand.session.end().is_none() {
            hand.now = hand.session.next_timeout().unwrap().max(hand.now);
            hand.session.on_timeout(hand.now);
            sent(&mut hand.session);
        }
        assert!(matches!(hand.session.take(id), Some(Received::Failed(_))));
    }
    assert_eq!(hand.now, opened + 30 * SECOND);
    let reason = "a ping stayed unanswered".to_owned();
    assert_eq!(hand.session.end(), Some(&SessionEnd::Lost { reason }));
    assert_clean(&hand.session);
}

#[test]
fn a_ping_of_the_last_call_ends_the_session_without_calls() {
    let mut hand = Hand::dialer();
    let deadline = hand.now + 16 * SECOND;
    hand.session
        .open(&until(Shape::Unary, deadline), Bytes::new(), true, hand.now)
        .unwrap();
    for seconds in [15, 1, 14] {
        assert_eq!(hand.session.end(), None);
        hand.now += seconds * SECOND;
        assert_eq!(hand.session.next_timeout(), Some(hand.now));
        hand.session.on_timeout(hand.now);
    }
    assert!(matches!(hand.session.end(), Some(SessionEnd::Lost { .. })));
}

#[test]
fn a_peer_that_says_goodbye_and_stays_is_left() {
    // What it asks for, and what it gets.
    for (drain, wait) in [(0, 1), (5, 5), (1_000_000, 30)] {
        let mut hand = Hand::new(SessionConfig {
            ping_after: 60 * SECOND,
            ..SessionConfig::default()
        });
        let mut goodbye = Goodbye::new(ErrorCode::ShuttingDown, "because");
        goodbye.drain = drain * SECOND;
        hand.tell(Kind::Goodbye, 0, 0, &goodbye.encode(), &[]);
        let due = hand.now + wait * SECOND;
        // Neither another goodbye nor pings put it off.
        hand.now += SECOND / 2;
        hand.tell(Kind::Goodbye, 0, 0, &goodbye.encode(), &[]);
        hand.tell(Kind::Ping, 0, 7, &[], &[]);
        assert_eq!(hand.session.next_timeout(), Some(due));
        hand.session.on_timeout(due - Duration::from_nanos(1));
        assert_eq!(hand.session.end(), None);
        hand.session.on_timeout(due);
        assert_eq!(hand.session.end(), Some(&SessionEnd::ShuttingDown));
    }
}

#[test]
fn calls_keep_a_session_open_after_a_goodbye() {
    let mut hand = Hand::new(SessionConfig::default());
    hand.called(1, Shape::Unary, FLAG_END);
    let shutting_down = goodbye(ErrorCode::ShuttingDown);
    hand.tell(Kind::Goodbye, 0, 0, &shutting_down, &[]);
    for _ in 0..10 {
        hand.now += SECOND;
        hand.session.on_timeout(hand.now);
        assert_eq!(hand.session.end(), None);
    }
    hand.session.send(CallId(1), body(1), true).unwrap();
    sent(&mut hand.session);
    let ended = hand.now;
    while hand.session.end().is_none() {
        hand.now = hand.session.next_timeout().unwrap();
        hand.session.on_timeout(hand.now);
    }
    assert_eq!(hand.session.end(), Some(&SessionEnd::ShuttingDown));
    assert_eq!(hand.now, ended + 2 * SECOND);
}

#[test]
fn limits_of_time_without_bound_are_no_panic() {
    let config = SessionConfig {
        hello_timeout: Duration::MAX,
        ping_after: Duration::MAX,
        ping_timeout: Duration::MAX,
        ..SessionConfig::default()
    };
    let mut hand = Hand::silent(Side::Listener, config);
    assert_eq!(hand.session.next_timeout(), None);
    hand.session.on_timeout(hand.now);
    hand.hello();
    hand.called(1, Shape::Unary, FLAG_END);
    let far = map(&[(1, "o://a".into()), (2, "m".into()), (5, u64::MAX.into())]);
    hand.tell(Kind::Call, FLAG_END, 3, &far, &[]);
    hand.session.on_timeout(hand.now);
    assert_eq!((hand.session.end(), hand.session.active_calls()), (None, 2));
}

#[test]
fn a_goodbye_of_an_unknown_code_is_a_goodbye() {
    let mut hand = Hand::new(SessionConfig::default());
    hand.tell(
        Kind::Goodbye,
        0,
        0,
        &map(&[(1, 900.into()), (3, u64::MAX.into())]),
        &[],
    );
    assert_eq!(notices(&mut hand.session), [Notice::Goodbye]);
    hand.tell(Kind::Goodbye, 0, 0, &goodbye(ErrorCode::Protocol), &[]);
    let reason = "because".to_owned();
    assert_eq!(hand.session.end(), Some(&SessionEnd::Protocol { reason }));
    assert_eq!(sent(&mut hand.session), []);
}
