//! Peers on the same local network, by multicast DNS.
//!
//! mDNS tells which peers are there and where, nothing about names or capabilities: `find` yields
//! every peer that is known, as a hint from [`Source::Mdns`](o_core::Source::Mdns), and whoever
//! asked finds out by asking that peer. Peers of other networks are among them. It is off unless
//! [`MdnsConfig::enabled`] says otherwise, since it tells everybody on the local network who and
//! where this node is.
//!
//! ```no_run
//! use std::time::Instant;
//!
//! use o_discovery::swarm::mdns;
//!
//! let mut config = mdns::MdnsConfig::default();
//! config.enabled = true;
//! let peer = libp2p::PeerId::random();
//! let behaviour = mdns::behaviour(peer, &config)?; // `Toggle::from` it into the Swarm's struct
//! let (state, handle) = mdns::channel(config, Instant::now());
//! # drop((behaviour, state, handle));
//! # Ok::<(), std::io::Error>(())
//! ```
//! The Swarm task hands each event of the behaviour to [`State::on_event`].

mod handle;
mod state;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use libp2p::PeerId;
use o_address::TransportAddr;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub use self::{handle::Handle, state::State};

/// The behaviour that queries and answers.
pub type Behaviour = libp2p::mdns::tokio::Behaviour;

/// Where each known peer is.
type Peers = BTreeMap<o_address::PeerId, Arc<[TransportAddr]>>;

/// Times and limits of multicast DNS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct MdnsConfig {
    /// Whether it is used at all. Default `false`.
    pub enabled: bool,
    /// How often the network is asked; a node also asks when it starts. Default 5 min.
    #[serde(with = "humantime_serde")]
    pub query_interval: Duration,
    /// How long others keep what this node tells them. Default 6 min.
    #[serde(with = "humantime_serde")]
    pub ttl: Duration,
    /// IPv6 instead of IPv4. Default `false`.
    pub ipv6: bool,
    /// How long after the start a search still waits for peers; later it ends with those that are
    /// known. Default 3 s.
    #[serde(with = "humantime_serde")]
    pub settle_time: Duration,
    /// Most peers; later ones are ignored until one has expired. Default 1024.
    pub max_peers: usize,
    /// Most addresses of a peer; later ones are ignored. Default 8.
    pub max_addresses: usize,
}

impl Default for MdnsConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            query_interval: Duration::from_secs(300),
            ttl: Duration::from_secs(360),
            ipv6: false,
            settle_time: Duration::from_secs(3),
            max_peers: 1024,
            max_addresses: 8,
        }
    }
}

/// A behaviour for the node `peer`; none if the configuration does not enable it. It multicasts on
/// every interface that is up, and needs a tokio runtime.
///
/// # Errors
/// When the network interfaces cannot be watched.
pub fn behaviour(peer: PeerId, config: &MdnsConfig) -> io::Result<Option<Behaviour>> {
    if !config.enabled {
        return Ok(None);
    }
    let mdns = libp2p::mdns::Config {
        ttl: config.ttl,
        query_interval: config.query_interval,
        enable_ipv6: config.ipv6,
    };
    Behaviour::new(mdns, peer).map(Some)
}

/// A state for the Swarm task and a handle for everybody; `now` is when the behaviour starts.
pub fn channel(config: MdnsConfig, now: Instant) -> (State, Handle) {
    let (sender, peers) = watch::channel(Peers::new());
    let settled = now + config.settle_time;
    (State::new(config, sender), Handle::new(peers, settled))
}
