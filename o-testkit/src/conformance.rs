//! One suite for each trait of o-core, to be run against any implementation of it.
//!
//! A suite panics at the first thing that is not as the trait's contract says, with the suite's
//! name, the step and what was found. Every wait in it is bounded. Suites need a tokio runtime with
//! time; where the implementation does no real I/O, the clock may be paused.
//!
//! ```
//! use o_core::{Attempt, Direction, Stage};
//! use o_testkit::{RecordingGater, conformance};
//!
//! let gater = RecordingGater::default();
//! let anybody = Attempt::new(Stage::Pending, Direction::Inbound);
//! conformance::gater(&gater, &[conformance::GaterCase::allowed("anybody", anybody)]);
//! ```

mod agent;
mod caller;
mod check;
mod discovery;
mod events;
mod gater;
mod node;
mod probe;
mod resolver;
mod signer;
mod transport;

pub use self::{
    agent::agent,
    caller::caller,
    discovery::{DiscoveryCase, discovery, hints, searching},
    events::events,
    gater::{GaterCase, gater},
    node::node,
    probe::Probe,
    resolver::resolver,
    signer::signer,
    transport::{TransportEnd, transport},
};
