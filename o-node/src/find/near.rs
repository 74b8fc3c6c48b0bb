//! Searches by words and attributes at peers on the local network, for a node that holds no records itself.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use futures::{StreamExt as _, stream};
use o_core::{
    Discovery, DiscoveryError, NetworkId, ProviderStream, Query, SignedRecord, SignedTombstone,
};
use o_discovery::registry::{Registry, RegistryDiscovery};
use o_transport::EnvelopeVerifier;

use crate::pinned::PinnedCaller;

/// Peers that are asked: each of them knows all that take part in gossip.
const ASKED: usize = 3;

/// The registries of a few peers that a source of hints tells of, the first that can be reached.
#[derive(Debug)]
pub(crate) struct NearRegistries {
    pub(crate) hints: Arc<dyn Discovery>,
    pub(crate) caller: Arc<PinnedCaller>,
    pub(crate) network: NetworkId,
}

#[async_trait]
impl Discovery for NearRegistries {
    async fn announce(&self, _record: &SignedRecord) -> Result<(), DiscoveryError> {
        Ok(())
    }

    async fn withdraw(&self, _tombstone: &SignedTombstone) -> Result<(), DiscoveryError> {
        Ok(())
    }

    fn find(&self, query: Query) -> ProviderStream {
        // By name and capability the peers are asked themselves.
        if !matches!(query, Query::Attributes(_) | Query::Text(_)) {
            return stream::iter([Err(DiscoveryError::NoNetwork)]).boxed();
        }
        let (caller, network) = (self.caller.clone(), self.network.clone());
        let connecting = self.hints.find(query.clone()).map(move |hint| {
            let pool = caller.pool.clone();
            async move {
                let hint = hint.ok()?;
                let lease = pool.acquire(hint.peer, &hint.addresses).await;
                lease.is_ok().then_some(hint.peer)
            }
        });
        let (caller, anybody) = (self.caller.clone(), Arc::new(AtomicBool::new(false)));
        let nobody = anybody.clone();
        let asked = connecting
            .buffer_unordered(ASKED)
            .filter_map(std::future::ready)
            .take(ASKED);
        let found = asked.map(move |peer| {
            anybody.store(true, Ordering::Relaxed);
            let there = Arc::new(move || vec![Registry::address().pinned(peer)]);
            let verifier = Arc::new(EnvelopeVerifier);
            RegistryDiscovery::new(there, caller.clone(), verifier, network.clone())
                .find(query.clone())
        });
        let nobody = stream::once(async move {
            let asked = nobody.load(Ordering::Relaxed);
            (!asked).then_some(Err(DiscoveryError::NoNetwork))
        });
        let nobody = nobody.filter_map(std::future::ready);
        found.flatten_unordered(ASKED).chain(nobody).boxed()
    }
}
