//! What a session sends: items and answers as they are queued, and frames as they go out.

use bytes::Bytes;
use o_core::{Body, CallError};

use super::{
    ASSUMED_MAX_FRAME, CallId, SendError, Session,
    flow::{Outgoing, Piece, announced_length},
};
use crate::{
    frame::{self, FLAG_EMPTY, FLAG_END, Kind},
    header::{self, MAX_ERROR_DATA},
};

/// A body of this length is cheaper to write by itself than to copy behind its header, in bytes.
const LONG: usize = 16 * 1024;

impl Session {
    /// Sends an item: the caller's stream of ours, the answer to theirs. With `last`, the answer is
    /// complete and their call is over once it is sent.
    ///
    /// # Errors
    /// `Full` until [`Notice::Writable`](crate::Notice::Writable), `Gone` when the call is over,
    /// `TooLarge` over the limit of bodies; nothing was taken then.
    pub fn send(&mut self, id: CallId, body: Body, last: bool) -> Result<(), SendError> {
        self.may_send(id, body.len())?;
        let call = self.calls.get(&id.0).ok_or(SendError::Gone)?;
        let length = announced_length(&body.bytes);
        let header = header::encode_item(body.encoding, call.encoding, length);
        self.push_item(id, header, body, if last { FLAG_END } else { 0 });
        Ok(())
    }

    /// Sends an item, or says with `None` that it must wait and leaves it. An item that can never be
    /// sent is given up.
    pub(crate) fn send_or_wait(
        &mut self,
        id: CallId,
        body: &mut Body,
        last: bool,
    ) -> Option<Result<(), SendError>> {
        match self.may_send(id, body.len()) {
            Err(SendError::Full) => None,
            Err(error) => Some(Err(error)),
            Ok(()) => Some(self.send(id, std::mem::take(body), last)),
        }
    }

    /// Whether an item of `length` bytes would be taken now.
    fn may_send(&mut self, id: CallId, length: usize) -> Result<(), SendError> {
        if length > self.config.max_body {
            return Err(SendError::TooLarge);
        }
        let call = self.calls.get(&id.0).ok_or(SendError::Gone)?;
        if call.settled || call.outbox.ended {
            return Err(SendError::Gone);
        }
        let queued = call.outbox.queued;
        let own = queued >= self.config.send_buffer;
        if own || self.must_wait(queued, length) {
            self.hold(id.0, own);
            return Err(SendError::Full);
        }
        Ok(())
    }

    /// Ends our side of a call without a further item. It costs nothing, so there is always room.
    ///
    /// # Errors
    /// `Gone` when the call is over.
    pub fn finish(&mut self, id: CallId) -> Result<(), SendError> {
        let call = self.calls.get(&id.0).ok_or(SendError::Gone)?;
        if call.settled || call.outbox.ended {
            return Err(SendError::Gone);
        }
        self.push_item(id, Vec::new(), Body::default(), FLAG_END | FLAG_EMPTY);
        Ok(())
    }

    /// Answers their call with an error, after the items that are already queued.
    pub fn fail(&mut self, id: CallId, error: &CallError) {
        let Some(call) = self.calls.get(&id.0) else {
            return;
        };
        if call.ours || call.outbox.ended {
            return;
        }
        let (header, mut body) = header::encode_error(error);
        if body.len() > MAX_ERROR_DATA {
            // Half of an encoded value is worse than none.
            body.clear();
        }
        let outgoing = Outgoing {
            kind: Kind::Error,
            header,
            body,
            flags: 0,
            begun: false,
        };
        self.queue(id.0, outgoing);
        self.reschedule(id.0);
    }

    /// Appends frames to `out` until it holds `enough` bytes or nothing is left to send. Control
    /// frames go first, then calls by priority.
    pub fn transmit(&mut self, out: &mut Vec<u8>, enough: usize) {
        while out.len() < enough {
            let before = out.len();
            let body = self.transmit_apart(out, enough);
            out.extend_from_slice(&body);
            if out.len() == before {
                return;
            }
        }
    }

