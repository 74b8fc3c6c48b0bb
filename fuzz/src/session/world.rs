//! Both sides and the wire between them.

use std::time::{Duration, Instant};

use o_core::{CallError, Encoding, ErrorCode, Priority, Shape};
use o_protocol::{
    Goodbye, SessionEnd, Side,
    frame::{Kind, encode},
};

use super::party::{InFlight, Party, body, bytes};
use crate::wire::call;

/// Headers of frames that are made up.
const HEADERS: [&[u8]; 8] = [
    &[],
    // A call of `o://a`, method `m`, and one with a stream.
    &[0xa2, 1, 0x65, b'o', b':', b'/', b'/', b'a', 2, 0x61, b'm'],
    &[
        0xa3, 1, 0x65, b'o', b':', b'/', b'/', b'a', 2, 0x61, b'm', 3, 4,
    ],
    // An error, credit, an encoding.
    &[0xa3, 1, 7, 2, 0x62, b'n', b'o', 3, 0xf5],
    &[0xa1, 1, 0x1b, 255, 255, 255, 255, 255, 255, 255, 255],
    &[0xa1, 4, 2],
    // A HELLO of `main`, and no CBOR at all.
    &[0xa1, 6, 0x64, b'm', b'a', b'i', b'n'],
    &[0xff],
];

/// What one side, or the wire after it, does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Action<'a> {
    Open {
        terms: u8,
        length: usize,
    },
    Feed {
        choice: u8,
        length: usize,
    },
    FinishInput(u8),
    Take(u8),
    Cancel(u8),
    Abandon(u8),
    Look,
    ReadInput(u8),
    Answer {
        choice: u8,
        length: usize,
    },
    FinishAnswer(u8),
    Fail(u8),
    Carry(usize),
    CarryAll,
    Wait(u8),
    Drain,
    Goodbye(ErrorCode),
    Cut,
    Close,
    /// Changes a byte on its way.
    Corrupt {
        offset: u16,
        mask: u8,
    },
    /// Adds bytes to those on their way.
    Inject(&'a [u8]),
    /// Adds a frame to those on their way.
    Frame {
        kind: u8,
        flags: u8,
        id: u8,
        header: u8,
        length: usize,
    },
    /// Drops bytes on their way.
    Lose(u8),
}

#[derive(Debug)]
pub(super) struct World {
    parties: [Party; 2],
    now: Instant,
    /// The wire carries what was sent and nothing else.
    honest: bool,
    /// Both sides want the connection to go on.
    staying: bool,
}

impl World {
    pub(super) fn new(limits: u8) -> Self {
        let now = Instant::now();
        Self {
            parties: [
                Party::new(Side::Dialer, limits, now),
                Party::new(Side::Listener, limits >> 2, now),
            ],
            now,
            honest: true,
            staying: true,
        }
    }

    pub(super) fn act(&mut self, who: usize, action: Action<'_>) {
        match action {
            Action::Look | Action::Take(_) | Action::ReadInput(_) | Action::Drain => {
                self.receive(who, action);
            }
            Action::Carry(bytes) => drop(self.carry(who, bytes)),
            Action::CarryAll => while self.carry(0, 200_000) | self.carry(1, 200_000) {},
            Action::Wait(tenths) => {
                self.now += Duration::from_millis(100 * u64::from(tenths));
                for party in &mut self.parties {
                    party.session.on_timeout(self.now);
                }
            }
            Action::Corrupt { .. } | Action::Inject(_) | Action::Frame { .. } | Action::Lose(_) => {
                self.disturb(who, action);
            }
            Action::Goodbye(_) | Action::Cut | Action::Close => {
                self.staying = false;
                self.leave(who, action);
            }
            Action::Open { terms, length } => self.open(who, terms, length),
            _ => self.answer(who, action),
        }
        for party in &mut self.parties {
            let end = party.session.end();
            let broken = matches!(end, Some(SessionEnd::Protocol { .. }));
            assert!(
                !broken || !self.honest,
                "honest sides break no rule: {end:?}"
            );
        }
    }

    /// The side that acts, and what the other side has sent to it, as long as that says something.
    fn with_expected(&mut self, who: usize) -> (&mut Party, Option<&mut InFlight>) {
        let [first, second] = &mut self.parties;
        let (party, other) = if who == 0 {
            (first, second)
        } else {
            (second, first)
        };
        (party, self.honest.then_some(&mut other.sent))
    }

    fn receive(&mut self, who: usize, action: Action<'_>) {
        let (party, expected) = self.with_expected(who);
        match action {
            Action::Take(choice) => {
                if let Some(id) = party.own(choice) {
                    party.take(id, expected);
                }
            }
            Action::ReadInput(choice) => {
                if let Some(id) = party.serving(choice) {
                    party.read(id, expected);
                }
            }
            Action::Drain => party.drain(expected),
            _ => party.look(expected),
        }
    }

    fn open(&mut self, who: usize, terms: u8, length: usize) {
        let party = &mut self.parties[who];
        let Some(shape) = Shape::from_number(1 + (terms & 3)) else {
            return;
        };
        let mut header = call(shape);
        if terms & 0x10 != 0 {
            header.terms.deadline = Some(self.now + Duration::from_millis(1_500));
        }
        header.terms.priority = match terms >> 5 & 3 {
            0 | 3 => Priority::Normal,
            1 => Priority::Bulk,
            _ => Priority::Interactive,
        };
        let ended = !shape.streams_in() || terms & 4 != 0;
        if let Ok(id) = party.session.open(&header, bytes(length), ended, self.now) {
            party.opened(id);
            party
                .sent
                .entry(id)
                .or_default()
                .push_back((length, Encoding::Cbor));
        }
    }

