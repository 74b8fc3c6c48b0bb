//! What each kind of frame does to a session.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use o_core::{CallError, ErrorCode};

use super::{
    ASSUMED_CREDIT, ASSUMED_MAX_FRAME, Call, CallId, Notice, Session, SessionEnd, Side,
    flow::{Accepted, Inbox, Outbox},
    recent::Recent,
};
use crate::{
    frame::{FLAG_END, FLAG_MORE, FLAG_PONG, Frame, FrameError, Kind},
    header::{self, ErrorContext, Goodbye, HeaderError, Hello, MAX_ERROR_DATA, MAX_HEADER},
};

/// How long a side that said goodbye is given to end the stream when no calls are open: what it asks
/// for, within these.
pub(super) const MIN_DRAIN: Duration = Duration::from_secs(1);
const MAX_DRAIN: Duration = Duration::from_secs(30);

impl Session {
    /// Takes in one frame. What it breaks ends the session, with a goodbye that says why.
    pub fn receive(&mut self, frame: &Frame<'_>, now: Instant) {
        if self.end.is_some() {
            return;
        }
        self.last_received = now;
        self.pinged = None;
        // A kind that this version does not know is skipped: its length says how far.
        let Some(kind) = Kind::from_number(frame.kind) else {
            return;
        };
        if self.peer.is_none() && !matches!(kind, Kind::Hello | Kind::Goodbye) {
            return self.violated("the first frame is not HELLO");
        }
        if frame.header.len() > MAX_HEADER {
            return self.violated("a header over 16 KiB");
        }
        let done = match kind {
            Kind::Hello => self.on_hello(frame),
            Kind::Call => self.on_call(frame, now),
            Kind::Item => self.on_item(frame),
            Kind::Error => self.on_error(frame, now),
            Kind::Cancel => self.on_cancel(frame),
            Kind::Credit => self.on_credit(frame),
            Kind::Ping => {
                if !frame.has(FLAG_PONG) {
                    self.control(Kind::Ping, FLAG_PONG, frame.id, &[]);
                }
                Ok(())
            }
            Kind::Goodbye => self.on_goodbye(frame, now),
        };
        if let Err(error) = done {
            self.violated(&error.to_string());
        }
    }

    /// Bytes arrived that are no frame.
    pub fn receive_garbage(&mut self, error: FrameError) {
        self.violated(&error.to_string());
    }

    /// The stream has ended. That proves nothing, so calls that are open are lost.
    pub fn receive_end(&mut self) {
        let end = if self.peer.is_none() && self.side == Side::Dialer {
            let reason = "the connection was closed before a HELLO".into();
            SessionEnd::Refused {
                reason,
                certain: false,
            }
        } else if self.peer_leaving && !self.is_parted() {
            SessionEnd::ShuttingDown
        } else if self.leaving && self.calls.is_empty() {
            SessionEnd::Finished
        } else {
            SessionEnd::Lost {
                reason: "the stream ended".into(),
            }
        };
        self.close(end);
    }

    fn on_hello(&mut self, frame: &Frame<'_>) -> Result<(), HeaderError> {
        if self.peer.is_some() {
            self.violated("a second HELLO");
            return Ok(());
        }
        let hello = Hello::decode(frame.header)?;
        if hello.network != self.network {
            let reason = format!(
                "network `{}` and network `{}` do not mix",
                self.network, hello.network
            );
            self.last_words(&Goodbye::new(ErrorCode::Refused, reason.clone()));
            self.close(SessionEnd::Refused {
                reason,
                certain: true,
            });
            return Ok(());
        }
        if hello.initial_credit < ASSUMED_CREDIT || hello.max_frame < ASSUMED_MAX_FRAME {
            self.violated("a HELLO with limits below those assumed before it");
            return Ok(());
        }
        // Calls that went ahead of this HELLO did so on the assumed credit.
        let more = u64::from(hello.initial_credit - ASSUMED_CREDIT);
        let ids: Vec<u64> = self.calls.keys().copied().collect();
        for id in ids {
            if let Some(call) = self.calls.get_mut(&id) {
                call.outbox.credit = call.outbox.credit.saturating_add(more);
            }
            self.reschedule(id);
        }
        self.peer = Some(Arc::new(hello));
        self.notices.push_back(Notice::Hello);
        Ok(())
    }

