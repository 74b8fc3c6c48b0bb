//! Limits: on calls, bodies, credit, buffers and answers to control frames.

use o_core::{CallError, Shape};
use proptest::prelude::*;

use super::*;
use crate::frame::{FLAG_MORE, FLAG_PONG, PREFIX};

fn config(change: impl FnOnce(&mut SessionConfig)) -> SessionConfig {
    let mut config = SessionConfig::default();
    change(&mut config);
    config
}

#[test]
fn the_callers_side_keeps_to_the_other_sides_limit_of_calls() {
    let two = config(|config| config.max_calls = 2);
    let mut pair = Pair::with(SessionConfig::default(), two);
    let first = pair.call(header(Shape::Unary), body(0));
    pair.call(header(Shape::Unary), body(0));
    let open = |pair: &mut Pair| {
        let now = pair.now;
        pair.dialer
            .open(&header(Shape::Unary), Bytes::new(), true, now)
    };
    assert!(matches!(open(&mut pair), Err(CallError::Busy { .. })));
    pair.listener.send(first, body(0), true).unwrap();
    pair.pump();
    // The call is over although nobody has looked at its answer.
    assert!(open(&mut pair).is_ok());
}

#[test]
fn before_hello_the_assumed_limit_of_calls_holds() {
    let mut hand = Hand::silent(Side::Dialer, SessionConfig::default());
    for _ in 0..ASSUMED_MAX_CALLS {
        hand.session
            .open(&header(Shape::Unary), Bytes::new(), true, hand.now)
            .unwrap();
    }
    let error = hand
        .session
        .open(&header(Shape::Unary), Bytes::new(), true, hand.now);
    assert!(matches!(error, Err(CallError::Busy { .. })), "{error:?}");
}

#[test]
fn calls_over_the_limit_are_answered_busy() {
    let mut hand = Hand::new(config(|config| config.max_calls = 2));
    for id in [1, 3, 5, 7] {
        hand.called(id, Shape::Unary, FLAG_END);
    }
    let expected = [Notice::Incoming(CallId(1)), Notice::Incoming(CallId(3))];
    assert_eq!(notices(&mut hand.session), expected);
    let busy = code(ErrorCode::Busy);
    assert_eq!(hand.errors(), [(5, busy), (7, busy)]);
    // The rest of a refused call that was under way is ignored.
    hand.tell(Kind::Item, 0, 7, &[], &[1; 1000]);
    assert_eq!((hand.session.end(), hand.session.their_calls), (None, 2));
    // A cancelled call makes room.
    hand.tell(Kind::Cancel, 0, 1, &[], &[]);
    hand.called(9, Shape::Unary, FLAG_END);
    let expected = [Notice::Gone(CallId(1)), Notice::Incoming(CallId(9))];
    assert_eq!(notices(&mut hand.session), expected);
}

#[test]
fn bodies_over_the_limit_end_their_call_only() {
    let small = config(|config| config.max_body = 1000);
    let mut pair = Pair::with(SessionConfig::default(), small.clone());
    let now = pair.now;
    let long = body(1001).bytes;
    let id = pair
        .dialer
        .open(&header(Shape::Unary), long.clone(), true, now)
        .unwrap();
    let fine = pair
        .dialer
        .open(&header(Shape::Unary), body(1000).bytes, true, now)
        .unwrap();
    pair.pump();
    let error = pair.dialer.take(id);
    assert!(
        matches!(error, Some(Received::Failed(CallError::TooLarge { .. }))),
        "{error:?}"
    );
    assert_eq!(notices(&mut pair.listener), [Notice::Incoming(fine)]);

    // The same for what is sent, and for an answer that comes in.
    assert_eq!(
        pair.listener.send(fine, body(1001), true),
        Err(SendError::TooLarge)
    );
    let error = pair.listener.open(&header(Shape::Unary), long, true, now);
    assert!(matches!(error, Err(CallError::TooLarge { .. })));
    let mut pair = Pair::with(small, SessionConfig::default());
    let id = pair.call(header(Shape::Server), body(0));
    pair.listener.send(id, body(1001), false).unwrap();
    pair.pump();
    let error = pair.dialer.take(id);
    assert!(
        matches!(error, Some(Received::Failed(CallError::TooLarge { .. }))),
        "{error:?}"
    );
    assert_eq!(notices(&mut pair.listener), [Notice::Gone(id)]);
    assert_clean(&pair.dialer);
    assert_clean(&pair.listener);
}

#[test]
fn a_header_over_the_limit_is_not_sent() {
    let mut hand = Hand::dialer();
    let mut large = header(Shape::Unary);
    large.terms.tokens = Some(vec![0; MAX_HEADER].into());
    let error = hand.session.open(&large, Bytes::new(), true, hand.now);
    assert!(
        matches!(error, Err(CallError::TooLarge { .. })),
        "{error:?}"
    );
}

