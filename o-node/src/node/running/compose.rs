//! The parts that a running node is made of, each made from those before it.

use std::{
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicUsize},
    },
    time::Instant,
};

use futures::{StreamExt as _, stream};
use o_address::TransportAddr;
use o_core::{Caller, Discovery, Record, StartError, Verifier};
use o_discovery::{
    BootstrapDiscovery, Index, IndexConfig, MergedDiscovery,
    registry::{Entry, Further, Registries, Registry, RegistryDiscovery, search_at},
};
use o_pool::Pool;
use o_protocol::{Hello, MAX_HOSTED};
use o_transport::{EnvelopeVerifier, build_watched_transport};
use tokio::sync::watch;

use super::Inner;
#[cfg(feature = "mdns")]
use crate::find::NearRegistries;
use crate::{
    announce::Announcer,
    authority::Authority,
    bench::Measured,
    builtin::BuiltIn,
    config::NodeConfig,
    dialer::{NodeDialer, Outside},
    find::Finder,
    hierarchy::{Hierarchy, HierarchyParts},
    hosting::{Agents, Dispatcher, Hosted, Hosting},
    pace::Pace,
    peers::Peers,
    pinned::PinnedCaller,
    providers::Providers,
    reputation::Ledger,
    route::{NodeResolver, RouteCache},
    swarm::{self, Built, Shared, SourceList},
    tasks::Tasks,
    trust::Trust,
};

fn config_error(error: impl std::fmt::Display) -> StartError {
    let reason = error.to_string();
    StartError::Config { reason }
}

/// What answers calls: the agents of the node, and the methods that every agent has.
pub(super) fn dispatcher(inner: &Inner, tasks: &Tasks, peers: &Arc<Peers>) -> Arc<Dispatcher> {
    let config = &inner.config;
    let local = inner.keypair.peer_id();
    let running = Arc::new(AtomicUsize::new(0));
    let builtin = Arc::new(BuiltIn {
        peer: local,
        network: config.network.clone(),
        agent: config.agent.clone(),
        agents: inner.agents.clone(),
        peers: peers.clone(),
        running: running.clone(),
        answered: 0.into(),
        started: Instant::now(),
        records: Mutex::new(own_index(config)),
        measured: Arc::new(Measured::new(config.bench.clone())),
        hierarchy: OnceLock::new(),
        registry: OnceLock::new(),
        #[cfg(feature = "gossip")]
        gossip: OnceLock::new(),
    });
    Arc::new(Dispatcher {
        local,
        agents: inner.agents.clone(),
        builtin,
        peers: peers.clone(),
        tasks: tasks.clone(),
        limit: config.node.max_calls,
        quick_step: config.node.quick_step,
        pace: Pace::default(),
        running,
        local_calls: AtomicUsize::new(0),
        leaving: AtomicBool::new(false),
    })
}

/// Room for the records of as many agents as may be hosted.
fn own_index(config: &NodeConfig) -> Index {
    let mut limits = IndexConfig::default();
    limits.max_records = config.node.max_agents;
    limits.max_per_peer = config.node.max_agents;
    limits.max_bytes = config.node.max_agents.saturating_mul(Record::MAX_SIGNED);
    Index::new(config.network.clone(), limits)
}

