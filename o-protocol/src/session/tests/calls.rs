//! Calls that go well, and calls that end early.

use std::time::Duration;

use o_core::{CallError, Encoding, Priority, Shape};

use super::*;
use crate::{frame::FLAG_MORE, header::decode_length};

#[test]
fn unary() {
    let mut pair = Pair::new();
    let id = pair.call(header(Shape::Unary), body(3));
    assert_eq!(pair.dialer.take(id), None);
    pair.listener.send(id, body(5), true).unwrap();
    pair.pump();
    assert_eq!(notices(&mut pair.dialer), [Notice::Readable(id)]);
    assert_eq!(notices(&mut pair.listener), [Notice::Gone(id)]);
    assert_eq!(pair.dialer.take(id), item(5, true));
    assert!(!pair.dialer.is_live(id));
    assert_clean(&pair.dialer);
    assert_clean(&pair.listener);
}

#[test]
fn both_sides_call_over_one_connection() {
    let mut pair = Pair::new();
    let (now, none) = (pair.now, Bytes::new());
    let ours = pair
        .dialer
        .open(&header(Shape::Unary), none.clone(), true, now)
        .unwrap();
    let theirs = pair
        .listener
        .open(&header(Shape::Unary), none, true, now)
        .unwrap();
    assert_eq!((ours, theirs), (CallId(1), CallId(2)));
    pair.pump();
    assert!(pair.listener.accept(ours).is_some());
    assert!(pair.dialer.accept(theirs).is_some());
    assert!(
        pair.dialer.accept(ours).is_none(),
        "one's own call is not for accepting"
    );
    pair.listener.send(ours, body(1), true).unwrap();
    pair.dialer.send(theirs, body(2), true).unwrap();
    pair.pump();
    assert_eq!(pair.dialer.take(ours), item(1, true));
    assert_eq!(pair.listener.take(theirs), item(2, true));
}

#[test]
fn a_stream_of_answers() {
    let mut pair = Pair::new();
    let id = pair.call(header(Shape::Server), body(0));
    for length in [1, 0, 2] {
        pair.listener.send(id, body(length), false).unwrap();
    }
    pair.listener.finish(id).unwrap();
    assert_eq!(pair.listener.finish(id), Err(SendError::Gone));
    assert_eq!(pair.listener.send(id, body(1), false), Err(SendError::Gone));
    pair.pump();
    for length in [1, 0, 2] {
        let received = pair.dialer.take(id).unwrap();
        // The end came in a frame of its own and was here before the last item was taken.
        assert_eq!(
            received,
            Received::Item {
                body: body(length),
                last: length == 2
            }
        );
    }
    assert_clean(&pair.dialer);
    assert_clean(&pair.listener);
}

#[test]
fn an_end_without_an_item() {
    let mut pair = Pair::new();
    let id = pair.call(header(Shape::Server), body(0));
    pair.listener.finish(id).unwrap();
    pair.pump();
    assert_eq!(pair.dialer.take(id), Some(Received::End));
    assert_clean(&pair.dialer);
}

#[test]
fn a_stream_of_the_callers() {
    let mut pair = Pair::new();
    let id = pair.call(header(Shape::Client), body(0));
    assert_eq!(pair.listener.take(id), None);
    pair.dialer.send(id, body(1), false).unwrap();
    pair.dialer.send(id, body(2), true).unwrap();
    pair.pump();
    let expected = [Notice::Readable(id), Notice::Readable(id)];
    assert_eq!(notices(&mut pair.listener), expected);
    assert_eq!(pair.listener.take(id), item(1, false));
    assert_eq!(pair.listener.take(id), item(2, true));
    assert_eq!(
        pair.listener.take(id),
        Some(Received::End),
        "and it stays at its end"
    );
    assert!(pair.listener.is_live(id));
    pair.listener.send(id, body(3), true).unwrap();
    pair.pump();
    assert_eq!(pair.dialer.take(id), item(3, true));
    assert_clean(&pair.listener);
}

