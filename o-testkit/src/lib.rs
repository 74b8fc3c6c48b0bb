//! Everything to test agents and networks without a network stack: a network in memory, a small
//! node, fakes, and a conformance suite for every trait of o-core.
//!
//! - [`MemoryNetwork`] joins peers in one process and breaks their connections on demand.
//! - [`MemoryNode`] hosts agents and calls others, over that network or any [`o_core::Transport`].
//! - [`Directory`], [`FakeSigner`], [`RecordingGater`], [`RecordingEvents`] and [`test_peer`] stand
//!   in for what a test does not want to have for real.
//! - [`conformance`] has one suite for each trait: run it against an implementation of your own.

pub mod conformance;
mod fakes;
mod memory;
mod node;

pub use crate::{
    fakes::{
        Directory, FakeSigner, FakeVerifier, RecordingEvents, RecordingGater, SeenAttempt,
        test_peer,
    },
    memory::{MemoryConfig, MemoryNetwork, MemoryTransport},
    node::{HostError, MemoryNode, MemoryNodeBuilder, MemoryNodeConfig},
};
