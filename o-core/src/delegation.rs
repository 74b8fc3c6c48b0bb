//! Who may hold which part of the names: delegations from the leader down, and what they allow.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use o_address::{Address, PeerId};

use crate::{NetworkId, Pattern, Record, RecordTimes, query::is_within};

/// What a parent signs for a child: the names at and below `subtree` are the child's, within this
/// policy, for as long as it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegation {
    /// Who gives it, and signs.
    pub issuer: PeerId,
    /// Who gets it.
    pub subject: PeerId,
    /// The name that it is for; all names below it too.
    pub subtree: Address,
    /// What holds for the subject and everybody below it.
    pub policy: Policy,
    /// Grows with every delegation of this issuer for this subtree.
    pub sequence: u64,
    /// When it was made and until when it holds.
    pub times: RecordTimes,
    /// The network that it belongs to.
    pub network: NetworkId,
}

/// A delegation with the bytes that its issuer signed. Cloning is cheap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedDelegation {
    delegation: Arc<Delegation>,
    envelope: Bytes,
}

impl SignedDelegation {
    /// Joins a delegation and the envelope that was proved to hold it.
    pub fn new_verified(delegation: Delegation, envelope: Bytes) -> Self {
        let delegation = Arc::new(delegation);
        Self {
            delegation,
            envelope,
        }
    }

    /// What it says.
    pub fn delegation(&self) -> &Delegation {
        &self.delegation
    }

    /// The signed bytes, as received.
    pub fn envelope(&self) -> &Bytes {
        &self.envelope
    }
}

/// What the key of a root signs when another takes its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Successor {
    /// The name of the root.
    pub root: Address,
    /// The key that steps back, and signs.
    pub old: PeerId,
    /// The key that is the root from then on.
    pub new: PeerId,
    /// Seconds since 1970 at its making. It holds for ever.
    pub created: u64,
    /// The network that it belongs to.
    pub network: NetworkId,
}

/// A succession with the bytes that the old key signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedSuccessor {
    successor: Arc<Successor>,
    envelope: Bytes,
}

impl SignedSuccessor {
    /// Joins a succession and the envelope that was proved to hold it.
    pub fn new_verified(successor: Successor, envelope: Bytes) -> Self {
        let successor = Arc::new(successor);
        Self {
            successor,
            envelope,
        }
    }

    /// What it says.
    pub fn successor(&self) -> &Successor {
        &self.successor
    }

    /// The signed bytes, as received.
    pub fn envelope(&self) -> &Bytes {
        &self.envelope
    }
}

/// Successions and delegations that lead from a root's key to a holder, each proved and each within
/// the one before it. Made by `o_protocol::verify_chain`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    root: PeerId,
    successors: Vec<SignedSuccessor>,
    delegations: Vec<SignedDelegation>,
}

impl Chain {
    /// The chain of a root itself, which needs nobody's word.
    pub fn of_root(root: PeerId) -> Self {
        Self::new_verified(root, Vec::new(), Vec::new())
    }

    /// Joins what was proved to lead from the key `root` down.
    pub fn new_verified(
        root: PeerId,
        successors: Vec<SignedSuccessor>,
        delegations: Vec<SignedDelegation>,
    ) -> Self {
        Self {
            root,
            successors,
            delegations,
        }
    }

    /// The key that was trusted at the beginning.
    pub fn trusted(&self) -> PeerId {
        self.root
    }

    /// The root's key now: the last successor's.
    pub fn root(&self) -> PeerId {
        let last = self.successors.last();
        last.map_or(self.root, |last| last.successor().new)
    }

    /// Who holds what the chain gives.
    pub fn holder(&self) -> PeerId {
        let last = self.delegations.last();
        last.map_or_else(|| self.root(), |last| last.delegation().subject)
    }

    /// The name that is held with all below it; `None` for the root, which holds its own name.
    pub fn subtree(&self) -> Option<&Address> {
        Some(&self.delegations.last()?.delegation().subtree)
    }

    /// What holds for the holder; the widest policy for the root.
    pub fn policy(&self) -> Policy {
        let last = self.delegations.last();
        last.map_or_else(Policy::default, |last| last.delegation().policy.clone())
    }

    /// How the root's key changed, the oldest first.
    pub fn successors(&self) -> &[SignedSuccessor] {
        &self.successors
    }

    /// The delegations, the root's first.
    pub fn delegations(&self) -> &[SignedDelegation] {
        &self.delegations
    }

    /// The signed bytes of all of it, as a record carries them.
    pub fn envelopes(&self) -> Vec<Bytes> {
        let successors = self.successors.iter().map(SignedSuccessor::envelope);
        let delegations = self.delegations.iter().map(SignedDelegation::envelope);
        successors.chain(delegations).cloned().collect()
    }

    /// The same chain with one more delegation, which its holder has signed.
    #[must_use]
    pub fn extended(&self, delegation: SignedDelegation) -> Self {
        let mut longer = self.clone();
        longer.delegations.push(delegation);
        longer
    }

    /// Whether the chain gives the name of a record to who signed it, within its policy.
    pub fn allows(&self, record: &Record) -> bool {
        let within = |subtree| is_within(&record.address, subtree);
        self.holder() == record.peer
            && self.subtree().is_none_or(within)
            && self.policy().allows_capabilities(record)
    }
}

