//! The state on a real behaviour whose dials all fail, and the store.

mod announcing;
mod searching;
mod shards;
mod store;
mod table;

use std::{
    future::Future,
    task::{Context, Poll, Waker},
    time::{Duration, Instant, SystemTime},
};

use libp2p::{
    Multiaddr, StreamProtocol,
    kad::{self, ProviderRecord, store::RecordStore as _},
    swarm::{
        ConnectionId, DialError, FromSwarm, NetworkBehaviour as _, ToSwarm, behaviour::DialFailure,
    },
};
use o_core::{Discovery as _, DiscoveryError, Provider, Query, Record};
use o_transport::from_peer_id;

use super::*;
use crate::testing::{record, signed, tombstone};

/// A node without a Swarm: nobody can be dialed.
struct Bench {
    local: PeerId,
    kad: Behaviour,
    state: State,
    handle: Handle,
    commands: mpsc::Receiver<Command>,
    now: Instant,
}

impl Bench {
    fn new(config: DhtConfig) -> Self {
        let local = PeerId::random();
        let network = NetworkId::default();
        let (handle, commands) = channel(&local, &network, &config);
        Self {
            local,
            kad: behaviour(local, &network, &config),
            state: State::new(local, &network, config),
            handle,
            commands,
            now: Instant::now(),
        }
    }

    /// Loopback allowed and one shard of a capability, everything else by default.
    fn local() -> Self {
        Self::new(DhtConfig {
            allow_private: true,
            min_shards: 1,
            ..DhtConfig::default()
        })
    }

    /// Does what the handle asks for until `future` is ready.
    async fn wait<T>(&mut self, future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        let mut idle = 0;
        loop {
            assert!(idle < 3, "nothing left to happen");
            tokio::select! {
                biased;
                command = self.commands.recv() => {
                    self.state.on_command(&mut self.kad, command.unwrap(), self.now);
                }
                done = &mut future => return done,
                // The round after the last event may still bring a command.
                () = async {} => idle = if self.poll() { 0 } else { idle + 1 },
            }
        }
    }

    /// Lets the behaviour do what it can; whether it did anything.
    fn poll(&mut self) -> bool {
        let mut did_something = false;
        let mut context = Context::from_waker(Waker::noop());
        while let Poll::Ready(event) = self.kad.poll(&mut context) {
            did_something = true;
            match event {
                ToSwarm::GenerateEvent(event) => {
                    self.state.on_event(&mut self.kad, event, self.now);
                }
                ToSwarm::Dial { opts } => {
                    let failure = DialFailure {
                        peer_id: opts.get_peer_id(),
                        error: &DialError::Aborted,
                        connection_id: ConnectionId::new_unchecked(1),
                    };
                    self.kad.on_swarm_event(FromSwarm::DialFailure(failure));
                }
                _ => {}
            }
        }
        did_something
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.state.on_tick(&mut self.kad, self.now);
    }

    /// What this node says of the agent `name`.
    fn record(&self, name: &str, sequence: u64) -> Record {
        record(
            name,
            from_peer_id(&self.local).unwrap(),
            sequence,
            SystemTime::now(),
        )
    }

    async fn announce(&mut self, record: Record) -> Result<(), DiscoveryError> {
        let handle = self.handle.clone();
        self.wait(async { handle.announce(&signed(record)).await })
            .await
    }

    async fn withdraw(&mut self, record: &Record) {
        let handle = self.handle.clone();
        self.wait(async { handle.withdraw(&tombstone(record)).await })
            .await
            .unwrap();
    }

    /// How many keys this node provides.
    fn provided(&mut self) -> usize {
        self.kad.store_mut().provided().count()
    }

    fn queries(&self) -> usize {
        self.kad.iter_queries().count()
    }

    /// A peer that speaks our protocol, identified.
    fn meet(&mut self) -> PeerId {
        let peer = PeerId::random();
        self.identify(&peer, "main", &[at(1)]);
        peer
    }

    fn identify(&mut self, peer: &PeerId, network: &str, addresses: &[Multiaddr]) {
        let protocols = [StreamProtocol::new("/ipfs/id/1.0.0"), protocol_of(network)];
        self.state
            .on_identify(&mut self.kad, *peer, &protocols, addresses, self.now);
    }

    /// An announcement comes in from `record.provider`.
    fn receive(&mut self, record: ProviderRecord) {
        let request = kad::InboundRequest::AddProvider {
            record: Some(record),
        };
        let event = Box::new(kad::Event::InboundRequest { request });
        let event = Event(behaviour::Kind::Kad(event));
        self.state.on_event(&mut self.kad, event, self.now);
    }
}

fn protocol_of(network: &str) -> StreamProtocol {
    protocol(&network.parse().unwrap())
}

fn at(port: u16) -> Multiaddr {
    format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()
}

fn key(n: u8) -> kad::RecordKey {
    record_key(&[n; 32])
}

/// The key of a shard of the capability that the tests look for.
fn shard(shard: u8) -> Digest {
    keys::shard(&"text/summarize".parse().unwrap(), shard)
}

fn capability() -> Query {
    Query::Capability("text/summarize".parse().unwrap())
}

#[test]
fn keys_and_protocol_are_as_specified() {
    let hex = |digest: &Digest| -> String {
        let key = record_key(digest);
        key.as_ref().iter().map(|b| format!("{b:02x}")).collect()
    };
    let key_of = |query: &Query| match keys::of_query(query) {
        Some(keys::Target::Name(digest, _)) => hex(&digest),
        other => panic!("{other:?}"),
    };
    let name: o_address::Address = "o://a/b".parse().unwrap();
    let pinned = name.pinned(crate::testing::peer(1));
    let expected = NAME_KEY;
    assert_eq!(key_of(&Query::Name(name)), expected);
    assert_eq!(key_of(&Query::Name(pinned)), expected);
    assert_eq!(hex(&shard(0)), CAPABILITY_KEY);
    assert_eq!(hex(&shard(1)), SHARD_KEYS[0]);
    assert_eq!(hex(&shard(63)), SHARD_KEYS[1]);
    assert_eq!(protocol_of("main").as_ref(), "/o-kad/1/main");
}

/// `0x12 0x20`, SHA-256 of `o-name/1\0o://a/b`.
const NAME_KEY: &str = "1220121d3aa1b839ac8317bb107b259b9a7e0beeba6042d667b679bf63066fd12acc";
/// `0x12 0x20`, SHA-256 of `o-capability/1\0text/summarize`.
const CAPABILITY_KEY: &str = "1220d0f2f86982280b32b18d9fc3fd5e122b75cda907a50ae2c36c5dff71358ae467";

/// The same of `o-capability/1\0text/summarize\0` and the bytes 1 and 63.
const SHARD_KEYS: [&str; 2] = [
    "12207dda87cce748d9a16b3b98a5d0c39bbdeb93e4da474a6258008247596e030a3b",
    "12204fbd62f74da4487a14f2e2c2df34005cd4e5736a084cf471904e8b38b5c2a56c",
];

#[test]
fn the_configuration_is_data() {
    let config = DhtConfig::default();
    let text = toml::to_string(&config).unwrap();
    assert_eq!(toml::from_str::<DhtConfig>(&text).unwrap(), config);
    let config: DhtConfig = toml::from_str("mode = 'server'\nprovider_ttl = '10m'").unwrap();
    assert_eq!(config.mode, DhtMode::Server);
    assert_eq!(config.provider_ttl, Duration::from_secs(600));
    assert!(toml::from_str::<DhtConfig>("unknown = 1").is_err());
}
