//! One side: its session, the calls that it opened, those that it serves, and what it may hold.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::LazyLock,
    time::Instant,
};

use bytes::Bytes;
use o_core::{Body, Encoding, NetworkId};
use o_protocol::{
    ASSUMED_MAX_FRAME, CallId, Hello, Notice, Received, Session, SessionConfig, Side,
    frame::{self, PREFIX},
};

use crate::wire::frames;

/// What each item costs beyond its bytes, as docs/wire.md says of credit.
const ITEM_COST: usize = 64;
/// Room for answers to one more frame, and for what a side itself says between two times of sending.
const CONTROL_SLACK: usize = 32 * 1024;

/// The longest body, in bytes.
const LONGEST: usize = 200_000;
static BYTES: LazyLock<Bytes> = LazyLock::new(|| {
    let counted = (0_u32..).flat_map(u32::to_le_bytes);
    counted.take(LONGEST).collect()
});

/// A call that is served.
#[derive(Debug, Default)]
struct Served {
    /// Its parameters, as long as they count.
    params: usize,
    accepted: bool,
    gone: bool,
}

/// Items that were sent on each call and have not come out at the other side.
pub(super) type InFlight = BTreeMap<CallId, VecDeque<(usize, Encoding)>>;

#[derive(Debug)]
pub(super) struct Party {
    pub(super) session: Session,
    /// What it has sent and the wire has not carried.
    pub(super) out: Vec<u8>,
    /// What has arrived and is no whole frame yet.
    pub(super) arrived: Vec<u8>,
    pub(super) cut: bool,
    pub(super) sent: InFlight,
    /// How often each of its calls ended.
    ends: BTreeMap<CallId, usize>,
    served: BTreeMap<CallId, Served>,
    closed: usize,
}

/// A body of this length, whose bytes say where they stood.
pub(super) fn body(length: usize) -> Body {
    let encoding = match length % 3 {
        0 => Encoding::Cbor,
        1 => Encoding::Json,
        _ => Encoding::Raw,
    };
    Body::new(encoding, bytes(length))
}

pub(super) fn bytes(length: usize) -> Bytes {
    BYTES.slice(..length.min(LONGEST))
}

impl Party {
    pub(super) fn new(side: Side, limits: u8, now: Instant) -> Self {
        let mut config = SessionConfig::default();
        config.max_calls = 6;
        config.initial_credit = 0;
        if limits & 1 == 0 {
            config.max_body = 150_000;
            config.max_buffered = 400_000;
            config.send_buffer = 70_000;
            config.max_outgoing = 150_000;
            config.max_control = 2_000;
        } else {
            config.max_body = 5_000;
            config.max_buffered = 12_000;
            config.send_buffer = 60_000;
            config.max_outgoing = 60_000;
            config.max_control = 200;
        }
        if limits & 2 != 0 {
            config.initial_credit = 200_000;
        }
        Self {
            session: Session::new(side, config, Hello::new(NetworkId::default()), now),
            out: Vec::new(),
            arrived: Vec::new(),
            cut: false,
            sent: InFlight::new(),
            ends: BTreeMap::new(),
            served: BTreeMap::new(),
            closed: 0,
        }
    }

    pub(super) fn opened(&mut self, id: CallId) {
        assert_eq!(self.ends.insert(id, 0), None, "{id:?} was opened before");
    }

    /// One of its calls that have not ended.
    pub(super) fn own(&self, choice: u8) -> Option<CallId> {
        let open = self.open_calls();
        open.get(usize::from(choice) % open.len().max(1)).copied()
    }

    pub(super) fn open_calls(&self) -> Vec<CallId> {
        let open = self.ends.iter().filter(|(_, ends)| **ends == 0);
        open.map(|(id, _)| *id).collect()
    }

    /// One of the calls that it serves.
    pub(super) fn serving(&self, choice: u8) -> Option<CallId> {
        let live = self.live();
        live.get(usize::from(choice) % live.len().max(1)).copied()
    }

    pub(super) fn live(&self) -> Vec<CallId> {
        let live = self
            .served
            .iter()
            .filter(|(_, call)| call.accepted && !call.gone);
        live.map(|(id, _)| *id).collect()
    }

    pub(super) fn ended(&mut self, id: CallId) {
        *self.ends.entry(id).or_default() += 1;
        assert!(
            !self.session.is_live(id),
            "{id:?} has ended and is still there"
        );
    }

    /// Takes one thing of a call of its own; how many bytes that were, if there was one.
    pub(super) fn take(&mut self, id: CallId, expected: Option<&mut InFlight>) -> Option<usize> {
        let (length, over) = match self.session.take(id)? {
            Received::Item { body, last } => (came(id, &body, expected), last),
            Received::End | Received::Failed(_) => (0, true),
        };
        if over {
            self.ended(id);
        }
        Some(length)
    }

