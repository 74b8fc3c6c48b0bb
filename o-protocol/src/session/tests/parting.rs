//! An idle session ends by agreement: what crosses the goodbye is served.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn calls_of_every_shape_that_cross_the_goodbye_are_served() {
    for shape in [
        Shape::Unary,
        Shape::Server,
        Shape::Client,
        Shape::Bidirectional,
    ] {
        let mut pair = Pair::new();
        let now = pair.now;
        pair.listener.part("idle", now);
        let ended = !shape.streams_in();
        let params = body(0).bytes;
        let id = pair
            .dialer
            .open(&header(shape), params, ended, now)
            .unwrap();
        pair.pump();
        for session in [&mut pair.dialer, &mut pair.listener] {
            assert!(session.is_parting() && !session.is_open());
            assert!(!session.is_drained(), "a call runs");
            let error = session.open(&header(shape), Bytes::new(), true, now);
            assert_eq!(error, Err(CallError::ShuttingDown));
        }
        assert!(pair.listener.accept(id).is_some(), "{shape}");
        if !ended {
            pair.dialer.send(id, body(2), false).unwrap();
            pair.dialer.finish(id).unwrap();
            pair.pump();
            assert_eq!(pair.listener.take(id), item(2, true));
        }
        pair.listener.send(id, body(1), true).unwrap();
        pair.pump();
        assert_eq!(pair.dialer.take(id), item(1, true));
        assert!(pair.dialer.is_drained() && pair.listener.is_drained());
        pair.dialer.receive_end();
        assert_eq!(pair.dialer.end(), Some(&SessionEnd::Finished));
        assert_clean(&pair.dialer);
        assert_clean(&pair.listener);
    }
}

#[test]
fn the_goodbye_follows_every_call_and_both_may_say_it_at_once() {
    let mut pair = Pair::new();
    let now = pair.now;
    let mut ids = Vec::new();
    for session in [&mut pair.dialer, &mut pair.listener] {
        let params = body(0).bytes;
        ids.push(session.open(&header(Shape::Unary), params, true, now));
        session.part("idle", now);
        assert!(!session.is_drained());
    }
    // A call goes first, whatever is in the way.
    pair.dialer.transmit(&mut pair.to_listener, 1);
    let (first, _) = crate::frame::decode(&pair.to_listener, 1 << 20)
        .unwrap()
        .unwrap();
    assert_eq!(first.kind, Kind::Call as u8);
    pair.pump();
    let [ours, theirs] = [0, 1].map(|at| *ids[at].as_ref().unwrap());
    assert!(pair.listener.accept(ours).is_some());
    assert!(pair.dialer.accept(theirs).is_some());
    pair.listener.send(ours, body(1), true).unwrap();
    pair.dialer.send(theirs, body(1), true).unwrap();
    pair.pump();
    assert_eq!(pair.dialer.take(ours), item(1, true));
    assert_eq!(pair.listener.take(theirs), item(1, true));
    assert!(pair.dialer.is_drained() && pair.listener.is_drained());
    assert_eq!(sent(&mut pair.dialer), []);
}

#[test]
fn an_older_version_is_waited_for_and_then_told_the_rest() {
    let mut hand = Hand::new(SessionConfig::default());
    hand.session.part("idle", hand.now);
    let said = |session: &mut Session| {
        let goodbyes = sent(session)
            .into_iter()
            .filter(|frame| frame.kind == Kind::Goodbye as u8);
        let decoded = goodbyes.map(|frame| Goodbye::decode(&frame.header).unwrap());
        let told: Vec<_> = decoded
            .map(|told| (told.code, told.idle, told.last))
            .collect();
        told
    };
    assert_eq!(said(&mut hand.session), [(17, true, None)]);
    assert!(!hand.session.is_drained());
    // It had sent a call, and says no goodbye of its own.
    hand.called(1, Shape::Unary, FLAG_END);
    assert_eq!(notices(&mut hand.session), [Notice::Incoming(CallId(1))]);
    hand.session.accept(CallId(1)).unwrap();
    let due = hand.session.next_timeout().unwrap();
    assert_eq!(due, hand.now + 2 * SECOND);
    hand.now = due;
    hand.session.on_timeout(due);
    assert_eq!(said(&mut hand.session), [(17, false, Some(1))]);
    // From now on it would have to be mad to call.
    hand.called(3, Shape::Unary, FLAG_END);
    assert_eq!(notices(&mut hand.session), []);
    hand.session.send(CallId(1), body(1), true).unwrap();
    let kinds: Vec<_> = sent(&mut hand.session)
        .into_iter()
        .map(|frame| (frame.kind, frame.id))
        .collect();
    assert_eq!(kinds, [(Kind::Error as u8, 3), (Kind::Item as u8, 1)]);
    assert!(hand.session.is_drained() && hand.session.is_parting());
}

#[test]
fn a_stop_overrules_idleness() {
    let mut pair = Pair::new();
    pair.listener.part("idle", pair.now);
    pair.listener
        .goodbye(&Goodbye::new(ErrorCode::ShuttingDown, "stopping"));
    assert!(!pair.listener.is_parting());
    assert!(pair.listener.is_drained(), "it waits for nobody");
    let now = pair.now;
    let params = body(0).bytes;
    let late = pair.dialer.open(&header(Shape::Unary), params, true, now);
    pair.pump();
    let refused = Some(Received::Failed(CallError::ShuttingDown));
    assert_eq!(pair.dialer.take(late.unwrap()), refused);
    assert!(!pair.dialer.is_parting());
}
