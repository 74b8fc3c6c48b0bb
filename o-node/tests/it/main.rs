//! Nodes on real sockets of 127.0.0.1, in one process and in two.
#![cfg(all(feature = "kad", feature = "noise", feature = "tcp"))]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that finds something unexpected fails there"
)]

mod calls;
mod child;
mod conformance;
mod custom;
mod dialing;
mod draining;
mod finding;
mod gating;
mod hostile;
mod hosting;
mod killed;
mod life;
mod load;
mod processes;
mod raw_peer;
mod sockets;
mod support;
mod worker;
