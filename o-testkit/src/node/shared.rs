//! What the handles of a node and its tasks share.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use o_address::Address;
use o_core::{Agent, CallError, Event, Events, Lifecycle, NodeState};
use tokio::sync::Mutex as AsyncMutex;

use super::{
    HostError,
    config::{MemoryNodeBuilder, Names},
    run::Run,
};

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) built: MemoryNodeBuilder,
    state: Mutex<State>,
    /// Held while the node starts and while it stops.
    pub(super) transition: AsyncMutex<()>,
}

#[derive(Default)]
struct State {
    life: Lifecycle,
    agents: BTreeMap<Address, Arc<dyn Agent>>,
    /// From the first moment of a start to the last of a stop.
    run: Option<Arc<Run>>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("life", &self.life)
            .finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(built: MemoryNodeBuilder) -> Arc<Self> {
        Arc::new(Self {
            built,
            state: Mutex::default(),
            transition: AsyncMutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn publish(&self, event: Event) {
        self.built.events.publish(event);
    }

    pub(super) fn state(&self) -> NodeState {
        self.lock().life.state()
    }

    /// Changes the life and tells whoever watches if that moved it.
    pub(super) fn live<R>(&self, change: impl FnOnce(&mut Lifecycle) -> R) -> R {
        let (result, before, after) = {
            let life = &mut self.lock().life;
            let before = life.state();
            (change(life), before, life.state())
        };
        if before != after {
            self.publish(Event::State(after));
        }
        result
    }

    pub(super) fn run(&self) -> Option<Arc<Run>> {
        self.lock().run.clone()
    }

    pub(super) fn set_run(&self, run: Option<Arc<Run>>) {
        let before = std::mem::replace(&mut self.lock().run, run);
        drop(before);
    }

    /// The run in which calls may be made.
    pub(super) fn running(&self) -> Result<Arc<Run>, CallError> {
        let state = self.lock();
        let run = state
            .run
            .clone()
            .filter(|_| state.life.state() == NodeState::Running);
        run.ok_or(CallError::ShuttingDown)
    }

    pub(super) fn host(&self, address: Address, agent: Arc<dyn Agent>) -> Result<(), HostError> {
        let state = &mut *self.lock();
        if state.agents.contains_key(&address) {
            return Err(HostError::Taken);
        }
        if state.agents.len() >= self.built.config.max_agents {
            return Err(HostError::TooMany);
        }
        state.agents.insert(address, agent);
        Ok(())
    }

    pub(super) fn withdraw(&self, address: &Address) -> bool {
        let gone = self.lock().agents.remove(address);
        gone.is_some()
    }

    pub(super) fn hosted(&self) -> Vec<Address> {
        self.lock().agents.keys().cloned().collect()
    }

    /// The agent that answers to this address here.
    pub(super) fn agent(&self, address: &Address) -> Option<Arc<dyn Agent>> {
        if address.pin().is_some_and(|pin| pin != self.built.peer) {
            return None;
        }
        self.lock().agents.get(&address.without_pin()).cloned()
    }

    /// Makes a hosted name findable while the node runs.
    pub(super) fn announce(&self, run: &Run, address: &Address) {
        let Names::Directory(directory) = &self.built.names else {
            return;
        };
        match directory.insert(address, self.built.peer, run.addresses()) {
            Ok(()) => self.publish(Event::Announced(address.clone())),
            Err(error) => tracing::warn!(%address, %error, "the name cannot be announced"),
        }
    }

    pub(super) fn unannounce(&self, address: &Address) {
        if let Names::Directory(directory) = &self.built.names {
            directory.remove(address, self.built.peer);
        }
    }
}
