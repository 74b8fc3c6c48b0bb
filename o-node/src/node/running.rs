//! Everything that exists while a node runs: made at start, gone after stop.

mod ending;

use std::{
    fmt,
    io::ErrorKind,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize},
    },
    time::{Duration, Instant},
};

use o_address::{PeerId, TransportAddr};
use o_core::{
    Attempt, Connection, ConnectionGater, Direction, Discovery, ErrorCode, Event, Events,
    ListenError, Listener, Stage, StartError, Transport,
};
use o_discovery::{BootstrapDiscovery, MergedDiscovery};
use o_gating::GaterChain;
use o_pool::{AcquireError, Pool};
use o_protocol::{Goodbye, Hello, MAX_HOSTED, Side, refuse};
use o_transport::{EnvelopeVerifier, build_transport, probe_fixed_port, unsupported_reason};
use tokio::sync::{Semaphore, watch};

use super::Inner;
use crate::{
    announce::Announcer,
    builtin::BuiltIn,
    config::NodeConfig,
    dialer::{NodeDialer, Outside},
    events::EventBus,
    find::{Finder, RouteCache},
    hosting::{Agents, Dispatcher},
    peers::Peers,
    route::NodeResolver,
    swarm::{self, Listens, Shared, SwarmHandle, SwarmTask},
    tasks::Tasks,
};

/// Pause before a bootstrap peer that was lost or not reached is dialed again; the pool's backoff
/// comes on top.
const BOOTSTRAP_PAUSE: Duration = Duration::from_secs(2);
/// How long a peer that dialed over a custom transport may take to open its call substream.
const ADMIT_TIME: Duration = Duration::from_secs(10);
/// How long a refused peer of a custom transport may take to read why.
const REFUSE_TIME: Duration = Duration::from_secs(1);

/// What the user brought.
pub(super) struct Parts {
    pub(super) gater: Arc<GaterChain>,
    pub(super) discovery: Vec<Arc<dyn Discovery>>,
    pub(super) transports: Vec<Arc<dyn Transport>>,
    pub(super) libp2p_transports: Option<crate::raw::TransportFactory>,
}