#[test]
fn both_streams_at_once_and_an_end_without_item() {
    let mut pair = Pair::new();
    let id = pair.call(header(Shape::Bidirectional), body(0));
    for round in 1..5 {
        pair.dialer.send(id, body(round), false).unwrap();
        pair.listener.send(id, body(2 * round), false).unwrap();
        pair.pump();
        assert_eq!(pair.listener.take(id), item(round, false));
        assert_eq!(pair.dialer.take(id), item(2 * round, false));
    }
    pair.dialer.finish(id).unwrap();
    pair.pump();
    assert_eq!(pair.listener.take(id), Some(Received::End));
    pair.listener.finish(id).unwrap();
    pair.pump();
    assert_eq!(pair.dialer.take(id), Some(Received::End));
    assert_clean(&pair.dialer);
    assert_clean(&pair.listener);
}

#[test]
fn an_answer_may_come_before_the_callers_stream_has_ended() {
    let mut pair = Pair::new();
    let id = pair.call(header(Shape::Client), body(0));
    pair.dialer.send(id, body(1), false).unwrap();
    pair.pump();
    pair.listener.send(id, body(9), true).unwrap();
    pair.pump();
    assert_eq!(pair.dialer.send(id, body(2), false), Err(SendError::Gone));
    assert_eq!(pair.dialer.finish(id), Err(SendError::Gone));
    assert_eq!(pair.dialer.take(id), item(9, true));
    // Whoever still reads the caller's stream there is told, and does not wait for ever.
    assert!(notices(&mut pair.listener).contains(&Notice::Gone(id)));
    assert_eq!(
        pair.listener.take(id),
        Some(Received::Failed(CallError::Cancelled))
    );
    assert_clean(&pair.dialer);
    assert_clean(&pair.listener);
}

#[test]
fn an_item_may_have_an_encoding_of_its_own() {
    let mut pair = Pair::new();
    let id = pair.call(header(Shape::Server), body(0));
    // Longer than a frame: the encoding stands in the first of its frames only.
    let raw = Body::new(Encoding::Raw, vec![1; 100_000]);
    pair.listener.send(id, raw.clone(), false).unwrap();
    pair.listener.send(id, body(1), true).unwrap();
    pair.pump();
    assert_eq!(
        pair.dialer.take(id),
        Some(Received::Item {
            body: raw,
            last: false
        })
    );
    assert_eq!(pair.dialer.take(id), item(1, true));
}

#[test]
fn an_error_comes_after_the_items_before_it() {
    let mut pair = Pair::new();
    let id = pair.call(header(Shape::Server), body(0));
    let error = CallError::Failed {
        message: "out of paper".into(),
        retryable: true,
        data: Bytes::from_static(b"details"),
    };
    pair.listener.send(id, body(1), false).unwrap();
    pair.listener.fail(id, &error);
    pair.listener.fail(id, &CallError::Cancelled);
    pair.pump();
    assert_eq!(pair.dialer.take(id), item(1, false));
    assert_eq!(pair.dialer.take(id), Some(Received::Failed(error)));
    assert_clean(&pair.dialer);
    assert_clean(&pair.listener);
}

#[test]
fn details_of_an_error_over_the_limit_are_left_out_whole() {
    let mut pair = Pair::new();
    for (length, kept) in [(16 * 1024, 16 * 1024), (16 * 1024 + 1, 0)] {
        let id = pair.call(header(Shape::Unary), body(0));
        let error = CallError::Failed {
            message: "no".into(),
            retryable: false,
            data: vec![1; length].into(),
        };
        pair.listener.fail(id, &error);
        pair.pump();
        let Some(Received::Failed(CallError::Failed { data, .. })) = pair.dialer.take(id) else {
            panic!("not the error");
        };
        assert_eq!(data.len(), kept);
        notices(&mut pair.listener);
    }
}

#[test]
fn a_cancel_reaches_the_callee() {
    let mut pair = Pair::new();
    let id = pair.call(header(Shape::Server), body(0));
    pair.listener.send(id, body(1), false).unwrap();
    pair.dialer.cancel(id);
    assert_clean(&pair.dialer);
    pair.pump();
    assert_eq!(notices(&mut pair.listener), [Notice::Gone(id)]);
    assert_eq!(pair.listener.send(id, body(1), false), Err(SendError::Gone));
    assert_eq!(
        pair.dialer.end(),
        None,
        "the item that crossed the cancel is ignored"
    );
    assert_clean(&pair.listener);
}

