//! Putting a memory node together.

use std::{fmt, sync::Arc, time::Duration};

use o_address::{PeerId, TransportAddr};
use o_core::{Hook, NetworkId, Resolver, Transport};
use o_protocol::SessionConfig;

use super::{MemoryNode, shared::Shared};
use crate::{Directory, RecordingEvents};

/// The limits of a [`MemoryNode`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MemoryNodeConfig {
    /// Which network it belongs to. Default `main`.
    pub network: NetworkId,
    /// Most agents. Default 64.
    pub max_agents: usize,
    /// Most connections at once, whoever dialed. Default 256.
    pub max_connections: usize,
    /// How long a dial may take, and an accepted connection until it opens its call substream.
    /// Default 10 s.
    pub dial_timeout: Duration,
    /// How long `stop` waits for running calls. Default 5 s.
    pub drain: Duration,
    /// The limits of each connection's session.
    pub session: SessionConfig,
}

impl Default for MemoryNodeConfig {
    fn default() -> Self {
        Self {
            network: NetworkId::default(),
            max_agents: 64,
            max_connections: 256,
            dial_timeout: Duration::from_secs(10),
            drain: Duration::from_secs(5),
            session: SessionConfig::default(),
        }
    }
}

/// Where names come from.
#[derive(Debug)]
pub(super) enum Names {
    /// The directory into which the node also enters what it hosts.
    Directory(Directory),
    Resolver(Arc<dyn Resolver>),
}

/// Makes a [`MemoryNode`].
pub struct MemoryNodeBuilder {
    pub(super) peer: PeerId,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) listen: Vec<TransportAddr>,
    pub(super) names: Names,
    pub(super) known: Vec<(PeerId, Vec<TransportAddr>)>,
    pub(super) hooks: Vec<Arc<dyn Hook>>,
    pub(super) config: MemoryNodeConfig,
    pub(super) events: Arc<RecordingEvents>,
}

impl fmt::Debug for MemoryNodeBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryNodeBuilder")
            .field("peer", &self.peer)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

impl MemoryNodeBuilder {
    pub(super) fn new(peer: PeerId, transport: Arc<dyn Transport>) -> Self {
        Self {
            peer,
            transport,
            listen: Vec::new(),
            names: Names::Directory(Directory::default()),
            known: Vec::new(),
            hooks: Vec::new(),
            config: MemoryNodeConfig::default(),
            events: Arc::default(),
        }
    }

    /// Listens here, once it is started; may be given several times.
    #[must_use]
    pub fn listen(mut self, address: TransportAddr) -> Self {
        self.listen.push(address);
        self
    }

    /// Looks names up in `directory`, and enters what it hosts and where it listens there.
    #[must_use]
    pub fn directory(mut self, directory: &Directory) -> Self {
        self.names = Names::Directory(directory.clone());
        self
    }

    /// Looks names up with `resolver`; what it hosts is entered nowhere.
    #[must_use]
    pub fn resolver(mut self, resolver: impl Resolver) -> Self {
        self.names = Names::Resolver(Arc::new(resolver));
        self
    }

    /// Where `peer` can be dialed: an address that is pinned to it needs no resolver then.
    #[must_use]
    pub fn known_peer(mut self, peer: PeerId, addresses: Vec<TransportAddr>) -> Self {
        self.known.push((peer, addresses));
        self
    }

    /// Runs `hook` around start and stop, after those that were given before.
    #[must_use]
    pub fn hook(mut self, hook: impl Hook) -> Self {
        self.hooks.push(Arc::new(hook));
        self
    }

    /// Changes the limits.
    #[must_use]
    pub fn config(mut self, change: impl FnOnce(&mut MemoryNodeConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// The node, created and not started.
    pub fn build(self) -> MemoryNode {
        MemoryNode::new(Shared::new(self))
    }
}