/// Who may connect to a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Access {
    /// Leader, parent and children.
    Family = 1,
    /// Everybody.
    #[default]
    Everybody = 2,
}

impl Access {
    /// The number that stands for it on the wire.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The access with this wire number, if there is one.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Family),
            2 => Some(Self::Everybody),
            _ => None,
        }
    }
}

/// What holds for a node and everybody below it. A child's is its parent's, narrowed: never wider.
///
/// The default is the widest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// Who may connect at most.
    pub access: Access,
    /// The capabilities that may be announced; any where this is `None`. At most [`Policy::MAX`].
    pub capabilities: Option<BTreeSet<Pattern>>,
    /// The only strangers that may connect where [`Access::Everybody`] holds; anybody where this is
    /// `None`. At most [`Policy::MAX`].
    pub allowed: Option<BTreeSet<PeerId>>,
    /// Who may not connect. At most [`Policy::MAX`].
    pub denied: BTreeSet<PeerId>,
    /// How many levels of children there may be below the node.
    pub depth: u8,
}

impl Policy {
    /// The most entries of each list.
    pub const MAX: usize = 64;

    /// This policy, narrowed by another: what both allow.
    ///
    /// Lists may grow over [`Policy::MAX`]; signing refuses that.
    #[must_use]
    pub fn narrowed(&self, own: &Self) -> Self {
        let capabilities = match (&self.capabilities, &own.capabilities) {
            (Some(one), Some(other)) => {
                let covered = |pattern: &&Pattern, by: &BTreeSet<Pattern>| {
                    by.iter().any(|wider| wider.covers(pattern))
                };
                let ones = one.iter().filter(|pattern| covered(pattern, other));
                let others = other.iter().filter(|pattern| covered(pattern, one));
                Some(ones.chain(others).cloned().collect())
            }
            (one, other) => one.clone().or_else(|| other.clone()),
        };
        let allowed = match (&self.allowed, &own.allowed) {
            (Some(one), Some(other)) => Some(one & other),
            (one, other) => one.clone().or_else(|| other.clone()),
        };
        Self {
            access: self.access.min(own.access),
            capabilities,
            allowed,
            denied: &self.denied | &own.denied,
            depth: self.depth.min(own.depth),
        }
    }

    /// Whether this policy allows nothing that the other forbids: whether a child may have it below
    /// a parent that has the other.
    pub fn is_within(&self, wider: &Self) -> bool {
        let capabilities = match (&self.capabilities, &wider.capabilities) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(own), Some(wider)) => own
                .iter()
                .all(|pattern| wider.iter().any(|wider| wider.covers(pattern))),
        };
        let allowed = match (&self.allowed, &wider.allowed) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(own), Some(wider)) => own.is_subset(wider),
        };
        self.access <= wider.access
            && capabilities
            && allowed
            && wider.denied.is_subset(&self.denied)
            && self.depth <= wider.depth
    }

    /// Whether everything that a record says it can do may be announced.
    pub fn allows_capabilities(&self, record: &Record) -> bool {
        let Some(allowed) = &self.capabilities else {
            return true;
        };
        let fits = |text: &str| allowed.iter().any(|pattern| pattern.matches(text));
        record.capabilities.iter().all(|c| fits(c.as_str()))
    }

    /// Whether a stranger may connect.
    pub fn admits(&self, peer: &PeerId) -> bool {
        let listed = |allowed: &BTreeSet<PeerId>| allowed.contains(peer);
        self.access == Access::Everybody
            && !self.denied.contains(peer)
            && self.allowed.as_ref().is_none_or(listed)
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            access: Access::Everybody,
            capabilities: None,
            allowed: None,
            denied: BTreeSet::new(),
            depth: 15,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(texts: &[&str]) -> Option<BTreeSet<Pattern>> {
        Some(texts.iter().map(|text| text.parse().unwrap()).collect())
    }

    fn peer(last: u8) -> PeerId {
        PeerId::from_bytes(&[0, 2, 7, last]).unwrap()
    }

    fn policies() -> Vec<Policy> {
        let mut all = vec![Policy::default(); 6];
        all[1].access = Access::Family;
        all[2].capabilities = patterns(&["text/*", "image/ocr"]);
        all[3].capabilities = patterns(&["text/summarize", "audio/*"]);
        all[3].allowed = Some([peer(1), peer(2)].into());
        all[4].allowed = Some([peer(2), peer(3)].into());
        all[4].denied = [peer(3)].into();
        all[5].depth = 0;
        all[5].denied = [peer(2)].into();
        all
    }

    #[test]
    fn what_was_narrowed_is_within_both() {
        for parent in policies() {
            for own in policies() {
                let both = parent.narrowed(&own);
                assert!(
                    both.is_within(&parent) && both.is_within(&own),
                    "{parent:?} {own:?}"
                );
                assert_eq!(own.narrowed(&parent), both);
                for peer in [1, 2, 3, 4].map(peer) {
                    let admitted = parent.admits(&peer) && own.admits(&peer);
                    assert_eq!(both.admits(&peer), admitted);
                }
            }
        }
    }

    #[test]
    fn nothing_wider_is_within() {
        let widest = Policy::default();
        for narrow in policies().iter().skip(1) {
            assert!(narrow.is_within(&widest));
            assert!(!widest.is_within(narrow), "{narrow:?}");
        }
    }
}
