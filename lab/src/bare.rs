//! Nodes with nothing but the table and identify, so small that a process holds a thousand.

mod plain;
mod watched;

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, bail};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use libp2p::{
    Multiaddr, PeerId, Swarm, Transport as _,
    core::{transport::MemoryTransport, upgrade::Version},
    identify,
    identity::Keypair,
    swarm::{self, NetworkBehaviour, SwarmEvent},
    yamux,
};
use o_core::{Discovery as _, DiscoveryError, NetworkId, Query, Record, RecordTimes, SignedRecord};
use o_discovery::swarm::dht::{self, DhtConfig, DhtMode, Handle};
use tokio::{sync::mpsc, task::JoinSet};

use self::plain::Plain;
pub(crate) use self::watched::{Counts, Liar, Watched, told};
use crate::warn;

/// How long a connection stays that nobody uses.
const IDLE: Duration = Duration::from_secs(10);

/// Nodes that join at once, and how often one tries: where many share two processors, one may be slow.
const JOINING: usize = 8;
const JOIN_TRIES: usize = 5;

/// After so many more it is said how many there are.
const PROGRESS: usize = 100;

#[derive(NetworkBehaviour)]
struct Behaviour {
    identify: identify::Behaviour,
    dht: Watched,
}

/// A node that runs until it is dropped, without a goodbye.
pub(crate) struct Bare {
    pub(crate) peer: PeerId,
    pub(crate) address: Multiaddr,
    pub(crate) handle: Handle,
    pub(crate) counts: Arc<Counts>,
    _task: JoinSet<()>,
}

/// A server on memory addresses.
pub(crate) fn server() -> DhtConfig {
    let mut config = DhtConfig::default();
    config.mode = DhtMode::Server;
    config.allow_private = true;
    config
}

impl Bare {
    /// Listens, and knows nobody.
    pub(crate) async fn start(
        keys: &Keypair,
        config: DhtConfig,
        liar: Option<Box<dyn Liar>>,
    ) -> anyhow::Result<Self> {
        let network = NetworkId::default();
        let peer = keys.public().to_peer_id();
        let counts = Arc::new(Counts::default());
        let identify = identify::Config::new("/o/1".to_owned(), keys.public());
        let table = dht::behaviour(peer, &network, &config);
        let behaviour = Behaviour {
            identify: identify::Behaviour::new(identify),
            dht: Watched::new(table, counts.clone(), liar),
        };
        let transport = MemoryTransport::default()
            .upgrade(Version::V1Lazy)
            .authenticate(Plain(peer))
            .multiplex(yamux::Config::default())
            .boxed();
        let settings = swarm::Config::with_tokio_executor().with_idle_connection_timeout(IDLE);
        let mut swarm = Swarm::new(transport, behaviour, peer, settings);
        swarm.listen_on("/memory/0".parse()?)?;
        let address = loop {
            match swarm.select_next_some().await {
                SwarmEvent::NewListenAddr { address, .. } => break address,
                SwarmEvent::ListenerClosed { .. } => bail!("the listener is gone"),
                _ => {}
            }
        };
        let (handle, commands) = dht::channel(&peer, &network, &config);
        let state = dht::State::new(peer, &network, config);
        let mut task = JoinSet::new();
        task.spawn(run(swarm, state, commands));
        Ok(Self {
            peer,
            address,
            handle,
            counts,
            _task: task,
        })
    }

    /// Makes another node known to this one.
    pub(crate) async fn meet(&self, other: &Self) -> anyhow::Result<()> {
        let peer = o_transport::from_peer_id(&other.peer)?;
        let address = o_transport::from_multiaddr(&other.address)?;
        // A bucket that is full has better ones.
        let _ = self.handle.add_peer(peer, address).await;
        Ok(())
    }

