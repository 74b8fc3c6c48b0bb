//! Discovery between real Swarms.

mod conformance;
#[cfg(feature = "kad")]
mod dht;
#[cfg(feature = "gossip")]
mod gossip;
#[cfg(feature = "mdns")]
mod mdns;
#[cfg(any(feature = "gossip", feature = "kad", feature = "mdns"))]
mod support;