#[test]
fn a_reader_that_stops_holds_its_writer_and_nobody_else() {
    let mut pair = Pair::new();
    let slow = pair.call(header(Shape::Server), body(0));
    let window = pair.dialer.config().initial_credit as usize;
    let mut taken = 0;
    while pair.listener.send(slow, body(1000), false).is_ok() {
        taken += 1000;
        pair.pump();
        assert!(taken < 10 * window, "nothing holds the writer");
    }
    assert!(pair.dialer.buffered <= window, "{}", pair.dialer.buffered);
    notices(&mut pair.listener);

    let quick = pair.call(header(Shape::Unary), body(0));
    pair.listener.send(quick, body(1), true).unwrap();
    pair.pump();
    assert_eq!(pair.dialer.take(quick), item(1, true));

    // Reading half a window lets the writer go on.
    let mut read = 0;
    notices(&mut pair.listener);
    while read < window / 2 {
        assert_eq!(pair.dialer.take(slow), item(1000, false));
        read += 1000;
    }
    pair.pump();
    assert!(notices(&mut pair.listener).contains(&Notice::Writable(slow)));
    assert_eq!(pair.listener.send(slow, body(1), false), Ok(()));
}

#[test]
fn items_without_bytes_are_held_back_too() {
    let mut pair = Pair::new();
    let id = pair.call(header(Shape::Server), body(0));
    let window = pair.dialer.config().initial_credit as usize;
    let mut count = 0;
    while pair.listener.send(id, body(0), false).is_ok() {
        count += 1;
        if count % 100 == 0 {
            pair.pump();
        }
        assert!(count < 100_000, "items without bytes are never held");
    }
    assert!(pair.dialer.buffered <= window);
    assert!(pair.dialer.calls[&id.0].inbox.held <= window);
    // A queue that is never sent is bounded as well.
    let mut hand = Hand::new(SessionConfig::default());
    hand.called(1, Shape::Server, FLAG_END);
    let mut count = 0;
    while hand.session.send(CallId(1), body(0), false).is_ok() {
        count += 1;
        assert!(
            count < 100_000,
            "the queue of a stalled connection grows for ever"
        );
    }
}

#[test]
fn the_end_always_has_room() {
    let mut pair = Pair::new();
    let id = pair.call(header(Shape::Bidirectional), body(0));
    let over = pair.dialer.config().send_buffer + 1;
    // One body may be over the buffer; then nothing more fits, but the end does.
    let fill = |session: &mut Session| {
        session.send(id, body(over), false).unwrap();
        assert_eq!(session.send(id, body(1), false), Err(SendError::Full));
        assert_eq!(session.finish(id), Ok(()));
    };
    fill(&mut pair.dialer);
    pair.pump();
    assert_eq!(pair.listener.take(id), item(over, true));
    fill(&mut pair.listener);
    pair.pump();
    assert_eq!(pair.dialer.take(id), item(over, true));
    assert_clean(&pair.dialer);
    assert_clean(&pair.listener);
}

#[test]
fn a_full_send_buffer_tells_when_there_is_room() {
    let mut hand = Hand::new(SessionConfig::default());
    hand.called(1, Shape::Server, FLAG_END);
    notices(&mut hand.session);
    let id = CallId(1);
    let mut queued = 0;
    while hand.session.send(id, body(10_000), false).is_ok() {
        queued += 10_000;
    }
    let limit = hand.session.config().send_buffer;
    assert!(
        (limit - 10_000..limit + 10_000).contains(&queued),
        "{queued}"
    );
    assert_eq!(notices(&mut hand.session), []);
    // The peer gave no more than the assumed credit: what is sent now is at most that.
    let bytes: usize = sent(&mut hand.session)
        .iter()
        .map(|frame| frame.body.len())
        .sum();
    assert!(bytes <= ASSUMED_CREDIT as usize && bytes > 50_000);
    assert_eq!(notices(&mut hand.session), [Notice::Writable(id)]);
    assert_eq!(hand.session.send(id, body(1), false), Ok(()));
}

#[test]
fn more_bytes_than_credit_are_a_violation() {
    let mut hand = Hand::new(config(|config| config.initial_credit = ASSUMED_CREDIT));
    hand.called(1, Shape::Client, 0);
    let window = ASSUMED_CREDIT as usize - 2 * 64 - 1;
    hand.tell(Kind::Item, 0, 1, &[], &vec![0; window]);
    assert_eq!(hand.session.end(), None, "the whole credit may be used");
    hand.tell(Kind::Item, 0, 1, &[], &[]);
    assert_eq!(hand.violation(), "more bytes than credit");
}

