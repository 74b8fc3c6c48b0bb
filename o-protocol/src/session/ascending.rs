//! A sorted set for what comes in about ascending order and goes from about the front.

use std::collections::VecDeque;

/// Adding at the end and taking from the front cost next to nothing; elsewhere, a move of the shorter
/// side. A tree made allocations and a tenth of a call's instructions for the same.
#[derive(Debug)]
pub(super) struct Ascending<T>(VecDeque<T>);

impl<T> Default for Ascending<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: Ord + Copy> Ascending<T> {
    /// Adds an element that is not in here.
    pub(super) fn insert(&mut self, element: T) {
        if self.0.back().is_none_or(|last| *last < element) {
            self.0.push_back(element);
        } else if let Err(at) = self.0.binary_search(&element) {
            self.0.insert(at, element);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The lowest.
    pub(super) fn first(&self) -> Option<T> {
        self.0.front().copied()
    }

    pub(super) fn contains(&self, element: T) -> bool {
        self.0.binary_search(&element).is_ok()
    }

    /// Takes an element out; one that is not in here changes nothing.
    pub(super) fn remove(&mut self, element: T) {
        if self.first() == Some(element) {
            self.0.pop_front();
        } else if let Ok(at) = self.0.binary_search(&element) {
            self.0.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_what_a_tree_would_be(steps in prop::collection::vec((any::<bool>(), 0_u8..32), 0..200)) {
            let (mut set, mut tree) = (Ascending::default(), BTreeSet::new());
            for (add, element) in steps {
                if add {
                    set.insert(element);
                    tree.insert(element);
                } else {
                    set.remove(element);
                    tree.remove(&element);
                }
                prop_assert_eq!(set.first(), tree.first().copied());
                prop_assert!((0..32).all(|element| set.contains(element) == tree.contains(&element)));
            }
        }
    }
}
