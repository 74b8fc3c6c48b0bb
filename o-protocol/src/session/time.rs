//! Deadlines, pings and the time-out of HELLO.

use std::time::{Duration, Instant};

use o_core::CallError;

use super::{Session, SessionEnd, parting::Parting, receive::MIN_DRAIN};
use crate::frame::Kind;

impl Session {
    /// When [`Session::on_timeout`] should be called at the latest.
    pub fn next_timeout(&self) -> Option<Instant> {
        if self.end.is_some() {
            return None;
        }
        let deadline = self.next_deadline();
        let hello = self
            .peer
            .is_none()
            .then(|| self.opened.checked_add(self.config.hello_timeout))
            .flatten();
        let ping = match self.pinged {
            Some(at) => at.checked_add(self.config.ping_timeout),
            None if self.peer.is_some() => self.last_received.checked_add(self.config.ping_after),
            None => None,
        };
        let leave = self.leave.map(|(at, _)| at);
        let part = self.parting.as_ref().map(Parting::until);
        [deadline, hello, ping, leave, part]
            .into_iter()
            .flatten()
            .min()
    }

    /// Ends what has run out of time at `now`, and pings a connection that has gone silent.
    pub fn on_timeout(&mut self, now: Instant) {
        if self.end.is_some() {
            return;
        }
        self.expire(now);
        self.check_parting(now);
        self.check_leave(now);
        if self.end.is_some() {
            return;
        }
        if self.peer.is_none() && passed(self.opened, self.config.hello_timeout, now) {
            self.close(SessionEnd::Lost {
                reason: "the other side said no HELLO in time".into(),
            });
        } else if let Some(at) = self.pinged {
            if passed(at, self.config.ping_timeout, now) {
                self.close(SessionEnd::Lost {
                    reason: "a ping stayed unanswered".into(),
                });
            }
        } else if self.peer.is_some() && passed(self.last_received, self.config.ping_after, now) {
            self.pinged = Some(now);
            self.control(Kind::Ping, 0, 0, &[]);
        }
    }

    /// Ends the calls whose deadline has passed at `now`, and nothing else: silence means nothing as
    /// long as nobody has looked whether something arrived.
    pub fn expire(&mut self, now: Instant) {
        while let Some((at, id)) = self.deadlines.first()
            && at <= now
        {
            self.deadlines.remove((at, id));
            self.time_out(id, now);
        }
    }

    /// The earliest deadline of a call.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| at)
    }

    /// Ends a session that the other side said goodbye to, and then left open without calls. When
    /// calls ran until now, it has a little longer, so that their last bytes come through.
    fn check_leave(&mut self, now: Instant) {
        let Some((_, ran)) = self.leave.filter(|(at, _)| *at <= now) else {
            return;
        };
        let runs = self.active_calls() > 0;
        if runs || ran {
            self.leave = now.checked_add(MIN_DRAIN).map(|at| (at, runs));
        } else {
            self.close(SessionEnd::ShuttingDown);
        }
    }

    fn time_out(&mut self, id: u64, now: Instant) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
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
}

fn passed(since: Instant, limit: Duration, now: Instant) -> bool {
    now.saturating_duration_since(since) >= limit
}
