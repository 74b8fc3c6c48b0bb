//! A node with nothing but the table and identify.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: a failure is the test's"
)]

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, Swarm, identify,
    identity::Keypair,
    swarm::{NetworkBehaviour, SwarmEvent, dial_opts::DialOpts},
};
use o_core::NetworkId;
use o_discovery::swarm::dht::{self, DhtConfig, Handle};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::timeout,
};

use crate::support::{DEADLINE, swarm};

#[derive(NetworkBehaviour)]
struct Behaviour {
    identify: identify::Behaviour,
    dht: dht::Behaviour,
}

/// What a test asks of a node beside what its handle does.
enum Ask {
    /// Connect, and answer when identify has come from there.
    Connect(PeerId, Multiaddr, oneshot::Sender<()>),
    /// Who is in the routing table.
    Table(oneshot::Sender<Vec<PeerId>>),
    /// How many announcements of others are stored.
    Stored(oneshot::Sender<usize>),
    /// Begin to leave.
    Leave(oneshot::Sender<()>),
}

/// A node that runs until it is dropped.
pub(crate) struct Node {
    pub(crate) peer: PeerId,
    pub(crate) address: Multiaddr,
    pub(crate) network: NetworkId,
    pub(crate) handle: Handle,
    asks: mpsc::Sender<Ask>,
    _task: JoinSet<()>,
}

impl Node {
    /// Listens on memory, which it says is where it can be reached.
    pub(crate) async fn start(network: &str, config: DhtConfig) -> Self {
        let network: NetworkId = network.parse().unwrap();
        let keys = Keypair::generate_ed25519();
        let peer = keys.public().to_peer_id();
        let identify = identify::Config::new("/o/1".to_owned(), keys.public());
        let behaviour = Behaviour {
            identify: identify::Behaviour::new(identify),
            dht: dht::behaviour(peer, &network, &config),
        };
        let mut swarm = swarm(&keys, behaviour);
        swarm.listen_on("/memory/0".parse().unwrap()).unwrap();
        let address = listening(&mut swarm).await;

        let (handle, commands) = dht::channel(&peer, &network, &config);
        let (asks, asked) = mpsc::channel(4);
        let state = dht::State::new(peer, &network, config);
        let mut task = JoinSet::new();
        task.spawn(run(swarm, state, commands, asked));
        Self {
            peer,
            address,
            network,
            handle,
            asks,
            _task: task,
        }
    }

    /// Connects to a node of the same network and waits until it is in the table.
    pub(crate) async fn join(&self, bootstrap: &Self) {
        self.join_as_stranger(bootstrap).await;
        assert!(self.table().await.contains(&bootstrap.peer));
        timeout(DEADLINE, self.handle.bootstrap())
            .await
            .unwrap()
            .unwrap();
    }

    /// Connects to a node and waits until identify has come from there.
    pub(crate) async fn join_as_stranger(&self, bootstrap: &Self) {
        let peer = o_transport::from_peer_id(&bootstrap.peer).unwrap();
        let address = o_transport::from_multiaddr(&bootstrap.address).unwrap();
        self.handle.add_peer(peer, address).await.unwrap();
        self.ask(|reply| Ask::Connect(bootstrap.peer, bootstrap.address.clone(), reply))
            .await;
    }

    pub(crate) async fn table(&self) -> Vec<PeerId> {
        self.ask(Ask::Table).await
    }

    pub(crate) async fn stored(&self) -> usize {
        self.ask(Ask::Stored).await
    }

    pub(crate) async fn leave(&self) {
        self.ask(Ask::Leave).await;
    }

    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> T {
        let (reply, answer) = oneshot::channel();
        assert!(self.asks.send(ask(reply)).await.is_ok());
        timeout(DEADLINE, answer).await.unwrap().unwrap()
    }
}

async fn listening(swarm: &mut Swarm<Behaviour>) -> Multiaddr {
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            return address;
        }
    }
}

async fn run(
    mut swarm: Swarm<Behaviour>,
    mut state: dht::State,
    mut commands: mpsc::Receiver<dht::Command>,
    mut asked: mpsc::Receiver<Ask>,
) {
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    let mut connecting: HashMap<PeerId, oneshot::Sender<()>> = HashMap::new();
    loop {
        let now = Instant::now();
        tokio::select! {
            Some(command) = commands.recv() => {
                state.on_command(&mut swarm.behaviour_mut().dht, command, now);
            }
            Some(ask) = asked.recv() => match ask {
                Ask::Connect(peer, address, reply) => {
                    // Also when there is a connection: identify tells once for each.
                    // And from a new port, since the one that it listens on is not always free for that.
                    let opts = DialOpts::unknown_peer_id().address(address);
                    let anyway = opts.allocate_new_port().build();
                    swarm.dial(anyway).unwrap();
                    connecting.insert(peer, reply);
                }
                Ask::Table(reply) => {
                    let kad = &mut swarm.behaviour_mut().dht;
                    let peers = kad.kbuckets().flat_map(|bucket| {
                        let peers = bucket.iter().map(|entry| *entry.node.key.preimage());
                        peers.collect::<Vec<_>>()
                    });
                    let _ = reply.send(peers.collect());
                }
                Ask::Stored(reply) => {
                    let _ = reply.send(swarm.behaviour_mut().dht.store_mut().stored());
                }
                Ask::Leave(reply) => {
                    state.leave(&mut swarm.behaviour_mut().dht);
                    let _ = reply.send(());
                }
            },
            event = swarm.select_next_some() => match event {
                SwarmEvent::Behaviour(BehaviourEvent::Dht(event)) => {
                    state.on_event(&mut swarm.behaviour_mut().dht, event, now);
                }
                SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received {
                    peer_id, info, ..
                })) => {
                    let kad = &mut swarm.behaviour_mut().dht;
                    state.on_identify(kad, peer_id, &info.protocols, &info.listen_addrs, now);
                    if let Some(reply) = connecting.remove(&peer_id) {
                        let _ = reply.send(());
                    }
                }
                SwarmEvent::ConnectionClosed {
                    peer_id,
                    num_established: 0,
                    cause: Some(_),
                    ..
                } => state.on_lost(&mut swarm.behaviour_mut().dht, peer_id),
                _ => {}
            },
            _ = tick.tick() => state.on_tick(&mut swarm.behaviour_mut().dht, now),
        }
    }
}
