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

mod behaviour;
mod config;
mod farewell;
mod handle;
mod keys;
mod state;
mod store;
#[cfg(test)]
mod tests;

use libp2p::{Multiaddr, PeerId, kad::RecordKey};
use o_core::NetworkId;
use tokio::sync::mpsc;

use self::keys::Digest;
pub use self::{
    behaviour::{Behaviour, Event, behaviour, protocol},
    config::{DhtConfig, DhtMode},
    handle::{Command, Handle},
    state::State,
    store::ProviderStore,
};

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

/// The addresses of a peer in the routing table, the peer at the end of each.
fn table_addresses(kad: &mut Behaviour, peer: &PeerId) -> Vec<Multiaddr> {
    let Some(bucket) = kad.kbucket(*peer) else {
        return Vec::new();
    };
    let entry = bucket
        .iter()
        .find(|entry| entry.node.key.preimage() == peer);
    entry
        .map(|entry| entry.node.value.iter().cloned().collect())
        .unwrap_or_default()
}

/// Whether a key has the form of ours.
fn is_our_key(key: &RecordKey) -> bool {
    let bytes = key.as_ref();
    bytes.len() == 34 && bytes.starts_with(&[0x12, 0x20])
}
