//! The rule of the hierarchy: a node accepts its parent, its children and the leader.

mod relation;
mod rule;
#[cfg(test)]
mod tests;

use std::{
    collections::HashSet,
    fmt, mem,
    sync::{Arc, RwLock},
};

use o_address::PeerId;
use o_core::{Attempt, ConnectionGater, DenyReason, Direction, Stage};
pub use relation::{Relation, RelationSet};
pub use rule::HierarchyRule;

use crate::{
    lock,
    peer_set::{ListFull, insert_bounded, sorted},
};

/// Allows what its [`HierarchyRule`] says of a peer's place in the hierarchy.
///
/// By default a node accepts connections only from the leader, its parent and its own children, and
/// dials whom it likes. A node that has neither parent nor leader is the root: anybody may connect.
/// That is how a new node joins; a node further down has to be told of a new child, with
/// [`add_child`](Self::add_child), before that child can dial it.
///
/// A handle: clones share parent, leader, children and rule, and an edit through any of them counts
/// from the next attempt on. It does not close connections that exist. `leader` means *another*
/// node: one that leads leaves it unset.
///
/// A pending attempt whose peer is not known passes. An established one counts as a stranger.
///
/// ```
/// use o_core::{Attempt, ConnectionGater, DenyReason, Direction, Stage};
/// use o_gating::{HierarchyGater, HierarchyRule};
///
/// let gater = HierarchyGater::default();
/// gater.set_parent(Some("12D3KooWQA9eZ7s8E7KvNJGG7AXRioyASFicECjdKL1DS2C1Duoo".parse()?));
///
/// let stranger = "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG".parse()?;
/// let inbound = Attempt::new(Stage::Established, Direction::Inbound).peer(&stranger);
/// assert_eq!(gater.allow(&inbound), Err(DenyReason::NotRelated));
/// let outbound = Attempt::new(Stage::Pending, Direction::Outbound).peer(&stranger);
/// assert_eq!(gater.allow(&outbound), Ok(()));
///
/// gater.set_rule(HierarchyRule::default().accept_strangers(true));
/// assert_eq!(gater.allow(&inbound), Ok(()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct HierarchyGater {
    position: Arc<RwLock<Position>>,
}

#[derive(Default)]
struct Position {
    rule: HierarchyRule,
    leader: Option<PeerId>,
    parent: Option<PeerId>,
    children: HashSet<PeerId>,
}

impl HierarchyGater {
    /// A gater with this rule, for a node without leader, parent and children.
    #[must_use]
    pub fn new(rule: HierarchyRule) -> Self {
        let position = Position {
            rule,
            ..Position::default()
        };
        Self {
            position: Arc::new(RwLock::new(position)),
        }
    }

    /// Sets, changes or removes the parent; returns the one before.
    ///
    /// To move to another parent, set the new one without removing the old one first: between the
    /// two, a node without a leader would be taken for the root.
    pub fn set_parent(&self, parent: Option<PeerId>) -> Option<PeerId> {
        mem::replace(&mut lock::write(&self.position).parent, parent)
    }

    /// Sets, changes or removes the leader; returns the one before.
    ///
    /// It is another node's peer id. A node that becomes the leader itself passes `None` and
    /// removes its parent.
    pub fn set_leader(&self, leader: Option<PeerId>) -> Option<PeerId> {
        mem::replace(&mut lock::write(&self.position).leader, leader)
    }

    /// Makes `child` a child; says whether it was not one before.
    ///
    /// # Errors
    /// If there are [`max_children`](HierarchyRule::max_children) already. Nothing changes then.
    pub fn add_child(&self, child: PeerId) -> Result<bool, ListFull> {
        let mut position = lock::write(&self.position);
        let limit = position.rule.max_children;
        insert_bounded(&mut position.children, child, limit)
    }

    /// Makes `child` a child no more; says whether it was one before.
    pub fn remove_child(&self, child: &PeerId) -> bool {
        lock::write(&self.position).children.remove(child)
    }

    /// Applies another rule from now on.
    ///
    /// Children over its limit stay; new ones are refused until there are fewer.
    pub fn set_rule(&self, rule: HierarchyRule) {
        lock::write(&self.position).rule = rule;
    }

    /// The rule.
    #[must_use]
    pub fn rule(&self) -> HierarchyRule {
        lock::read(&self.position).rule.clone()
    }

    /// The parent, if there is one.
    #[must_use]
    pub fn parent(&self) -> Option<PeerId> {
        lock::read(&self.position).parent
    }

    /// The leader, if it is known.
    #[must_use]
    pub fn leader(&self) -> Option<PeerId> {
        lock::read(&self.position).leader
    }

    /// A copy of the children, in the order of their bytes.
    #[must_use]
    pub fn children(&self) -> Vec<PeerId> {
        let copy = lock::read(&self.position)
            .children
            .iter()
            .copied()
            .collect();
        sorted(copy)
    }

    /// What `peer` is to this node; never empty.
    #[must_use]
    pub fn relations(&self, peer: &PeerId) -> RelationSet {
        lock::read(&self.position).relations(peer)
    }
}

impl Position {
    fn relations(&self, peer: &PeerId) -> RelationSet {
        let is = [
            (self.leader.as_ref() == Some(peer), Relation::Leader),
            (self.parent.as_ref() == Some(peer), Relation::Parent),
            (self.children.contains(peer), Relation::Child),
        ];
        let related: RelationSet = is
            .into_iter()
            .filter_map(|(holds, relation)| holds.then_some(relation))
            .collect();
        match related {
            RelationSet::NONE => RelationSet::from(Relation::Stranger),
            _ => related,
        }
    }

    fn allows(&self, attempt: &Attempt<'_>) -> bool {
        if self.rule.open_root && self.parent.is_none() && self.leader.is_none() {
            return true;
        }
        let allowed = match attempt.direction {
            Direction::Inbound => self.rule.inbound,
            Direction::Outbound => self.rule.outbound,
        };
        match attempt.peer {
            Some(peer) => allowed.intersects(self.relations(peer)),
            None => attempt.stage == Stage::Pending || allowed.contains(Relation::Stranger),
        }
    }
}

impl ConnectionGater for HierarchyGater {
    fn allow(&self, attempt: &Attempt<'_>) -> Result<(), DenyReason> {
        match lock::read(&self.position).allows(attempt) {
            true => Ok(()),
            false => Err(DenyReason::NotRelated),
        }
    }
}

impl fmt::Debug for HierarchyGater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let position = lock::read(&self.position);
        f.debug_struct("HierarchyGater")
            .field("leader", &position.leader)
            .field("parent", &position.parent)
            .field("children", &position.children.len())
            .field("rule", &position.rule)
            .finish()
    }
}
