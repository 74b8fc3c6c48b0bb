//! Random interleavings of everything that two honest sides can do, and random bytes from a
//! dishonest one.

use std::{collections::HashMap, time::Duration};

use o_core::{CallError, Shape};
use proptest::prelude::*;

use super::*;

/// One side: its session, the calls that it opened, and those that it serves.
struct Party {
    session: Session,
    /// How often each of its calls ended; every call must end once.
    ends: HashMap<CallId, usize>,
    serving: Vec<CallId>,
    out: Vec<u8>,
    cut: bool,
}

impl Party {
    fn new(side: Side, now: Instant) -> Self {
        let config = SessionConfig {
            max_calls: 6,
            initial_credit: ASSUMED_CREDIT,
            max_body: 150_000,
            max_buffered: 400_000,
            send_buffer: 70_000,
            max_outgoing: 150_000,
            max_control: 2_000,
            ..SessionConfig::default()
        };
        let hello = Hello::new(NetworkId::default());
        Self {
            session: Session::new(side, config, hello, now),
            ends: HashMap::new(),
            serving: Vec::new(),
            out: Vec::new(),
            cut: false,
        }
    }

    fn open_calls(&self) -> Vec<CallId> {
        let mut open: Vec<CallId> = self
            .ends
            .iter()
            .filter(|(_, ends)| **ends == 0)
            .map(|(id, _)| *id)
            .collect();
        open.sort_unstable();
        open
    }

    fn pick(calls: &[CallId], choice: usize) -> Option<CallId> {
        calls.get(choice % calls.len().max(1)).copied()
    }

    fn ended(&mut self, id: CallId) {
        *self.ends.get_mut(&id).unwrap() += 1;
        assert!(
            !self.session.is_live(id),
            "{id:?} has ended and is still there"
        );
    }

    /// Takes one thing of a call of its own; whether there was one.
    fn take(&mut self, id: CallId) -> bool {
        match self.session.take(id) {
            None => return false,
            Some(Received::Item { last: false, .. }) => {}
            Some(_) => self.ended(id),
        }
        true
    }

    fn look(&mut self) {
        while let Some(notice) = self.session.poll_notice() {
            if let Notice::Incoming(id) = notice
                && self.session.accept(id).is_some()
            {
                self.serving.push(id);
            } else if let Notice::Gone(id) = notice {
                self.serving.retain(|other| *other != id);
            }
        }
    }

    /// Answers whatever is served, and ends every stream of its own.
    fn wind_up(&mut self) {
        for id in self.serving.clone() {
            while matches!(
                self.session.take(id),
                Some(Received::Item { last: false, .. })
            ) {}
            let _ = self.session.finish(id);
        }
        for id in self.open_calls() {
            let _ = self.session.finish(id);
            while self.take(id) && self.ends[&id] == 0 {}
        }
    }

    fn check(&self) {
        let session = &self.session;
        let config = session.config();
        assert!(
            session.buffered <= config.max_buffered,
            "{}",
            session.buffered
        );
        assert!(session.our_calls <= config.max_calls as usize);
        assert!(session.their_calls <= config.max_calls as usize);
        let theirs = session.calls.values().filter(|call| !call.ours).count();
        let ours = session
            .calls
            .values()
            .filter(|call| call.ours && !call.settled)
            .count();
        assert_eq!((session.our_calls, session.their_calls), (ours, theirs));
        let held: usize = session
            .calls
            .values()
            .map(|call| call.inbox.held + call.accepted)
            .sum();
        assert_eq!(session.buffered, held);
        let queued: usize = session.calls.values().map(|call| call.outbox.queued).sum();
        assert_eq!(session.outgoing, queued);
        let most = config.max_outgoing + config.max_body + config.max_calls as usize * 2 * 70_000;
        assert!(queued <= most, "{queued}");
        for id in &session.held {
            assert!(session.calls[id].outbox.held, "{id} does not wait");
        }
        let due = session
            .calls
            .iter()
            .filter(|(_, call)| !call.settled && call.deadline.is_some());
        assert_eq!(session.deadlines.len(), due.count());
        for call in session.calls.values() {
            let limit = config.send_buffer + config.max_body + 1000;
            assert!(call.outbox.queued <= limit, "{}", call.outbox.queued);
        }
        let honest = !matches!(session.end(), Some(SessionEnd::Protocol { .. }));
        assert!(honest, "honest sides break no rule: {:?}", session.end());
    }
}

#[derive(Clone, Debug)]
enum Step {
    Open {
        shape: u8,
        length: usize,
        deadline: Option<u64>,
        bulk: bool,
    },
    Feed {
        choice: usize,
        length: usize,
    },
    FinishInput {
        choice: usize,
    },
    Take {
        choice: usize,
    },
    Cancel {
        choice: usize,
    },
    Abandon {
        choice: usize,
    },
    Look,
    ReadInput {
        choice: usize,
    },
    Answer {
        choice: usize,
        length: usize,
        last: bool,
    },
    Finish {
        choice: usize,
    },
    Fail {
        choice: usize,
    },
    Carry {
        bytes: usize,
    },
    Wait {
        millis: u64,
    },
    Goodbye,
    Part,
    Cut,
}

