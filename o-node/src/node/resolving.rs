//! From a name to the nodes that answer to it, without a call.

use async_trait::async_trait;
use o_address::Address;
use o_core::{DiscoveryError, ResolveError, Resolver, Route};

use super::Node;

/// As a call does it: the resolvers that were brought, what is hosted here, what was found lately, who is
/// connected, the hierarchy, then discovery. The first that confirms is enough; a route says who told of it
/// and how long ago.
#[async_trait]
impl Resolver for Node {
    async fn resolve(&self, address: &Address) -> Result<Vec<Route>, ResolveError> {
        let failed = |source| ResolveError::Discovery {
            address: address.clone(),
            source,
        };
        let running = self.running_for_more();
        let running = running.map_err(|_| failed(DiscoveryError::Shutdown))?;
        let after = running.search_timeout;
        let resolving = tokio::time::timeout(after, running.resolver.resolve(address));
        match running.tasks.unless_stopped(resolving).await {
            Some(Ok(resolved)) => resolved,
            Some(Err(_)) => Err(failed(DiscoveryError::TimedOut { after })),
            None => Err(failed(DiscoveryError::Shutdown)),
        }
    }
}
