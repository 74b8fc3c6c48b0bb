//! Which call sends next: deficit round robin over three priorities, weighted 4:2:1 by bytes.

use std::collections::VecDeque;

use o_core::Priority;

/// Bytes that a weight of one may send in a round.
const QUANTUM: i64 = 16 * 1024;

#[derive(Debug, Default)]
struct Class {
    ready: VecDeque<u64>,
    deficit: i64,
}

/// The calls that have something to send, each at most once.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    classes: [Class; 3],
}

const WEIGHTS: [i64; 3] = [4, 2, 1];

fn class_of(priority: Priority) -> usize {
    match priority {
        Priority::Interactive => 0,
        Priority::Normal => 1,
        Priority::Bulk => 2,
    }
}

impl Schedule {
    /// Puts a call that is not in here at the end of its class.
    pub(super) fn push(&mut self, priority: Priority, id: u64) {
        if let Some(class) = self.classes.get_mut(class_of(priority)) {
            class.ready.push_back(id);
        }
    }

    /// Puts a call back whose turn it still is.
    pub(super) fn put_back(&mut self, priority: Priority, id: u64) {
        if let Some(class) = self.classes.get_mut(class_of(priority)) {
            class.ready.push_front(id);
        }
    }

    /// Takes out a call that will send nothing more.
    pub(super) fn remove(&mut self, priority: Priority, id: u64) {
        if let Some(class) = self.classes.get_mut(class_of(priority)) {
            class.ready.retain(|other| *other != id);
        }
    }

    /// The call whose turn it is; the caller sends one frame of it and tells its length.
    pub(super) fn pop(&mut self) -> Option<u64> {
        loop {
            if self.is_empty() {
                return None;
            }
            for class in &mut self.classes {
                if class.deficit > 0
                    && let Some(id) = class.ready.pop_front()
                {
                    return Some(id);
                }
            }
            for (class, weight) in self.classes.iter_mut().zip(WEIGHTS) {
                if class.ready.is_empty() {
                    // An idle class saves nothing up.
                    class.deficit = 0;
                } else {
                    class.deficit += weight * QUANTUM;
                }
            }
        }
    }

    /// Counts what a call of this priority has sent.
    pub(super) fn charge(&mut self, priority: Priority, bytes: usize) {
        if let Some(class) = self.classes.get_mut(class_of(priority)) {
            class.deficit -= i64::try_from(bytes).unwrap_or(i64::MAX);
        }
    }

    /// Whether nobody has anything to send.
    pub(super) fn is_empty(&self) -> bool {
        self.classes.iter().all(|class| class.ready.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shared_four_to_two_to_one() {
        let mut schedule = Schedule::default();
        let all = [Priority::Interactive, Priority::Normal, Priority::Bulk];
        for (id, priority) in all.into_iter().enumerate() {
            schedule.push(priority, id as u64);
        }
        let mut sent = [0_usize; 3];
        for _ in 0..7_000 {
            let id = schedule.pop().unwrap() as usize;
            sent[id] += 4096;
            schedule.charge(all[id], 4096);
            schedule.push(all[id], id as u64);
        }
        let unit = sent[2] as f64;
        assert!((sent[0] as f64 / unit - 4.0).abs() < 0.1, "{sent:?}");
        assert!((sent[1] as f64 / unit - 2.0).abs() < 0.1, "{sent:?}");
    }

    #[test]
    fn calls_of_one_class_take_turns() {
        let mut schedule = Schedule::default();
        for id in 1..=3 {
            schedule.push(Priority::Normal, id);
        }
        schedule.remove(Priority::Normal, 2);
        assert_eq!(
            [schedule.pop(), schedule.pop(), schedule.pop()],
            [Some(1), Some(3), None]
        );
    }
}