#[test]
fn a_call_that_was_never_sent_is_cancelled_in_silence() {
    let mut hand = Hand::dialer();
    let id = hand
        .session
        .open(&header(Shape::Unary), Bytes::new(), true, hand.now)
        .unwrap();
    hand.session.cancel(id);
    assert_eq!(sent(&mut hand.session), []);
    assert_clean(&hand.session);
}

#[test]
fn an_abandoned_call_fails_here_and_is_cancelled_there() {
    let mut pair = Pair::new();
    let id = pair.call(header(Shape::Client), body(0));
    let error = CallError::failed("the file could not be read");
    pair.dialer.abandon(id, error.clone());
    pair.dialer.abandon(id, CallError::Cancelled);
    pair.pump();
    assert_eq!(pair.dialer.take(id), Some(Received::Failed(error)));
    assert_eq!(notices(&mut pair.listener), [Notice::Gone(id)]);
    assert_clean(&pair.dialer);
    assert_clean(&pair.listener);
}

#[test]
fn a_deadline_ends_the_call_at_both_sides() {
    let mut pair = Pair::new();
    let deadline = pair.now + Duration::from_millis(100);
    let id = pair.call(until(Shape::Unary, deadline), body(0));
    assert_eq!(pair.dialer.next_timeout(), Some(deadline));
    pair.dialer.on_timeout(deadline - Duration::from_nanos(1));
    assert_eq!(pair.dialer.take(id), None);
    pair.dialer.on_timeout(deadline);
    let after = Duration::from_millis(100);
    let timed_out = Some(Received::Failed(CallError::TimedOut { after }));
    assert_eq!(pair.dialer.take(id), timed_out);
    assert_clean(&pair.dialer);

    // The callee ends it by its own clock, without having heard of the cancel.
    let due = pair.listener.next_timeout().unwrap();
    pair.listener.on_timeout(due);
    assert_eq!(notices(&mut pair.listener), [Notice::Gone(id)]);
    let errors = sent(&mut pair.listener);
    assert_eq!(code_of(&errors[0].header), code(ErrorCode::TimedOut));
    assert_clean(&pair.listener);
}

#[test]
fn a_deadline_that_the_callee_notices_first() {
    let mut pair = Pair::new();
    let deadline = pair.now + Duration::from_secs(1);
    let id = pair.call(until(Shape::Server, deadline), body(0));
    pair.listener.send(id, body(1), false).unwrap();
    pair.now = deadline + Duration::from_millis(1);
    pair.listener.on_timeout(pair.now);
    pair.pump();
    let after = Duration::from_millis(1001);
    // What was queued there is dropped, so that the error is not held up by it.
    let timed_out = Some(Received::Failed(CallError::TimedOut { after }));
    assert_eq!(pair.dialer.take(id), timed_out);
    assert_clean(&pair.dialer);
    assert_clean(&pair.listener);
}

#[test]
fn a_deadline_that_has_passed_is_not_sent() {
    let mut hand = Hand::dialer();
    let header = until(Shape::Unary, hand.now);
    let error = hand
        .session
        .open(&header, Bytes::new(), true, hand.now)
        .unwrap_err();
    assert!(matches!(error, CallError::TimedOut { .. }));
    assert_clean(&hand.session);
}

#[test]
fn a_call_that_timed_out_before_it_was_sent_never_is() {
    let mut hand = Hand::silent(Side::Dialer, SessionConfig::default());
    let deadline = hand.now + Duration::from_secs(1);
    let header = until(Shape::Unary, deadline);
    let id = hand
        .session
        .open(&header, Bytes::new(), true, hand.now)
        .unwrap();
    hand.session.on_timeout(deadline);
    // HELLO brings credit for every call that waits; this one waits no more.
    hand.tell(
        Kind::Hello,
        0,
        0,
        &Hello::new(NetworkId::default()).encode(),
        &[],
    );
    let kinds: Vec<u8> = sent(&mut hand.session)
        .iter()
        .map(|frame| frame.kind)
        .collect();
    assert_eq!(kinds, [Kind::Hello as u8]);
    let timed_out = hand.session.take(id);
    assert!(matches!(
        timed_out,
        Some(Received::Failed(CallError::TimedOut { .. }))
    ));
    assert_clean(&hand.session);
}

