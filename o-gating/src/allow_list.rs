//! The list of the only peers that may connect.

use std::fmt;

use o_address::PeerId;
use o_core::{Attempt, ConnectionGater, DenyReason, Stage};

use crate::peer_set::{ListFull, PeerSet};

/// Allows the peers on it, in both directions, and refuses all others.
///
/// **An empty list allows nobody.** A list is enforced as soon as a gater holds it, also before its
/// first peer is inserted and after its last one is removed; a node that should let everybody in
/// has no allow list at all.
///
/// A handle: clones share one list, and an edit through any of them counts from the next attempt
/// on. It does not close connections that exist.
///
/// A pending attempt whose peer is not known passes; the list decides when the handshake has proved
/// who it is. An established attempt without a peer is refused.
///
/// ```
/// use o_core::{Attempt, ConnectionGater, DenyReason, Direction, Stage};
/// use o_gating::AllowList;
///
/// let list = AllowList::new();
/// let peer = "12D3KooWQA9eZ7s8E7KvNJGG7AXRioyASFicECjdKL1DS2C1Duoo".parse()?;
/// let inbound = Attempt::new(Stage::Established, Direction::Inbound).peer(&peer);
/// assert_eq!(list.allow(&inbound), Err(DenyReason::NotAllowed));
/// assert!(list.insert(peer)?);
/// assert_eq!(list.allow(&inbound), Ok(()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct AllowList {
    peers: PeerSet,
}

impl AllowList {
    /// How many peers a list may hold unless told otherwise. A full one takes about 6 MB.
    pub const DEFAULT_LIMIT: usize = 65_536;

    /// An empty list, which allows nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(Self::DEFAULT_LIMIT)
    }

    /// An empty list, which allows nobody and may hold at most `limit` peers; none are allocated
    /// yet.
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

    /// Allows `peer` from now on; says whether it was not allowed before.
    ///
    /// # Errors
    /// If the list is full. It is then unchanged.
    pub fn insert(&self, peer: PeerId) -> Result<bool, ListFull> {
        self.peers.insert(peer)
    }

    /// No longer allows `peer`; says whether it was allowed before.
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

    /// Whether `peer` is allowed.
    #[must_use]
    pub fn contains(&self, peer: &PeerId) -> bool {
        self.peers.contains(peer)
    }

    /// How many peers are allowed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether nobody is allowed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many peers the list may hold.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.peers.limit()
    }

    /// A copy of the allowed peers, in the order of their bytes.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerId> {
        self.peers.peers()
    }
}

impl ConnectionGater for AllowList {
    fn allow(&self, attempt: &Attempt<'_>) -> Result<(), DenyReason> {
        let allowed = match attempt.peer {
            Some(peer) => self.contains(peer),
            None => attempt.stage == Stage::Pending,
        };
        match allowed {
            true => Ok(()),
            false => Err(DenyReason::NotAllowed),
        }
    }
}

/// An empty list, which allows nobody.
impl Default for AllowList {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for AllowList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.peers.debug("AllowList", f)
    }
}

#[cfg(test)]
mod tests {
    use o_core::Direction::{Inbound, Outbound};

    use super::*;
    use crate::test_peers::{SITUATIONS, attempt, peer};

    #[test]
    fn only_a_listed_peer_is_allowed_wherever_it_is_known() -> Result<(), ListFull> {
        let list = AllowList::from_peers([peer(1), peer(2)])?;
        for situation in SITUATIONS {
            for key in [1, 2] {
                let decision = list.allow(&attempt(situation, Some(&peer(key))));
                assert_eq!(decision, Ok(()), "{situation:?} {key}");
            }
            let decision = list.allow(&attempt(situation, Some(&peer(3))));
            assert_eq!(decision, Err(DenyReason::NotAllowed), "{situation:?}");
        }
        Ok(())
    }

    #[test]
    fn an_unknown_peer_passes_until_it_has_to_be_known() -> Result<(), ListFull> {
        let list = AllowList::from_peers([peer(1)])?;
        let table = [
            (Stage::Pending, Inbound, Ok(())),
            (Stage::Pending, Outbound, Ok(())),
            (Stage::Established, Inbound, Err(DenyReason::NotAllowed)),
            (Stage::Established, Outbound, Err(DenyReason::NotAllowed)),
        ];
        for (stage, direction, expected) in table {
            let decision = list.allow(&attempt((stage, direction), None));
            assert_eq!(decision, expected, "{stage:?} {direction}");
        }
        Ok(())
    }

    #[test]
    fn an_empty_list_allows_nobody_before_and_after_use() -> Result<(), ListFull> {
        let list = AllowList::default();
        let gater = list.clone();
        let asked = peer(1);
        let attempt = attempt((Stage::Established, Inbound), Some(&asked));
        assert_eq!(gater.allow(&attempt), Err(DenyReason::NotAllowed));
        list.insert(asked)?;
        assert_eq!(gater.allow(&attempt), Ok(()));
        list.remove(&asked);
        assert!(list.is_empty());
        assert_eq!(gater.allow(&attempt), Err(DenyReason::NotAllowed));
        Ok(())
    }

    #[test]
    fn debug_shows_counts() -> Result<(), ListFull> {
        let list = AllowList::with_capacity(10);
        list.insert(peer(1))?;
        assert_eq!(format!("{list:?}"), "AllowList { peers: 1, limit: 10 }");
        assert_eq!(AllowList::default().limit(), AllowList::DEFAULT_LIMIT);
        Ok(())
    }
}
