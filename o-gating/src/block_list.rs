//! The list of peers that may not connect.

use std::fmt;

use o_address::PeerId;
use o_core::{Attempt, ConnectionGater, DenyReason};

use crate::peer_set::{ListFull, PeerSet};

/// Refuses the peers on it, in both directions, and allows all others.
///
/// A handle: clones share one list, and an edit through any of them counts from the next attempt
/// on. It does not close connections that exist.
///
/// An attempt whose peer is not known passes; the list decides when the handshake has proved who it
/// is. Blocking a peer id is a weak defense where keys cost nothing: see
/// [`AllowList`](crate::AllowList).
///
/// ```
/// use o_gating::BlockList;
///
/// let list = BlockList::new();
/// let peer = "12D3KooWQA9eZ7s8E7KvNJGG7AXRioyASFicECjdKL1DS2C1Duoo".parse()?;
/// let handle = list.clone();
/// assert!(handle.insert(peer)?);
/// assert!(list.contains(&peer));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct BlockList {
    peers: PeerSet,
}

impl BlockList {
    /// How many peers a list may hold unless told otherwise. A full one takes about 6 MB.
    pub const DEFAULT_LIMIT: usize = 65_536;

    /// An empty list, which allows everybody.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(Self::DEFAULT_LIMIT)
    }

    /// An empty list that may hold at most `limit` peers; none are allocated yet.
    #[must_use]
    pub fn with_capacity(limit: usize) -> Self {
        Self {
            peers: PeerSet::with_capacity(limit),
        }
    }

    /// A list of these peers, with the default limit.
    ///
    /// # Errors
    /// If there are more different ones than [`DEFAULT_LIMIT`](Self::DEFAULT_LIMIT).
    pub fn from_peers(peers: impl IntoIterator<Item = PeerId>) -> Result<Self, ListFull> {
        PeerSet::from_peers(Self::DEFAULT_LIMIT, peers).map(|peers| Self { peers })
    }

    /// Blocks `peer` from now on; says whether it was not blocked before.
    ///
    /// # Errors
    /// If the list is full. It is then unchanged.
    pub fn insert(&self, peer: PeerId) -> Result<bool, ListFull> {
        self.peers.insert(peer)
    }

    /// No longer blocks `peer`; says whether it was blocked before.
    pub fn remove(&self, peer: &PeerId) -> bool {
        self.peers.remove(peer)
    }

    /// Makes these the peers of the list, at once: no attempt sees a part of them.
    ///
    /// # Errors
    /// If there are more different ones than the limit. The list is then unchanged.
    pub fn replace(&self, peers: impl IntoIterator<Item = PeerId>) -> Result<(), ListFull> {
        self.peers.replace(peers)
    }

    /// Whether `peer` is blocked.
    #[must_use]
    pub fn contains(&self, peer: &PeerId) -> bool {
        self.peers.contains(peer)
    }

    /// How many peers are blocked.
    #[must_use]
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether nobody is blocked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many peers the list may hold.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.peers.limit()
    }

    /// A copy of the blocked peers, in the order of their bytes.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerId> {
        self.peers.peers()
    }
}

impl ConnectionGater for BlockList {
    fn allow(&self, attempt: &Attempt<'_>) -> Result<(), DenyReason> {
        match attempt.peer {
            Some(peer) if self.contains(peer) => Err(DenyReason::Blocked),
            _ => Ok(()),
        }
    }
}

impl Default for BlockList {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for BlockList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.peers.debug("BlockList", f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_peers::{SITUATIONS, attempt, peer};

    #[test]
    fn a_blocked_peer_is_refused_wherever_it_is_known_and_nobody_else_is() -> Result<(), ListFull> {
        let list = BlockList::from_peers([peer(1), peer(2)])?;
        for situation in SITUATIONS {
            for key in [1, 2] {
                let decision = list.allow(&attempt(situation, Some(&peer(key))));
                assert_eq!(decision, Err(DenyReason::Blocked), "{situation:?} {key}");
            }
            for other in [Some(peer(3)), None] {
                let decision = list.allow(&attempt(situation, other.as_ref()));
                assert_eq!(decision, Ok(()), "{situation:?} {other:?}");
            }
        }
        Ok(())
    }

    #[test]
    fn an_empty_list_refuses_nobody() {
        for situation in SITUATIONS {
            let decision = BlockList::new().allow(&attempt(situation, Some(&peer(1))));
            assert_eq!(decision, Ok(()));
        }
    }

    #[test]
    fn an_edit_counts_at_once_for_every_clone() -> Result<(), ListFull> {
        let list = BlockList::new();
        let gater = list.clone();
        let asked = peer(1);
        let attempt = attempt(SITUATIONS[2], Some(&asked));
        assert_eq!(gater.allow(&attempt), Ok(()));
        list.insert(asked)?;
        assert_eq!(gater.allow(&attempt), Err(DenyReason::Blocked));
        list.remove(&asked);
        assert_eq!(gater.allow(&attempt), Ok(()));
        list.replace([asked])?;
        assert_eq!(gater.allow(&attempt), Err(DenyReason::Blocked));
        Ok(())
    }

    #[test]
    fn debug_shows_counts() -> Result<(), ListFull> {
        let list = BlockList::with_capacity(10);
        list.insert(peer(1))?;
        assert_eq!(format!("{list:?}"), "BlockList { peers: 1, limit: 10 }");
        assert_eq!(BlockList::default().limit(), BlockList::DEFAULT_LIMIT);
        Ok(())
    }
}