/// What connections of custom transports need.
pub(super) fn outside(inner: &Inner, dispatcher: &Arc<Dispatcher>, peers: &Arc<Peers>) -> Outside {
    let config = &inner.config;
    let hello = {
        let (config, agents) = (config.clone(), inner.agents.clone());
        Arc::new(move || hello(&config, &agents))
    };
    Outside {
        local: dispatcher.local,
        transports: inner.parts.transports.clone(),
        gater: inner.parts.gater.clone(),
        serve: dispatcher.clone(),
        hello,
        session: config.session.clone(),
        admit_timeout: config.node.admit_timeout,
        refuse_timeout: config.node.refuse_timeout,
        tasks: dispatcher.tasks.clone(),
        peers: peers.clone(),
        events: inner.events.clone(),
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

/// The pool, and a task that keeps it in order.
pub(super) fn pool(
    config: &NodeConfig,
    dialer: &NodeDialer,
    tasks: &Tasks,
) -> Result<Pool<NodeDialer>, StartError> {
    let mut limits = config.pool.clone();
    limits.max_connections = limits.max_connections.min(config.limits.max_connections);
    let (pool, maintain) = Pool::new(limits, dialer.clone()).map_err(config_error)?;
    tasks.spawn("pool", maintain);
    Ok(pool)
}

/// The Swarm with its behaviours, on libp2p's transports. What it serves and whom it asks is that of
/// the custom transports too.
pub(super) fn swarm(
    inner: &Inner,
    outside: &Arc<Outside>,
    dispatcher: &Dispatcher,
) -> Result<Built, StartError> {
    let config = &inner.config;
    let shared = Arc::new(Shared {
        serve: outside.serve.clone(),
        hello: outside.hello.clone(),
        session: config.session.clone(),
        gater: outside.gater.clone(),
        refuse_timeout: config.node.refuse_timeout,
        max_refusing: config.limits.max_refusing,
    });
    let custom = inner.parts.libp2p_transports.as_ref();
    let custom = custom.map_or_else(Vec::new, |make| make(&inner.keypair));
    let plaintext = inner.plaintext.clone();
    let transport = build_watched_transport(&config.transport, &inner.keypair, custom, &plaintext);
    let transport = transport.map_err(|error| StartError::Transport {
        source: error.into(),
    })?;
    let built = swarm::build(
        config,
        &inner.keypair,
        (transport, plaintext),
        shared,
        outside.tasks.clone(),
    )?;
    #[cfg(feature = "gossip")]
    if let Some(errands) = &built.gossip {
        // It is set nowhere else.
        let _ = dispatcher.builtin.gossip.set(errands.handle.clone());
    }
    #[cfg(not(feature = "gossip"))]
    let _ = dispatcher;
    Ok(built)
}

/// What this node knows of everybody without asking.
fn known(dispatcher: &Dispatcher) -> Option<Arc<dyn Discovery>> {
    #[cfg(feature = "gossip")]
    return Some(Arc::new(dispatcher.builtin.gossip.get()?.clone()));
    #[cfg(not(feature = "gossip"))]
    {
        let _ = dispatcher;
        None
    }
}

/// Where agents are looked for and announced: what the Swarm drives, what the user brought, the bootstrap
/// peers, and the registries, near ones included where the node holds no records itself.
pub(super) fn sources(
    inner: &Inner,
    driven: SourceList,
    pool: &Pool<NodeDialer>,
    peers: &Arc<Peers>,
    hierarchy: &Option<Arc<Hierarchy>>,
) -> Result<SourceList, StartError> {
    let config = &inner.config;
    let mut sources = driven;
    let quick = &mut sources.quick;
    quick.extend(inner.parts.discovery.iter().cloned());
    if !config.bootstrap.is_empty() {
        let bootstrap = BootstrapDiscovery::new(config.bootstrap.iter().cloned());
        quick.push(Arc::new(bootstrap.map_err(config_error)?));
    }
    match registries(inner, pool, peers, hierarchy) {
        Some(own) if hierarchy.is_some() => quick.push(own),
        others => sources.asked.extend(others),
    }
    #[cfg(feature = "mdns")]
    if let (None, Some(near)) = (hierarchy, &sources.near) {
        sources.asked.push(Arc::new(NearRegistries {
            hints: Arc::new(near.clone()),
            caller: Arc::new(pinned(pool, peers)),
            network: config.network.clone(),
        }));
    }
    Ok(sources)
}

/// What searches in all sources and asks whoever was found.
pub(super) fn finder(
    config: &NodeConfig,
    sources: &SourceList,
    pool: &Pool<NodeDialer>,
    dispatcher: &Dispatcher,
    authority: Authority,
) -> Finder {
    let merged = MergedDiscovery::new(config.discovery.clone());
    let quick = sources.quick.iter().chain(&sources.asked).cloned();
    let merged = quick.fold(merged, MergedDiscovery::with);
    let table = sources.table.iter().cloned();
    let merged = table.fold(merged, MergedDiscovery::with_last);
    Finder {
        discovery: Arc::new(merged),
        pool: pool.clone(),
        peers: dispatcher.peers.clone(),
        builtin: dispatcher.builtin.clone(),
        verifier: Arc::new(EnvelopeVerifier),
        authority: Arc::new(authority),
        network: config.network.clone(),
        timeout: config.node.confirm_timeout,
        at_once: config.node.max_confirming,
        max_described: config.node.max_described,
        max_description: config.node.max_description,
    }
}

/// The node's place in the hierarchy, where it has one, and whose keys it trusts.
pub(super) fn hierarchy(
    inner: &Inner,
    pool: &Pool<NodeDialer>,
    dispatcher: &Dispatcher,
    addresses: &watch::Sender<Vec<TransportAddr>>,
) -> Result<Authority, StartError> {
    let config = &inner.config.hierarchy;
    let trust = Trust::open(inner.config.network.clone(), config.trust_file.clone());
    let trust = Arc::new(trust.map_err(config_error)?);
    let verifier: Arc<dyn Verifier> = Arc::new(EnvelopeVerifier);
    let (Some(name), Some(gate)) = (&config.name, &inner.parts.family) else {
        return match config.parent {
            Some(_) => Err(config_error(
                "`hierarchy.parent` needs a `hierarchy.name`, or an agent",
            )),
            None => Ok(Authority {
                hierarchy: None,
                trust,
                verifier,
            }),
        };
    };
    let hierarchy = Hierarchy::new(HierarchyParts {
        config: config.clone(),
        name: name.clone(),
        network: inner.config.network.clone(),
        gate: gate.clone(),
        trust: trust.clone(),
        peers: dispatcher.peers.clone(),
        pool: pool.clone(),
        signer: Arc::new(inner.keypair.clone()),
        verifier: verifier.clone(),
        addresses: addresses.subscribe(),
        events: inner.events.clone(),
        registry: inner.config.registry.clone(),
    });
    let hierarchy = Arc::new(hierarchy.map_err(config_error)?);
    let caller: Arc<dyn Caller> = Arc::new(pinned(pool, &dispatcher.peers));
    let further = further(&hierarchy, known(dispatcher), caller);
    let agent = hierarchy.registry().agent(further);
    let registry = Hosting::new(Registry::address(), agent).unannounced();
    // They are set nowhere else.
    let _ = dispatcher.builtin.hierarchy.set(hierarchy.clone());
    let _ = dispatcher
        .builtin
        .registry
        .set(Arc::new(Hosted::of_the_node(registry)));
    Ok(Authority {
        hierarchy: Some(hierarchy),
        trust,
        verifier,
    })
}

/// Where a search goes on that this node's registry has answered: to what is known here besides, and to
/// the registry of the parent, or the copy of it where that one does not answer.
fn further(
    hierarchy: &Arc<Hierarchy>,
    known: Option<Arc<dyn Discovery>>,
    caller: Arc<dyn Caller>,
) -> Further {
    let hierarchy = Arc::downgrade(hierarchy);
    Arc::new(move |request| {
        let query = request.query().ok();
        let here = known.as_ref().zip(query.clone());
        let here = here.map(|(known, query)| known.find(query));
        let here = stream::iter(here).flatten().filter_map(async |found| {
            let found = found.ok()?;
            Entry::of(&found).map(Ok)
        });
        let hierarchy = hierarchy.upgrade();
        let parent = hierarchy.as_ref().and_then(|hierarchy| hierarchy.parent());
        let copied = move || -> Vec<_> {
            let known = hierarchy.as_ref().zip(query.as_ref());
            let found = known.map(|(hierarchy, query)| hierarchy.replica().find(query));
            let found = found.unwrap_or_default();
            found.iter().filter_map(Entry::of).map(Ok).collect()
        };
        let above = match parent {
            Some(parent) => search_at(caller.clone(), Registry::address().pinned(parent), request)
                .flat_map(move |item| {
                    stream::iter(match item {
                        Ok(entry) => vec![Ok(entry)],
                        Err(_) => copied(),
                    })
                })
                .boxed(),
            None => stream::iter(copied()).boxed(),
        };
        here.chain(above).boxed()
    })
}

fn pinned(pool: &Pool<NodeDialer>, peers: &Arc<Peers>) -> PinnedCaller {
    PinnedCaller {
        peers: peers.clone(),
        pool: pool.clone(),
    }
}

/// The registries: this node's own and its parent's; those of its bootstrap peers where it belongs to no
/// hierarchy. Where nobody keeps one that could be asked, it is no source.
fn registries(
    inner: &Inner,
    pool: &Pool<NodeDialer>,
    peers: &Arc<Peers>,
    hierarchy: &Option<Arc<Hierarchy>>,
) -> Option<Arc<dyn Discovery>> {
    if hierarchy.is_none() && inner.config.bootstrap.is_empty() {
        return None;
    }
    let known: Vec<_> = inner
        .config
        .bootstrap
        .iter()
        .filter_map(TransportAddr::peer_id)
        .collect();
    let above = hierarchy.as_ref().map(Arc::downgrade);
    let others: Registries = Arc::new(move || {
        let peers: Vec<_> = match &above {
            Some(above) => above
                .upgrade()
                .and_then(|above| above.parent())
                .into_iter()
                .collect(),
            None => known.clone(),
        };
        peers
            .into_iter()
            .map(|peer| Registry::address().pinned(peer))
            .collect()
    });
    let caller = Arc::new(pinned(pool, peers));
    let network = inner.config.network.clone();
    let source = RegistryDiscovery::new(others, caller, Arc::new(EnvelopeVerifier), network);
    Some(Arc::new(match hierarchy {
        Some(hierarchy) => source
            .with_own(hierarchy.registry().clone(), inner.keypair.peer_id())
            .with_standby(hierarchy.replica().clone()),
        None => source,
    }))
}

/// What announces the agents.
pub(super) fn announcer(
    inner: &Inner,
    dispatcher: &Dispatcher,
    finder: &Finder,
    sources: SourceList,
    addresses: &watch::Sender<Vec<TransportAddr>>,
    hierarchy: &Option<Arc<Hierarchy>>,
) -> Announcer {
    Announcer {
        agents: inner.agents.clone(),
        builtin: dispatcher.builtin.clone(),
        discovery: finder.discovery.clone(),
        sources: sources.told(),
        signer: Arc::new(inner.keypair.clone()),
        network: inner.config.network.clone(),
        times: inner.config.node.clone(),
        addresses: addresses.subscribe(),
        chain: hierarchy.as_ref().map(|hierarchy| hierarchy.chain()),
        events: inner.events.clone(),
    }
}

/// Who has which capability, as far as calls have asked.
pub(super) fn providers(
    config: &NodeConfig,
    finder: &Finder,
    ledger: &Arc<Ledger>,
    tasks: &Tasks,
) -> Providers {
    Providers {
        finder: finder.clone(),
        ledger: ledger.clone(),
        config: config.balance.clone(),
        limit: config.node.call_timeout,
        tasks: tasks.clone(),
        slots: Arc::default(),
    }
}

/// From names to peers: the user's resolvers, and what the node knows and finds.
pub(super) fn resolver(
    inner: &Inner,
    finder: &Finder,
    hierarchy: Option<Arc<Hierarchy>>,
) -> NodeResolver {
    let node = &inner.config.node;
    NodeResolver {
        local: inner.keypair.peer_id(),
        first: inner.parts.resolvers.clone(),
        agents: inner.agents.clone(),
        peers: finder.peers.clone(),
        cache: Arc::new(RouteCache::new(
            node.route_lifetime,
            node.absent_lifetime,
            node.max_routes,
        )),
        hierarchy,
        finder: finder.clone(),
        bootstrap: inner
            .config
            .bootstrap
            .iter()
            .filter_map(TransportAddr::peer_id)
            .collect(),
    }
}
