//! A bounded set of peers that several handles share.

#[cfg(test)]
mod tests;

use std::{
    collections::HashSet,
    fmt, mem,
    sync::{Arc, RwLock},
};

use o_address::PeerId;

use crate::lock;

/// What is behind [`BlockList`](crate::BlockList) and [`AllowList`](crate::AllowList).
///
/// Locks are held for one look-up or insertion, never while a set is built, sorted or dropped. The
/// one exception is [`peers`](Self::peers), which copies under the read lock.
#[derive(Clone)]
pub(crate) struct PeerSet {
    shared: Arc<Shared>,
}

struct Shared {
    limit: usize,
    peers: RwLock<HashSet<PeerId>>,
}

impl PeerSet {
    /// An empty set of at most `limit` peers.
    pub(crate) fn with_capacity(limit: usize) -> Self {
        Self::of(limit, HashSet::new())
    }

    /// A set of these, of at most `limit` different ones.
    pub(crate) fn from_peers(
        limit: usize,
        peers: impl IntoIterator<Item = PeerId>,
    ) -> Result<Self, ListFull> {
        Ok(Self::of(limit, collect(peers, limit)?))
    }

    pub(crate) fn insert(&self, peer: PeerId) -> Result<bool, ListFull> {
        insert_bounded(
            &mut lock::write(&self.shared.peers),
            peer,
            self.shared.limit,
        )
    }

    pub(crate) fn remove(&self, peer: &PeerId) -> bool {
        lock::write(&self.shared.peers).remove(peer)
    }

    pub(crate) fn replace(&self, peers: impl IntoIterator<Item = PeerId>) -> Result<(), ListFull> {
        let new = collect(peers, self.shared.limit)?;
        // The guard is gone at the end of this statement; the old set is dropped after it.
        let old = mem::replace(&mut *lock::write(&self.shared.peers), new);
        drop(old);
        Ok(())
    }

    pub(crate) fn contains(&self, peer: &PeerId) -> bool {
        lock::read(&self.shared.peers).contains(peer)
    }

    pub(crate) fn len(&self) -> usize {
        lock::read(&self.shared.peers).len()
    }

    pub(crate) fn limit(&self) -> usize {
        self.shared.limit
    }

    pub(crate) fn peers(&self) -> Vec<PeerId> {
        let copy: Vec<PeerId> = lock::read(&self.shared.peers).iter().copied().collect();
        sorted(copy)
    }

    /// Prints counts under the name of the list: there may be thousands of peers.
    pub(crate) fn debug(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("peers", &self.len())
            .field("limit", &self.limit())
            .finish()
    }

    fn of(limit: usize, peers: HashSet<PeerId>) -> Self {
        let peers = RwLock::new(peers);
        Self {
            shared: Arc::new(Shared { limit, peers }),
        }
    }
}

/// A list that already holds as many peers as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the list is full: it may hold {limit} peers")]
#[non_exhaustive]
pub struct ListFull {
    /// How many peers it may hold.
    pub limit: usize,
}

/// Adds `peer`, unless that would make more than `limit`; says whether it is new.
pub(crate) fn insert_bounded(
    peers: &mut HashSet<PeerId>,
    peer: PeerId,
    limit: usize,
) -> Result<bool, ListFull> {
    if peers.len() >= limit {
        return match peers.contains(&peer) {
            true => Ok(false),
            false => Err(ListFull { limit }),
        };
    }
    Ok(peers.insert(peer))
}

/// The same peers in the order of their bytes, so that two looks at one set can be compared.
pub(crate) fn sorted(mut peers: Vec<PeerId>) -> Vec<PeerId> {
    peers.sort_unstable();
    peers
}

fn collect(
    peers: impl IntoIterator<Item = PeerId>,
    limit: usize,
) -> Result<HashSet<PeerId>, ListFull> {
    let mut set = HashSet::new();
    for peer in peers {
        insert_bounded(&mut set, peer, limit)?;
    }
    Ok(set)
}
