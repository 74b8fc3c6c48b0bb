//! The node: a cheap handle that hosts, finds, calls, starts and stops.

mod any;
mod calling;
mod connecting;
mod elsewhere;
mod measuring;
mod observing;
mod place;
mod resolving;
mod running;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use async_trait::async_trait;
use futures::{StreamExt, stream};
use o_address::{Address, PeerId, TransportAddr};
use o_core::{
    DiscoveryError, Event, EventStream, Events, Hook, Lifecycle, NodeState, ProviderStream, Query,
    StartError, StopError,
};
use o_transport::{Keypair, PlaintextPeers};

use self::running::Running;
pub use self::{
    any::{AnyAttempt, AnyCall, AnyReply, AttemptOutcome},
    calling::PeerCaller,
    connecting::NodeChannel,
    measuring::{Latency, Throughput},
    observing::ConnectionInfo,
};
use crate::{
    builder::NodeBuilder,
    config::{NodeConfig, Preset},
    events::EventBus,
    hierarchy,
    hosting::{Agents, HostError, Hosting},
    reputation::{Ledger, ReputationGater},
    tasks,
};

/// A node on the network. Clones are handles of one node; it runs until [`o_core::Node::stop`] or
/// until the last handle is dropped.
///
/// ```no_run
/// use o_core::{CallError, Node as _};
/// use o_node::{Hosting, Keypair, Methods, Node, Preset};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let methods = Methods::new().unary("add", async |_, (a, b): (i64, i64)| Ok::<_, CallError>(a + b));
/// let node = Node::builder(Keypair::generate(), Preset::Local)
///     .max_connections(50)
///     .host(Hosting::new("o://math/adder".parse()?, methods).capability("math/add".parse()?))
///     .start()
///     .await?;
/// println!("listening on {:?}", node.listen_addresses());
/// node.stop().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    keypair: Keypair,
    config: NodeConfig,
    parts: running::Parts,
    /// What was observed of peers, over all runs of this node.
    ledger: Arc<Ledger>,
    agents: Arc<Agents>,
    events: EventBus,
    hooks: Vec<Arc<dyn Hook>>,
    plaintext: PlaintextPeers,
    life: Mutex<Lifecycle>,
    running: RwLock<Option<Arc<Running>>>,
    /// Held by whoever starts or stops, so that a second stop waits for the first.
    changing: tokio::sync::Mutex<()>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("peer", &self.peer_id())
            .field("state", &o_core::Node::state(self))
            .finish_non_exhaustive()
    }
}

impl Node {
    /// Begins to put a node together from its key and a preset.
    pub fn builder(keypair: Keypair, preset: Preset) -> NodeBuilder {
        NodeBuilder::new(keypair, preset)
    }

