//! Who can do this, and who is this.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::stream::BoxStream;
use o_address::{PeerId, TransportAddr};

use crate::{BoxError, Match, Query, SignedRecord, SignedTombstone};

/// Which source told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Source {
    /// Hosted in this process.
    Local,
    /// Given by the caller: `--peer`, a pin with an address.
    Given,
    /// A peer on the bootstrap list.
    Bootstrap,
    /// A live connection whose peer said so itself.
    Connected,
    /// Multicast DNS on the local network.
    Mdns,
    /// The distributed hash table.
    Dht,
    /// Announcements that nodes pass on to each other.
    Gossip,
    /// The registry of the hierarchy.
    Registry,
    /// The hierarchy itself: a parent about its children, a child about its parents.
    Hierarchy,
    /// A directory in memory, for tests and custom sources.
    Memory,
}

impl Source {
    /// Its name in JSON output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Given => "given",
            Self::Bootstrap => "bootstrap",
            Self::Connected => "connected",
            Self::Mdns => "mdns",
            Self::Dht => "dht",
            Self::Gossip => "gossip",
            Self::Registry => "registry",
            Self::Hierarchy => "hierarchy",
            Self::Memory => "memory",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Somebody who may match a query: a hint until the peer itself has confirmed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// The node.
    pub peer: PeerId,
    /// Where it may be dialed; may be empty when the source only knows the peer.
    pub addresses: Vec<TransportAddr>,
    /// What the peer signed about the agent, once known.
    pub record: Option<SignedRecord>,
    /// Who told, each once, in the order in which they did.
    pub sources: Vec<Source>,
    /// Whether the peer itself, with its key, said that it matches.
    pub confirmed: bool,
    /// Age of the newest information.
    pub age: Duration,
    /// How well it matches and why, where the source or the asked peer's record tells.
    pub matched: Option<Match>,
}

impl Provider {
    /// A hint from one source.
    pub fn hint(peer: PeerId, addresses: Vec<TransportAddr>, source: Source) -> Self {
        Self {
            peer,
            addresses,
            record: None,
            sources: vec![source],
            confirmed: false,
            age: Duration::ZERO,
            matched: None,
        }
    }

    /// Whether nobody said that it has what is sought, only that it is there: the bootstrap list and
    /// mDNS know no more.
    pub fn is_only_there(&self) -> bool {
        self.sources
            .iter()
            .all(|source| matches!(source, Source::Bootstrap | Source::Mdns))
    }
}

/// Providers, as they are found. Dropping the stream ends the search.
pub type ProviderStream = BoxStream<'static, Result<Provider, DiscoveryError>>;

/// Finds agents by name or capability, and announces our own.
#[async_trait]
pub trait Discovery: fmt::Debug + Send + Sync + 'static {
    /// Makes `record` findable until it expires or is withdrawn. Announcing a newer record of the
    /// same name and peer replaces the older.
    ///
    /// # Errors
    /// When nothing was announced; a source that keeps trying by itself returns `Ok`.
    ///
    /// # Cancel safety
    /// Dropping the future may leave the announcement made.
    async fn announce(&self, record: &SignedRecord) -> Result<(), DiscoveryError>;

    /// Ends an announcement. One that was never made is no error.
    ///
    /// # Errors
    /// When the source could not be told.
    ///
    /// # Cancel safety
    /// Dropping the future may leave the announcement made or withdrawn.
    async fn withdraw(&self, tombstone: &SignedTombstone) -> Result<(), DiscoveryError>;

    /// Providers, as they are found. The same peer comes again for one name only when something new
    /// was learned about it, which then replaces what came before. Ends when the source has nothing
    /// more to tell, or cannot answer such a query.
    fn find(&self, query: Query) -> ProviderStream;
}

#[async_trait]
impl<T: Discovery + ?Sized> Discovery for Arc<T> {
    async fn announce(&self, record: &SignedRecord) -> Result<(), DiscoveryError> {
        (**self).announce(record).await
    }

    async fn withdraw(&self, tombstone: &SignedTombstone) -> Result<(), DiscoveryError> {
        (**self).withdraw(tombstone).await
    }

    fn find(&self, query: Query) -> ProviderStream {
        (**self).find(query)
    }
}

/// Why something could not be announced or looked up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// No peer is known that could be asked.
    #[error("no network: no peer is known that could be asked")]
    NoNetwork,
    /// Too many announcements or searches at once.
    #[error("busy: {limit}")]
    Busy {
        /// Which limit.
        limit: &'static str,
    },
    /// The search took too long.
    #[error("the search timed out after {after:?}")]
    TimedOut {
        /// How long it was under way.
        after: Duration,
    },
    /// The record may not be announced: another network, reserved name, expired.
    #[error("the record cannot be announced: {reason}")]
    BadRecord {
        /// What is wrong with it.
        reason: String,
    },
    /// The source failed.
    #[error("{origin} failed")]
    Failed {
        /// Which source.
        origin: Source,
        /// What it says.
        #[source]
        source: BoxError,
    },
    /// The node has shut down.
    #[error("the node has shut down")]
    Shutdown,
}
