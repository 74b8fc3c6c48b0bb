//! A plain libp2p node: identify, ping and Kademlia as libp2p brings them, and nothing of ours.

use std::{collections::VecDeque, future::Future, time::Duration};

use futures::StreamExt as _;
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, identify,
    identity::Keypair,
    kad::{self, store::RecordStore as _},
    noise, ping,
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};

use crate::support::soon;

/// What the agent string of the plain node is.
pub(crate) const AGENT: &str = "plain/1";

/// Which transport it has; one at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Over {
    Tcp,
    #[cfg(feature = "quic")]
    Quic,
    #[cfg(feature = "websocket")]
    WebSocket,
}

impl Over {
    pub(crate) const fn listen(self) -> &'static str {
        match self {
            Self::Tcp => "/ip4/127.0.0.1/tcp/0",
            #[cfg(feature = "quic")]
            Self::Quic => "/ip4/127.0.0.1/udp/0/quic-v1",
            #[cfg(feature = "websocket")]
            Self::WebSocket => "/ip4/127.0.0.1/tcp/0/ws",
        }
    }
}

#[derive(NetworkBehaviour)]
pub(crate) struct Parts {
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    pub(crate) kad: kad::Behaviour<kad::store::MemoryStore>,
}

fn parts(key: &Keypair) -> Parts {
    let peer = key.public().to_peer_id();
    let identify = identify::Config::new("/plain/1".into(), key.public());
    let table = kad::Config::new(StreamProtocol::new("/o-kad/1/main"));
    let mut kad = kad::Behaviour::with_config(peer, kad::store::MemoryStore::new(peer), table);
    kad.set_mode(Some(kad::Mode::Server));
    Parts {
        identify: identify::Behaviour::new(identify.with_agent_version(AGENT.into())),
        ping: ping::Behaviour::new(ping::Config::new()),
        kad,
    }
}

/// Long, so that whoever closes a connection is the other side.
fn patient(config: libp2p::swarm::Config) -> libp2p::swarm::Config {
    config.with_idle_connection_timeout(Duration::from_secs(120))
}

async fn swarm(over: Over) -> Swarm<Parts> {
    let builder = SwarmBuilder::with_new_identity().with_tokio();
    // The steps of the builder have a type each.
    match over {
        Over::Tcp => builder
            .with_tcp(
                tcp::Config::default(),
                noise::Config::new,
                yamux::Config::default,
            )
            .unwrap()
            .with_behaviour(parts)
            .unwrap()
            .with_swarm_config(patient)
            .build(),
        #[cfg(feature = "quic")]
        Over::Quic => builder
            .with_quic()
            .with_behaviour(parts)
            .unwrap()
            .with_swarm_config(patient)
            .build(),
        #[cfg(feature = "websocket")]
        Over::WebSocket => builder
            .with_websocket(noise::Config::new, yamux::Config::default)
            .await
            .unwrap()
            .with_behaviour(parts)
            .unwrap()
            .with_swarm_config(patient)
            .build(),
    }
}

/// The plain node. It runs only while one of its methods is awaited.
pub(crate) struct Plain {
    pub(crate) swarm: Swarm<Parts>,
    pub(crate) address: Multiaddr,
    missed: VecDeque<SwarmEvent<PartsEvent>>,
}

impl Plain {
    /// One that listens on 127.0.0.1.
    pub(crate) async fn over(over: Over) -> Self {
        let mut swarm = swarm(over).await;
        swarm.listen_on(over.listen().parse().unwrap()).unwrap();
        let address = soon(async {
            loop {
                if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                    return address;
                }
            }
        })
        .await;
        Self {
            swarm,
            address,
            missed: VecDeque::new(),
        }
    }

    pub(crate) fn peer(&self) -> PeerId {
        *self.swarm.local_peer_id()
    }

    /// Waits for what `pick` takes, over all events before it, those of `meanwhile` included.
    pub(crate) async fn until<T>(
        &mut self,
        mut pick: impl FnMut(&SwarmEvent<PartsEvent>) -> Option<T>,
    ) -> T {
        soon(async {
            loop {
                let event = match self.missed.pop_front() {
                    Some(event) => event,
                    None => self.swarm.select_next_some().await,
                };
                if let Some(picked) = pick(&event) {
                    return picked;
                }
            }
        })
        .await
    }

    /// Runs while something else does.
    pub(crate) async fn meanwhile<T>(&mut self, other: impl Future<Output = T>) -> T {
        let mut other = std::pin::pin!(other);
        soon(async {
            loop {
                tokio::select! {
                    done = &mut other => return done,
                    event = self.swarm.select_next_some() => self.missed.push_back(event),
                }
            }
        })
        .await
    }

    /// What the peer says of itself.
    pub(crate) async fn identified(&mut self, who: PeerId) -> identify::Info {
        self.until(|event| match event {
            SwarmEvent::Behaviour(PartsEvent::Identify(identify::Event::Received {
                peer_id,
                info,
                ..
            })) if *peer_id == who => Some(info.clone()),
            _ => None,
        })
        .await
    }

    /// A ping there and back.
    pub(crate) async fn pinged(&mut self, who: PeerId) -> Duration {
        self.until(|event| match event {
            SwarmEvent::Behaviour(PartsEvent::Ping(ping)) if ping.peer == who => {
                Some(ping.result.as_ref().copied().unwrap())
            }
            _ => None,
        })
        .await
    }

    pub(crate) async fn closed(&mut self, who: PeerId) {
        self.until(|event| match event {
            SwarmEvent::ConnectionClosed { peer_id, .. } => (*peer_id == who).then_some(()),
            _ => None,
        })
        .await;
    }

    /// Runs until it has been told that `who` provides `key`; nothing else says when.
    pub(crate) async fn told(&mut self, key: &kad::RecordKey, who: PeerId) {
        soon(async {
            loop {
                let stored = self.swarm.behaviour_mut().kad.store_mut().providers(key);
                if stored.iter().any(|record| record.provider == who) {
                    return;
                }
                let event = self.swarm.select_next_some().await;
                self.missed.push_back(event);
            }
        })
        .await;
    }

    /// The result of a query of the table, piece by piece.
    pub(crate) async fn progress<T>(
        &mut self,
        query: kad::QueryId,
        mut pick: impl FnMut(&kad::QueryResult) -> Option<T>,
    ) -> T {
        self.until(|event| match event {
            SwarmEvent::Behaviour(PartsEvent::Kad(kad::Event::OutboundQueryProgressed {
                id,
                result,
                ..
            })) if *id == query => pick(result),
            _ => None,
        })
        .await
    }
}
