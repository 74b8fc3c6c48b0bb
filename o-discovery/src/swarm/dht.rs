//! Names and capabilities in a distributed hash table (Kademlia), one for each network id.
//!
//! A node that announces a record becomes a *provider* of the key of its name and of each of its
//! capabilities; whoever looks a key up learns the providers' peer ids and addresses, and asks
//! them. The table proves nothing: what it tells is a hint, from [`Source::Dht`].
//!
//! [`Source::Dht`]: o_core::Source::Dht
//!
//! # On the wire
//! Kademlia as libp2p specifies it, under the protocol id `/o-kad/1/<network>`. A key is the
//! multihash `0x12 0x20` followed by SHA-256 of `o-name/1\0` and the name without its pin, or of
//! `o-capability/1\0` and the capability. Only provider records are used; values are neither stored
//! nor asked for. Peers of another network speak another protocol id: they are never asked, and one
//! that identify shows not to speak ours is taken out of the routing table.
//!
//! # How to drive it
//! ```
//! use libp2p::kad;
//! use o_discovery::swarm::dht;
//!
//! let config = dht::DhtConfig::default();
//! let network = o_core::NetworkId::default();
//! let peer = libp2p::PeerId::random();
//! let kad: dht::Behaviour = dht::behaviour(peer, &network, &config); // in the Swarm's struct
//! let state = dht::State::new(peer, &network, config.clone()); // in the Swarm task
//! let (handle, commands) = dht::channel(&peer, &network, &config); // for everybody, for the task
//! # drop((kad, state, handle, commands));
//! ```
//! The Swarm task hands each command to [`State::on_command`], each event of the behaviour to
//! [`State::on_event`], what identify received to [`State::on_identify`], and calls
//! [`State::on_tick`] about once a second.

mod config;
mod handle;
mod state;
mod store;
#[cfg(test)]
mod tests;

use libp2p::{
    PeerId, StreamProtocol,
    kad::{self, BucketInserts, Caching, Mode, RecordKey, StoreInserts},
};
use o_core::NetworkId;
use tokio::sync::mpsc;

pub use self::{
    config::{DhtConfig, DhtMode},
    handle::{Command, Handle},
    state::State,
    store::ProviderStore,
};
use crate::keys::Digest;

/// The behaviour of the table.
pub type Behaviour = kad::Behaviour<ProviderStore>;

/// Largest message, in bytes: twenty providers and twenty closer peers with eight addresses of 160
/// bytes each fit in it. All nodes of a network must agree.
const MAX_PACKET: usize = 64 * 1024;

/// The protocol id of a network's table: `/o-kad/1/<network>`.
#[expect(
    clippy::expect_used,
    reason = "a text that begins with a slash is a protocol id"
)]
pub fn protocol(network: &NetworkId) -> StreamProtocol {
    StreamProtocol::try_from_owned(format!("/o-kad/1/{network}")).expect("it begins with a slash")
}

/// A behaviour for the node `peer`.
pub fn behaviour(peer: PeerId, network: &NetworkId, config: &DhtConfig) -> Behaviour {
    let mut kad = kad::Config::new(protocol(network));
    kad.set_record_filtering(StoreInserts::FilterBoth)
        .set_kbucket_inserts(BucketInserts::Manual)
        .set_caching(Caching::Disabled)
        .disjoint_query_paths(true)
        .set_parallelism(config.parallelism)
        .set_query_timeout(config.query_timeout)
        .set_max_packet_size(MAX_PACKET)
        .set_provider_record_ttl(Some(config.provider_ttl))
        // `State` announces again, so that it can bound how much is under way.
        .set_provider_publication_interval(None)
        .set_replication_interval(None)
        .set_publication_interval(None)
        .set_periodic_bootstrap_interval(Some(config.bootstrap_interval));
    let mut behaviour = Behaviour::with_config(peer, ProviderStore::new(peer, config), kad);
    match config.mode {
        DhtMode::Auto => {}
        DhtMode::Client => behaviour.set_mode(Some(Mode::Client)),
        DhtMode::Server => behaviour.set_mode(Some(Mode::Server)),
    }
    behaviour
}

/// A handle for everybody, and the queue of its commands for the Swarm task of the node `peer`.
pub fn channel(
    peer: &PeerId,
    network: &NetworkId,
    config: &DhtConfig,
) -> (Handle, mpsc::Receiver<Command>) {
    let (commands, queue) = mpsc::channel(config.command_queue.max(1));
    (Handle::new(commands, peer, network, config), queue)
}

/// A digest as a key of the table: the multihash of SHA-256.
fn record_key(digest: &Digest) -> RecordKey {
    let mut multihash = vec![0x12, 0x20];
    multihash.extend_from_slice(digest);
    RecordKey::from(multihash)
}

/// Whether a key has the form of ours.
fn is_our_key(key: &RecordKey) -> bool {
    let bytes = key.as_ref();
    bytes.len() == 34 && bytes.starts_with(&[0x12, 0x20])
}
