//! Who may connect to a node of the hierarchy, and who may only ask to join it.

use std::{
    collections::HashSet,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use o_address::PeerId;
use o_core::{Access, Attempt, ConnectionGater, DenyReason, Direction, Policy, Stage};
use o_gating::{HierarchyGater, HierarchyRule, Relation, RelationSet};

/// The family, its friends, and strangers as far as the policy admits them.
///
/// A stranger that the policy does not admit may connect where children are taken, or nobody could
/// ever join; but of his calls only those are answered that a join needs. A handle: clones share it.
#[derive(Clone, Debug)]
pub(crate) struct FamilyGate {
    family: HierarchyGater,
    rules: Arc<RwLock<Rules>>,
    /// Whether everybody may call: asked for each call, and most nodes are open.
    open: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Rules {
    policy: Policy,
    /// Strangers that this node's operator lets in.
    friends: HashSet<PeerId>,
    /// Whether children are taken.
    applicants: bool,
}

impl FamilyGate {
    pub(crate) fn new(
        policy: Policy,
        friends: HashSet<PeerId>,
        applicants: bool,
        max_children: usize,
    ) -> Self {
        let mut rule = HierarchyRule::default();
        rule.open_root = false;
        rule.max_children = max_children;
        Self {
            open: Arc::new(is_open(&policy).into()),
            family: HierarchyGater::new(rule),
            rules: Arc::new(RwLock::new(Rules {
                policy,
                friends,
                applicants,
            })),
        }
    }

    /// Parent, children and leader.
    pub(crate) fn family(&self) -> &HierarchyGater {
        &self.family
    }

    pub(crate) fn set_policy(&self, policy: Policy) {
        let mut rules = self.write();
        self.open.store(is_open(&policy), Ordering::Relaxed);
        rules.policy = policy;
    }

    /// Whether the peer is parent, child or leader.
    pub(crate) fn is_family(&self, peer: &PeerId) -> bool {
        self.family.relations(peer) != RelationSet::from(Relation::Stranger)
    }

    /// Whether the calls of a peer are answered.
    pub(crate) fn may_call(&self, peer: &PeerId) -> bool {
        if self.open.load(Ordering::Relaxed) {
            return true;
        }
        let rules = self.read();
        if rules.policy.denied.contains(peer) {
            return false;
        }
        rules.policy.admits(peer) || rules.friends.contains(peer) || self.is_family(peer)
    }

    fn read(&self) -> RwLockReadGuard<'_, Rules> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Rules> {
        self.rules.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_open(policy: &Policy) -> bool {
    policy.access == Access::Everybody && policy.allowed.is_none() && policy.denied.is_empty()
}

impl ConnectionGater for FamilyGate {
    fn allow(&self, attempt: &Attempt<'_>) -> Result<(), DenyReason> {
        let Some(peer) = attempt.peer else {
            return match attempt.stage {
                Stage::Pending => Ok(()),
                _ => Err(DenyReason::NotRelated),
            };
        };
        let rules = self.read();
        if rules.policy.denied.contains(peer) {
            return Err(DenyReason::Blocked);
        }
        // Whom to dial is this node's own decision; what comes back is asked for call by call.
        let applies = attempt.direction == Direction::Inbound;
        let applicant = rules.applicants;
        drop(rules);
        if !applies || applicant || self.may_call(peer) {
            return Ok(());
        }
        Err(DenyReason::NotRelated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(byte: u8) -> PeerId {
        PeerId::from_bytes(&[0, 2, 7, byte]).unwrap()
    }

    fn inbound(gate: &FamilyGate, peer: PeerId) -> Result<(), DenyReason> {
        gate.allow(&Attempt::new(Stage::Established, Direction::Inbound).peer(&peer))
    }

    fn family_only() -> Policy {
        let mut policy = Policy::default();
        policy.access = Access::Family;
        policy
    }

    #[test]
    fn a_stranger_may_ask_to_join_and_nothing_else() {
        let gate = FamilyGate::new(family_only(), [peer(3)].into(), true, 9);
        gate.family().set_parent(Some(peer(1)));
        gate.family().add_child(peer(2)).unwrap();
        let may = |byte| {
            (
                inbound(&gate, peer(byte)).is_ok(),
                gate.may_call(&peer(byte)),
            )
        };
        assert_eq!(
            [1, 2, 3, 4].map(may),
            [(true, true), (true, true), (true, true), (true, false)]
        );
        let closed = FamilyGate::new(family_only(), HashSet::new(), false, 9);
        assert_eq!(inbound(&closed, peer(4)), Err(DenyReason::NotRelated));
    }

    #[test]
    fn who_is_denied_is_not_even_let_in_as_family() {
        let mut policy = Policy::default();
        policy.denied.insert(peer(2));
        let gate = FamilyGate::new(policy, HashSet::new(), true, 9);
        gate.family().add_child(peer(2)).unwrap();
        assert_eq!(inbound(&gate, peer(2)), Err(DenyReason::Blocked));
        assert!(!gate.may_call(&peer(2)) && gate.may_call(&peer(3)));
        let outbound = Attempt::new(Stage::Pending, Direction::Outbound);
        let (denied, other) = (peer(2), peer(3));
        assert_eq!(
            gate.allow(&outbound.peer(&denied)),
            Err(DenyReason::Blocked)
        );
        assert_eq!(gate.allow(&outbound.peer(&other)), Ok(()));
    }

    #[test]
    fn what_the_parent_allows_holds_from_then_on() {
        let gate = FamilyGate::new(Policy::default(), HashSet::new(), false, 9);
        assert!(gate.may_call(&peer(4)));
        gate.set_policy(family_only());
        assert!(!gate.may_call(&peer(4)) && inbound(&gate, peer(4)).is_err());
    }
}