#[test]
fn calls_go_ahead_of_the_other_sides_hello() {
    let mut pair = Pair::silent(SessionConfig::default(), SessionConfig::default());
    let (now, large) = (pair.now, body(200_000));
    let id = pair
        .dialer
        .open(&header(Shape::Unary), large.bytes.clone(), true, now)
        .unwrap();
    let mut ahead = Vec::new();
    pair.dialer.transmit(&mut ahead, usize::MAX);
    // Only what is assumed before a HELLO has gone.
    assert!(ahead.len() > 60_000 && ahead.len() < ASSUMED_CREDIT as usize + 1000);
    assert!(!pair.dialer.has_output());
    pair.to_listener = ahead;
    pair.pump();
    assert_eq!(pair.listener.accept(id).unwrap().1, large);
}

/// What the frames of bodies say of their length.
fn announced(mut bytes: &[u8]) -> Vec<Option<usize>> {
    let mut lengths = Vec::new();
    while let Some((frame, length)) = crate::frame::decode(bytes, usize::MAX).unwrap() {
        if [Kind::Call as u8, Kind::Item as u8].contains(&frame.kind) {
            lengths.push(decode_length(frame.header));
        }
        bytes = &bytes[length..];
    }
    lengths
}

#[test]
fn what_goes_in_parts_says_how_long_it_is_and_nothing_else_does() {
    for (length, expected) in [(65_536, vec![None]), (65_537, vec![Some(65_537), None])] {
        let mut pair = Pair::new();
        let (now, params) = (pair.now, body(length).bytes);
        let id = pair
            .dialer
            .open(&header(Shape::Unary), params, true, now)
            .unwrap();
        pair.dialer.transmit(&mut pair.to_listener, usize::MAX);
        assert_eq!(announced(&pair.to_listener), expected);
        pair.pump();
        assert_eq!(pair.listener.accept(id).unwrap().1, body(length));
        pair.listener.send(id, body(length), true).unwrap();
        pair.listener.transmit(&mut pair.to_dialer, usize::MAX);
        assert_eq!(announced(&pair.to_dialer), expected);
        pair.pump();
        assert_eq!(pair.dialer.take(id), item(length, true));
    }
}

#[test]
fn a_body_that_is_apart_follows_the_heads_before_it() {
    let mut pair = Pair::new();
    let now = pair.now;
    for length in [10, 20_000, 30] {
        let params = body(length).bytes;
        pair.dialer
            .open(&header(Shape::Unary), params, true, now)
            .unwrap();
    }
    let mut arrived = Vec::new();
    let first = pair.dialer.transmit_apart(&mut arrived, usize::MAX);
    assert_eq!(
        first.len(),
        20_000,
        "the long body, and what is behind it waits"
    );
    arrived.extend_from_slice(&first);
    assert!(
        pair.dialer
            .transmit_apart(&mut arrived, usize::MAX)
            .is_empty()
    );
    pair.to_listener = arrived;
    pair.pump();
    for (id, length) in [(1, 10), (3, 20_000), (5, 30)] {
        assert_eq!(pair.listener.accept(CallId(id)).unwrap().1, body(length));
    }
}

#[test]
fn a_body_of_a_mebibyte_goes_in_pieces_and_takes_its_credit_as_it_goes() {
    let mut pair = Pair::new();
    let large = body(1 << 20);
    let id = pair.call(header(Shape::Unary), large.clone());
    pair.listener.send(id, large.clone(), true).unwrap();
    pair.pump();
    assert_eq!(
        pair.dialer.take(id),
        Some(Received::Item {
            body: large,
            last: true
        })
    );
    assert_clean(&pair.dialer);
    assert_clean(&pair.listener);
}

