//! Everything that can be set about a node, as data. A preset is a starting point.

mod bench;
mod check;
mod hierarchy;
mod reputation;
mod times;

use std::time::Duration;

use o_address::TransportAddr;
use o_core::NetworkId;
#[cfg(feature = "kad")]
use o_discovery::swarm::dht::{DhtConfig, DhtMode};
#[cfg(feature = "gossip")]
use o_discovery::swarm::gossip::GossipConfig;
#[cfg(feature = "mdns")]
use o_discovery::swarm::mdns::MdnsConfig;
use o_discovery::{MergedConfig, registry::RegistryConfig};
use o_pool::PoolConfig;
use o_protocol::SessionConfig;
use o_transport::TransportConfig;
use serde::{Deserialize, Serialize};

pub use self::{
    bench::BenchConfig,
    hierarchy::{Admit, Forward, HierarchyConfig, PolicyConfig},
    reputation::{BalanceConfig, ReputationConfig},
    times::Times,
};

/// A starting point for a [`NodeConfig`]; every field can be changed afterwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// Within this process: the memory transport, nothing else.
    Memory,
    /// Within this machine: TCP on 127.0.0.1.
    #[default]
    Local,
    /// Within the local network: TCP on every interface, mDNS where it is compiled in.
    Lan,
    /// The internet: TCP on every interface. Addresses that cannot be reached from everywhere are
    /// kept out of the DHT.
    Public,
}

/// The configuration of a node. Times are written as in `1m 30s`, sizes in bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct NodeConfig {
    /// Which network it belongs to. Default `main`.
    pub network: NetworkId,
    /// Where it listens. None: it can still be called by every node that it has dialed.
    pub listen: Vec<TransportAddr>,
    /// Peers that know others, each with its `/p2p/` part. At most 64.
    pub bootstrap: Vec<TransportAddr>,
    /// Name and version of the program, told to every peer; at most 128 bytes.
    pub agent: String,
    /// Which transports are turned on.
    pub transport: TransportConfig,
    /// Counting limits on connections.
    pub limits: LimitsConfig,
    /// The connection pool. Its own `max_connections` is lowered to that of `limits`.
    pub pool: PoolConfig,
    /// What one connection may cost.
    pub session: SessionConfig,
    /// The Kademlia table.
    #[cfg(feature = "kad")]
    pub dht: NodeDhtConfig,
    /// Gossip: everybody knows everybody. On in the presets local and lan.
    #[cfg(feature = "gossip")]
    pub gossip: GossipConfig,
    /// Multicast DNS.
    #[cfg(feature = "mdns")]
    pub mdns: MdnsConfig,
    /// The node's place in the hierarchy.
    pub hierarchy: HierarchyConfig,
    /// The registry that a node of a hierarchy keeps.
    pub registry: RegistryConfig,
    /// Measuring by others.
    pub bench: BenchConfig,
    /// Searches.
    pub discovery: MergedConfig,
    /// What is kept of peers that were called.
    pub reputation: ReputationConfig,
    /// Calls that go to whoever has a capability, or to one of several of a name.
    pub balance: BalanceConfig,
    /// Time-outs and limits of the node itself.
    pub node: Times,
}

/// The Kademlia table, and whether there is one.
#[cfg(feature = "kad")]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct NodeDhtConfig {
    /// Whether it is turned on. On in every preset.
    pub enabled: bool,
    /// Its times and limits.
    pub table: DhtConfig,
}

/// Counting limits on connections. What is over a limit is cut at once, without a word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct LimitsConfig {
    /// Connections in all. Default 512; about 50 KiB each.
    pub max_connections: usize,
    /// Inbound connections. Default 448, so that some are left for dialing.
    pub max_inbound: usize,
    /// Connections to one peer. Default 4.
    pub max_per_peer: usize,
    /// Inbound connections from one IPv4 address or one IPv6 /64. Default 256.
    pub max_per_ip: usize,
    /// Inbound connections whose handshake runs. Default 256.
    pub max_pending_inbound: usize,
    /// Outbound connections whose handshake runs. Default 64.
    pub max_pending_outbound: usize,
    /// Peers that a policy refuses and that are being told so; more are cut without a word. Default
    /// 64.
    pub max_refusing: usize,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            max_connections: 512,
            max_inbound: 448,
            max_per_peer: 4,
            max_per_ip: 256,
            max_pending_inbound: 256,
            max_pending_outbound: 64,
            max_refusing: 64,
        }
    }
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self::preset(Preset::default())
    }
}