    /// Joins the network of which it knows somebody.
    pub(crate) async fn join(&self, others: &[&Self]) -> anyhow::Result<()> {
        for other in others {
            self.meet(other).await?;
        }
        let mut tries = 1;
        loop {
            match self.handle.bootstrap().await {
                Err(DiscoveryError::TimedOut { .. }) if tries < JOIN_TRIES => tries += 1,
                done => return done.context("nobody to join"),
            }
        }
    }

    /// Announces an agent with a capability.
    pub(crate) async fn announce(&self, name: &str, capability: &str) -> anyhow::Result<()> {
        let peer = o_transport::from_peer_id(&self.peer)?;
        let times = RecordTimes::starting(SystemTime::now(), Duration::from_secs(3600));
        let mut record = Record::new(name.parse()?, peer, NetworkId::default(), times);
        record.capabilities = vec![capability.parse()?];
        record.sequence = 1;
        // The table looks at no signature.
        let record = SignedRecord::new_verified(record, b"unsigned".as_slice().into());
        Ok(self.handle.announce(&record).await?)
    }

    /// Looks for a capability until `wanted` is among its providers; how long that took and in how
    /// many round trips, or none if the search ended without.
    pub(crate) async fn search(&self, capability: &str, wanted: &PeerId) -> Option<Found> {
        let wanted = o_transport::from_peer_id(wanted).ok()?;
        self.counts.begin();
        let begun = Instant::now();
        let mut found = self
            .handle
            .find(Query::Capability(capability.parse().ok()?));
        while let Some(item) = found.next().await {
            if item.is_ok_and(|provider| provider.peer == wanted) {
                let (time, hops) = (begun.elapsed(), self.counts.hops().unwrap_or(0));
                return Some(Found { time, hops });
            }
        }
        None
    }
}

/// What a search took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) time: Duration,
    pub(crate) hops: u32,
}

async fn run(
    mut swarm: Swarm<Behaviour>,
    mut state: dht::State,
    mut commands: mpsc::Receiver<dht::Command>,
) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            command = commands.recv() => {
                let Some(command) = command else { return };
                state.on_command(swarm.behaviour_mut().dht.table(), command, Instant::now());
            }
            event = swarm.select_next_some() => on_event(&mut swarm, &mut state, event),
            _ = tick.tick() => state.on_tick(swarm.behaviour_mut().dht.table(), Instant::now()),
        }
    }
}

fn on_event(
    swarm: &mut Swarm<Behaviour>,
    state: &mut dht::State,
    event: SwarmEvent<BehaviourEvent>,
) {
    let now = Instant::now();
    let table = swarm.behaviour_mut().dht.table();
    match event {
        SwarmEvent::Behaviour(BehaviourEvent::Dht(event)) => state.on_event(table, event, now),
        SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received {
            peer_id,
            info,
            ..
        })) => state.on_identify(table, peer_id, &info.protocols, &info.listen_addrs, now),
        _ => {}
    }
}

/// So many honest nodes of one network, each of which was told of up to three before it.
pub(crate) async fn network(count: usize, config: &DhtConfig) -> anyhow::Result<Vec<Bare>> {
    let start = || async { Bare::start(&Keypair::generate_ed25519(), config.clone(), None).await };
    let mut nodes = vec![start().await?];
    while nodes.len() < count {
        // Never more at once than are there.
        let more = JOINING.min(nodes.len()).min(count - nodes.len());
        let known = nodes.len();
        let joining = (0..more).map(|n| {
            let others: Vec<&Bare> = (0..3)
                .map(|k| &nodes[(7 * n + k * known / 3) % known])
                .collect();
            async move {
                let node = start().await?;
                node.join(&others).await?;
                anyhow::Ok(node)
            }
        });
        let joined: Vec<Bare> = stream::iter(joining)
            .buffer_unordered(JOINING)
            .try_collect()
            .await?;
        nodes.extend(joined);
        if nodes.len() / PROGRESS > known / PROGRESS && nodes.len() < count {
            warn(format_args!("{} of {count} nodes have joined", nodes.len()));
        }
    }
    Ok(nodes)
}