    /// Takes one item of the stream of a call that is served.
    pub(super) fn read(&mut self, id: CallId, expected: Option<&mut InFlight>) -> Option<usize> {
        match self.session.take(id)? {
            Received::Item { body, .. } => Some(came(id, &body, expected)),
            Received::End | Received::Failed(_) => None,
        }
    }

    /// Looks at all notices and accepts whatever has come.
    pub(super) fn look(&mut self, mut expected: Option<&mut InFlight>) {
        while let Some(notice) = self.session.poll_notice() {
            match notice {
                Notice::Incoming(id) => {
                    let mut served = Served::default();
                    if let Some((_, body)) = self.session.accept(id) {
                        served.params = came(id, &body, expected.as_deref_mut());
                        served.accepted = true;
                        assert!(self.session.accept(id).is_none(), "{id:?} is accepted once");
                    }
                    let before = self.served.insert(id, served);
                    assert!(before.is_none(), "{id:?} was announced before");
                }
                Notice::Gone(id) => {
                    let served = self
                        .served
                        .entry(id)
                        .or_insert_with(|| panic!("{id:?} was never announced"));
                    assert!(!served.gone, "{id:?} is gone for a second time");
                    served.gone = true;
                }
                Notice::Closed => self.closed += 1,
                _ => {}
            }
        }
        assert_eq!(self.closed, usize::from(self.session.end().is_some()));
        assert!(self.session.active_calls() <= 2 * self.session.config().max_calls as usize);
    }

    /// Takes everything that is held, and checks how much that was.
    pub(super) fn drain(&mut self, mut expected: Option<&mut InFlight>) {
        self.look(expected.as_deref_mut());
        let mut held: usize = self
            .served
            .values()
            .filter(|call| !call.gone)
            .map(|call| call.params)
            .sum();
        for id in self.live() {
            while let Some(length) = self.read(id, expected.as_deref_mut()) {
                held += length;
            }
        }
        for id in self.open_calls() {
            while self.ends.get(&id) == Some(&0)
                && let Some(length) = self.take(id, expected.as_deref_mut())
            {
                held += length;
            }
        }
        let limit = self.session.config().max_buffered;
        assert!(held <= limit, "{held} bytes were held, {limit} are allowed");
    }

    /// Has the session write until `enough` bytes wait for the wire; checks what it writes.
    pub(super) fn transmit(&mut self, enough: usize) {
        let before = self.out.len();
        self.session.transmit(&mut self.out, enough);
        let limit = self
            .session
            .peer_hello()
            .map_or(ASSUMED_MAX_FRAME, |peer| peer.max_frame);
        let new = frames(&self.out[before..]);
        for frame in &new {
            let length = PREFIX + frame.header.len() + frame.body.len();
            assert!(
                length <= limit as usize,
                "a frame of {length} bytes, over {limit}"
            );
        }
        let config = self.session.config();
        // What may wait by the words of `SessionConfig`: one body more, and up to 64 KiB more for each call.
        let always = config.max_body.min(64 * 1024) + 4 * ITEM_COST;
        let calls = 2 * config.max_calls as usize * always;
        let most =
            config.max_outgoing + config.max_body + calls + config.max_control + CONTROL_SLACK;
        let waited = self.out.len() - before;
        assert!(
            waited <= most,
            "{waited} bytes waited to be sent, {most} are allowed"
        );
    }

    /// Hands in the frames that have arrived, as long as the session wants any.
    pub(super) fn receive(&mut self, now: Instant) -> bool {
        let mut used = 0;
        while self.session.wants_input() {
            let limit = self.session.config().max_frame as usize;
            match frame::decode(&self.arrived[used..], limit) {
                Ok(Some((frame, length))) => {
                    self.session.receive(&frame, now);
                    used += length;
                }
                Ok(None) => break,
                Err(error) => self.session.receive_garbage(error),
            }
        }
        self.arrived.drain(..used);
        if self.session.end().is_some() {
            self.arrived.clear();
        }
        used > 0
    }

    /// Nothing is left of any call, and each ended once.
    pub(super) fn assert_all_ended(&self) {
        for (id, ends) in &self.ends {
            assert_eq!(*ends, 1, "{id:?} did not end once");
            assert!(!self.session.is_live(*id), "{id:?} is still there");
        }
        for (id, call) in &self.served {
            assert!(call.gone, "{id:?} is served for ever");
        }
        assert_eq!(self.session.active_calls(), 0);
    }
}

/// An item has come out: it is the next that went in, where the wire is honest.
fn came(id: CallId, body: &Body, expected: Option<&mut InFlight>) -> usize {
    if let Some(expected) = expected {
        let next = expected.get_mut(&id).and_then(VecDeque::pop_front);
        assert_eq!(next, Some((body.len(), body.encoding)), "{id:?}");
        assert!(body.bytes == bytes(body.len()), "{id:?} brings other bytes");
    }
    body.len() + ITEM_COST
}
