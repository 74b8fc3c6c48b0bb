//! The call session: a state machine without I/O or clock.
//!
//! It takes frames and `now`, and gives frames to send and notices of what changed. One session
//! stands for one connection; both sides may open calls. docs/wire.md, "Calls", specifies it.

mod ascending;
mod call;
mod config;
mod event;
mod flow;
mod outgoing;
mod parting;
mod queue;
mod receive;
mod recent;
mod schedule;
#[cfg(test)]
mod tests;
mod time;
mod transmit;

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use o_core::{Body, CallError, ErrorCode, NetworkId};
use rustc_hash::FxHashMap;

use self::{
    ascending::Ascending,
    call::Call,
    flow::{Inbox, Outbox, Outgoing, announced_length},
    parting::Parting,
    recent::Recent,
    schedule::Schedule,
};
pub use self::{
    config::{
        ASSUMED_CREDIT, ASSUMED_MAX_CALLS, ASSUMED_MAX_FRAME, SessionConfig, SessionConfigError,
    },
    event::{Notice, Received, SendError, SessionEnd},
};
use crate::{
    frame::{FLAG_END, Kind},
    header::{CallHeader, Goodbye, Hello, MAX_HEADER},
};

/// Which side of the connection this is. The dialer's calls have odd ids, the listener's even ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Dialed the connection and opened the substream.
    Dialer,
    /// Accepted it.
    Listener,
}

/// A call on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// One connection's calls. See the module for what it is and is not.
#[derive(Debug)]
pub struct Session {
    side: Side,
    config: SessionConfig,
    network: NetworkId,
    peer: Option<Arc<Hello>>,
    /// By id. Ids only go up and are few at once, so a peer gains nothing by choosing them.
    calls: FxHashMap<u64, Call>,
    /// Calls of ours that the other side has not ended.
    our_calls: usize,
    /// Calls of the other side's that we have not ended.
    their_calls: usize,
    next_id: u64,
    last_their_id: u64,
    /// What they called last: most calls of a connection are for the same agent and method.
    recent: Option<Recent>,
    control: Vec<u8>,
    schedule: Schedule,
    /// Calls of ours whose CALL has not gone. Ids go up on the wire, whatever the priorities say.
    unsent: Ascending<u64>,
    deadlines: Ascending<(Instant, u64)>,
    buffered: usize,
    /// Bytes that wait in all outboxes.
    outgoing: usize,
    /// Calls whose producers wait for `outgoing` to fall.
    held: BTreeSet<u64>,
    notices: VecDeque<Notice>,
    leaving: bool,
    /// Between a goodbye of ours for idleness and the end, as long as calls are still taken.
    parting: Option<Parting>,
    /// Their goodbye was for idleness: nothing that they opened comes behind it.
    peer_parting: bool,
    /// Whether idleness is why the session ends.
    idle: bool,
    /// The last of their calls that was taken before our goodbye.
    last_taken: Option<u64>,
    peer_leaving: bool,
    /// After the other side's goodbye: when to look whether it still has to end the stream, and whether
    /// calls ran at the last look.
    leave: Option<(Instant, bool)>,
    end: Option<SessionEnd>,
    opened: Instant,
    last_received: Instant,
    pinged: Option<Instant>,
}

impl Session {
    /// A session that begins with our HELLO. The limits in `hello` are set from `config`.
    pub fn new(side: Side, config: SessionConfig, mut hello: Hello, now: Instant) -> Self {
        hello.max_frame = config.max_frame.max(ASSUMED_MAX_FRAME);
        hello.max_calls = config.max_calls;
        hello.initial_credit = config.initial_credit.max(ASSUMED_CREDIT);
        let config = SessionConfig {
            max_frame: hello.max_frame,
            initial_credit: hello.initial_credit,
            max_outgoing: config.max_outgoing.max(config.send_buffer),
            ..config
        };
        let mut session = Self {
            side,
            config,
            network: hello.network.clone(),
            peer: None,
            calls: FxHashMap::default(),
            our_calls: 0,
            their_calls: 0,
            next_id: if side == Side::Dialer { 1 } else { 2 },
            last_their_id: 0,
            recent: None,
            control: Vec::new(),
            schedule: Schedule::default(),
            unsent: Ascending::default(),
            deadlines: Ascending::default(),
            buffered: 0,
            outgoing: 0,
            held: BTreeSet::new(),
            notices: VecDeque::new(),
            leaving: false,
            parting: None,
            peer_parting: false,
            idle: false,
            last_taken: None,
            peer_leaving: false,
            leave: None,
            end: None,
            opened: now,
            last_received: now,
            pinged: None,
        };
        session.control(Kind::Hello, 0, 0, &hello.encode());
        session
    }

