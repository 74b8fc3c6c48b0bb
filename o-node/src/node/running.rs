//! Everything that exists while a node runs: made at start, gone after stop.

mod compose;
mod ending;

use std::{
    fmt,
    hash::{BuildHasher, Hasher, RandomState},
    io::ErrorKind,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use o_address::{PeerId, TransportAddr};
use o_core::{
    Attempt, Capability, Connection, ConnectionGater, Direction, Discovery, ErrorCode, Event,
    Events, ListenError, Listener, Resolver, SignedRecord, Stage, StartError, Transport,
};
use o_gating::GaterChain;
use o_pool::{AcquireError, Pool};
use o_protocol::{Goodbye, Side, refuse};
use o_transport::{probe_fixed_port, unsupported_reason};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::Inner;
#[cfg(feature = "gossip")]
use crate::gossip::Gossiper;
use crate::{
    announce::Announcer,
    balance::mix,
    config::NodeConfig,
    deadlines,
    dialer::{NodeDialer, Outside},
    events::EventBus,
    find::Finder,
    hierarchy::{self, FamilyGate, Hierarchy, Member},
    hosting::Dispatcher,
    memory,
    peers::Peers,
    pinned::PinnedCaller,
    providers::{Instance, Providers},
    reputation::{self, Ledger},
    route::NodeResolver,
    swarm::{Listens, SwarmHandle, SwarmTask},
    tasks::Tasks,
};

/// What the user brought.
pub(super) struct Parts {
    pub(super) gater: Arc<GaterChain>,
    /// Who may connect by the rules of the hierarchy, where the node belongs to one; it stands in `gater`.
    pub(super) family: Option<FamilyGate>,
    pub(super) discovery: Vec<Arc<dyn Discovery>>,
    pub(super) resolvers: Vec<Arc<dyn Resolver>>,
    pub(super) transports: Vec<Arc<dyn Transport>>,
    pub(super) libp2p_transports: Option<crate::raw::TransportFactory>,
}

/// One run of a node.
pub(super) struct Running {
    pub(super) tasks: Tasks,
    /// Cancelled when the node begins to drain: from then on nothing is announced.
    leaving: CancellationToken,
    pub(super) swarm: SwarmHandle,
    pub(super) pool: Pool<NodeDialer>,
    pub(super) dialer: NodeDialer,
    pub(super) peers: Arc<Peers>,
    pub(super) finder: Finder,
    pub(super) resolver: NodeResolver,
    pub(super) dispatcher: Arc<Dispatcher>,
    pub(super) hierarchy: Option<Arc<Hierarchy>>,
    pub(super) providers: Providers,
    /// What gossip wants of the node, until it runs.
    #[cfg(feature = "gossip")]
    gossip: Mutex<Option<crate::swarm::Errands>>,
    /// What the next random number is made of.
    numbers: AtomicU64,
    ledger: Arc<Ledger>,
    pub(super) addresses: Arc<watch::Sender<Vec<TransportAddr>>>,
    signer: Arc<dyn o_core::Signer>,
    announcer: Mutex<Option<(Announcer, watch::Receiver<u64>)>>,
    max_admitting: usize,
    /// How long a session's last bytes may take, and a local call's end.
    linger: Duration,
    /// Most nodes that a call may pass on its way through a tree.
    pub(super) max_hops: u8,
    /// How long a search may take for a call without a deadline.
    pub(super) search_timeout: Duration,
    events: EventBus,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("tasks", &self.tasks)
            .finish_non_exhaustive()
    }
}

/// The queue that a Swarm task works off, and what it is made of, until it is spawned.
pub(super) struct Pending(SwarmTask);

