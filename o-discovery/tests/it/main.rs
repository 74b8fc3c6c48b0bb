//! Discovery between real Swarms.

mod conformance;
#[cfg(feature = "kad")]
mod dht;
#[cfg(feature = "mdns")]
mod mdns;
#[cfg(any(feature = "kad", feature = "mdns"))]
mod support;
