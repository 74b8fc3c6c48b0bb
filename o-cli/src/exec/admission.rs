//! How many programs run at once, and how many calls wait for one to end.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use o_core::CallError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ExecLimits;

/// Places to run and places to wait.
#[derive(Debug)]
pub(super) struct Admission {
    running: Arc<Semaphore>,
    waiting: AtomicUsize,
    max_running: usize,
    max_waiting: usize,
}

/// A place in the queue, free again when dropped.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Admission {
    pub(super) fn new(limits: &ExecLimits) -> Self {
        let max_running = limits.max_running.min(Semaphore::MAX_PERMITS);
        Self {
            running: Arc::new(Semaphore::new(max_running)),
            waiting: AtomicUsize::new(0),
            max_running,
            max_waiting: limits.max_queued,
        }
    }

    /// Waits for a place to run, which is free again when the permit is dropped.
    ///
    /// # Errors
    /// `Busy` when too many wait already.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the queue.
    pub(super) async fn enter(&self) -> Result<OwnedSemaphorePermit, CallError> {
        if let Ok(permit) = self.running.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _place = Place(&self.waiting);
        if before >= self.max_waiting {
            let (running, waiting) = (self.max_running, self.max_waiting);
            let reason = format!("{running} programs run and {waiting} calls wait");
            return Err(CallError::Busy { reason });
        }
        let permit = self.running.clone().acquire_owned().await;
        permit.map_err(|_| CallError::ShuttingDown)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn who_finds_the_queue_full_is_told_so_and_leaving_makes_room() {
        let limits = ExecLimits {
            max_running: 1,
            max_queued: 1,
            ..ExecLimits::default()
        };
        let admission = Admission::new(&limits);
        let first = admission.enter().now_or_never().unwrap().unwrap();
        {
            let mut second = Box::pin(admission.enter());
            assert!(second.as_mut().now_or_never().is_none());
            let third = admission.enter().now_or_never().unwrap();
            assert!(matches!(third, Err(CallError::Busy { .. })));
        }
        let mut next = Box::pin(admission.enter());
        assert!(next.as_mut().now_or_never().is_none());
        drop(first);
        assert!(next.now_or_never().unwrap().is_ok());
    }
}
