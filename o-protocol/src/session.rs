//! The call session: a state machine without I/O or clock.
//!
//! It takes frames and `now`, and gives frames to send and notices of what changed. One session
//! stands for one connection; both sides may open calls. docs/wire.md, "Calls", specifies it.

mod config;
mod flow;
mod receive;
mod schedule;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    time::{Duration, Instant},
};

use bytes::Bytes;
use o_core::{Body, CallError, ErrorCode, NetworkId};

pub use self::config::{
    ASSUMED_CREDIT, ASSUMED_MAX_CALLS, ASSUMED_MAX_FRAME, SessionConfig,
};
use self::{
    flow::{Inbox, Outbox, Outgoing},
    schedule::Schedule,
};
use crate::{
    frame::{self, FLAG_EMPTY, FLAG_END, Kind},
    header::{self, CallHeader, Goodbye, Hello, MAX_HEADER},
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

/// Something that the owner of the session should look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// The other side has said HELLO.
    Hello,
    /// The other side takes no new calls.
    Goodbye,
    /// The other side has opened this call and its parameters are here.
    Incoming(CallId),
    /// [`Session::take`] has something new.
    Readable(CallId),
    /// [`Session::send`] would take something again.
    Writable(CallId),
    /// This call of the other side's is over before it was answered: stop working on it.
    Gone(CallId),
    /// The session is over; every call has ended.
    Closed,
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionEnd {
    /// Both sides were done.
    #[error("closed")]
    Finished,
    /// A policy does not want the connection.
    #[error("refused: {reason}")]
    Refused {
        /// The reason that was given.
        reason: String,
        /// `false` when the stream ended before a HELLO, without a word.
        certain: bool,
    },
    /// The stream or the connection ended.
    #[error("connection lost: {reason}")]
    Lost {
        /// How.
        reason: String,
    },
    /// One side broke the protocol.
    #[error("protocol violation: {reason}")]
    Protocol {
        /// What it did.
        reason: String,
    },
    /// The other side stopped.
    #[error("the other side is shutting down")]
    ShuttingDown,
}

impl SessionEnd {
    /// What this means for a call that was open.
    pub fn as_call_error(&self) -> CallError {
        match self.clone() {
            Self::Finished => CallError::ConnectionLost { reason: "closed".into() },
            Self::Refused { reason, certain } => {
                CallError::Refused { peer: None, reason, certain }
            }
            Self::Lost { reason } => CallError::ConnectionLost { reason },
            Self::Protocol { reason } => CallError::Protocol { reason },
            Self::ShuttingDown => {
                CallError::ConnectionLost { reason: "the other side shut down".into() }
            }
        }
    }
}

/// Why something could not be sent on a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// Wait for [`Notice::Writable`].
    Full,
    /// The call is over.
    Gone,
    /// The body is over the limit.
    TooLarge,
}

/// What a call received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// An item; `last` when nothing comes after it.
    Item {
        /// The item.
        body: Body,
        /// Whether the call, or the caller's stream, ended with it.
        last: bool,
    },
    /// The end, without a further item.
    End,
    /// The call failed.
    Failed(CallError),
}

#[derive(Debug)]
struct Call {
    /// Whether we opened it.
    ours: bool,
    header: CallHeader,
    opened: Instant,
    inbox: Inbox,
    outbox: Outbox,
    /// The parameters are complete and the owner was told.
    announced: bool,
    /// Ours: the other side has ended it.
    settled: bool,
}