/// Mostly small.
fn length() -> impl Strategy<Value = usize> + Clone {
    prop_oneof![3 => 0_usize..2_000, 1 => 0_usize..70_000]
}

/// Anything that may happen, the end of the connection included.
fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        80 => step(),
        1 => Just(Step::Goodbye),
        1 => Just(Step::Part),
        1 => Just(Step::Cut),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let choice = 0_usize..8;
    let length = prop_oneof![6 => length(), 1 => 0_usize..160_000];
    let open = (
        1_u8..=4,
        length.clone(),
        proptest::option::of(1_u64..400),
        any::<bool>(),
    );
    prop_oneof![
        8 => open.prop_map(|(shape, length, deadline, bulk)| Step::Open { shape, length, deadline, bulk }),
        6 => (choice.clone(), length.clone()).prop_map(|(choice, length)| Step::Feed { choice, length }),
        2 => choice.clone().prop_map(|choice| Step::FinishInput { choice }),
        8 => choice.clone().prop_map(|choice| Step::Take { choice }),
        2 => choice.clone().prop_map(|choice| Step::Cancel { choice }),
        1 => choice.clone().prop_map(|choice| Step::Abandon { choice }),
        8 => Just(Step::Look),
        4 => choice.clone().prop_map(|choice| Step::ReadInput { choice }),
        8 => (choice.clone(), length, any::<bool>())
            .prop_map(|(choice, length, last)| Step::Answer { choice, length, last }),
        2 => choice.clone().prop_map(|choice| Step::Finish { choice }),
        1 => choice.prop_map(|choice| Step::Fail { choice }),
        16 => (0_usize..100_000).prop_map(|bytes| Step::Carry { bytes }),
        3 => (1_u64..100).prop_map(|millis| Step::Wait { millis }),
    ]
}

struct World {
    parties: [Party; 2],
    now: Instant,
}

impl World {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            parties: [
                Party::new(Side::Dialer, now),
                Party::new(Side::Listener, now),
            ],
            now,
        }
    }

    /// Carries up to `bytes` from one side to the other, also in the middle of a frame.
    fn carry(&mut self, from: usize, bytes: usize) -> bool {
        let [first, second] = &mut self.parties;
        let (source, sink) = if from == 0 {
            (first, second)
        } else {
            (second, first)
        };
        if source.out.len() < bytes {
            source.session.transmit(&mut source.out, bytes);
        }
        if source.cut || sink.cut {
            source.out.clear();
            return false;
        }
        let mut arrived = source.out.get(..bytes).unwrap_or(&source.out).to_vec();
        let length = arrived.len();
        deliver(&mut arrived, &mut sink.session, self.now);
        let used = length - arrived.len();
        source.out.drain(..used);
        used > 0
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each step")]
    fn act(&mut self, who: usize, step: Step) {
        let now = self.now;
        let party = &mut self.parties[who];
        let open = party.open_calls();
        let (own, serving) = (
            |choice| Party::pick(&open, choice),
            |party: &Party, choice| Party::pick(&party.serving, choice),
        );
        match step {
            Step::Open {
                shape,
                length,
                deadline,
                bulk,
            } => {
                let mut header = header(Shape::from_number(shape).unwrap());
                header.terms.deadline = deadline.map(|millis| now + Duration::from_millis(millis));
                if bulk {
                    header.terms.priority = o_core::Priority::Bulk;
                }
                let ended = !header.shape.streams_in();
                if let Ok(id) = party.session.open(&header, body(length).bytes, ended, now) {
                    assert_eq!(party.ends.insert(id, 0), None);
                }
            }
            Step::Feed { choice, length } => {
                if let Some(id) = own(choice) {
                    let _ = party.session.send(id, body(length), false);
                }
            }
            Step::FinishInput { choice } => {
                if let Some(id) = own(choice) {
                    let _ = party.session.finish(id);
                }
            }
            Step::Take { choice } => {
                if let Some(id) = own(choice) {
                    party.take(id);
                }
            }
            Step::Cancel { choice } => {
                if let Some(id) = own(choice) {
                    party.session.cancel(id);
                    party.ended(id);
                }
            }
            Step::Abandon { choice } => {
                if let Some(id) = own(choice) {
                    party.session.abandon(id, CallError::Cancelled);
                }
            }
            Step::Look => party.look(),
            Step::ReadInput { choice } => {
                if let Some(id) = serving(party, choice) {
                    party.session.take(id);
                }
            }
            Step::Answer {
                choice,
                length,
                last,
            } => {
                if let Some(id) = serving(party, choice) {
                    let _ = party.session.send(id, body(length), last);
                }
            }
            Step::Finish { choice } => {
                if let Some(id) = serving(party, choice) {
                    let _ = party.session.finish(id);
                }
            }
            Step::Fail { choice } => {
                if let Some(id) = serving(party, choice) {
                    party.session.fail(id, &CallError::failed("no"));
                }
            }
            Step::Carry { bytes } => {
                self.carry(who, bytes);
            }
            Step::Wait { millis } => {
                self.now += Duration::from_millis(millis);
                for party in &mut self.parties {
                    party.session.on_timeout(self.now);
                }
            }
            Step::Goodbye => party
                .session
                .goodbye(&Goodbye::new(ErrorCode::ShuttingDown, "")),
            Step::Part => party.session.part("", now),
            Step::Cut => {
                party.session.receive_end();
                party.cut = true;
            }
        }
        self.parties.iter().for_each(Party::check);
    }

    /// Every call of both sides has ended once, and nothing is left of any.
    fn assert_all_ended(&self) {
        for party in &self.parties {
            let open: Vec<_> = party.ends.iter().filter(|(_, ends)| **ends != 1).collect();
            assert!(open.is_empty(), "calls that did not end once: {open:?}");
            assert!(
                party.serving.is_empty(),
                "served for ever: {:?}",
                party.serving
            );
            assert_clean(&party.session);
        }
    }
}

