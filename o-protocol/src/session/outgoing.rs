//! The bound on what all calls together have waiting to be sent.

use o_core::CallError;

use super::{CallId, Notice, Session, flow::Outgoing};

/// Body that a call with nothing waiting may queue whatever the others have, in bytes: small answers
/// always go on.
const ALWAYS: usize = 64 * 1024;

impl Session {
    /// Whether as many bytes wait to be sent as all calls together may have.
    pub(super) fn is_outgoing_full(&self) -> bool {
        self.outgoing >= self.config.max_outgoing
    }

    /// Whether a body of `length` bytes must wait for other calls, when its own has `queued` bytes.
    pub(super) fn must_wait(&self, queued: usize, length: usize) -> bool {
        self.is_outgoing_full() && (queued > 0 || length > ALWAYS)
    }

    pub(super) fn outgoing_busy(&self) -> CallError {
        let limit = self.config.max_outgoing;
        CallError::Busy {
            reason: format!("{limit} bytes wait to be sent on this connection"),
        }
    }

    /// Queues something on a call.
    pub(super) fn queue(&mut self, id: u64, outgoing: Outgoing) {
        if let Some(call) = self.calls.get_mut(&id) {
            let before = call.outbox.queued;
            call.outbox.push(outgoing);
            let more = call.outbox.queued.saturating_sub(before);
            self.outgoing = self.outgoing.saturating_add(more);
        }
    }

    /// Bytes do not wait any more: they were sent or dropped.
    pub(super) fn release(&mut self, bytes: usize) {
        self.outgoing = self.outgoing.saturating_sub(bytes);
        // Not for every frame below the limit: each time, all that are held try again.
        let limit = self.config.max_outgoing;
        if self.held.is_empty() || self.outgoing > limit - limit / 8 {
            return;
        }
        for id in std::mem::take(&mut self.held) {
            self.tell_writable(id);
        }
    }

    /// Has the producer of a call wait, for its `own` queue or for those of all.
    pub(super) fn hold(&mut self, id: u64, own: bool) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.outbox.held = true;
            if !own {
                self.held.insert(id);
            }
        }
    }

    /// After a piece of call `id` was taken: lets its producer go on if there is room.
    pub(super) fn unhold(&mut self, id: u64) {
        let full = self.is_outgoing_full();
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        if !call.outbox.held || call.outbox.queued >= self.config.send_buffer {
            return;
        }
        if full && call.outbox.queued > 0 {
            self.held.insert(id);
        } else {
            self.held.remove(&id);
            self.tell_writable(id);
        }
    }

    fn tell_writable(&mut self, id: u64) {
        if let Some(call) = self.calls.get_mut(&id)
            && std::mem::take(&mut call.outbox.held)
        {
            self.notices.push_back(Notice::Writable(CallId(id)));
        }
    }
}
