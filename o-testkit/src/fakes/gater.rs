//! A gater that remembers what it was asked.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use o_address::{Address, PeerId, TransportAddr};
use o_core::{Attempt, ConnectionGater, DenyReason, Direction, Stage};

/// An attempt that a [`RecordingGater`] was asked about, and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SeenAttempt {
    /// How far the connection had come.
    pub stage: Stage,
    /// Who dialed.
    pub direction: Direction,
    /// The other side, where it was known.
    pub peer: Option<PeerId>,
    /// Its transport address, where it was known.
    pub remote: Option<TransportAddr>,
    /// Whether the connection ran through a relay.
    pub relayed: bool,
    /// On whose behalf, where that was said.
    pub caller: Option<Address>,
    /// Whom it was for in the end, where that was said.
    pub target: Option<Address>,
    /// Whether it was allowed.
    pub allowed: bool,
}

/// Allows everybody but those whom the test denies, and remembers the attempts. Clones share both.
#[derive(Clone, Debug)]
pub struct RecordingGater {
    state: Arc<Mutex<State>>,
    capacity: usize,
}

#[derive(Debug, Default)]
struct State {
    denied: HashMap<PeerId, DenyReason>,
    denied_stage: Option<(Stage, Direction, DenyReason)>,
    seen: VecDeque<SeenAttempt>,
    forgotten: u64,
}

impl Default for RecordingGater {
    fn default() -> Self {
        Self::new(1024)
    }
}

impl RecordingGater {
    /// Remembers the last `capacity` attempts.
    pub fn new(capacity: usize) -> Self {
        Self {
            state: Arc::default(),
            capacity: capacity.max(1),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Denies this peer, wherever it is known, from now on.
    pub fn deny(&self, peer: PeerId, reason: DenyReason) {
        self.lock().denied.insert(peer, reason);
    }

    /// Denies everybody at one stage and direction, from now on.
    pub fn deny_at(&self, stage: Stage, direction: Direction, reason: DenyReason) {
        self.lock().denied_stage = Some((stage, direction, reason));
    }

    /// Allows everybody again.
    pub fn allow_all(&self) {
        let state = &mut *self.lock();
        state.denied.clear();
        state.denied_stage = None;
    }

    /// What it was asked, oldest first.
    pub fn seen(&self) -> Vec<SeenAttempt> {
        self.lock().seen.iter().cloned().collect()
    }

    /// How many attempts were seen and are no longer remembered.
    pub fn forgotten(&self) -> u64 {
        self.lock().forgotten
    }
}

impl ConnectionGater for RecordingGater {
    fn allow(&self, attempt: &Attempt<'_>) -> Result<(), DenyReason> {
        let state = &mut *self.lock();
        let by_peer = attempt.peer.and_then(|peer| state.denied.get(peer));
        let by_stage = state
            .denied_stage
            .as_ref()
            .and_then(|(stage, direction, reason)| {
                (*stage == attempt.stage && *direction == attempt.direction).then_some(reason)
            });
        let answer = by_peer.or(by_stage).cloned().map_or(Ok(()), Err);
        if state.seen.len() == self.capacity {
            state.seen.pop_front();
            state.forgotten += 1;
        }
        state.seen.push_back(SeenAttempt {
            stage: attempt.stage,
            direction: attempt.direction,
            peer: attempt.peer.copied(),
            remote: attempt.remote.cloned(),
            relayed: attempt.relayed,
            caller: attempt.caller.cloned(),
            target: attempt.target.cloned(),
            allowed: answer.is_ok(),
        });
        answer
    }
}
