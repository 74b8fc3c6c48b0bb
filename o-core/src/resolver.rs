//! From a name to where it lives.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use o_address::{Address, PeerId, TransportAddr};

use crate::{DiscoveryError, Source};

/// Where a name lives, who said so, and how long ago.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The node.
    pub peer: PeerId,
    /// Where it may be dialed; empty when it is connected already.
    pub addresses: Vec<TransportAddr>,
    /// Who said so.
    pub source: Source,
    /// How long ago.
    pub age: Duration,
}

/// Finds the nodes that answer to a name.
#[async_trait]
pub trait Resolver: fmt::Debug + Send + Sync + 'static {
    /// The routes to `address`, best first, at least one. Several peers may answer to one name; a
    /// pin leaves only its own.
    ///
    /// # Errors
    /// Nobody found, found and not reached or refused, or nobody could be asked.
    ///
    /// # Cancel safety
    /// Dropping the future ends the search.
    async fn resolve(&self, address: &Address) -> Result<Vec<Route>, ResolveError>;
}

#[async_trait]
impl<T: Resolver + ?Sized> Resolver for Arc<T> {
    async fn resolve(&self, address: &Address) -> Result<Vec<Route>, ResolveError> {
        (**self).resolve(address).await
    }
}

/// Why there is no route.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// Everybody who could be asked was, and nobody knows the name.
    #[error("nobody found at {address}")]
    NotFound {
        /// The name.
        address: Address,
    },
    /// Somebody is said to have the name, and was not reached.
    #[error("found {address}, and cannot reach it: {reason}")]
    Unreachable {
        /// The name.
        address: Address,
        /// Why, as far as is known.
        reason: String,
    },
    /// Somebody is said to have the name, and does not want to answer.
    #[error("found {address}, which refuses: {reason}")]
    Refused {
        /// The name.
        address: Address,
        /// Who.
        peer: Option<PeerId>,
        /// What it said.
        reason: String,
    },
    /// There was nobody to ask, or asking failed.
    #[error("cannot look up {address}")]
    Discovery {
        /// The name.
        address: Address,
        /// Why.
        #[source]
        source: DiscoveryError,
    },
}
