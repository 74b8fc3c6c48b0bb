//! Which connections have to go, and when.

use std::time::Duration;

use o_address::PeerId;
use o_core::Direction;
use tokio::time::Instant;

use super::{Closing, PoolState, Slot};
use crate::Link;

/// Why a connection leaves by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// It is dead.
    Dead,
    /// We dialed it and need it no longer.
    Idle,
    /// Nobody uses it and there is a better one.
    Duplicate,
}

impl<L: Link, T: Clone> PoolState<L, T> {
    /// What is due from time to time: dead connections leave, idle ones and those above the high
    /// water mark are given back to be closed, old failures are forgotten.
    pub(crate) fn sweep(&mut self, now: Instant) -> Vec<Closing<L>> {
        let (timeout, settled) = (self.config.idle_timeout, self.config.poll_interval);
        let mut leaving = Vec::new();
        for (peer, slots) in &mut self.peers {
            let alive = |slot: &&mut Slot<L>| slot.entry.link.is_alive();
            let best = slots.iter_mut().filter(alive).map(|slot| {
                slot.observe(now);
                slot.preference()
            });
            let best = best.max().unwrap_or_default();
            for slot in slots {
                let protected = || self.protected.contains_key(peer);
                let outranked = slot.preference().0 < best.0;
                let timeout = if outranked {
                    settled.min(timeout)
                } else {
                    timeout
                };
                if let Some(why) = slot.leaves(best, protected, timeout, now) {
                    leaving.push((slot.entry.last_used(), *peer, slot.entry.serial, why));
                }
            }
        }
        leaving.sort_unstable_by_key(|(used, ..)| *used);
        let mut closing = Vec::new();
        for (_, peer, serial, why) in leaving {
            let (reason, total) = match why {
                Why::Dead => {
                    self.died(&peer, serial);
                    continue;
                }
                Why::Idle if self.peers.len() <= self.config.min_connections => continue,
                Why::Idle => ("idle", &mut self.totals.evicted_idle),
                Why::Duplicate => ("duplicate", &mut self.totals.evicted_duplicate),
            };
            *total += 1;
            closing.extend(self.remove(&peer, serial, reason));
        }
        closing.extend(self.trim(now));
        self.backoffs.expire(now);
        closing
    }

    /// Removes the least recently used connections, if there are more than the high water mark
    /// allows, until the low one is reached.
    pub(crate) fn trim(&mut self, now: Instant) -> Vec<Closing<L>> {
        if self.connections <= self.config.high() {
            return Vec::new();
        }
        let excess = self.connections - self.config.low();
        let mut candidates: Vec<_> = self.evictable(now, None).collect();
        candidates.sort_unstable_by_key(|(age, _)| *age);
        let victims: Vec<_> = candidates
            .into_iter()
            .take(excess)
            .map(|((_, serial), peer)| (peer, serial))
            .collect();
        let closing: Vec<_> = victims
            .iter()
            .filter_map(|(peer, serial)| self.remove(peer, *serial, "least recently used"))
            .collect();
        self.totals.evicted_lru += closing.len() as u64;
        closing
    }

    /// The connection to sacrifice for a new one, in all or `among` those to one peer.
    pub(super) fn least_recent(
        &self,
        now: Instant,
        among: Option<&PeerId>,
    ) -> Option<(PeerId, u64)> {
        let ((_, serial), peer) = self.evictable(now, among).min_by_key(|(age, _)| *age)?;
        Some((peer, serial))
    }

    /// The connections that may be evicted, with their last use and serial number. When only one
    /// peer's are asked for, the new one takes the place of an old one, so that protection and
    /// grace do not matter.
    fn evictable(
        &self,
        now: Instant,
        among: Option<&PeerId>,
    ) -> impl Iterator<Item = ((Instant, u64), PeerId)> {
        let one = among.and_then(|peer| self.peers.get_key_value(peer));
        let all = among.is_none().then_some(&self.peers).into_iter().flatten();
        all.filter(|(peer, _)| !self.protected.contains_key(*peer))
            .chain(one)
            .flat_map(|(peer, slots)| slots.iter().map(move |slot| (peer, slot)))
            .filter(move |(_, slot)| {
                let age = now.saturating_duration_since(slot.entry.created);
                (among.is_some() || age >= self.config.grace) && slot.is_quiet()
            })
            .map(|(peer, slot)| ((slot.entry.last_used(), slot.entry.serial), *peer))
    }
}

impl<L: Link> Slot<L> {
    /// Notes whether it was in use since it was last looked at.
    fn observe(&mut self, now: Instant) {
        let calls = self.entry.link.calls_started();
        if calls != self.calls_seen || !self.is_quiet() {
            self.calls_seen = calls;
            self.entry.touch(now);
        }
    }

    /// Whether and why it leaves, when `best` is the preferred connection to the peer.
    ///
    /// Which of two equals is preferred, each side decides by itself. So that the two do not close
    /// both, protection spares a duplicate too, unless the ranks, on which they agree, differ.
    fn leaves(
        &self,
        best: (u32, u64),
        protected: impl FnOnce() -> bool,
        timeout: Duration,
        now: Instant,
    ) -> Option<Why> {
        if !self.entry.link.is_alive() {
            return Some(Why::Dead);
        }
        let unused = now.saturating_duration_since(self.entry.last_used());
        if unused < timeout || !self.is_quiet() {
            return None;
        }
        let mine = self.preference();
        let protected = protected();
        if mine < best && (!protected || mine.0 < best.0) {
            Some(Why::Duplicate)
        } else if self.entry.direction == Direction::Outbound && !protected {
            Some(Why::Idle)
        } else {
            None
        }
    }
}
