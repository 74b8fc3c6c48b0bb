//! Every task of a node: spawned here, counted here, ended here.

use std::{future::Future, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

/// The tasks of one run of a node. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// Runs `future` until it ends or the node has stopped.
    pub(crate) fn spawn(
        &self,
        name: &'static str,
        future: impl Future<Output = ()> + Send + 'static,
    ) {
        let stop = self.stop.clone();
        let future = async move {
            stop.run_until_cancelled_owned(future).await;
        };
        let future = future.instrument(tracing::debug_span!("task", name));
        drop(tokio::spawn(self.tracker.track_future(future)));
    }

    /// Runs the answer to a call. It is not told to end: closing its session does that, and a token
    /// that every call registers with would be a lock on the way of each.
    pub(crate) fn spawn_call(&self, future: impl Future<Output = ()> + Send + 'static) {
        drop(tokio::spawn(self.tracker.track_future(future)));
    }

    /// Runs something that is not a task of the node, at most until the node stops: `None` then.
    pub(crate) async fn unless_stopped<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = future => Some(done),
            () = self.stop.cancelled() => None,
        }
    }

    /// How many tasks run.
    pub(crate) fn count(&self) -> usize {
        self.tracker.len()
    }

    /// Tells every task to end, without waiting.
    pub(crate) fn cancel(&self) {
        self.stop.cancel();
        self.tracker.close();
    }

    /// Ends every task and waits until the last one has.
    pub(crate) async fn shutdown(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Waits until `done` says so, looking now and again, at most `limit` long. Returns whether it
    /// did.
    pub(crate) async fn settle(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
        let begun = tokio::time::Instant::now();
        while !done() {
            if begun.elapsed() >= limit {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        true
    }
}

/// Runs what waits for the disk where that keeps nobody else waiting; `None` if it panicked. Not cancel
/// safe: what has begun ends, and nobody hears of it.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

impl libp2p::swarm::Executor for Tasks {
    fn exec(&self, future: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>) {
        // Connection tasks end with the Swarm; a cancelled one could not send its last bytes.
        drop(tokio::spawn(self.tracker.track_future(future)));
    }
}
