//! Discovery between real Swarms.

#[cfg(feature = "kad")]
mod dht;
#[cfg(feature = "mdns")]
mod mdns;
#[cfg(any(feature = "kad", feature = "mdns"))]
mod support;