/// One connection's calls. See the module for what it is and is not.
#[derive(Debug)]
pub struct Session {
    side: Side,
    config: SessionConfig,
    network: NetworkId,
    peer: Option<Hello>,
    calls: HashMap<u64, Call>,
    /// Calls of ours that the other side has not ended.
    our_calls: usize,
    /// Calls of the other side's that we have not ended.
    their_calls: usize,
    next_id: u64,
    last_their_id: u64,
    control: Vec<u8>,
    schedule: Schedule,
    deadlines: BTreeSet<(Instant, u64)>,
    buffered: usize,
    notices: VecDeque<Notice>,
    leaving: bool,
    peer_leaving: bool,
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
            ..config
        };
        let mut session = Self {
            side,
            config,
            network: hello.network.clone(),
            peer: None,
            calls: HashMap::new(),
            our_calls: 0,
            their_calls: 0,
            next_id: if side == Side::Dialer { 1 } else { 2 },
            last_their_id: 0,
            control: Vec::new(),
            schedule: Schedule::default(),
            deadlines: BTreeSet::new(),
            buffered: 0,
            notices: VecDeque::new(),
            leaving: false,
            peer_leaving: false,
            end: None,
            opened: now,
            last_received: now,
            pinged: None,
        };
        session.control(Kind::Hello, 0, 0, &hello.encode());
        session
    }

    /// The other side's HELLO, once it is here.
    pub fn peer_hello(&self) -> Option<&Hello> {
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
    /// `Busy` at the limit of calls, `ShuttingDown` after a goodbye, `TooLarge`, `TimedOut` for a
    /// deadline that has passed, and what ended the session if it is over.
    pub fn open(
        &mut self,
        header: CallHeader,
        params: Bytes,
        ended: bool,
        now: Instant,
    ) -> Result<CallId, CallError> {
        if let Some(end) = &self.end {
            return Err(end.as_call_error());
        }
        if self.leaving || self.peer_leaving {
            return Err(CallError::ShuttingDown);
        }
        if header.terms.deadline.is_some_and(|deadline| deadline <= now) {
            return Err(CallError::TimedOut { after: Duration::ZERO });
        }
        let limit = self.peer.as_ref().map_or(ASSUMED_MAX_CALLS, |peer| peer.max_calls);
        let limit = limit.min(self.config.max_calls);
        if self.our_calls >= limit as usize {
            return Err(CallError::Busy { reason: format!("{limit} calls on this connection") });
        }
        if params.len() > self.config.max_body {
            return Err(self.body_too_large());
        }
        let encoded = header.encode(now);
        if encoded.len() > MAX_HEADER {
            let what = format!("a call header of {} bytes, over {MAX_HEADER}", encoded.len());
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
        if let Some(deadline) = header.terms.deadline {
            self.deadlines.insert((deadline, id));
        }
        let inbox = Inbox::new(self.config.initial_credit.into());
        let call = Call {
            ours: true,
            header,
            opened: now,
            inbox,
            outbox,
            announced: true,
            settled: false,
        };
        self.calls.insert(id, call);
        self.our_calls += 1;
        self.schedule.push(priority, id);
        Ok(CallId(id))
    }

    /// The header and parameters of a call that was announced by [`Notice::Incoming`]; once.
    pub fn accept(&mut self, id: CallId) -> Option<(CallHeader, Body)> {
        let call = self.calls.get_mut(&id.0).filter(|call| !call.ours && call.announced)?;
        let (body, length) = call.inbox.pop()?;
        self.buffered = self.buffered.saturating_sub(length);
        let header = call.header.clone();
        self.return_credit(id.0);
        Some((header, body))
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

    /// Sends an item: the caller's stream of ours, the answer to theirs. With `last`, the answer is
    /// complete and their call is over once it is sent.
    ///
    /// # Errors
    /// `Full` until [`Notice::Writable`]; nothing was taken then.
    pub fn send(&mut self, id: CallId, body: Body, last: bool) -> Result<(), SendError> {
        if body.len() > self.config.max_body {
            return Err(SendError::TooLarge);
        }
        let flags = if last { FLAG_END } else { 0 };
        self.push_item(id, body, flags)
    }

    /// Ends our side of a call without a further item.
    ///
    /// # Errors
    /// `Gone` when the call is over.
    pub fn finish(&mut self, id: CallId) -> Result<(), SendError> {
        self.push_item(id, Body::default(), FLAG_END | FLAG_EMPTY)
    }

    /// Answers their call with an error, after the items that are already queued.
    pub fn fail(&mut self, id: CallId, error: &CallError) {
        let Some(call) = self.calls.get_mut(&id.0) else { return };
        if call.ours || call.outbox.ended {
            return;
        }
        let (header, mut body) = header::encode_error(error);
        body.truncate(MAX_HEADER);
        call.outbox.push(Outgoing { kind: Kind::Error, header, body, flags: 0, begun: false });
        self.reschedule(id.0);
    }

    /// Cancels a call of ours. What arrives for it later is dropped.
    pub fn cancel(&mut self, id: CallId) {
        let Some(call) = self.calls.get(&id.0).filter(|call| call.ours) else { return };
        if call.outbox.begun && !call.settled {
            self.control(Kind::Cancel, 0, id.0, &[]);
        }
        self.remove(id.0);
    }

    /// Cancels a call of ours for a reason of our own: `error` is what its reader gets.
    pub fn abandon(&mut self, id: CallId, error: CallError) {
        let Some(call) = self.calls.get(&id.0).filter(|call| call.ours && !call.settled) else {
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
        if !self.leaving && self.end.is_none() {
            self.leaving = true;
            self.control(Kind::Goodbye, 0, 0, &goodbye.encode());
        }
    }

    /// Whether a goodbye was said, either way, and no call is left.
    pub fn is_drained(&self) -> bool {
        (self.leaving || self.peer_leaving) && self.calls.is_empty() && self.schedule.is_empty()
    }

    /// Ends the session: every call of ours fails with `end`, every call of theirs is gone.
    pub fn close(&mut self, end: SessionEnd) {
        if self.end.is_some() {
            return;
        }
        let mut ids: Vec<u64> = self.calls.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            let ours = self.calls.get(&id).is_some_and(|call| call.ours);
            if ours {
                self.settle(id, Some(end.as_call_error()));
            } else {
                self.drop_theirs(id);
            }
        }
        self.end = Some(end);
        self.notices.push_back(Notice::Closed);
    }

    /// When [`Session::on_timeout`] should be called at the latest.
    pub fn next_timeout(&self) -> Option<Instant> {
        if self.end.is_some() {
            return None;
        }
        let deadline = self.deadlines.first().map(|(at, _)| *at);
        let hello = self.peer.is_none().then(|| self.opened + self.config.hello_timeout);
        let ping = match self.pinged {
            Some(at) => Some(at + self.config.ping_timeout),
            None if self.active_calls() > 0 => Some(self.last_received + self.config.ping_after),
            None => None,
        };
        [deadline, hello, ping].into_iter().flatten().min()
    }

    /// Ends what has run out of time at `now`, and pings a connection that has gone silent.
    pub fn on_timeout(&mut self, now: Instant) {
        if self.end.is_some() {
            return;
        }
        while let Some((at, id)) = self.deadlines.first().copied()
            && at <= now
        {
            self.deadlines.remove(&(at, id));
            self.time_out(id, now);
        }
        if self.peer.is_none() && now >= self.opened + self.config.hello_timeout {
            self.close(SessionEnd::Lost { reason: "the other side said no HELLO in time".into() });
        } else if let Some(at) = self.pinged {
            if now >= at + self.config.ping_timeout {
                self.close(SessionEnd::Lost { reason: "a ping stayed unanswered".into() });
            }
        } else if self.active_calls() > 0 && now >= self.last_received + self.config.ping_after {
            self.pinged = Some(now);
            self.control(Kind::Ping, 0, 0, &[]);
        }
    }

    /// Appends frames to `out` until it holds `enough` bytes or nothing is left to send. Control
    /// frames go first, then calls by priority.
    pub fn transmit(&mut self, out: &mut Vec<u8>, enough: usize) {
        out.append(&mut self.control);
        let max_frame = self.peer.as_ref().map_or(ASSUMED_MAX_FRAME, |peer| peer.max_frame);
        while out.len() < enough {
            let Some(id) = self.schedule.pop() else { return };
            self.transmit_one(out, id, max_frame as usize);
        }
    }

    /// Whether there is anything to send.
    pub fn has_output(&self) -> bool {
        !self.control.is_empty() || !self.schedule.is_empty()
    }

    /// Whether frames should be read: not while answers to earlier ones wait to be sent.
    pub fn wants_input(&self) -> bool {
        self.end.is_none() && self.control.len() < self.config.max_control
    }

    fn transmit_one(&mut self, out: &mut Vec<u8>, id: u64, max_frame: usize) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.outbox.scheduled = false;
        let Some(piece) = call.outbox.next(max_frame) else { return };
        let before = out.len();
        // Headers are bounded when they are queued, pieces by the frame limit.
        let _ = frame::encode(out, piece.kind, piece.flags, id, &piece.header, &piece.body);
        let priority = call.header.terms.priority;
        let again = call.outbox.is_ready();
        call.outbox.scheduled = again;
        if call.outbox.held && call.outbox.queued < self.config.send_buffer {
            call.outbox.held = false;
            self.notices.push_back(Notice::Writable(CallId(id)));
        }
        let over = !call.ours && (piece.flags & FLAG_END != 0 || piece.kind == Kind::Error);
        self.schedule.charge(priority, out.len() - before);
        if over {
            self.remove(id);
        } else if again {
            self.schedule.push(priority, id);
        }
    }

    fn push_item(&mut self, id: CallId, body: Body, flags: u8) -> Result<(), SendError> {
        let call = self.calls.get_mut(&id.0).ok_or(SendError::Gone)?;
        if call.settled || call.outbox.ended {
            return Err(SendError::Gone);
        }
        if call.outbox.queued >= self.config.send_buffer {
            call.outbox.held = true;
            return Err(SendError::Full);
        }
        let header = header::encode_item(body.encoding, call.header.encoding);
        let header = if flags & FLAG_EMPTY == 0 { header } else { Vec::new() };
        call.outbox.push(Outgoing { kind: Kind::Item, header, body: body.bytes, flags, begun: false });
        self.reschedule(id.0);
        Ok(())
    }

    fn reschedule(&mut self, id: u64) {
        if let Some(call) = self.calls.get_mut(&id)
            && !call.outbox.scheduled
            && call.outbox.is_ready()
        {
            call.outbox.scheduled = true;
            self.schedule.push(call.header.terms.priority, id);
        }
    }

    /// A call of ours has ended over there, or here: nothing more is sent.
    fn settle(&mut self, id: u64, error: Option<CallError>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
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
        if let Some(deadline) = call.header.terms.deadline {
            self.deadlines.remove(&(deadline, id));
        }
        if std::mem::take(&mut call.outbox.scheduled) {
            self.schedule.remove(call.header.terms.priority, id);
        }
        self.notices.push_back(Notice::Readable(CallId(id)));
        if call.outbox.held {
            self.notices.push_back(Notice::Writable(CallId(id)));
        }
    }

    /// A call of theirs has ended before it was answered.
    fn drop_theirs(&mut self, id: u64) {
        let announced = self.calls.get(&id).is_some_and(|call| call.announced);
        self.remove(id);
        if announced {
            self.notices.push_back(Notice::Gone(CallId(id)));
        }
    }

    fn remove(&mut self, id: u64) {
        let Some(mut call) = self.calls.remove(&id) else { return };
        self.buffered = self.buffered.saturating_sub(call.inbox.clear());
        if let Some(deadline) = call.header.terms.deadline {
            self.deadlines.remove(&(deadline, id));
        }
        if call.outbox.scheduled {
            self.schedule.remove(call.header.terms.priority, id);
        }
        match call.ours {
            true if !call.settled => self.our_calls = self.our_calls.saturating_sub(1),
            true => {}
            false => self.their_calls = self.their_calls.saturating_sub(1),
        }
        if self.active_calls() == 0 {
            self.pinged = None;
        }
    }

    fn time_out(&mut self, id: u64, now: Instant) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let after = now.saturating_duration_since(call.opened);
        if call.ours {
            let begun = call.outbox.begun;
            self.buffered = self.buffered.saturating_sub(call.inbox.clear());
            self.settle(id, Some(CallError::TimedOut { after }));
            if begun {
                self.control(Kind::Cancel, 0, id, &[]);
            }
        } else {
            self.refuse_theirs(id, &CallError::TimedOut { after });
        }
    }

    /// Ends a call of theirs with an error at once, dropping what was queued for it.
    fn refuse_theirs(&mut self, id: u64, error: &CallError) {
        self.send_error(id, error);
        self.drop_theirs(id);
    }

    fn send_error(&mut self, id: u64, error: &CallError) {
        let (header, _) = header::encode_error(error);
        self.control(Kind::Error, 0, id, &header);
    }

    fn control(&mut self, kind: Kind, flags: u8, id: u64, header: &[u8]) {
        // Headers made here are far below the limit of the length field.
        let _ = frame::encode(&mut self.control, kind, flags, id, header, &[]);
    }

    fn return_credit(&mut self, id: u64) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if let Some(credit) = call.inbox.credit_due() {
            self.control(Kind::Credit, 0, id, &header::encode_credit(credit));
        }
    }

    fn peer_credit(&self) -> u64 {
        self.peer.as_ref().map_or(ASSUMED_CREDIT, |peer| peer.initial_credit).into()
    }

    fn body_too_large(&self) -> CallError {
        let limit = self.config.max_body;
        CallError::TooLarge { what: format!("a body over {limit} bytes") }
    }

    /// The other side broke the protocol: says so and ends the session.
    fn violated(&mut self, reason: &str) {
        self.goodbye(&Goodbye::new(ErrorCode::Protocol, reason));
        self.close(SessionEnd::Protocol { reason: reason.to_owned() });
    }
}
