//! What can be set about the distributed hash table.

use std::{num::NonZeroUsize, time::Duration};

use serde::{Deserialize, Serialize};

/// Whether a node answers the questions of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum DhtMode {
    /// A server as soon as the Swarm listens at an address that others can dial (a public one, or with
    /// `allow_private` any), or has a confirmed external one; a client until then. Behind a router whose port
    /// is forwarded, say `Server`.
    #[default]
    Auto,
    /// Asks and announces, and is never asked.
    Client,
    /// Stores what others announce and answers.
    Server,
}

/// Times and limits of the distributed hash table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct DhtConfig {
    /// Whether this node answers the questions of others. Default `auto`.
    pub mode: DhtMode,
    /// How long others' announcements are kept after they last came. Also how long a provider may
    /// still be found that died without withdrawing. Default 1 h.
    #[serde(with = "humantime_serde")]
    pub provider_ttl: Duration,
    /// How often our own announcements are made again; well below `provider_ttl`. Default 20 min.
    #[serde(with = "humantime_serde")]
    pub republish_interval: Duration,
    /// Pause before an announcement that reached nobody is tried again; doubled at each failure up
    /// to `republish_interval`. Default 5 s.
    #[serde(with = "humantime_serde")]
    pub retry_interval: Duration,
    /// Longest search, and longest wait of `announce`. Default 15 s.
    #[serde(with = "humantime_serde")]
    pub query_timeout: Duration,
    /// Longest wait for one peer's answer to one question; one that takes longer has failed, and the
    /// query goes on without it. Default 5 s.
    #[serde(with = "humantime_serde")]
    pub answer_timeout: Duration,
    /// How often the routing table is refreshed. Default 5 min.
    #[serde(with = "humantime_serde")]
    pub bootstrap_interval: Duration,
    /// Peers asked at once by one query, each on a path of its own. Default 3.
    pub parallelism: NonZeroUsize,
    /// Shards of a capability under which every provider announces itself and where every search
    /// looks: whoever wants to hide a provider must surround all of them. Each takes an announcement
    /// and a query of its own. The nodes of a network should agree; where one has more than another,
    /// only the common ones help. 1 to 64, default 4.
    pub min_shards: u8,
    /// Most searches at once; one more is `Busy`. Default 64.
    pub max_searches: usize,
    /// Most providers of one search; it ends when they are found. Up to this many results wait for
    /// a slow reader, about 1 KiB each. 1 to 65,536, default 256.
    pub max_providers: usize,
    /// Most names that are announced by this node; one more is `Busy`. Default 256.
    pub max_announcements: usize,
    /// Most keys (names and shards of capabilities, each once) that are announced by this node; more
    /// are `Busy`. They have room of their own in the store, which no stranger can take. Default
    /// 16,384.
    pub max_announced_keys: usize,
    /// Most announcements under way at once; the others wait their turn. Default 8.
    pub max_publishes: usize,
    /// Most peers that are dialed at once to take an announcement back; the others, and with zero all
    /// that are not connected, forget it when it expires. Default 32.
    pub max_withdraw_dials: usize,
    /// Most announcements of others that are kept, over all keys. One takes at most 2 KiB, 0.3 KiB
    /// usually. Default 32,768.
    pub max_stored: usize,
    /// Most announcements of others for one key; later ones are ignored until one of these
    /// expires. Default 256.
    pub max_stored_per_key: usize,
    /// Most announcements that are kept for one peer. Default 1024.
    pub max_stored_per_peer: usize,
    /// Most peers whose addresses are remembered from what they said of themselves; the one heard
    /// of longest ago makes room. Default 1024.
    pub max_known_peers: usize,
    /// Most addresses kept for a peer, wherever they come from. Default 8.
    pub max_addresses: usize,
    /// Commands that wait for the Swarm task; whoever sends one more waits. At least 1, default 64.
    pub command_queue: usize,
    /// Whether loopback, private and memory addresses are kept and passed on. Leave it off on the
    /// public internet: dialing them there reaches somebody else's machines. Default `false`.
    pub allow_private: bool,
}

impl Default for DhtConfig {
    fn default() -> Self {
        Self {
            mode: DhtMode::Auto,
            provider_ttl: Duration::from_secs(3600),
            republish_interval: Duration::from_secs(1200),
            retry_interval: Duration::from_secs(5),
            query_timeout: Duration::from_secs(15),
            answer_timeout: Duration::from_secs(5),
            bootstrap_interval: Duration::from_secs(300),
            parallelism: libp2p::kad::ALPHA_VALUE,
            min_shards: 4,
            max_searches: 64,
            max_providers: 256,
            max_announcements: 256,
            max_announced_keys: 16_384,
            max_publishes: 8,
            max_withdraw_dials: 32,
            max_stored: 32_768,
            max_stored_per_key: 256,
            max_stored_per_peer: 1024,
            max_known_peers: 1024,
            max_addresses: 8,
            command_queue: 64,
            allow_private: false,
        }
    }
}

impl DhtConfig {
    /// `max_providers` within its bounds.
    pub(super) fn provider_limit(&self) -> usize {
        self.max_providers.clamp(1, 65_536)
    }
}