#[test]
fn pieces_carry_the_flags_and_the_header_once() {
    let mut hand = Hand::dialer();
    let large = Bytes::from(vec![7; 150_000]);
    hand.session
        .open(&header(Shape::Unary), large, true, hand.now)
        .unwrap();
    // The credit that is assumed; the peer's HELLO said the same.
    let frames = sent(&mut hand.session);
    assert_eq!(frames.len(), 1);
    assert_eq!(
        (frames[0].kind, frames[0].flags),
        (Kind::Call as u8, FLAG_MORE)
    );
    assert_eq!(frames[0].body.len(), 64 * 1024 - 64);
    hand.tell(Kind::Credit, 0, 1, &map(&[(1, 1_000_000.into())]), &[]);
    let frames = sent(&mut hand.session);
    let flags: Vec<u8> = frames.iter().map(|frame| frame.flags).collect();
    assert_eq!(flags, [FLAG_MORE, FLAG_END]);
    assert!(
        frames
            .iter()
            .all(|frame| frame.kind == Kind::Item as u8 && frame.header.is_empty())
    );
    let length: usize = frames.iter().map(|frame| frame.body.len()).sum();
    assert_eq!(length + 64 * 1024 - 64, 150_000);
}

#[test]
fn a_small_call_passes_a_large_one() {
    let mut hand = Hand::dialer();
    let large = Bytes::from(vec![7; 60_000]);
    let mut bulk = header(Shape::Unary);
    bulk.terms.priority = Priority::Bulk;
    for _ in 0..4 {
        hand.session
            .open(&bulk, large.clone(), true, hand.now)
            .unwrap();
    }
    let mut first = Vec::new();
    hand.session.transmit(&mut first, 1);
    let mut quick = header(Shape::Unary);
    quick.terms.priority = Priority::Interactive;
    let id = hand
        .session
        .open(&quick, Bytes::new(), true, hand.now)
        .unwrap();
    let frames = sent(&mut hand.session);
    let before = frames.iter().take_while(|frame| frame.id != id.0);
    let bytes: usize = before.map(|frame| frame.body.len()).sum();
    assert_eq!(bytes, 0, "only heads of calls go before it, as ids go up");
    assert_eq!(frames.len(), 3 + 1 + 3);
}

#[test]
fn ids_go_up_on_the_wire_whatever_the_priorities() {
    let mut hand = Hand::dialer();
    let mut ids = Vec::new();
    for (priority, length) in [
        (Priority::Bulk, 50_000),
        (Priority::Bulk, 0),
        (Priority::Normal, 10),
        (Priority::Interactive, 20),
    ] {
        let mut header = header(Shape::Unary);
        header.terms.priority = priority;
        let params = body(length).bytes;
        ids.push(
            hand.session
                .open(&header, params, true, hand.now)
                .unwrap()
                .0,
        );
    }
    let mut gone = header(Shape::Unary);
    gone.terms.priority = Priority::Bulk;
    let cancelled = hand
        .session
        .open(&gone, Bytes::new(), true, hand.now)
        .unwrap();
    hand.session.cancel(cancelled);
    let frames = sent(&mut hand.session);
    let calls = frames.iter().filter(|frame| frame.kind == Kind::Call as u8);
    let order: Vec<u64> = calls.map(|frame| frame.id).collect();
    assert_eq!(order, ids);
    // The large body of the bulk call still comes last.
    let last = frames.last().unwrap();
    assert_eq!(
        (last.kind, last.id, last.body.len()),
        (Kind::Item as u8, 1, 50_000)
    );
    assert_eq!(frames[0].flags, FLAG_MORE);
    assert_eq!(frames[1].flags, FLAG_END);
}

#[test]
fn an_item_that_waits_is_never_accepted_as_parameters() {
    let mut hand = Hand::new(SessionConfig::default());
    let id = CallId(1);
    hand.called(id.0, Shape::Client, 0);
    hand.tell(Kind::Item, 0, id.0, &[], &[7, 7]);
    let (_, params) = hand.session.accept(id).unwrap();
    assert_eq!(params, body(1));
    assert_eq!(hand.session.accept(id).map(|(_, params)| params), None);
    assert_eq!(hand.session.take(id), item(2, false));
    hand.tell(Kind::Cancel, 0, id.0, &[], &[]);
    assert_clean(&hand.session);
}
