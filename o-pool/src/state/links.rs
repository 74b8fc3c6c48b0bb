//! The connections of a pool: taking in, lending, removing.

use std::sync::Arc;

use futures::future::{AbortHandle, AbortRegistration};
use o_address::PeerId;
use o_core::Direction;
use tokio::time::Instant;

use super::{Closing, PoolState, Slot};
use crate::{Lease, Link, lease::Entry};

impl<L: Link, T: Clone> PoolState<L, T> {
    /// A lease on the best live connection to `peer`, without dialing.
    pub(crate) fn lease(&mut self, peer: &PeerId) -> Option<Lease<L>> {
        let mut slots = self.peers.get_mut(peer)?;
        if slots.iter().any(|slot| !slot.entry.link.is_alive()) {
            self.remove_dead(peer);
            slots = self.peers.get_mut(peer)?;
        }
        let best = slots.iter().max_by_key(|slot| slot.preference())?;
        self.totals.reused_total += 1;
        Some(best.entry.lease())
    }

    /// Puts a connection into the pool, perhaps in the place of another one, which is given back.
    ///
    /// # Errors
    /// The limit that forbids it, and the link.
    #[expect(
        clippy::type_complexity,
        reason = "the caller takes it apart at once, a type of its own would be longer"
    )]
    pub(super) fn insert(
        &mut self,
        peer: PeerId,
        link: L,
        direction: Direction,
        now: Instant,
    ) -> Result<(Arc<Entry<L>>, Option<Closing<L>>), (&'static str, L)> {
        self.remove_dead(&peer);
        let links = self.peers.get(&peer).map_or(0, Vec::len);
        let (limit, among) = if links >= self.config.max_links_per_peer {
            ("max_links_per_peer", Some(&peer))
        } else if self.connections >= self.config.max_connections {
            ("max_connections", None)
        } else {
            let entry = self.push(peer, link, direction, now);
            return Ok((entry, None));
        };
        let Some((victim, serial)) = self.least_recent(now, among) else {
            return Err((limit, link));
        };
        let evicted = self.remove(&victim, serial, "too many connections");
        self.totals.evicted_lru += 1;
        let entry = self.push(peer, link, direction, now);
        Ok((entry, evicted))
    }

    fn push(&mut self, peer: PeerId, link: L, direction: Direction, now: Instant) -> Arc<Entry<L>> {
        let serial = self.next_serial;
        self.next_serial += 1;
        let (watch, registration) = AbortHandle::new_pair();
        let calls_seen = link.calls_started();
        let entry = Arc::new(Entry::new(link, peer, direction, serial, now, watch));
        self.peers.entry(peer).or_default().push(Slot {
            entry: Arc::clone(&entry),
            calls_seen,
        });
        self.unwatched.push((Arc::clone(&entry), registration));
        self.connections += 1;
        entry
    }

    /// The connections that have come since the last time, to be watched until they die.
    pub(crate) fn take_unwatched(&mut self) -> Vec<(Arc<Entry<L>>, AbortRegistration)> {
        std::mem::take(&mut self.unwatched)
    }

    /// The connection has died.
    pub(crate) fn died(&mut self, peer: &PeerId, serial: u64) {
        if self.remove(peer, serial, "").is_some() {
            self.totals.lost_total += 1;
        }
    }

    /// The connection is to be lent no longer; it is not closed. Says whether it was there.
    pub(crate) fn forget(&mut self, peer: &PeerId, link: &L) -> bool {
        let serial = self.known(peer, link).map(|entry| entry.serial);
        serial.is_some_and(|serial| self.remove(peer, serial, "").is_some())
    }

    /// The entry of this connection, if it is in the pool.
    pub(super) fn known(&self, peer: &PeerId, link: &L) -> Option<Arc<Entry<L>>> {
        let id = link.id();
        let slots = self.peers.get(peer)?;
        let slot = slots.iter().find(|slot| slot.entry.link.id() == id)?;
        Some(Arc::clone(&slot.entry))
    }

    /// Removes all connections to `peer`.
    pub(crate) fn remove_peer(&mut self, peer: &PeerId, reason: &'static str) -> Vec<Closing<L>> {
        self.remove_where(peer, reason, |_| true)
    }

    fn remove_dead(&mut self, peer: &PeerId) {
        let dead = self.remove_where(peer, "", |slot| !slot.entry.link.is_alive());
        self.totals.lost_total += dead.len() as u64;
    }

    pub(super) fn remove(
        &mut self,
        peer: &PeerId,
        serial: u64,
        reason: &'static str,
    ) -> Option<Closing<L>> {
        let mut removed = self.remove_where(peer, reason, |slot| slot.entry.serial == serial);
        removed.pop()
    }

    fn remove_where(
        &mut self,
        peer: &PeerId,
        reason: &'static str,
        mut which: impl FnMut(&Slot<L>) -> bool,
    ) -> Vec<Closing<L>> {
        let Some(slots) = self.peers.get_mut(peer) else {
            return Vec::new();
        };
        let removed: Vec<_> = slots.extract_if(.., |slot| which(slot)).collect();
        if slots.is_empty() {
            self.peers.remove(peer);
        }
        self.connections -= removed.len();
        let mut closing = Vec::with_capacity(removed.len());
        for Slot { entry, .. } in removed {
            entry.watch.abort();
            self.unwatched
                .retain(|(unwatched, _)| unwatched.serial != entry.serial);
            let link = entry.link.clone();
            closing.push(Closing {
                link,
                reason,
                refused: false,
            });
        }
        closing
    }
}

impl<L: Link> Slot<L> {
    /// Orders the connections to one peer: by rank, and then the newest. A peer that connects
    /// anew may have lost the older one, and both sides see them in the same order, mostly.
    pub(super) fn preference(&self) -> (u32, u64) {
        (self.entry.link.rank(), self.entry.serial)
    }

    /// Whether nobody uses it at the moment.
    pub(super) fn is_quiet(&self) -> bool {
        self.entry.leases() == 0 && self.entry.link.active_calls() == 0
    }
}