#[test]
fn the_buffer_of_all_calls_is_bounded() {
    let mut hand = Hand::new(config(|config| config.max_buffered = 100_000));
    for id in [1, 3, 5] {
        hand.called(id, Shape::Client, 0);
        assert!(hand.session.accept(CallId(id)).is_some());
        hand.tell(Kind::Item, 0, id, &[], &[0; 40_000]);
        assert!(hand.session.buffered <= 100_000);
    }
    // The method of call 5 runs already, so that "busy", which means that nothing ran, would lie.
    assert_eq!(hand.errors(), [(5, code(ErrorCode::TooLarge))]);
    assert!(notices(&mut hand.session).contains(&Notice::Gone(CallId(5))));
    let large = header(Shape::Unary).encode(hand.now);
    hand.tell(Kind::Call, FLAG_END, 7, &large, &[0; 40_000]);
    assert_eq!(hand.errors(), [(7, code(ErrorCode::Busy))]);
    assert_eq!(hand.session.their_calls, 2);
    // Taking makes room.
    assert!(hand.session.take(CallId(1)).is_some());
    hand.called(9, Shape::Unary, FLAG_END);
    assert!(hand.session.accept(CallId(9)).is_some());
}

#[test]
fn parts_of_bodies_count_as_buffered() {
    let mut hand = Hand::new(config(|config| config.max_buffered = 200_000));
    let head = header(Shape::Unary).encode(hand.now);
    for id in (1..21).step_by(2) {
        hand.tell(Kind::Call, FLAG_MORE, id, &head, &[0; 60_000]);
    }
    assert_eq!(hand.session.their_calls, 3);
    assert!(hand.session.buffered <= 200_000);
    assert_eq!(hand.errors().len(), 7);
    assert_eq!(
        notices(&mut hand.session),
        [],
        "calls that were never announced are not gone"
    );
}

#[test]
fn a_flood_of_pings_stops_the_reading() {
    let mut hand = Hand::new(SessionConfig::default());
    let limit = hand.session.config().max_control;
    let mut pings = 0_u64;
    while hand.session.wants_input() {
        hand.tell(Kind::Ping, 0, pings, &[], &[]);
        pings += 1;
        assert!(pings < 1_000_000, "nothing stops the flood");
    }
    assert!(hand.session.control.len() < limit + PREFIX);
    let pongs = sent(&mut hand.session);
    assert_eq!(pongs.len() as u64, pings);
    assert!(pongs.iter().zip(0..).all(|(pong, nonce)| {
        (pong.kind, pong.flags, pong.id) == (Kind::Ping as u8, FLAG_PONG, nonce)
    }));
    assert!(hand.session.wants_input());
}

#[test]
fn large_items_that_nobody_reads_are_held_back() {
    let mut pair = Pair::new();
    let id = pair.call(header(Shape::Server), body(0));
    let window = pair.dialer.config().initial_credit as usize;
    let mut sent = 0;
    while pair.listener.send(id, body(1_000_000), false).is_ok() {
        sent += 1;
        pair.pump();
        assert!(sent < 10, "nothing holds the writer");
    }
    assert!(
        pair.dialer.buffered <= window + 1_001_000,
        "{}",
        pair.dialer.buffered
    );
    for _ in 0..sent {
        assert_eq!(pair.dialer.take(id), item(1_000_000, false));
        pair.pump();
    }
    assert_eq!(pair.listener.send(id, body(0), true), Ok(()));
    pair.pump();
    assert_eq!(pair.dialer.take(id), item(0, true));
}

/// One call that fills what all may have waiting: its peer grants no credit. Its id is 1.
fn stuffed() -> Hand {
    let mut hand = Hand::new(config(|config| {
        config.max_outgoing = 1_000_000;
        config.send_buffer = 1_000_000;
    }));
    for id in [1, 3, 5] {
        hand.called(id, Shape::Server, FLAG_END);
        assert!(hand.session.accept(CallId(id)).is_some());
    }
    hand.session.send(CallId(1), body(1_100_000), true).unwrap();
    sent(&mut hand.session);
    notices(&mut hand.session);
    assert!(hand.session.outgoing > 1_000_000);
    hand
}

