//! The end of an idle session, on which both sides agree so that no call is lost.

use std::time::{Duration, Instant};

use o_core::ErrorCode;

use super::Session;
use crate::{
    frame::{self, Kind},
    header::Goodbye,
};

/// How long calls are still taken after a goodbye for idleness that the other side does not answer: an
/// older version never does.
const PATIENCE: Duration = Duration::from_secs(2);

/// A goodbye for idleness, from when it is decided until calls are no longer taken.
#[derive(Debug)]
pub(super) struct Parting {
    reason: String,
    /// Whether it has gone out. It follows our last CALL, so that whoever has heard it knows that no
    /// other one is on its way.
    said: bool,
    until: Instant,
}

impl Parting {
    /// When the other side's answer is no longer waited for.
    pub(super) fn until(&self) -> Instant {
        self.until
    }
}

impl Session {
    /// Opens no calls from now on because nobody needs the connection. Unlike after
    /// [`goodbye`](Session::goodbye), calls of the other side's that are on their way are taken, until it
    /// has said goodbye too. No such call fails, and it is for two seconds that an answer is waited for.
    pub fn part(&mut self, reason: impl Into<String>, now: Instant) {
        let Some(until) = now.checked_add(PATIENCE).filter(|_| self.is_staying()) else {
            return;
        };
        self.leaving = true;
        self.idle = true;
        self.parting = Some(Parting {
            reason: reason.into(),
            said: false,
            until,
        });
    }

    /// Whether idleness is why the session ends or has ended: the other side goes on, and may be dialed
    /// anew.
    pub fn is_parting(&self) -> bool {
        self.idle
    }

    fn is_staying(&self) -> bool {
        self.end.is_none() && !self.leaving
    }

    /// Whether both sides have said that they open no more calls, and ours is out.
    pub(super) fn has_parted(&self, parting: &Parting) -> bool {
        parting.said && self.peer_parting
    }

    /// Whether the session is over by agreement, so that the end of the stream is no news.
    pub(super) fn is_parted(&self) -> bool {
        self.parting.as_ref().is_some_and(|parting| parting.said) && self.calls.is_empty()
    }

    /// Whether the goodbye is due.
    pub(super) fn owes_parting(&self) -> bool {
        let unsaid = self.parting.as_ref().is_some_and(|parting| !parting.said);
        unsaid && self.unsent.first().is_none()
    }

    /// Says the goodbye behind everything that was sent before it.
    pub(super) fn say_parting(&mut self, out: &mut Vec<u8>) {
        if !self.owes_parting() {
            return;
        }
        let Some(parting) = &mut self.parting else {
            return;
        };
        parting.said = true;
        let goodbye = Goodbye {
            drain: PATIENCE,
            idle: true,
            ..Goodbye::new(ErrorCode::ShuttingDown, parting.reason.as_str())
        };
        let _ = frame::encode(out, Kind::Goodbye, 0, 0, &goodbye.encode(), &[]);
    }

    /// Takes no more calls of a side that has had its time to stop opening them.
    pub(super) fn check_parting(&mut self, now: Instant) {
        let Some(parting) = self.parting.take_if(|parting| parting.until <= now) else {
            return;
        };
        if parting.said && self.peer_parting {
            return;
        }
        self.last_words(&Goodbye::new(ErrorCode::ShuttingDown, parting.reason));
    }
}