impl NodeConfig {
    /// The configuration of a preset.
    pub fn preset(preset: Preset) -> Self {
        let mut config = Self {
            network: NetworkId::default(),
            listen: Vec::new(),
            bootstrap: Vec::new(),
            agent: concat!("o/", env!("CARGO_PKG_VERSION")).into(),
            transport: TransportConfig::default(),
            limits: LimitsConfig::default(),
            pool: PoolConfig::default(),
            session: SessionConfig::default(),
            #[cfg(feature = "kad")]
            dht: NodeDhtConfig::default(),
            #[cfg(feature = "gossip")]
            gossip: GossipConfig::default(),
            #[cfg(feature = "mdns")]
            mdns: MdnsConfig::default(),
            hierarchy: HierarchyConfig::default(),
            registry: RegistryConfig::default(),
            bench: BenchConfig::default(),
            discovery: MergedConfig::default(),
            reputation: ReputationConfig::default(),
            balance: BalanceConfig::default(),
            node: Times::default(),
        };
        let listen = match preset {
            Preset::Memory => "/memory/0",
            Preset::Local => "/ip4/127.0.0.1/tcp/0",
            Preset::Lan | Preset::Public => "/ip4/0.0.0.0/tcp/0",
        };
        // The texts above are addresses; one that is not would leave the node without a listener.
        config.listen.extend(listen.parse::<TransportAddr>().ok());
        // With four connections to a peer, one peer can take at most half of the calls served.
        config.session.max_calls = 512;
        // Whoever may connect may measure, and that costs bandwidth.
        config.bench.enabled = preset != Preset::Public;
        if preset == Preset::Public {
            // Over the internet a lost packet is no lost parent, and not everybody is a child.
            config.hierarchy.heartbeat = Duration::from_secs(15);
            config.hierarchy.return_interval = Duration::from_secs(30);
            config.hierarchy.admit = Admit::Listed;
        }
        config.transport.memory.enabled = preset == Preset::Memory;
        config.transport.tcp.enabled = preset != Preset::Memory;
        #[cfg(feature = "kad")]
        {
            config.dht.enabled = true;
            config.dht.table.allow_private = preset != Preset::Public;
            config.dht.table.mode = if preset == Preset::Public {
                DhtMode::Auto
            } else {
                DhtMode::Server
            };
        }
        #[cfg(feature = "gossip")]
        {
            config.gossip.enabled = matches!(preset, Preset::Local | Preset::Lan);
        }
        #[cfg(feature = "mdns")]
        {
            config.mdns.enabled = preset == Preset::Lan;
        }
        config
    }

    /// The same node as a short-lived client: it listens nowhere and is asked nothing.
    #[must_use]
    pub fn client(mut self) -> Self {
        self.listen.clear();
        #[cfg(feature = "kad")]
        {
            self.dht.table.mode = DhtMode::Client;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_survive_a_round_trip_through_json() {
        for preset in [Preset::Memory, Preset::Local, Preset::Lan, Preset::Public] {
            let config = NodeConfig::preset(preset);
            let text = serde_json::to_string(&config).unwrap();
            assert_eq!(serde_json::from_str::<NodeConfig>(&text).unwrap(), config);
            config.validate().unwrap();
        }
    }

    #[test]
    fn one_field_can_be_overridden_and_typos_are_errors() {
        let config: NodeConfig =
            serde_json::from_str(r#"{"limits": {"max_connections": 50}}"#).unwrap();
        assert_eq!(config.limits.max_connections, 50);
        assert_eq!(
            config.limits.max_per_peer,
            LimitsConfig::default().max_per_peer
        );
        let typo = serde_json::from_str::<NodeConfig>(r#"{"max_conections": 50}"#);
        assert!(typo.is_err());
    }
}