impl Running {
    /// Builds everything and opens nothing yet.
    pub(super) fn begin(inner: &Inner) -> Result<(Self, Pending), StartError> {
        let config = &inner.config;
        memory::keep_freed(config.node.keep_memory);
        let tasks = Tasks::default();
        let ledger = inner.ledger.clone();
        let peers = Arc::new(Peers::new(config.node.max_known_peers, ledger.clone()));
        let dispatcher = compose::dispatcher(inner, &tasks, &peers);
        let outside = Arc::new(compose::outside(inner, &dispatcher, &peers));

        let (swarm, commands) = SwarmHandle::channel(config.node.max_commands);
        let dialer = NodeDialer {
            swarm: swarm.clone(),
            outside: outside.clone(),
            timeout: config.node.dial_timeout,
            stagger: config.node.dial_stagger,
            bootstrap: config.bootstrap.as_slice().into(),
        };
        let pool = compose::pool(config, &dialer, &tasks)?;
        let built = compose::swarm(inner, &outside, &dispatcher)?;

        let addresses = Arc::new(watch::Sender::new(Vec::new()));
        let authority = compose::hierarchy(inner, &pool, &dispatcher, &addresses)?;
        let hierarchy = authority.hierarchy.clone();
        let sources = compose::sources(inner, built.sources, &pool, &peers, &hierarchy)?;
        let finder = compose::finder(config, &sources, &pool, &dispatcher, authority);
        let resolver = compose::resolver(inner, &finder, hierarchy.clone());
        let providers = compose::providers(config, &finder, &ledger, &tasks);
        let announcer =
            compose::announcer(inner, &dispatcher, &finder, sources, &addresses, &hierarchy);

        let task = SwarmTask::new(
            built.parts,
            commands,
            pool.clone(),
            peers.clone(),
            inner.events.clone(),
            Listens::new(dispatcher.local, addresses.clone()),
        );
        let running = Self {
            tasks,
            leaving: CancellationToken::new(),
            swarm,
            pool,
            dialer,
            peers,
            finder,
            resolver,
            dispatcher,
            hierarchy,
            providers,
            #[cfg(feature = "gossip")]
            gossip: Mutex::new(built.gossip),
            numbers: AtomicU64::new(RandomState::new().build_hasher().finish()),
            ledger,
            addresses,
            signer: announcer.signer.clone(),
            announcer: Mutex::new(Some((announcer, inner.agents.changes()))),
            linger: config.session.linger,
            max_admitting: config.limits.max_pending_inbound,
            max_hops: config.hierarchy.max_hops,
            search_timeout: config.node.call_timeout,
            events: inner.events.clone(),
        };
        Ok((running, Pending(task)))
    }

    /// Starts the Swarm task, opens every listener, begins to announce and reaches for the
    /// bootstrap peers.
    pub(super) async fn listen(
        &self,
        config: &NodeConfig,
        Pending(task): Pending,
    ) -> Result<(), StartError> {
        self.tasks.spawn("swarm", task.run());
        let keeping = deadlines::keep(self.peers.clone(), config.node.deadline_check);
        self.tasks.spawn("deadlines", keeping);
        if config.reputation.file.is_some() {
            let keeping = reputation::keep(self.ledger.clone());
            self.tasks.spawn("reputation", keeping);
        }
        for address in &config.listen {
            let failed = |source| StartError::Listen {
                address: address.clone(),
                source,
            };
            let unsupported = || ListenError::Unsupported {
                reason: unsupported_reason(&config.transport, address),
            };
            if let Some(transport) = self.dialer.outside.transport_for(address) {
                let listener = transport.listen(address).await.map_err(failed)?;
                self.accept(listener);
                continue;
            }
            // libp2p sets SO_REUSEPORT: without this a second process would share the port.
            if let Err(error) = probe_fixed_port(address) {
                return Err(failed(match error.kind() {
                    ErrorKind::AddrInUse => ListenError::InUse,
                    ErrorKind::InvalidInput => unsupported(),
                    _ => ListenError::Failed(error.into()),
                }));
            }
            match self.swarm.listen(address.clone()).await {
                Ok(_) => {}
                Err(ListenError::Unsupported { .. }) => return Err(failed(unsupported())),
                Err(error) => return Err(failed(error)),
            }
        }
        let announcer = self
            .announcer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some((announcer, changes)) = announcer {
            let until_leaving = self.leaving.clone();
            self.tasks.spawn("announce", async move {
                let announcing = announcer.run(changes);
                until_leaving.run_until_cancelled_owned(announcing).await;
            });
        }
        #[cfg(feature = "store")]
        self.keep_registry(config).await;
        self.join_hierarchy(config);
        #[cfg(feature = "gossip")]
        self.join_gossip();
        self.stay_with_bootstrap(config);
        Ok(())
    }

