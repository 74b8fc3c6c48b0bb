//! A queue whose first element needs no allocation: most calls have one item each way.

use std::collections::VecDeque;

/// First in, first out.
#[derive(Debug)]
pub(super) struct Queue<T> {
    first: Option<T>,
    /// What came after `first`, where there ever was something: most calls need no room for it.
    rest: Option<VecDeque<T>>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            first: None,
            rest: None,
        }
    }
}

impl<T> Queue<T> {
    pub(super) fn push_back(&mut self, element: T) {
        if self.first.is_none() {
            self.first = Some(element);
        } else {
            self.rest.get_or_insert_default().push_back(element);
        }
    }

    pub(super) fn pop_front(&mut self) -> Option<T> {
        let next = self.rest.as_mut().and_then(|rest| rest.pop_front());
        std::mem::replace(&mut self.first, next)
    }

    pub(super) fn front(&self) -> Option<&T> {
        self.first.as_ref()
    }

    pub(super) fn front_mut(&mut self) -> Option<&mut T> {
        self.first.as_mut()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(super) fn clear(&mut self) {
        self.first = None;
        self.rest = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_in_first_comes_out_first() {
        let mut queue = Queue::default();
        assert_eq!(queue.pop_front(), None::<u32>);
        for round in 0..3 {
            (0..=round).for_each(|element| queue.push_back(element));
            assert_eq!(queue.front(), Some(&0));
            let out: Vec<_> = std::iter::from_fn(|| queue.pop_front()).collect();
            assert_eq!(out, (0..=round).collect::<Vec<_>>());
            assert!(queue.is_empty());
        }
        queue.push_back(1);
        queue.clear();
        assert_eq!(queue.front_mut(), None);
    }
}
