//! Whether the calls of an agent are begun where they arrive, or each in a task of its own.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// How many calls get a task of their own for each time that a first step took as long as the limit.
/// So those that are begun where they arrive hold their connection up by a thirty-second of the limit
/// for each call, on average, however slow an agent is.
const TASKS: u64 = 32;

/// What is known of how quickly an agent begins.
///
/// A task costs more than many a call: an agent that answers at once is asked on the connection's own
/// task. One that works for longer before it first waits would hold up its connection, and could use
/// only one processor for it; so after such a first step its next calls get tasks.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// How many of the next calls get tasks.
    tasks: AtomicU64,
}

impl Pace {
    /// Whether the next call may be begun where it arrives; `limit` is the longest first step for
    /// that, and zero means never.
    pub(crate) fn is_quick(&self, limit: Duration) -> bool {
        let one_less = |tasks: u64| tasks.checked_sub(1);
        let order = Ordering::Relaxed;
        let tasks =
            self.tasks.load(order) > 0 && self.tasks.fetch_update(order, order, one_less).is_ok();
        !tasks && !limit.is_zero()
    }

    /// A first step took this long.
    pub(crate) fn took(&self, time: Duration, limit: Duration) {
        if time >= limit {
            let times = time.as_nanos() / limit.as_nanos().max(1);
            let times = u64::try_from(times).unwrap_or(u64::MAX);
            self.tasks
                .fetch_max(times.saturating_mul(TASKS), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slower_a_first_step_the_more_calls_get_tasks() {
        let (pace, limit) = (Pace::default(), Duration::from_micros(10));
        assert!(pace.is_quick(limit) && pace.is_quick(limit));
        pace.took(limit / 2, limit);
        assert!(pace.is_quick(limit));

        pace.took(limit * 3, limit);

        let tasks = (0..1000).filter(|_| !pace.is_quick(limit)).count();
        assert_eq!(tasks as u64, 3 * TASKS);
    }

    #[test]
    fn without_a_limit_every_call_gets_a_task() {
        let pace = Pace::default();
        assert!(!pace.is_quick(Duration::ZERO));
        pace.took(Duration::MAX, Duration::ZERO);
        assert!(!pace.is_quick(Duration::ZERO));
    }
}