    fn answer(&mut self, who: usize, action: Action<'_>) {
        let party = &mut self.parties[who];
        let (own, serving) = (
            |party: &Party, choice| party.own(choice),
            |party: &Party, choice| party.serving(choice),
        );
        let (id, length, last) = match action {
            Action::Feed { choice, length } => (own(party, choice), Some(length), false),
            Action::Answer { choice, length } => (
                serving(party, choice & 0x7f),
                Some(length),
                choice & 0x80 != 0,
            ),
            Action::FinishInput(choice) => (own(party, choice), None, true),
            Action::FinishAnswer(choice) => (serving(party, choice), None, true),
            Action::Cancel(choice) => {
                if let Some(id) = own(party, choice) {
                    party.session.cancel(id);
                    party.ended(id);
                }
                return;
            }
            Action::Abandon(choice) => {
                if let Some(id) = own(party, choice) {
                    party.session.abandon(id, CallError::Cancelled);
                }
                return;
            }
            Action::Fail(choice) => {
                if let Some(id) = serving(party, choice) {
                    party.session.fail(id, &CallError::failed("no"));
                }
                return;
            }
            _ => return,
        };
        let Some(id) = id else {
            return;
        };
        match length {
            Some(length) => {
                let body = body(length);
                let encoding = body.encoding;
                if party.session.send(id, body, last).is_ok() {
                    party
                        .sent
                        .entry(id)
                        .or_default()
                        .push_back((length, encoding));
                }
            }
            None => drop(party.session.finish(id)),
        }
    }

    fn leave(&mut self, who: usize, action: Action<'_>) {
        let party = &mut self.parties[who];
        match action {
            Action::Goodbye(code) => party.session.goodbye(&Goodbye::new(code, "enough")),
            Action::Close => party.session.close(SessionEnd::Finished),
            _ => {
                party.session.receive_end();
                party.cut = true;
            }
        }
    }

    fn disturb(&mut self, who: usize, action: Action<'_>) {
        let party = &mut self.parties[who];
        party.transmit(1);
        let before = party.out.clone();
        match action {
            Action::Corrupt { offset, mask } => {
                let offset = usize::from(offset) % before.len().max(1);
                if let Some(byte) = party.out.get_mut(offset) {
                    *byte ^= mask;
                }
            }
            Action::Inject(bytes) => party.out.extend_from_slice(bytes),
            Action::Frame {
                kind,
                flags,
                id,
                header,
                length,
            } => {
                let header = HEADERS[usize::from(header) % HEADERS.len()];
                let done = encode(
                    &mut party.out,
                    Kind::Item,
                    flags,
                    id.into(),
                    header,
                    &bytes(length),
                );
                assert_eq!(done, Ok(()));
                party.out[before.len() + 4] = kind % 10;
            }
            Action::Lose(count) => {
                let left = before.len().saturating_sub(usize::from(count));
                party.out.truncate(left);
            }
            _ => {}
        }
        self.honest &= party.out == before;
    }

    /// Carries up to `most` bytes from one side to the other, also in the middle of a frame.
    fn carry(&mut self, from: usize, most: usize) -> bool {
        let [first, second] = &mut self.parties;
        let (source, sink) = if from == 0 {
            (first, second)
        } else {
            (second, first)
        };
        if source.out.len() < most {
            source.transmit(most);
        }
        if source.cut || sink.cut {
            source.out.clear();
            return false;
        }
        let mut moved = 0;
        if sink.session.wants_input() {
            moved = source.out.len().min(most);
            sink.arrived.extend(source.out.drain(..moved));
        }
        let read = sink.receive(self.now);
        moved > 0 || read
    }

    /// Lets every call end, first without the connection's end where that is what must happen.
    pub(super) fn finish(mut self) {
        for who in 0..2 {
            self.receive(who, Action::Drain);
        }
        let open = self
            .parties
            .iter()
            .all(|party| party.session.end().is_none());
        if self.honest && self.staying && open {
            self.wind_up();
        }
        for who in 0..2 {
            self.parties[who].session.receive_end();
            self.receive(who, Action::Drain);
            let session = &self.parties[who].session;
            assert!(session.end().is_some() && !session.wants_input());
        }
        self.parties.iter().for_each(Party::assert_all_ended);
    }

    /// Both sides read and answer: then credit never runs out for good.
    fn wind_up(&mut self) {
        let mut idle = 0;
        while idle < 2 {
            idle += 1;
            for who in 0..2 {
                while self.carry(who, 200_000) {
                    idle = 0;
                }
                self.receive(who, Action::Drain);
                let party = &mut self.parties[who];
                for id in party.live().into_iter().chain(party.open_calls()) {
                    let _ = party.session.finish(id);
                }
                self.receive(who, Action::Drain);
            }
        }
        for party in &self.parties {
            assert_eq!(party.session.end(), None, "the connection lives");
            assert!(!party.session.has_output());
            party.assert_all_ended();
        }
    }
}
