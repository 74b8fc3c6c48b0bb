//! The list of peers that may not connect.

use o_core::{Attempt, DenyReason};

use crate::peer_list::{ListRule, PeerList};

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
pub type BlockList = PeerList<Blocked>;

/// The rule of a [`BlockList`]: the peers on it may not connect.
#[derive(Debug)]
pub enum Blocked {}

impl ListRule for Blocked {
    const NAME: &'static str = "BlockList";

    fn decide(_: &Attempt<'_>, listed: bool) -> Result<(), DenyReason> {
        match listed {
            true => Err(DenyReason::Blocked),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use o_core::ConnectionGater;

    use super::*;
    use crate::{
        ListFull,
        test_peers::{SITUATIONS, attempt, peer},
    };

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