    pub(crate) fn new(mut builder: NodeBuilder) -> Self {
        let reputation = builder.config.reputation.clone();
        let min_score = reputation.min_score;
        let ledger = Arc::new(Ledger::new(reputation));
        if min_score > 0.0 {
            let ledger = ledger.clone();
            let gater = ReputationGater { ledger, min_score };
            builder.gaters.push(Arc::new(gater));
        }
        let agents = Arc::new(Agents::new(builder.config.node.max_agents));
        let place = &builder.config.hierarchy;
        // A configuration that makes no gate is refused at the start.
        let family = place
            .name
            .as_ref()
            .and_then(|_| hierarchy::gate(place).ok());
        let mut gaters = builder.gaters;
        if let Some(family) = &family {
            gaters.push(Arc::new(family.clone()));
        }
        let parts = running::Parts {
            gater: Arc::new(gaters),
            family,
            discovery: builder.discovery,
            resolvers: builder.resolvers,
            transports: builder.transports,
            libp2p_transports: builder.libp2p_transports,
        };
        let events = EventBus::new(builder.config.node.max_events);
        let inner = Inner {
            keypair: builder.keypair,
            config: builder.config,
            parts,
            ledger,
            agents,
            events,
            hooks: builder.hooks,
            plaintext: PlaintextPeers::default(),
            life: Mutex::default(),
            running: RwLock::default(),
            changing: tokio::sync::Mutex::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Who this is.
    pub fn peer_id(&self) -> PeerId {
        self.inner.keypair.peer_id()
    }

    /// Whether a connection to `peer` over a Unix socket is in plaintext; see
    /// [`UnixConfig::plaintext`](o_transport::UnixConfig).
    pub fn is_plaintext(&self, peer: &PeerId) -> bool {
        self.inner.plaintext.contains(peer)
    }

    /// The configuration that it was built with.
    pub fn config(&self) -> &NodeConfig {
        &self.inner.config
    }

    /// Where it listens now, each address with the peer id.
    pub fn listen_addresses(&self) -> Vec<TransportAddr> {
        self.running()
            .map(|running| running.addresses.borrow().clone())
            .unwrap_or_default()
    }

    /// Hosts an agent, now or from the next start on.
    ///
    /// # Errors
    /// The address is taken or reserved, a method's name cannot be used, or there are too many.
    pub fn host(&self, hosting: Hosting) -> Result<(), HostError> {
        let address = hosting.address.clone();
        self.inner.agents.add(hosting)?;
        self.inner.events.publish(Event::Hosted(address));
        Ok(())
    }

    /// Hosts an agent no longer, and withdraws it; `false` if it was not hosted. Calls that run go
    /// on.
    pub fn unhost(&self, address: &Address) -> bool {
        let removed = self.inner.agents.remove(address).is_some();
        if removed {
            self.inner.events.publish(Event::Withdrawn(address.clone()));
        }
        removed
    }

    /// The agents that are hosted here.
    pub fn hosted(&self) -> Vec<Address> {
        self.inner
            .agents
            .all()
            .iter()
            .map(|hosted| hosted.hosting.address.clone())
            .collect()
    }

    /// Looks for agents. Each is yielded once it has confirmed by itself, with its key, that it
    /// matches; what does not confirm is left out, but for whoever refuses to tell this node anything and
    /// whose signed record a registry has: those are not `confirmed`. Dropping the stream ends the search.
    ///
    /// Searches by attributes and by words ask nobody: they are answered from the signed records that
    /// this node's sources have at hand, and those that it hosts; what is found is not `confirmed`.
    /// `Provider::matched` says how well each matches and why; sources rank for themselves.
    pub fn find(&self, query: Query) -> ProviderStream {
        let Ok(running) = self.running() else {
            return stream::iter([Err(DiscoveryError::Shutdown)]).boxed();
        };
        let tasks = running.tasks.clone();
        stream::unfold(Some(running.finder.confirmed(query)), move |found| {
            let tasks = tasks.clone();
            async move {
                let mut found = found?;
                match tasks.unless_stopped(found.next()).await {
                    Some(item) => Some((item?, Some(found))),
                    None => Some((Err(DiscoveryError::Shutdown), None)),
                }
            }
        })
        .boxed()
    }

    /// Whom a call to `address` goes to first, if that is known without asking anybody: whoever was
    /// found there lately, or is connected and says that it hosts the name.
    pub fn known_peer(&self, address: &Address) -> Option<PeerId> {
        let running = self.running().ok()?;
        let routes = running.resolver.known(address);
        routes.first().map(|route| route.peer)
    }

    /// What happens from now on.
    pub fn events(&self) -> EventStream {
        self.inner.events.subscribe()
    }

    /// Asks the gater again about every connection and closes those that it no longer allows. To
    /// be called after a list or rule was edited.
    ///
    /// # Cancel safety
    /// Dropping the future may leave the question asked.
    pub async fn recheck_connections(&self) {
        if let Ok(running) = self.running() {
            running.recheck();
        }
    }

    /// Numbers of the connection pool.
    pub fn pool_stats(&self) -> Option<o_pool::PoolStats> {
        self.running().ok().map(|running| running.pool.stats())
    }

    /// How many tasks of this node run: none once it has stopped.
    pub fn task_count(&self) -> usize {
        let running = self
            .inner
            .running
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        running.as_ref().map_or(0, |running| running.tasks.count())
    }

    fn running(&self) -> Result<Arc<Running>, o_core::CallError> {
        let running = self
            .inner
            .running
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        running.clone().ok_or(o_core::CallError::ShuttingDown)
    }

    fn life(&self) -> std::sync::MutexGuard<'_, Lifecycle> {
        self.inner
            .life
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn set_running(&self, running: Option<Arc<Running>>) -> Option<Arc<Running>> {
        let mut slot = self
            .inner
            .running
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *slot, running)
    }

    async fn try_start(&self) -> Result<(), StartError> {
        let inner = &self.inner;
        inner.config.validate()?;
        for hook in &inner.hooks {
            hook.initialize()
                .await
                .map_err(|source| StartError::Hook { source })?;
        }
        let ledger = inner.ledger.clone();
        tasks::blocking(move || ledger.load()).await;
        let (running, commands) = Running::begin(inner)?;
        // From here on a failure, or dropping this future, must leave nothing behind.
        let running = Arc::new(running);
        self.set_running(Some(running.clone()));
        let limit = inner.config.node.start_timeout;
        let listening = running.listen(&inner.config, commands);
        tokio::time::timeout(limit, listening)
            .await
            .unwrap_or(Err(StartError::TimedOut { after: limit }))?;
        for hook in &inner.hooks {
            hook.started()
                .await
                .map_err(|source| StartError::Hook { source })?;
        }
        Ok(())
    }

    fn enter(&self, change: impl FnOnce(&mut Lifecycle)) {
        let state = {
            let mut life = self.life();
            change(&mut life);
            life.state()
        };
        self.inner.events.publish(Event::State(state));
    }
}

#[async_trait]
impl o_core::Node for Node {
    async fn start(&self) -> Result<(), StartError> {
        self.life().begin_start()?;
        let _changing = self.inner.changing.lock().await;
        self.inner.events.publish(Event::State(NodeState::Starting));
        if let Err(error) = self.try_start().await {
            if let Some(running) = self.set_running(None) {
                running.abort().await;
            }
            self.enter(Lifecycle::stopped);
            return Err(error);
        }
        let state = self.life().state();
        if state != NodeState::Starting {
            // A stop that waits for us ends what runs; one that has gone by already cannot.
            if state != NodeState::Stopping
                && let Some(running) = self.set_running(None)
            {
                running.abort().await;
            }
            return Err(StartError::Stopped);
        }
        self.enter(Lifecycle::started);
        Ok(())
    }

    async fn stop(&self) -> Result<(), StopError> {
        let begun = self.life().begin_stop();
        let _changing = self.inner.changing.lock().await;
        if !begun && self.life().state() != NodeState::Stopping {
            return Ok(());
        }
        self.inner.events.publish(Event::State(NodeState::Stopping));
        let mut outcome = Ok(());
        let running = self.running().ok();
        if let Some(running) = running {
            outcome = running.drain(&self.inner.config).await;
            running.abort().await;
            self.set_running(None);
        }
        for hook in self.inner.hooks.iter().rev() {
            hook.stopped().await;
        }
        self.enter(Lifecycle::stopped);
        outcome
    }

    fn state(&self) -> NodeState {
        self.life().state()
    }
}