#[test]
fn what_all_calls_have_waiting_is_bounded() {
    let mut hand = stuffed();
    let before = hand.session.outgoing;
    // Small answers go on; a second one of the same call waits, and so does a large one.
    let (small, large) = (body(64 * 1024), body(64 * 1024 + 1));
    let (three, five) = (CallId(3), CallId(5));
    assert_eq!(
        hand.session.send(five, large.clone(), true),
        Err(SendError::Full)
    );
    assert_eq!(hand.session.send(three, small, false), Ok(()));
    assert_eq!(
        hand.session.send(three, body(0), true),
        Err(SendError::Full)
    );
    assert_eq!(hand.session.outgoing, before + 64 * 1024 + 64);
    // No new calls from either side.
    hand.called(7, Shape::Unary, FLAG_END);
    assert_eq!(hand.session.their_calls, 3);
    assert_eq!(hand.errors(), [(7, code(ErrorCode::Busy))]);
    let error = hand
        .session
        .open(&header(Shape::Unary), Bytes::new(), true, hand.now);
    assert!(matches!(error, Err(CallError::Busy { .. })), "{error:?}");
    // What was sent is room, for both that wait.
    let credit = crate::header::encode_credit(300_000);
    hand.tell(Kind::Credit, 0, 1, &credit, &[]);
    sent(&mut hand.session);
    let mut told = notices(&mut hand.session);
    told.sort_unstable_by_key(|notice| format!("{notice:?}"));
    assert_eq!(told, [Notice::Writable(three), Notice::Writable(five)]);
    assert_eq!(hand.session.send(five, large, true), Ok(()));
    hand.called(9, Shape::Unary, FLAG_END);
    assert_eq!(notices(&mut hand.session), [Notice::Incoming(CallId(9))]);
}

#[test]
fn a_call_that_ends_gives_its_room_to_those_that_wait() {
    for by_us in [false, true] {
        let mut hand = stuffed();
        assert_eq!(
            hand.session.send(CallId(5), body(70_000), true),
            Err(SendError::Full)
        );
        if by_us {
            hand.session.refuse_theirs(1, &CallError::Cancelled);
        } else {
            hand.tell(Kind::Cancel, 0, 1, &[], &[]);
        }
        let told = notices(&mut hand.session);
        assert!(told.contains(&Notice::Writable(CallId(5))), "{told:?}");
        assert_eq!(hand.session.outgoing, 0);
        assert_eq!(hand.session.send(CallId(5), body(70_000), true), Ok(()));
        hand.session.close(SessionEnd::Finished);
        assert_clean(&hand.session);
    }
}

#[test]
fn an_empty_queue_lets_a_small_answer_follow() {
    let mut hand = stuffed();
    let id = CallId(3);
    hand.session.send(id, body(60_000), false).unwrap();
    assert_eq!(hand.session.send(id, body(1), true), Err(SendError::Full));
    sent(&mut hand.session);
    assert_eq!(notices(&mut hand.session), [Notice::Writable(id)]);
    assert!(hand.session.outgoing > 1_000_000, "others still wait");
    assert_eq!(hand.session.send(id, body(1), true), Ok(()));
}

#[test]
fn parameters_count_until_their_call_is_over() {
    let mut hand = Hand::new(config(|config| config.max_buffered = 100_000));
    let head = header(Shape::Unary).encode(hand.now);
    for id in [1, 3, 5] {
        hand.tell(Kind::Call, FLAG_END, id, &head, &[0; 40_000]);
        hand.session.accept(CallId(id));
    }
    assert_eq!(hand.errors(), [(5, code(ErrorCode::Busy))]);
    assert_eq!(hand.session.buffered, 2 * 40_064);
    hand.session.send(CallId(1), body(1), true).unwrap();
    sent(&mut hand.session);
    assert_eq!(hand.session.buffered, 40_064);
    hand.tell(Kind::Cancel, 0, 3, &[], &[]);
    assert_clean(&hand.session);
}

proptest! {
    /// Whatever is sent and read: credit is never exceeded, or the receiver would end the session.
    #[test]
    fn credit_is_never_exceeded(
        steps in proptest::collection::vec((0_usize..90_000, any::<bool>(), any::<bool>()), 1..60),
        credit in ASSUMED_CREDIT..300_000,
    ) {
        let dialer = config(|config| config.initial_credit = credit);
        let mut pair = Pair::with(dialer, SessionConfig::default());
        let id = pair.call(header(Shape::Server), body(0));
        let (mut wrote, mut read) = (0, 0);
        for (length, write, take) in steps {
            if write && pair.listener.send(id, body(length), false).is_ok() {
                wrote += length;
            }
            pair.pump();
            prop_assert_eq!(pair.dialer.end(), None);
            // An item in parts gives its credit back as it comes, so that one more may be there.
            prop_assert!(pair.dialer.buffered <= credit as usize + 90_000);
            if take && let Some(Received::Item { body, .. }) = pair.dialer.take(id) {
                read += body.len();
            }
        }
        pair.listener.finish(id).unwrap();
        loop {
            pair.pump();
            match pair.dialer.take(id) {
                Some(Received::Item { body, last }) => {
                    read += body.len();
                    if last {
                        break;
                    }
                }
                other => {
                    prop_assert_eq!(other, Some(Received::End));
                    break;
                }
            }
        }
        prop_assert_eq!(read, wrote);
        assert_clean(&pair.dialer);
        assert_clean(&pair.listener);
    }
}
