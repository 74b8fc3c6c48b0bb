//! Names that were withdrawn, remembered so that older records do not bring them back.

use std::{collections::BTreeMap, time::SystemTime};

use o_address::{Address, PeerId};
use o_core::SignedTombstone;

/// One peer may have one in so many of them.
const SHARES: usize = 16;

/// Withdrawals, one for each peer and name.
///
/// Where there is no room, the one that would be forgotten first makes room: of the same peer, once it
/// has its share, so that one peer alone makes others forget nothing.
#[derive(Debug)]
pub(super) struct Withdrawals {
    limit: usize,
    held: BTreeMap<PeerId, BTreeMap<Address, Held>>,
    count: usize,
}

#[derive(Debug)]
struct Held {
    tombstone: SignedTombstone,
    until: SystemTime,
}

impl Withdrawals {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            held: BTreeMap::new(),
            count: 0,
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &SignedTombstone> {
        let all = self.held.values().flat_map(BTreeMap::values);
        all.map(|held| &held.tombstone)
    }

    /// Up to which sequence number a name is withdrawn.
    pub(super) fn up_to(&self, name: &Address, peer: &PeerId, now: SystemTime) -> Option<u64> {
        let held = self.held.get(peer)?.get(name)?;
        (held.until >= now).then_some(held.tombstone.tombstone().sequence)
    }

    /// Remembers one that is later than what is remembered of its name.
    pub(super) fn insert(&mut self, signed: &SignedTombstone, now: SystemTime) {
        let tombstone = signed.tombstone();
        let (name, peer) = (tombstone.address.without_pin(), tombstone.peer);
        let before = self.up_to(&name, &peer, now);
        if self.limit == 0 || before.is_some_and(|before| before >= tombstone.sequence) {
            return;
        }
        let known = self
            .held
            .get(&peer)
            .is_some_and(|of| of.contains_key(&name));
        if !known {
            self.make_room(&peer, now);
            self.count += 1;
        }
        let held = Held {
            tombstone: signed.clone(),
            until: tombstone.times.holds_until(now),
        };
        self.held.entry(peer).or_default().insert(name, held);
    }

    pub(super) fn expire(&mut self, now: SystemTime) {
        self.held.retain(|_, of_peer| {
            of_peer.retain(|_, held| held.until >= now);
            !of_peer.is_empty()
        });
        self.count = self.held.values().map(BTreeMap::len).sum();
    }

    fn make_room(&mut self, peer: &PeerId, now: SystemTime) {
        let share = (self.limit / SHARES).max(1);
        if self.held.get(peer).is_some_and(|of| of.len() >= share) {
            return self.remove_next(Some(*peer));
        }
        if self.count >= self.limit {
            self.expire(now);
        }
        if self.count >= self.limit {
            self.remove_next(None);
        }
    }

    /// Forgets the one that would be forgotten first, of all or of one peer.
    fn remove_next(&mut self, peer: Option<PeerId>) {
        let peers = self.held.iter();
        let peers = peers.filter(|(held, _)| peer.is_none_or(|peer| peer == **held));
        let all = peers
            .flat_map(|(peer, of)| of.iter().map(move |(name, held)| (held.until, peer, name)));
        let Some((peer, name)) = all.min().map(|(_, peer, name)| (*peer, name.clone())) else {
            return;
        };
        if let Some(of_peer) = self.held.get_mut(&peer) {
            of_peer.remove(&name);
            self.count -= 1;
            if of_peer.is_empty() {
                self.held.remove(&peer);
            }
        }
    }
}