    fn on_call(&mut self, frame: &Frame<'_>, now: Instant) -> Result<(), HeaderError> {
        let id = frame.id;
        if self.is_our_id(id) || id <= self.last_their_id {
            self.violated("a call id that is not the next of the caller's side");
            return Ok(());
        }
        self.last_their_id = id;
        let header = match Recent::decode(&mut self.recent, frame.header, now) {
            Ok(header) => header,
            Err(error @ HeaderError::Malformed { .. }) => return Err(error),
            Err(error) => {
                self.send_error(id, &error.into());
                return Ok(());
            }
        };
        if self.leaving && self.parting.is_none() {
            self.send_error(id, &CallError::ShuttingDown);
            return Ok(());
        }
        if self.their_calls >= self.config.max_calls as usize {
            let reason = format!("{} calls on this connection", self.config.max_calls);
            self.send_error(id, &CallError::Busy { reason });
            return Ok(());
        }
        if self.is_outgoing_full() {
            self.send_error(id, &self.outgoing_busy());
            return Ok(());
        }
        if let Some(deadline) = header.terms.deadline {
            self.deadlines.insert((deadline, id));
        }
        let inbox = Inbox::new(self.config.initial_credit.into());
        let outbox = Outbox::new(self.peer_credit());
        let mut call = Call::new(&header, now, inbox, outbox);
        call.header = Some(Box::new(header));
        self.calls.insert(id, call);
        self.their_calls += 1;
        self.on_item(frame)
    }

    fn on_item(&mut self, frame: &Frame<'_>) -> Result<(), HeaderError> {
        let id = frame.id;
        let Some(call) = self.calls.get_mut(&id) else {
            if !self.was_opened(id) {
                self.violated("an item of a call that was never opened");
            }
            return Ok(());
        };
        if call.settled {
            return Ok(());
        }
        let encoding = match Kind::from_number(frame.kind) {
            Some(Kind::Item) if !call.inbox.is_partial() => {
                match header::decode_item(frame.header, call.encoding) {
                    Ok(encoding) => encoding,
                    Err(error @ HeaderError::Malformed { .. }) => return Err(error),
                    Err(error) => {
                        // A value that this version does not know ends the call, not the others.
                        let ours = call.ours;
                        self.give_up(id, if ours { in_reply(error) } else { error.into() });
                        return Ok(());
                    }
                }
            }
            _ => call.encoding,
        };
        let before = call.inbox.held;
        let accepted = call.inbox.accept(frame, encoding, self.config.max_body);
        self.buffered = (self.buffered + call.inbox.held).saturating_sub(before);
        match accepted {
            Accepted::Violation(reason) => self.violated(reason),
            Accepted::TooLarge => {
                let error = self.body_too_large();
                self.give_up(id, error);
            }
            _ if self.buffered > self.config.max_buffered => {
                let what = "more bytes wait to be read than are held for all calls".to_owned();
                // Busy means that nothing ran.
                let error = match self.calls.get(&id) {
                    Some(call) if !call.announced => CallError::Busy { reason: what },
                    _ => CallError::TooLarge { what },
                };
                self.give_up(id, error);
            }
            Accepted::Item | Accepted::Quiet => self.on_accepted(id, frame, accepted),
        }
        Ok(())
    }

    fn on_accepted(&mut self, id: u64, frame: &Frame<'_>, accepted: Accepted) {
        self.return_credit(id);
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if call.ours {
            if call.inbox.ended {
                self.settle(id, None);
            } else if accepted == Accepted::Item {
                self.notices.push_back(Notice::Readable(CallId(id)));
            }
            return;
        }
        if !call.announced {
            if accepted == Accepted::Item {
                if call.shape.streams_in() || call.inbox.ended {
                    call.announced = true;
                    self.notices.push_back(Notice::Incoming(CallId(id)));
                } else {
                    self.violated(
                        "a call without an input stream does not end with its parameters",
                    );
                }
            } else if !frame.has(FLAG_MORE) {
                self.violated("a call without parameters");
            }
        } else if accepted == Accepted::Item || frame.has(FLAG_END) {
            self.notices.push_back(Notice::Readable(CallId(id)));
        }
    }

