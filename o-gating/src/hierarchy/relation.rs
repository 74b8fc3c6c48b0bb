//! What a peer is to this node in the hierarchy.

use std::fmt;

/// What a peer is to this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Relation {
    /// The leader of the network.
    Leader,
    /// The node directly above.
    Parent,
    /// A node directly below.
    Child,
    /// None of the others; a sibling or a grandchild is one too.
    Stranger,
}

impl Relation {
    /// Every relation, in the order of their bits in a [`RelationSet`].
    const EVERY: [Self; 4] = [Self::Leader, Self::Parent, Self::Child, Self::Stranger];
}

/// A set of [`Relation`]s. A peer may be several things at once: parent and leader, for example.
///
/// ```
/// use o_gating::{Relation, RelationSet};
///
/// let above = RelationSet::NONE.with(Relation::Parent).with(Relation::Leader);
/// assert!(above.contains(Relation::Leader));
/// assert!(above.intersects(RelationSet::FAMILY.without(Relation::Leader)));
/// assert_eq!(format!("{above:?}"), "{Leader, Parent}");
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct RelationSet {
    bits: u8,
}

impl RelationSet {
    /// Nobody.
    pub const NONE: Self = Self { bits: 0 };
    /// Leader, parent and children.
    pub const FAMILY: Self = Self::NONE
        .with(Relation::Leader)
        .with(Relation::Parent)
        .with(Relation::Child);
    /// Everybody, strangers included.
    pub const ALL: Self = Self::FAMILY.with(Relation::Stranger);

    /// The same set with `relation`.
    #[must_use]
    pub const fn with(self, relation: Relation) -> Self {
        Self {
            bits: self.bits | bit(relation),
        }
    }

    /// The same set without `relation`.
    #[must_use]
    pub const fn without(self, relation: Relation) -> Self {
        Self {
            bits: self.bits & !bit(relation),
        }
    }

    /// Whether `relation` is in it.
    #[must_use]
    pub const fn contains(self, relation: Relation) -> bool {
        self.bits & bit(relation) != 0
    }

    /// Whether the two have a relation in common.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.bits & other.bits != 0
    }
}

impl From<Relation> for RelationSet {
    fn from(relation: Relation) -> Self {
        Self::NONE.with(relation)
    }
}

impl FromIterator<Relation> for RelationSet {
    fn from_iter<I: IntoIterator<Item = Relation>>(relations: I) -> Self {
        relations.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Debug for RelationSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members = Relation::EVERY.into_iter();
        f.debug_set()
            .entries(members.filter(|&relation| self.contains(relation)))
            .finish()
    }
}

const fn bit(relation: Relation) -> u8 {
    match relation {
        Relation::Leader => 1,
        Relation::Parent => 1 << 1,
        Relation::Child => 1 << 2,
        Relation::Stranger => 1 << 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in() {
        for relation in Relation::EVERY {
            let alone = RelationSet::from(relation);
            for other in Relation::EVERY {
                assert_eq!(alone.contains(other), relation == other);
                assert_eq!(alone.intersects(other.into()), relation == other);
            }
            assert!(RelationSet::ALL.contains(relation));
            assert!(!RelationSet::ALL.without(relation).contains(relation));
            assert!(!RelationSet::NONE.contains(relation));
        }
        assert_eq!(
            Relation::EVERY.into_iter().collect::<RelationSet>(),
            RelationSet::ALL
        );
        let family = RelationSet::ALL.without(Relation::Stranger);
        assert_eq!(RelationSet::FAMILY, family);
        assert_eq!(RelationSet::default(), RelationSet::NONE);
    }
}