    /// Keeps connections to the bootstrap peers.
    fn stay_with_bootstrap(&self, config: &NodeConfig) {
        for address in &config.bootstrap {
            if let Some(peer) = address.peer_id() {
                let (pool, address) = (self.pool.clone(), address.clone());
                let pause = config.node.bootstrap_pause;
                self.tasks
                    .spawn("bootstrap", stay_connected(pool, peer, address, pause));
            }
        }
    }

    /// Takes in what the registry held before, and keeps it on the disk from now on, where that is wanted.
    #[cfg(feature = "store")]
    async fn keep_registry(&self, config: &NodeConfig) {
        let registry = self
            .hierarchy
            .as_ref()
            .map(|hierarchy| hierarchy.registry());
        if let Some(registry) = registry
            && let Some(store) = hierarchy::restore_registry(registry, &config.registry).await
        {
            let (grace, leaving) = (config.registry.grace, self.leaving.clone());
            let keeping = hierarchy::keep_registry(registry.clone(), store, grace, leaving);
            self.tasks.spawn("registry file", keeping);
        }
    }

    /// Looks after the children, and joins the parent where there is one.
    fn join_hierarchy(&self, config: &NodeConfig) {
        let Some(hierarchy) = &self.hierarchy else {
            return;
        };
        let keeping = hierarchy::keep(hierarchy.clone());
        self.tasks.spawn("children", keeping);
        let Some(home) = &config.hierarchy.parent else {
            return;
        };
        let caller = Arc::new(PinnedCaller {
            peers: self.peers.clone(),
            pool: self.pool.clone(),
        });
        let registry = hierarchy.registry().clone();
        let telling = hierarchy::tell_upstream(hierarchy.clone(), registry, caller.clone());
        self.tasks.spawn("registry", telling);
        let copying = hierarchy::replicate(hierarchy.clone(), caller);
        let until_leaving = self.leaving.clone();
        self.tasks.spawn("registry copy", async move {
            until_leaving.run_until_cancelled_owned(copying).await;
        });
        let member = Member {
            hierarchy: hierarchy.clone(),
            pool: self.pool.clone(),
            dialer: self.dialer.clone(),
            home: home.clone(),
        };
        let until_leaving = self.leaving.clone();
        self.tasks.spawn("parent", async move {
            until_leaving.run_until_cancelled_owned(member.run()).await;
        });
    }

    /// Runs gossip's errands, where the node takes part.
    #[cfg(feature = "gossip")]
    fn join_gossip(&self) {
        let mut errands = self.gossip.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(errands) = errands.take() {
            let caller = PinnedCaller {
                peers: self.peers.clone(),
                pool: self.pool.clone(),
            };
            let gossiper = Gossiper::new(errands, self.pool.clone(), caller);
            self.tasks.spawn("gossip", gossiper.run());
        }
    }

    /// A number that nobody can foresee from what the node sends.
    pub(super) fn random(&self) -> u64 {
        mix(self.numbers.fetch_add(1, Ordering::Relaxed))
    }

    /// The agents of this node that have announced a capability.
    pub(super) fn hosting(&self, capability: &Capability) -> Vec<Instance> {
        let records = &self.dispatcher.builtin.records;
        let records = records.lock().unwrap_or_else(PoisonError::into_inner);
        let able = |record: &&SignedRecord| record.record().capabilities.contains(capability);
        let able = records.records().filter(able);
        able.map(|record| self.providers.local(record)).collect()
    }