    /// As [`transmit`](Self::transmit), but ends with the first frame whose body is long, and returns
    /// that body instead of copying it: it has to follow `out`, and is empty where there is none.
    pub fn transmit_apart(&mut self, out: &mut Vec<u8>, enough: usize) -> Bytes {
        out.append(&mut self.control);
        self.say_parting(out);
        let max_frame = self
            .peer
            .as_ref()
            .map_or(ASSUMED_MAX_FRAME, |peer| peer.max_frame);
        while out.len() < enough {
            let Some(id) = self.schedule.pop() else {
                break;
            };
            match self.unsent.first() {
                Some(first) if first < id && self.unsent.contains(id) => {
                    self.open_first(out, first, id);
                }
                _ => {
                    let apart = self.transmit_one(out, id, max_frame as usize);
                    if !apart.is_empty() {
                        return apart;
                    }
                }
            }
        }
        Bytes::new()
    }

    /// Whether there is anything to send.
    pub fn has_output(&self) -> bool {
        !self.control.is_empty() || !self.schedule.is_empty() || self.owes_parting()
    }

    /// Whether frames should be read: not while answers to earlier ones wait to be sent.
    pub fn wants_input(&self) -> bool {
        self.end.is_none() && self.control.len() < self.config.max_control
    }

    /// Sends the head of call `first`, without its body, so that `id` may be opened after it.
    fn open_first(&mut self, out: &mut Vec<u8>, first: u64, id: u64) {
        if let Some(call) = self.calls.get(&id) {
            self.schedule.put_back(call.priority, id);
        }
        self.unsent.remove(first);
        let Some(call) = self.calls.get_mut(&first) else {
            return;
        };
        let queued = call.outbox.queued;
        let Some(piece) = call.outbox.next(0) else {
            return;
        };
        let taken = queued.saturating_sub(call.outbox.queued);
        let before = out.len();
        let _ = frame::encode(
            out,
            piece.kind,
            piece.flags,
            first,
            &piece.header,
            &piece.body,
        );
        let priority = call.priority;
        self.schedule.charge(priority, out.len() - before);
        self.release(taken);
    }

    /// One frame of call `id`. A long body is returned and not copied.
    fn transmit_one(&mut self, out: &mut Vec<u8>, id: u64, max_frame: usize) -> Bytes {
        let Some(call) = self.calls.get_mut(&id) else {
            return Bytes::new();
        };
        call.outbox.scheduled = false;
        if call.ours && !call.outbox.begun {
            self.unsent.remove(id);
        }
        let queued = call.outbox.queued;
        let Some(Piece {
            kind,
            flags,
            header,
            mut body,
        }) = call.outbox.next(max_frame)
        else {
            return Bytes::new();
        };
        let taken = queued.saturating_sub(call.outbox.queued);
        let before = out.len();
        // Headers are bounded when they are queued, pieces by the frame limit.
        let (apart, _) = match body.len() {
            length @ LONG.. => {
                let head = frame::encode_head(out, kind, flags, id, &header, length);
                (std::mem::take(&mut body), head)
            }
            _ => {
                let whole = frame::encode(out, kind, flags, id, &header, &body);
                (Bytes::new(), whole)
            }
        };
        let priority = call.priority;
        let again = call.outbox.is_ready();
        call.outbox.scheduled = again;
        let over = !call.ours && (flags & FLAG_END != 0 || kind == Kind::Error);
        self.release(taken);
        self.unhold(id);
        self.schedule
            .charge(priority, out.len() - before + apart.len());
        if over {
            self.drop_theirs(id);
        } else if again {
            self.schedule.push(priority, id);
        }
        apart
    }

    fn push_item(&mut self, id: CallId, header: Vec<u8>, body: Body, flags: u8) {
        let outgoing = Outgoing {
            kind: Kind::Item,
            header,
            body: body.bytes,
            flags,
            begun: false,
        };
        self.queue(id.0, outgoing);
        self.reschedule(id.0);
    }

    pub(super) fn reschedule(&mut self, id: u64) {
        if let Some(call) = self.calls.get_mut(&id)
            && !call.outbox.scheduled
            && call.outbox.is_ready()
        {
            call.outbox.scheduled = true;
            self.schedule.push(call.priority, id);
        }
    }

    pub(super) fn send_error(&mut self, id: u64, error: &CallError) {
        let (header, _) = header::encode_error(error);
        self.control(Kind::Error, 0, id, &header);
    }

    pub(super) fn control(&mut self, kind: Kind, flags: u8, id: u64, header: &[u8]) {
        // Headers made here are far below the limit of the length field.
        let _ = frame::encode(&mut self.control, kind, flags, id, header, &[]);
    }

    pub(super) fn return_credit(&mut self, id: u64) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if let Some(credit) = call.inbox.credit_due() {
            self.control(Kind::Credit, 0, id, &header::encode_credit(credit));
        }
    }
}
