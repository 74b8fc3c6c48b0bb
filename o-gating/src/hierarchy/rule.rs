//! Which relations the hierarchy lets connect.

use super::{Relation, RelationSet};

/// Which relations of the hierarchy may connect, and how many children there may be.
///
/// The default: a node accepts only its leader, its parent and its children, and dials whom it
/// likes.
///
/// ```
/// use o_gating::{HierarchyRule, RelationSet};
///
/// let mut rule = HierarchyRule::default();
/// assert_eq!(rule.inbound, RelationSet::FAMILY);
/// assert_eq!(rule.outbound, RelationSet::ALL);
/// rule.max_children = 100;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HierarchyRule {
    /// Who may dial us. Default: leader, parent and children.
    pub inbound: RelationSet,
    /// Whom we may dial. Default: everybody.
    ///
    /// A dial is this node's own decision, and discovery, relays and calls to agents elsewhere in
    /// the network need it. A connection carries calls both ways, so a node asks `inbound` about each
    /// call that comes over one which it dialed.
    pub outbound: RelationSet,
    /// Whether everybody may connect, both ways, while neither parent nor leader is set.
    /// Default: true.
    ///
    /// Such a node is taken for the root of its hierarchy, and new nodes join through the root. A
    /// node that has a parent whose peer id it does not know yet turns this off; otherwise it would
    /// be open to everybody until it has learned the id. (It needs an `outbound` that holds strangers
    /// for that: until then its parent is one.)
    pub open_root: bool,
    /// The most children there may be, about 50 to 100 bytes each. Default: 4,096.
    pub max_children: usize,
}

impl HierarchyRule {
    /// Leader, parent and children only, in both directions.
    #[must_use]
    pub fn strict() -> Self {
        Self {
            outbound: RelationSet::FAMILY,
            ..Self::default()
        }
    }

    /// The same rule, except that strangers may dial us (`true`) or may not (`false`).
    #[must_use]
    pub fn accept_strangers(mut self, accept: bool) -> Self {
        self.inbound = match accept {
            true => self.inbound.with(Relation::Stranger),
            false => self.inbound.without(Relation::Stranger),
        };
        self
    }
}

impl Default for HierarchyRule {
    fn default() -> Self {
        Self {
            inbound: RelationSet::FAMILY,
            outbound: RelationSet::ALL,
            open_root: true,
            max_children: 4_096,
        }
    }
}
