//! Who can do this, who is this: bootstrap list, mDNS, Kademlia, gossip, registry, merged with provenance.
//!
//! Every source implements [`o_core::Discovery`] and can be used alone or joined by
//! [`MergedDiscovery`]:
//!
//! - [`BootstrapDiscovery`]: a fixed list of peers, each of which may be the one that is sought.
//! - [`MemoryDiscovery`]: a directory in this process, shared by its clones. The [`Index`] behind it
//!   searches by name, capability, attribute and word.
//! - [`swarm::dht`] (feature `kad`): names and capabilities in a distributed hash table.
//! - [`swarm::gossip`] (feature `gossip`): every node tells every other, and searches need no network.
//! - [`swarm::mdns`] (feature `mdns`): peers on the same local network.
//!
//! [`swarm`] is the only public module that names libp2p: it has the behaviours for whoever owns a
//! Swarm, and beside each a state without task or clock, and a handle. A Cargo feature compiles a
//! source in; configuration turns it on.
//!
//! What a source tells is a hint until the peer itself, with its key, has confirmed it.

mod bootstrap;
mod index;
mod memory;
mod merged;
pub mod registry;
pub mod swarm;
#[cfg(test)]
mod testing;
mod throttle;

pub use crate::{
    bootstrap::{BootstrapDiscovery, BootstrapError},
    index::{Index, IndexConfig, Insertion, has_place, rank},
    memory::MemoryDiscovery,
    merged::{MergedConfig, MergedDiscovery},
};
