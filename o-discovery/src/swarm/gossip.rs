//! Records by gossip: every node of a network tells every other what it hosts, and that it is there.
//!
//! A node publishes its signed records over gossipsub, says every now and then that it is alive, and
//! keeps what the others say in a bounded [`Index`](crate::Index), which answers searches by name,
//! capability, attribute and word without the network. Who is silent for too long, or cannot be reached
//! by somebody and does not speak up, is forgotten.
//!
//! It is for networks in which everybody may know everybody: up to a few thousand records. It is off
//! unless [`GossipConfig::enabled`] says otherwise.
//!
//! # On the wire
//! Gossipsub under the protocol id `/o-gossip/1/<network>`, with the one topic `records` and the messages
//! of [`o_protocol::GossipMessage`]; a message is signed by its sender, and speaks of its sender only.
//! Each is verified before it is passed on. What was said before a node came is pulled from its
//! neighbors: [`Told`].
//!
//! # How to drive it
//! The Swarm task hands each command to [`State::on_command`], each event of the behaviour to
//! [`State::on_event`], tells [`State::on_disconnected`] of lost peers, and calls [`State::on_tick`] about
//! once a second. A task of the node does what [`Want`]s ask for, and keeps [`Handle::lacking`]
//! neighbors connected: the state dials nobody.

mod behaviour;
mod handle;
mod state;
mod table;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use o_address::{PeerId, TransportAddr};
use o_core::{NetworkId, Verifier};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use self::table::Table;
pub use self::{
    behaviour::{Behaviour, behaviour, protocol},
    handle::{Handle, Learned, Told},
    state::{Command, State},
};
use crate::IndexConfig;

/// Times and limits of gossip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct GossipConfig {
    /// Whether it is used at all. Default `false`.
    pub enabled: bool,
    /// How often a node that announces something says that it is there, at most. Default 2 s.
    #[serde(with = "humantime_serde")]
    pub heartbeat: Duration,
    /// How many nodes may say so in a second; where there are more, each says it less often. Default 5: a
    /// message costs a signature for each neighbor that passes it on.
    pub max_heartbeats_per_second: u32,
    /// How many times a node may miss to say so before it is forgotten. Default 3.
    pub missed_beats: u32,
    /// How long a node that somebody cannot reach has to say that it is there. Default 1.5 s.
    #[serde(with = "humantime_serde")]
    pub suspicion: Duration,
    /// How long a neighbor may take to answer when it is asked whether it is there, before it is suspected;
    /// each is asked every four seconds. Default 5 s: in a storm of newcomers an answer may take long.
    #[serde(with = "humantime_serde")]
    pub probe_timeout: Duration,
    /// With how many nodes this one connects to tell and to hear; others may connect with it. Default 4.
    pub neighbors: usize,
    /// Most neighbors whose connections are kept open when nobody calls. Default 32.
    pub max_kept_neighbors: usize,
    /// Messages that one node may publish in a second, and twenty times as many at once; one that passes
    /// on the messages of others ten times as many. Default 50.
    pub max_per_second: u32,
    /// Messages beyond that, or bad ones, after which a node is not listened to for a minute. Default 100.
    pub max_bad: u32,
    /// Most nodes that are remembered because they went. Default 4096.
    pub max_gone: usize,
    /// Most records in one answer about what is known here. Default 8192.
    pub max_told: usize,
    /// Announcements that wait for the Swarm task. Default 64.
    pub command_queue: usize,
    /// Questions to neighbors, and peers to be looked after, that wait for the node; what is beyond them
    /// is asked later. Default 64.
    pub want_queue: usize,
    /// What is kept of others.
    pub index: IndexConfig,
}

impl Default for GossipConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            heartbeat: Duration::from_secs(2),
            max_heartbeats_per_second: 5,
            missed_beats: 3,
            suspicion: Duration::from_millis(1500),
            probe_timeout: Duration::from_secs(5),
            neighbors: 4,
            max_kept_neighbors: 32,
            max_per_second: 50,
            max_bad: 100,
            max_gone: 4096,
            max_told: 8192,
            command_queue: 64,
            want_queue: 64,
            index: IndexConfig::default(),
        }
    }
}

/// A point in time: by the clock that only goes forward, and by the one that others have, too.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// For what is measured here.
    pub at: Instant,
    /// For what is compared with the times of others.
    pub clock: SystemTime,
}

impl Moment {
    /// Now.
    pub fn now() -> Self {
        Self {
            at: Instant::now(),
            clock: SystemTime::now(),
        }
    }
}

/// What the node should do for the state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Want {
    /// Ask `from` what it knows of `of`, or of everybody where `of` is `None`, and hand the answer to
    /// [`Handle::learn`].
    Pull {
        /// A neighbor.
        from: PeerId,
        /// Whom to ask about.
        of: Option<PeerId>,
    },
    /// A neighbor's connection broke: see whether it can be reached, and tell [`Handle::suspect`] if not.
    Check {
        /// Whose.
        peer: PeerId,
        /// Where it says that it is.
        addresses: Vec<TransportAddr>,
    },
}

/// The state for the Swarm task of the node `peer`, a handle for everybody, the queue of commands for the
/// state, and what it wants of the node.
pub fn channel(
    peer: PeerId,
    network: &NetworkId,
    config: GossipConfig,
    verifier: Arc<dyn Verifier>,
    now: Moment,
) -> (State, Handle, mpsc::Receiver<Command>, mpsc::Receiver<Want>) {
    let (commands, queue) = mpsc::channel(config.command_queue.max(1));
    let (wants, wanted) = mpsc::channel(config.want_queue.max(1));
    let table = Table::new(peer, network.clone(), config.clone());
    let table = Arc::new(Mutex::new(table));
    let state = State::new(table.clone(), config.clone(), verifier.clone(), wants, now);
    let handle = Handle::new(table, config, verifier, commands);
    (state, handle, queue, wanted)
}