/// One run of a node.
pub(super) struct Running {
    pub(super) tasks: Tasks,
    pub(super) swarm: SwarmHandle,
    pub(super) pool: Pool<NodeDialer>,
    pub(super) dialer: NodeDialer,
    pub(super) peers: Arc<Peers>,
    pub(super) finder: Finder,
    pub(super) resolver: NodeResolver,
    pub(super) dispatcher: Arc<Dispatcher>,
    pub(super) addresses: Arc<watch::Sender<Vec<TransportAddr>>>,
    calls: Arc<AtomicUsize>,
    builtin: Arc<BuiltIn>,
    signer: Arc<dyn o_core::Signer>,
    announcer: Mutex<Option<(Announcer, watch::Receiver<u64>)>>,
    max_admitting: usize,
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

/// The HELLO of a node: its hosted addresses change, everything else does not.
fn hello(config: &NodeConfig, agents: &Agents) -> Hello {
    let mut hello = Hello::new(config.network.clone());
    hello.agent = config.agent.as_str().into();
    let announced = agents.all();
    let announced = announced.iter().filter(|hosted| hosted.hosting.announced);
    hello.hosted = announced
        .map(|h| h.hosting.address.clone())
        .take(MAX_HOSTED)
        .collect();
    hello
}

/// The queue that a Swarm task works off, and what it is made of, until it is spawned.
pub(super) struct Pending(SwarmTask);

impl Running {
    /// Builds everything and opens nothing yet.
    pub(super) fn begin(inner: &Inner) -> Result<(Self, Pending), StartError> {
        let config = &inner.config;
        let local = inner.keypair.peer_id();
        let tasks = Tasks::default();
        let peers = Arc::new(Peers::default());
        let calls = Arc::new(AtomicUsize::new(0));
        let builtin = Arc::new(BuiltIn {
            peer: local,
            network: config.network.clone(),
            agent: config.agent.clone(),
            agents: inner.agents.clone(),
            peers: peers.clone(),
            running: calls.clone(),
            started: Instant::now(),
            records: Mutex::default(),
        });
        let dispatcher = Arc::new(Dispatcher {
            local,
            agents: inner.agents.clone(),
            builtin: builtin.clone(),
            tasks: tasks.clone(),
            limit: config.node.max_calls,
            running: calls.clone(),
            local_calls: AtomicUsize::new(0),
            leaving: AtomicBool::new(false),
        });
        let gater: Arc<dyn ConnectionGater> = inner.parts.gater.clone();
        let say_hello: Arc<dyn Fn() -> Hello + Send + Sync> = {
            let (config, agents) = (config.clone(), inner.agents.clone());
            Arc::new(move || hello(&config, &agents))
        };
        let outside = Arc::new(Outside {
            transports: inner.parts.transports.clone(),
            gater: gater.clone(),
            serve: dispatcher.clone(),
            hello: say_hello.clone(),
            session: config.session.clone(),
            tasks: tasks.clone(),
            peers: peers.clone(),
            events: inner.events.clone(),
        });

        let (handle, commands) = SwarmHandle::channel();
        let dialer = NodeDialer {
            swarm: handle.clone(),
            outside,
            timeout: config.node.dial_timeout,
        };
        let mut pool_config = config.pool.clone();
        pool_config.max_connections = pool_config
            .max_connections
            .min(config.limits.max_connections);
        let (pool, maintain) =
            Pool::new(pool_config, dialer.clone()).map_err(|error| StartError::Config {
                reason: error.to_string(),
            })?;
        tasks.spawn("pool", maintain);

        let shared = Arc::new(Shared {
            serve: dispatcher.clone(),
            hello: Box::new(move || say_hello()),
            session: config.session.clone(),
            gater,
        });
        let custom = inner.parts.libp2p_transports.as_ref();
        let custom = custom.map_or_else(Vec::new, |make| make(&inner.keypair));
        let transport =
            build_transport(&config.transport, &inner.keypair, custom).map_err(|error| {
                StartError::Transport {
                    source: error.into(),
                }
            })?;
        let built = swarm::build(config, &inner.keypair, transport, shared, tasks.clone())?;

        let mut discovery = MergedDiscovery::new(config.discovery.clone());
        for source in built
            .sources
            .into_iter()
            .chain(inner.parts.discovery.clone())
        {
            discovery = discovery.with(source);
        }
        if !config.bootstrap.is_empty() {
            let bootstrap =
                BootstrapDiscovery::new(config.bootstrap.iter().cloned()).map_err(|error| {
                    StartError::Config {
                        reason: error.to_string(),
                    }
                })?;
            discovery = discovery.with(bootstrap);
        }
        let discovery = Arc::new(discovery);
        let finder = Finder {
            discovery: discovery.clone(),
            pool: pool.clone(),
            peers: peers.clone(),
            verifier: Arc::new(EnvelopeVerifier),
            network: config.network.clone(),
            timeout: config.node.confirm_timeout,
            at_once: config.node.max_confirming,
        };
        let cache = RouteCache::new(config.node.route_lifetime, config.node.max_routes);
        let resolver = NodeResolver {
            local,
            agents: inner.agents.clone(),
            peers: peers.clone(),
            cache: Arc::new(cache),
            finder: finder.clone(),
        };
        let addresses = Arc::new(watch::Sender::new(Vec::new()));
        let signer: Arc<dyn o_core::Signer> = Arc::new(inner.keypair.clone());
        let announcer = Announcer {
            agents: inner.agents.clone(),
            builtin: builtin.clone(),
            discovery,
            signer: signer.clone(),
            network: config.network.clone(),
            lifetime: config.node.record_lifetime,
            addresses: addresses.subscribe(),
            events: inner.events.clone(),
        };
        let listens = Listens::new(local, addresses.clone());
        let task = SwarmTask::new(
            built.parts,
            commands,
            pool.clone(),
            peers.clone(),
            inner.events.clone(),
            listens,
        );
        let running = Self {
            tasks,
            swarm: handle,
            pool,
            dialer,
            peers,
            finder,
            resolver,
            dispatcher,
            addresses,
            calls,
            builtin,
            signer,
            announcer: Mutex::new(Some((announcer, inner.agents.changes()))),
            max_admitting: config.limits.max_pending_inbound,
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
            self.tasks.spawn("announce", announcer.run(changes));
        }
        for address in &config.bootstrap {
            if let Some(peer) = address.peer_id() {
                let (pool, address) = (self.pool.clone(), address.clone());
                self.tasks
                    .spawn("bootstrap", stay_connected(pool, peer, address));
            }
        }
        Ok(())
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
async fn stay_connected(pool: Pool<NodeDialer>, peer: PeerId, address: TransportAddr) {
    // The limit on protected peers is above that on bootstrap peers.
    let _ = pool.protect(peer);
    let mut warned = false;
    loop {
        match pool.acquire(peer, std::slice::from_ref(&address)).await {
            Ok(lease) => {
                warned = false;
                lease.session.closed().await;
                tracing::debug!(%peer, "bootstrap peer lost");
            }
            Err(AcquireError::Closed) => return,
            Err(error) if !warned => {
                warned = true;
                tracing::warn!(%peer, %error, "bootstrap peer not reached, will try again");
            }
            Err(error) => tracing::debug!(%peer, %error, "bootstrap peer not reached"),
        }
        tokio::time::sleep(BOOTSTRAP_PAUSE).await;
    }
}

/// One connection of a custom transport: the gater's question, and its call substream.
async fn admit(outside: Arc<Outside>, pool: Pool<NodeDialer>, connection: Arc<dyn Connection>) {
    let (peer, remote) = (connection.peer(), connection.remote());
    let attempt = Attempt::new(Stage::Established, Direction::Inbound)
        .peer(&peer)
        .remote(&remote);
    let allowed = outside.gater.allow(&attempt);
    let patience = if allowed.is_ok() {
        ADMIT_TIME
    } else {
        REFUSE_TIME
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
        let (peer, direction) = (Some(peer), Direction::Inbound);
        outside.events.publish(Event::Denied {
            peer,
            direction,
            reason,
        });
        refuse(substream, &goodbye, REFUSE_TIME).await;
        connection.close().await;
        return;
    }
    let link = outside.begin(connection, substream, Side::Listener);
    if pool.adopt(peer, link, Direction::Inbound).is_err() {
        tracing::debug!(%peer, "the pool takes no more connections");
    }
}