proptest! {
    /// Wherever the connection is cut, every call ends once.
    #[test]
    fn every_call_ends_when_the_connection_does(
        steps in proptest::collection::vec((0_usize..2, any_step()), 1..120),
    ) {
        let mut world = World::new();
        for (who, step) in steps {
            world.act(who, step);
        }
        for party in &mut world.parties {
            party.session.receive_end();
            party.look();
            for id in party.open_calls() {
                while party.ends[&id] == 0 {
                    assert!(party.take(id), "{id:?} waits for ever");
                }
            }
        }
        world.assert_all_ended();
    }

    /// As long as both sides read and answer, every call ends without the connection's end: credit
    /// never runs out for good.
    #[test]
    fn every_call_ends_while_the_connection_lives(
        steps in proptest::collection::vec((0_usize..2, step()), 1..120),
    ) {
        let mut world = World::new();
        for (who, step) in steps {
            world.act(who, step);
        }
        let mut idle = 0;
        while idle < 2 {
            idle += 1;
            for who in 0..2 {
                while world.carry(who, 200_000) {
                    idle = 0;
                }
                world.parties[who].look();
                world.parties[who].wind_up();
                world.parties[who].look();
                world.parties[who].check();
            }
        }
        for party in &world.parties {
            prop_assert_eq!(party.session.end(), None);
        }
        world.assert_all_ended();
    }

    /// Frames of random kinds about a few calls: no panic, no bound exceeded.
    #[test]
    fn hostile_frames_never_exceed_a_bound(
        frames in proptest::collection::vec(
            (0_u8..10, 0_u8..16, 0_u64..14, 0_usize..6, length()), 1..80,
        ),
        listener: bool,
    ) {
        let now = Instant::now();
        let side = if listener { Side::Listener } else { Side::Dialer };
        let mut party = Party::new(side, now);
        let hello = Hello::new(NetworkId::default()).encode();
        let first = Frame { kind: 1, flags: 0, id: 0, header: &hello, body: &[] };
        party.session.receive(&first, now);
        for shape in 1..=4 {
            let header = header(Shape::from_number(shape).unwrap());
            let ended = !header.shape.streams_in();
            let id = party.session.open(&header, Bytes::new(), ended, now).unwrap();
            party.ends.insert(id, 0);
        }
        let headers = [
            Vec::new(),
            header(Shape::Bidirectional).encode(now),
            header(Shape::Unary).encode(now),
            map(&[(1, 7.into()), (2, "no".into())]),
            map(&[(4, 2.into())]),
            vec![0xff],
        ];
        let bytes = vec![7; 70_000];
        for (kind, flags, id, header, length) in frames {
            let (header, body) = (&headers[header], &bytes[..length]);
            let frame = Frame { kind, flags, id, header, body };
            party.session.receive(&frame, now);
            party.session.transmit(&mut party.out, 100_000);
            party.out.clear();
            let session = &party.session;
            assert!(session.buffered <= session.config().max_buffered);
            assert!(session.their_calls <= session.config().max_calls as usize);
            let held: usize = session.calls.values().map(|call| call.inbox.held + call.accepted).sum();
            assert_eq!(session.buffered, held);
        }
        party.session.receive_end();
        party.look();
        for id in party.open_calls() {
            while party.ends[&id] == 0 {
                assert!(party.take(id), "{id:?} waits for ever");
            }
        }
        assert_clean(&party.session);
    }

    /// Random bytes, also after a good HELLO.
    #[test]
    fn random_bytes_never_panic(
        input in proptest::collection::vec(any::<u8>(), 0..600),
        greeted: bool,
    ) {
        let mut hand = Hand::silent(Side::Listener, SessionConfig::default());
        if greeted {
            hand.hello();
        }
        let mut rest = input.as_slice();
        loop {
            match crate::frame::decode(rest, 300) {
                Ok(Some((frame, length))) => {
                    hand.session.receive(&frame, hand.now);
                    rest = &rest[length..];
                }
                Ok(None) => break,
                Err(error) => {
                    hand.session.receive_garbage(error);
                    break;
                }
            }
        }
        hand.session.receive_end();
        prop_assert!(hand.session.end().is_some());
        assert_clean(&hand.session);
    }
}
