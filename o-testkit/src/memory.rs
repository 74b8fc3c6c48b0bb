//! A network inside one process: transports whose peers are vouched for, and faults on demand.

mod connection;
mod link;
mod pipe;
mod refusals;
mod registry;
mod substream;
#[cfg(test)]
mod tests;
mod transport;

use std::{sync::Arc, time::Duration};

use o_address::PeerId;

use self::registry::Registry;
pub use self::transport::MemoryTransport;

/// The limits of a [`MemoryNetwork`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MemoryConfig {
    /// Bytes that one direction of a substream holds until they are read. Default 64 KiB.
    pub buffer: usize,
    /// Most substreams of one connection, from both ends together. Default 256.
    pub max_substreams: usize,
    /// Most connections in the network. Default 1024.
    pub max_connections: usize,
    /// Connections that one listener keeps until they are accepted. Default 64.
    pub backlog: usize,
    /// Refused dialers that one listener talks to at once; more are cut without a word. Default 16.
    pub max_refusals: usize,
    /// How long a refused dialer may take to go. Default 1 s.
    pub refusal_timeout: Duration,
    /// How long every byte is under way; a dial takes twice as long. Default zero.
    pub latency: Duration,
    /// How long a dial waits for a partition to heal. Default 10 s.
    pub dial_timeout: Duration,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            buffer: 64 * 1024,
            max_substreams: 256,
            max_connections: 1024,
            backlog: 64,
            max_refusals: 16,
            refusal_timeout: Duration::from_secs(1),
            latency: Duration::ZERO,
            dial_timeout: Duration::from_secs(10),
        }
    }
}

/// A network in memory. Clones are the same network; two of them do not reach each other.
///
/// Addresses are `/memory/<number>`; listening at number 0 picks one. There are no keys: whoever is
/// given the [`transport`](Self::transport) of a peer is that peer, and the network vouches for it.
/// Time is tokio's, so tests may pause it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use o_core::Transport;
/// use o_testkit::{MemoryNetwork, test_peer};
///
/// let network = MemoryNetwork::new();
/// let (alice, bob) = (test_peer(1), test_peer(2));
/// let mut listener = network.transport(bob).listen(&"/memory/0".parse()?).await?;
///
/// let dialed = network.transport(alice).dial(bob, &[listener.address()]).await?;
/// let accepted = listener.accept().await.ok_or("closed")?;
/// assert_eq!((dialed.peer(), accepted.peer()), (bob, alice));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct MemoryNetwork {
    registry: Arc<Registry>,
}

impl Default for MemoryNetwork {
    fn default() -> Self {
        Self::with_config(MemoryConfig::default())
    }
}

impl MemoryNetwork {
    /// An empty network without latency.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty network with these limits.
    pub fn with_config(config: MemoryConfig) -> Self {
        Self {
            registry: Arc::new(Registry::new(config)),
        }
    }

    /// The transport of `peer`.
    pub fn transport(&self, peer: PeerId) -> MemoryTransport {
        MemoryTransport::new(self.registry.clone(), peer)
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.registry.links().len()
    }

    /// Kills every connection between two peers and loses what is under way; both ends learn it at
    /// once. Returns how many there were. They may connect again.
    pub fn cut(&self, a: PeerId, b: PeerId) -> usize {
        let links = self.registry.links_between(a, b);
        let open = links.iter().filter(|link| link.is_open()).count();
        links.iter().for_each(|link| link.cut());
        open
    }

    /// Lets nothing through between two peers until [`heal`](Self::heal). Neither end is told: what
    /// is sent waits, dials run into their time-out.
    pub fn partition(&self, a: PeerId, b: PeerId) {
        self.registry.set_partition(a, b, true);
        self.registry
            .links_between(a, b)
            .iter()
            .for_each(|link| link.stall(true));
    }

    /// Ends a partition: what has waited arrives.
    pub fn heal(&self, a: PeerId, b: PeerId) {
        self.registry.set_partition(a, b, false);
        self.registry
            .links_between(a, b)
            .iter()
            .for_each(|link| link.stall(false));
    }
}
