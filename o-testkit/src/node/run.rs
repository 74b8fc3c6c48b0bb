//! One run of a node, from a start to the next stop: its tasks, sessions and dials.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use o_address::{PeerId, TransportAddr};
use o_core::{ErrorCode, StopError};
use o_protocol::{Goodbye, SessionHandle};
use tokio::sync::Mutex as AsyncMutex;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

#[derive(Debug)]
pub(super) struct Run {
    /// Listeners, connections and the calls that are served.
    pub(super) tasks: TaskTracker,
    /// Calls of this process to agents of this process.
    pub(super) local: TaskTracker,
    /// Nothing new is taken.
    pub(super) leaving: CancellationToken,
    /// What still runs ends now.
    pub(super) over: CancellationToken,
    /// How many hooks have to be told of the end.
    pub(super) hooks: AtomicUsize,
    max_sessions: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    addresses: Vec<TransportAddr>,
    sessions: BTreeMap<u64, SessionHandle>,
    next: u64,
    dials: HashMap<PeerId, Arc<AsyncMutex<()>>>,
}

impl Run {
    pub(super) fn new(max_sessions: usize) -> Self {
        Self {
            tasks: TaskTracker::new(),
            local: TaskTracker::new(),
            leaving: CancellationToken::new(),
            over: CancellationToken::new(),
            hooks: AtomicUsize::new(0),
            max_sessions,
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the node listens.
    pub(super) fn addresses(&self) -> Vec<TransportAddr> {
        self.lock().addresses.clone()
    }

    pub(super) fn listens_at(&self, address: TransportAddr) {
        self.lock().addresses.push(address);
    }

    /// Takes a session in, under a number by which it leaves; `None` when there are too many.
    pub(super) fn join(&self, handle: SessionHandle) -> Option<u64> {
        let state = &mut *self.lock();
        if state.sessions.len() >= self.max_sessions {
            return None;
        }
        state.next += 1;
        state.sessions.insert(state.next, handle);
        Some(state.next)
    }

    pub(super) fn leave(&self, number: u64) {
        let gone = self.lock().sessions.remove(&number);
        drop(gone);
    }

    /// The oldest session with `peer` that takes calls.
    pub(super) fn session(&self, peer: PeerId) -> Option<SessionHandle> {
        let handles: Vec<_> = self.lock().sessions.values().cloned().collect();
        handles
            .into_iter()
            .find(|handle| handle.peer() == Some(peer) && handle.is_open())
    }

    pub(super) fn sessions(&self) -> Vec<SessionHandle> {
        self.lock().sessions.values().cloned().collect()
    }

    /// Whoever holds the lock dials `peer`; the others find its session afterwards.
    pub(super) fn dialing(&self, peer: PeerId) -> Option<Arc<AsyncMutex<()>>> {
        let dials = &mut self.lock().dials;
        dials.retain(|_, dial| Arc::strong_count(dial) > 1);
        if dials.len() >= self.max_sessions && !dials.contains_key(&peer) {
            return None;
        }
        Some(dials.entry(peer).or_default().clone())
    }

    /// Says goodbye, waits for what runs, cancels the rest and waits for every task.
    pub(super) async fn shut_down(&self, drain: Duration) -> Result<(), StopError> {
        self.leaving.cancel();
        self.tasks.close();
        self.local.close();
        let mut goodbye = Goodbye::new(ErrorCode::ShuttingDown, "the node stops");
        goodbye.drain = drain;
        self.sessions()
            .iter()
            .for_each(|session| session.goodbye(&goodbye));

        let done = async {
            self.tasks.wait().await;
            self.local.wait().await;
        };
        let mut cancelled = 0;
        if tokio::time::timeout(drain, done).await.is_err() {
            let served = self
                .sessions()
                .iter()
                .map(SessionHandle::active_calls)
                .sum::<usize>();
            cancelled = served + self.local.len();
        }
        self.over.cancel();
        self.tasks.wait().await;
        if cancelled > 0 {
            return Err(StopError::Cancelled {
                calls: cancelled,
                after: drain,
            });
        }
        Ok(())
    }

    /// Ends everything without a word: the last handle of the node is gone.
    pub(super) fn abort(&self) {
        self.leaving.cancel();
        self.over.cancel();
    }

    pub(super) fn hooks_begun(&self) -> usize {
        self.hooks.load(Ordering::Relaxed)
    }
}
