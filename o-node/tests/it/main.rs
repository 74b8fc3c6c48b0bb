//! Nodes on real sockets of 127.0.0.1, in one process and in two.
#![cfg(all(feature = "kad", feature = "noise", feature = "tcp"))]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that finds something unexpected fails there"
)]

mod announcing;
mod any;
mod authority;
mod calls;
mod chain;
mod child;
mod config;
mod conformance;
mod custom;
mod cut;
mod dialing;
mod draining;
mod family;
mod faucet;
mod finding;
mod flow;
mod gating;
mod gone;
#[cfg(feature = "gossip")]
mod gossip;
mod hierarchy;
mod hostile;
mod hosting;
mod idle;
mod interop;
mod killed;
mod lies;
mod life;
mod load;
mod measuring;
mod memory;
mod outage;
mod pace;
mod pool;
mod processes;
mod proxy;
mod raw_peer;
mod resolving;
mod sockets;
mod spans;
mod starved;
mod storm;
mod support;
mod tally;
mod turns;
mod usurping;
mod worker;
