//! The list of the only peers that may connect.

use o_core::{Attempt, DenyReason, Stage};

use crate::peer_list::{ListRule, PeerList};

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
pub type AllowList = PeerList<Allowed>;

/// The rule of an [`AllowList`]: only the peers on it may connect.
#[derive(Debug)]
pub enum Allowed {}

impl ListRule for Allowed {
    const NAME: &'static str = "AllowList";

    fn decide(attempt: &Attempt<'_>, listed: bool) -> Result<(), DenyReason> {
        let unknown_yet = attempt.peer.is_none() && attempt.stage == Stage::Pending;
        match listed || unknown_yet {
            true => Ok(()),
            false => Err(DenyReason::NotAllowed),
        }
    }
}

#[cfg(test)]
mod tests {
    use o_core::{
        ConnectionGater,
        Direction::{Inbound, Outbound},
    };

    use super::*;
    use crate::{
        ListFull,
        test_peers::{SITUATIONS, attempt, peer},
    };

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
