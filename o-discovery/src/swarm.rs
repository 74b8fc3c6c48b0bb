//! The sources that need a libp2p Swarm: behaviours to compose, states to drive, handles to use.
//!
//! Each is three parts: a libp2p `Behaviour` for the struct of behaviours, a `State` that the Swarm
//! task feeds with commands, events and the time, and a `Handle` that implements
//! [`o_core::Discovery`]. A state has no task, no clock and no socket.

#[cfg(any(feature = "kad", feature = "mdns"))]
mod addresses;
#[cfg(feature = "kad")]
pub mod dht;
#[cfg(feature = "gossip")]
pub mod gossip;
#[cfg(feature = "mdns")]
pub mod mdns;