    /// The other side's HELLO, once it is here.
    pub fn peer_hello(&self) -> Option<&Arc<Hello>> {
        self.peer.as_ref()
    }

    /// How the session ended, once it has.
    pub fn end(&self) -> Option<&SessionEnd> {
        self.end.as_ref()
    }

    /// Calls that are open, ours and theirs.
    pub fn active_calls(&self) -> usize {
        self.our_calls + self.their_calls
    }

    /// Calls that have begun so far, ours and theirs.
    pub fn calls_started(&self) -> u64 {
        let ours = self.next_id.saturating_sub(1) / 2;
        ours.saturating_add(self.last_their_id.div_ceil(2))
    }

    /// The limits, as they hold.
    pub fn config(&self) -> &SessionConfig {
        &self.config
    }

    /// What happened since the last time, oldest first.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// Opens a call. `ended`: no items follow the parameters.
    ///
    /// # Errors
    /// `Busy` at the limit of calls and of bytes that wait to be sent, `ShuttingDown` after a goodbye, `TooLarge`, `TimedOut` for a
    /// deadline that has passed, and what ended the session if it is over.
    pub fn open(
        &mut self,
        header: &CallHeader,
        params: Bytes,
        ended: bool,
        now: Instant,
    ) -> Result<CallId, CallError> {
        // Beyond what this clock can hold it is no deadline.
        let left = header.terms.remaining(now);
        let deadline = left.and_then(|left| now.checked_add(left));
        self.may_open(deadline, params.len(), now)?;
        let encoded = header.encode_announcing(now, announced_length(&params));
        if encoded.len() > MAX_HEADER {
            let what = format!(
                "a call header of {} bytes, over {MAX_HEADER}",
                encoded.len()
            );
            return Err(CallError::TooLarge { what });
        }

        let id = self.next_id;
        self.next_id += 2;
        let priority = header.terms.priority;
        let mut outbox = Outbox::new(self.peer_credit());
        outbox.push(Outgoing {
            kind: Kind::Call,
            header: encoded,
            body: params,
            flags: if ended { FLAG_END } else { 0 },
            begun: false,
        });
        outbox.scheduled = true;
        self.outgoing = self.outgoing.saturating_add(outbox.queued);
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, id));
        }
        let inbox = Inbox::new(self.config.initial_credit.into());
        let call = Call {
            ours: true,
            asked: Some((header.target.clone(), header.method.clone())),
            announced: true,
            deadline,
            ..Call::new(header, now, inbox, outbox)
        };
        self.calls.insert(id, call);
        self.our_calls += 1;
        self.schedule.push(priority, id);
        self.unsent.insert(id);
        Ok(CallId(id))
    }

    fn may_open(
        &self,
        deadline: Option<Instant>,
        length: usize,
        now: Instant,
    ) -> Result<(), CallError> {
        if let Some(end) = &self.end {
            return Err(end.as_call_error());
        }
        if self.leaving || self.peer_leaving {
            return Err(CallError::ShuttingDown);
        }
        if deadline.is_some_and(|deadline| deadline <= now) {
            return Err(CallError::TimedOut {
                after: Duration::ZERO,
            });
        }
        let limit = self
            .peer
            .as_ref()
            .map_or(ASSUMED_MAX_CALLS, |peer| peer.max_calls);
        let limit = limit.min(self.config.max_calls);
        if self.our_calls >= limit as usize {
            return Err(CallError::Busy {
                reason: format!("{limit} calls on this connection"),
            });
        }
        if self.is_outgoing_full() {
            return Err(self.outgoing_busy());
        }
        if length > self.config.max_body {
            return Err(self.body_too_large());
        }
        Ok(())
    }

    /// The header and parameters of a call that was announced by [`Notice::Incoming`]; once.
    pub fn accept(&mut self, id: CallId) -> Option<(CallHeader, Body)> {
        let call = self
            .calls
            .get_mut(&id.0)
            .filter(|call| !call.ours && call.announced)?;
        let header = call.header.take()?;
        let (body, length) = call.inbox.pop()?;
        call.accepted = length;
        self.return_credit(id.0);
        Some((*header, body))
    }

    /// What has arrived on a call: the answer to ours, the caller's stream of theirs. `None`: wait
    /// for [`Notice::Readable`]. After the last item of ours, `End` or `Failed`, the call is gone.
    pub fn take(&mut self, id: CallId) -> Option<Received> {
        let Some(call) = self.calls.get_mut(&id.0) else {
            return Some(Received::Failed(CallError::Cancelled));
        };
        if let Some((body, length)) = call.inbox.pop() {
            let last = call.inbox.ended && call.inbox.is_empty() && call.inbox.error.is_none();
            let over = last && call.ours;
            self.buffered = self.buffered.saturating_sub(length);
            if over {
                self.remove(id.0);
            } else {
                self.return_credit(id.0);
            }
            return Some(Received::Item { body, last });
        }
        if let Some(error) = call.inbox.error.take() {
            if call.ours {
                self.remove(id.0);
            }
            return Some(Received::Failed(error));
        }
        if call.inbox.ended {
            if call.ours {
                self.remove(id.0);
            }
            return Some(Received::End);
        }
        None
    }

    /// Cancels a call of ours. What arrives for it later is dropped.
    pub fn cancel(&mut self, id: CallId) {
        let Some(call) = self.calls.get(&id.0).filter(|call| call.ours) else {
            return;
        };
        if call.outbox.begun && !call.settled {
            self.control(Kind::Cancel, 0, id.0, &[]);
        }
        self.remove(id.0);
    }

    /// Cancels a call of ours for a reason of our own: `error` is what its reader gets.
    pub fn abandon(&mut self, id: CallId, error: CallError) {
        let Some(call) = self
            .calls
            .get(&id.0)
            .filter(|call| call.ours && !call.settled)
        else {
            return;
        };
        if call.outbox.begun {
            self.control(Kind::Cancel, 0, id.0, &[]);
        }
        self.settle(id.0, Some(error));
    }

    /// Whether a call is still open here.
    pub fn is_live(&self, id: CallId) -> bool {
        self.calls.contains_key(&id.0)
    }

    /// Takes no new calls from now on, and says why.
    pub fn goodbye(&mut self, goodbye: &Goodbye) {
        if !self.leaving || self.parting.is_some() {
            self.idle = false;
            self.last_words(goodbye);
        }
    }

    /// Says goodbye, also for a second time, when the first one did not say it all.
    fn last_words(&mut self, goodbye: &Goodbye) {
        if self.end.is_none() {
            self.leaving = true;
            self.parting = None;
            let last = *self.last_taken.get_or_insert(self.last_their_id);
            let goodbye = Goodbye {
                last: Some(last),
                ..goodbye.clone()
            };
            self.control(Kind::Goodbye, 0, 0, &goodbye.encode());
        }
    }

    /// Whether new calls are taken, as far as is known here: it is not over and neither side has said
    /// goodbye.
    pub fn is_open(&self) -> bool {
        self.end.is_none() && !self.leaving && !self.peer_leaving
    }

    /// Whether a goodbye was said from this side.
    pub fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// Whether a goodbye was said from this side and no call is left. After a goodbye of the other
    /// side's it is for that side to end the stream: calls that it opened before may still come. After
    /// one for idleness both have to say it.
    pub fn is_drained(&self) -> bool {
        let agreed = self
            .parting
            .as_ref()
            .is_none_or(|parting| self.has_parted(parting));
        self.leaving && self.calls.is_empty() && agreed
    }

    /// Ends the session: every call of ours fails with `end`, every call of theirs is gone.
    pub fn close(&mut self, end: SessionEnd) {
        if self.end.is_some() {
            return;
        }
        let mut ids: Vec<u64> = self.calls.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            match self.calls.get(&id) {
                Some(call) if call.ours => {
                    let may_have_run = call.outbox.begun && self.peer.is_some();
                    let error = match &end {
                        // Both mean that nothing ran; that is certain only before a HELLO.
                        SessionEnd::Refused { .. } | SessionEnd::Busy { .. } if may_have_run => {
                            CallError::ConnectionLost {
                                reason: end.to_string(),
                            }
                        }
                        _ => end.as_call_error(),
                    };
                    self.settle(id, Some(error));
                }
                _ => self.drop_theirs(id),
            }
        }
        self.end = Some(end);
        self.notices.push_back(Notice::Closed);
    }

    /// A call of ours has ended over there, or here: nothing more is sent.
    fn settle(&mut self, id: u64, error: Option<CallError>) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if call.settled {
            return;
        }
        call.settled = true;
        self.our_calls = self.our_calls.saturating_sub(1);
        if error.is_some() {
            call.inbox.error = error;
        } else {
            call.inbox.ended = true;
        }
        if let Some(deadline) = call.deadline.take() {
            self.deadlines.remove((deadline, id));
        }
        if std::mem::take(&mut call.outbox.scheduled) {
            self.schedule.remove(call.priority, id);
        }
        let freed = call.outbox.clear();
        if !call.outbox.begun {
            self.unsent.remove(id);
        }
        self.held.remove(&id);
        self.notices.push_back(Notice::Readable(CallId(id)));
        if call.outbox.held {
            self.notices.push_back(Notice::Writable(CallId(id)));
        }
        self.release(freed);
    }

    /// A call of theirs has ended.
    fn drop_theirs(&mut self, id: u64) {
        let announced = self.calls.get(&id).is_some_and(|call| call.announced);
        self.remove(id);
        if announced {
            self.notices.push_back(Notice::Gone(CallId(id)));
        }
    }

    fn remove(&mut self, id: u64) {
        let Some(mut call) = self.calls.remove(&id) else {
            return;
        };
        let received = call.inbox.clear().saturating_add(call.accepted);
        self.buffered = self.buffered.saturating_sub(received);
        if call.ours && !call.outbox.begun {
            self.unsent.remove(id);
        }
        self.held.remove(&id);
        if let Some(deadline) = call.deadline {
            self.deadlines.remove((deadline, id));
        }
        if call.outbox.scheduled {
            self.schedule.remove(call.priority, id);
        }
        match call.ours {
            true if !call.settled => self.our_calls = self.our_calls.saturating_sub(1),
            true => {}
            false => self.their_calls = self.their_calls.saturating_sub(1),
        }
        self.release(call.outbox.clear());
    }

    /// Ends a call of theirs with an error at once, dropping what was queued for it.
    fn refuse_theirs(&mut self, id: u64, error: &CallError) {
        self.send_error(id, error);
        self.drop_theirs(id);
    }

    fn peer_credit(&self) -> u64 {
        self.peer
            .as_ref()
            .map_or(ASSUMED_CREDIT, |peer| peer.initial_credit)
            .into()
    }

    fn body_too_large(&self) -> CallError {
        let limit = self.config.max_body;
        CallError::TooLarge {
            what: format!("a body over {limit} bytes"),
        }
    }

    /// The other side broke the protocol: says so and ends the session.
    fn violated(&mut self, reason: &str) {
        self.last_words(&Goodbye::new(ErrorCode::Protocol, reason));
        self.close(SessionEnd::Protocol {
            reason: reason.to_owned(),
        });
    }
}
