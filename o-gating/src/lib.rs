//! Who may connect: lists, the rule of the hierarchy, chains of policies.
//!
//! Each type here is a [`ConnectionGater`](o_core::ConnectionGater):
//!
//! | gater | allows |
//! |---|---|
//! | [`BlockList`] | everybody but the peers on it |
//! | [`AllowList`] | nobody but the peers on it |
//! | [`HierarchyGater`] | what [`HierarchyRule`] says: inbound from parent, children and leader |
//! | [`GaterChain`] | what all of its members allow; the first denial wins |
//! | [`AllowAll`] | everybody |
//!
//! The two lists and the hierarchy are handles: clones share their content, so that the node keeps
//! one clone and the user edits another while it runs. An edit counts from the next attempt on;
//! connections that exist are not closed by it. Each is bounded, and what does not fit is an error.
//!
//! # What is asked when
//!
//! The peer of an inbound connection is not known before the handshake. Every gater here lets a
//! pending attempt without a peer pass and decides once the connection is established; an outbound
//! attempt to a known peer is refused before anything is sent. An *established* attempt without a
//! peer breaks the contract of [`Stage`](o_core::Stage): the allow list refuses it and the
//! hierarchy takes it for a stranger.
//!
//! # Relays
//!
//! A relayed connection is judged by the peer at its far end. The connection to the relay is an
//! attempt of its own: with an [`AllowList`] or [`HierarchyRule::strict`], a node that uses a relay
//! has to allow it too.
//!
//! # Example
//!
//! ```
//! use o_address::PeerId;
//! use o_core::{Attempt, ConnectionGater, DenyReason, Direction, Stage};
//! use o_gating::{BlockList, GaterChain, HierarchyGater};
//!
//! let peer = |key: u8| PeerId::from_bytes(&[&[0x00, 32][..], &[key; 32]].concat());
//! let (parent, child, stranger) = (peer(1)?, peer(2)?, peer(3)?);
//!
//! let blocked = BlockList::new();
//! let hierarchy = HierarchyGater::default();
//! hierarchy.set_parent(Some(parent));
//! hierarchy.add_child(child)?;
//! let gater = GaterChain::new().with(blocked.clone()).with(hierarchy.clone());
//!
//! let inbound = Attempt::new(Stage::Established, Direction::Inbound);
//! assert_eq!(gater.allow(&inbound.peer(&parent)), Ok(()));
//! assert_eq!(gater.allow(&inbound.peer(&child)), Ok(()));
//! assert_eq!(gater.allow(&inbound.peer(&stranger)), Err(DenyReason::NotRelated));
//!
//! // Edited while the node runs.
//! blocked.insert(child)?;
//! assert_eq!(gater.allow(&inbound.peer(&child)), Err(DenyReason::Blocked));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod allow_list;
mod block_list;
mod chain;
mod hierarchy;
mod lock;
mod peer_list;
mod peer_set;
#[cfg(test)]
mod test_peers;

pub use crate::{
    allow_list::{AllowList, Allowed},
    block_list::{BlockList, Blocked},
    chain::{AllowAll, GaterChain},
    hierarchy::{HierarchyGater, HierarchyRule, Relation, RelationSet},
    peer_list::{ListRule, PeerList},
    peer_set::ListFull,
};