    /// Ends a call over a limit of ours.
    fn give_up(&mut self, id: u64, error: CallError) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if call.ours {
            self.buffered = self.buffered.saturating_sub(call.inbox.clear());
            self.settle(id, Some(error));
            self.control(Kind::Cancel, 0, id, &[]);
        } else {
            self.refuse_theirs(id, &error);
        }
    }

    fn on_error(&mut self, frame: &Frame<'_>, now: Instant) -> Result<(), HeaderError> {
        let id = frame.id;
        let ours = self.calls.get(&id).filter(|call| call.ours);
        let asked = ours.and_then(|call| Some((call, call.asked.as_ref()?)));
        let Some((call, (target, method))) = asked else {
            if !self.is_our_id(id) || !self.was_opened(id) {
                self.violated("an error for a call that was never opened");
            }
            return Ok(());
        };
        let context = ErrorContext {
            target,
            method,
            shape: call.shape,
            elapsed: now.saturating_duration_since(call.opened),
        };
        let data = Bytes::copy_from_slice(match frame.body.len() {
            0..=MAX_ERROR_DATA => frame.body,
            _ => &[],
        });
        let error = match header::decode_error(frame.header, data, &context) {
            Err(error @ HeaderError::Malformed { .. }) => return Err(error),
            // Whatever it says, the call is over.
            Err(error) => in_reply(error),
            Ok(error) => error,
        };
        self.settle(id, Some(error));
        Ok(())
    }

    fn on_cancel(&mut self, frame: &Frame<'_>) -> Result<(), HeaderError> {
        if self.is_our_id(frame.id) {
            self.violated("only the caller cancels");
        } else if self.was_opened(frame.id) {
            self.drop_theirs(frame.id);
        } else {
            self.violated("a cancel of a call that was never opened");
        }
        Ok(())
    }

    fn on_credit(&mut self, frame: &Frame<'_>) -> Result<(), HeaderError> {
        let credit = header::decode_credit(frame.header)?;
        if let Some(call) = self.calls.get_mut(&frame.id) {
            call.outbox.credit = call.outbox.credit.saturating_add(credit);
            self.reschedule(frame.id);
        } else if !self.was_opened(frame.id) {
            self.violated("credit for a call that was never opened");
        }
        Ok(())
    }

    fn on_goodbye(&mut self, frame: &Frame<'_>, now: Instant) -> Result<(), HeaderError> {
        let goodbye = Goodbye::decode(frame.header)?;
        let reason = goodbye.message;
        match ErrorCode::from_number(goodbye.code) {
            Some(ErrorCode::Busy) => {
                // What was not taken never runs, and may be made elsewhere.
                if let Some(last) = goodbye.last {
                    self.not_taken_after(last);
                }
                self.close(SessionEnd::Busy { reason });
            }
            Some(ErrorCode::Refused) => {
                self.close(SessionEnd::Refused {
                    reason,
                    certain: true,
                });
            }
            Some(ErrorCode::Protocol) => self.close(SessionEnd::Protocol { reason }),
            _ => {
                if !self.peer_leaving {
                    self.peer_leaving = true;
                    let wait = goodbye.drain.clamp(MIN_DRAIN, MAX_DRAIN);
                    self.leave = now.checked_add(wait).map(|at| (at, false));
                }
                self.notices.push_back(Notice::Goodbye);
                if goodbye.idle {
                    self.peer_parting = true;
                    self.part(reason, now);
                } else if self.parting.is_none() && !self.peer_parting {
                    self.idle = false;
                }
                if let Some(last) = goodbye.last {
                    self.not_taken_after(last);
                }
            }
        }
        Ok(())
    }

    /// Ends the calls of ours that the other side has not taken and never will: nothing ran.
    fn not_taken_after(&mut self, last: u64) {
        let late = |(id, call): (&u64, &Call)| (call.ours && *id > last).then_some(*id);
        let mut late: Vec<u64> = self.calls.iter().filter_map(late).collect();
        late.sort_unstable();
        for id in late {
            self.settle(id, Some(CallError::ShuttingDown));
        }
    }

    fn is_our_id(&self, id: u64) -> bool {
        (id % 2 == 1) == (self.side == Side::Dialer)
    }

    fn was_opened(&self, id: u64) -> bool {
        if self.is_our_id(id) {
            id < self.next_id && id > 0
        } else {
            id <= self.last_their_id
        }
    }
}

/// A header of the callee's that cannot be used, as the caller sees it.
fn in_reply(error: HeaderError) -> CallError {
    match error {
        HeaderError::BadValue { .. } => CallError::InvalidReply {
            message: error.to_string(),
        },
        other => other.into(),
    }
}