    /// Takes the connections of a custom transport, through the same gater.
    fn accept(&self, mut listener: Box<dyn Listener>) {
        let address = listener.address().with_peer(&self.signer.peer());
        self.addresses.send_modify(|all| all.push(address.clone()));
        self.events.publish(Event::Listening(address));
        let (outside, pool, tasks) = (
            self.dialer.outside.clone(),
            self.pool.clone(),
            self.tasks.clone(),
        );
        let admitting = Arc::new(Semaphore::new(self.max_admitting));
        self.tasks.spawn("accept", async move {
            while let Some(connection) = listener.accept().await {
                let Ok(place) = admitting.clone().try_acquire_owned() else {
                    tracing::debug!(peer = %connection.peer(), "too many connections at once");
                    connection.close().await;
                    continue;
                };
                let (outside, pool) = (outside.clone(), pool.clone());
                tasks.spawn("handshake", async move {
                    admit(outside, pool, connection).await;
                    drop(place);
                });
            }
        });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

/// Keeps a connection to a bootstrap peer: a node that listens nowhere is reached through it.
async fn stay_connected(
    pool: Pool<NodeDialer>,
    peer: PeerId,
    address: TransportAddr,
    pause: Duration,
) {
    // The limit on protected peers is above that on bootstrap peers.
    let _ = pool.protect(peer);
    let mut warned = false;
    loop {
        match pool.acquire(peer, std::slice::from_ref(&address)).await {
            Ok(lease) => {
                // Protected, not leased: of two connections that both sides dialed one may go.
                let session = lease.session.clone();
                drop(lease);
                warned = false;
                session.closed().await;
                tracing::debug!(%peer, "bootstrap peer lost");
            }
            Err(AcquireError::Closed) => return,
            Err(error) if !warned => {
                warned = true;
                tracing::warn!(%peer, %error, "bootstrap peer not reached, will try again");
            }
            Err(error) => tracing::debug!(%peer, %error, "bootstrap peer not reached"),
        }
        tokio::time::sleep(pause).await;
    }
}

/// One connection of a custom transport: the gater's questions, and its call substream.
async fn admit(outside: Arc<Outside>, pool: Pool<NodeDialer>, connection: Arc<dyn Connection>) {
    let (peer, remote) = (connection.peer(), connection.remote());
    let ask = |stage| Attempt::new(stage, Direction::Inbound).remote(&remote);
    // Where it comes from is asked as it is inside the Swarm, only later: the peer is proved already.
    if let Err(reason) = outside.gater.allow(&ask(Stage::Pending)) {
        outside.denied_inbound(peer, reason);
        connection.close().await;
        return;
    }
    let allowed = outside.gater.allow(&ask(Stage::Established).peer(&peer));
    let patience = if allowed.is_ok() {
        outside.admit_timeout
    } else {
        outside.refuse_timeout
    };
    let substream = match tokio::time::timeout(patience, connection.accept()).await {
        Ok(Ok(substream)) => substream,
        Ok(Err(error)) => {
            tracing::debug!(%peer, %error, "no call substream");
            return;
        }
        Err(_) => {
            tracing::debug!(%peer, "no call substream in time");
            connection.close().await;
            return;
        }
    };
    if let Err(reason) = allowed {
        let goodbye = Goodbye::new(ErrorCode::Refused, reason.to_string());
        outside.denied_inbound(peer, reason);
        refuse(substream, &goodbye, outside.refuse_timeout).await;
        connection.close().await;
        return;
    }
    let link = outside.begin(connection, substream, Side::Listener);
    if pool.adopt(peer, link, Direction::Inbound).is_err() {
        tracing::debug!(%peer, "the pool takes no more connections");
    }
}
