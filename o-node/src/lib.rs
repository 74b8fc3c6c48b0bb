//! The concrete node: libp2p transport, gating, discovery and pooling composed behind one handle.
//!
//! [`Node`] implements the traits of `o-core`: it starts and stops ([`o_core::Node`]), calls
//! addresses ([`o_core::Caller`]), and hosts whatever implements [`o_core::Agent`]. What is
//! configured is data ([`NodeConfig`]); what is code goes through the [`NodeBuilder`].

mod announce;
mod authority;
mod balance;
mod bench;
mod builder;
mod builtin;
mod config;
mod deadlines;
mod dialed;
mod dialer;
mod events;
mod find;
#[cfg(feature = "gossip")]
mod gossip;
mod hierarchy;
mod hosting;
mod link;
mod memory;
mod node;
mod pace;
mod parting;
mod peers;
mod pinned;
mod providers;
pub mod raw;
mod reputation;
mod route;
mod swarm;
mod tasks;
mod trust;

#[cfg(feature = "kad")]
pub use o_discovery::swarm::dht::{DhtConfig, DhtMode};
#[cfg(feature = "gossip")]
pub use o_discovery::swarm::gossip::GossipConfig;
#[cfg(feature = "mdns")]
pub use o_discovery::swarm::mdns::MdnsConfig;
pub use o_discovery::{
    IndexConfig, MemoryDiscovery, MergedConfig,
    registry::{Registry, RegistryConfig},
};
pub use o_gating::{
    AllowAll, AllowList, BlockList, GaterChain, HierarchyGater, HierarchyRule, ListFull,
};
pub use o_pool::{PoolConfig, PoolStats};
pub use o_protocol::{
    AgentDescription, Call, CallerExt, ChainError, DelegationError, MethodDescription, Methods,
    NodeDescription, OrFailed, RootOfTrust, SessionConfig, TranscodeError, TypedStream,
    sign_successor, transcode, verify_chain, verify_record, verify_record_chain,
};
pub use o_transport::{
    DnsConfig, EnvelopeVerifier, Identity, IdentityConfig, KeyError, KeyFile, KeySource, Keypair,
    MemoryConfig, QuicConfig, Security, Seed, TcpConfig, TransportConfig, UnixConfig,
    WebSocketConfig, YamuxConfig, rank,
};

#[cfg(feature = "kad")]
pub use crate::config::NodeDhtConfig;
pub use crate::{
    balance::{Choice, Reason},
    bench::{Bar, Bench, BenchError, Load, Samples},
    builder::NodeBuilder,
    builtin::Stats,
    config::{
        Admit, BalanceConfig, BenchConfig, Forward, HierarchyConfig, LimitsConfig, NodeConfig,
        PolicyConfig, Preset, ReputationConfig, Times,
    },
    hierarchy::{Ancestor, Place, TreeNode},
    hosting::{HostError, Hosting},
    node::{
        AnyAttempt, AnyCall, AnyReply, AttemptOutcome, ConnectionInfo, Latency, Node, NodeChannel,
        PeerCaller, Throughput,
    },
    reputation::{CallCounts, MethodReputation, PeerReputation},
    trust::{
        SuccessorsError, Trust, TrustError, TrustFileError, read_successors, write_successors,
    },
};
