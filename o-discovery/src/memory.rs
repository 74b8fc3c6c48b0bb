//! A directory in this process, shared by its clones.

#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use async_trait::async_trait;
use futures::{StreamExt, stream};
use o_core::{
    Discovery, DiscoveryError, NetworkId, ProviderStream, Query, SignedRecord, SignedTombstone,
    Source,
};

use crate::index::{Index, IndexConfig};

/// A directory in memory, for tests, examples and custom sources. Clones share it.
///
/// It is an [`Index`] behind a lock: `find` tells what stands in it at that moment, for every kind of
/// query.
#[derive(Clone, Debug)]
pub struct MemoryDiscovery {
    index: Arc<Mutex<Index>>,
}

impl MemoryDiscovery {
    /// An empty directory of one network: records of another are refused.
    pub fn new(network: NetworkId, config: IndexConfig) -> Self {
        Self {
            index: Arc::new(Mutex::new(Index::new(network, config))),
        }
    }

    /// How many records it holds, expired ones included until they make room.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether it holds no record.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        // Every change of the index is complete before anything in it can panic.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryDiscovery {
    fn default() -> Self {
        Self::new(NetworkId::default(), IndexConfig::default())
    }
}

#[async_trait]
impl Discovery for MemoryDiscovery {
    async fn announce(&self, record: &SignedRecord) -> Result<(), DiscoveryError> {
        let inserted = self
            .lock()
            .insert(record, Source::Memory, SystemTime::now());
        inserted.map(drop)
    }

    async fn withdraw(&self, tombstone: &SignedTombstone) -> Result<(), DiscoveryError> {
        self.lock().withdraw(tombstone, SystemTime::now());
        Ok(())
    }

    fn find(&self, query: Query) -> ProviderStream {
        let found = self.lock().find(&query, SystemTime::now());
        stream::iter(found.into_iter().map(Ok)).boxed()
    }
}
