//! A directory in this process, shared by its clones.

mod directory;
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
};
use serde::{Deserialize, Serialize};

use self::directory::Directory;

/// Limits of a [`MemoryDiscovery`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct MemoryConfig {
    /// Most records, one for each name and peer. Default 4096; one takes its signed form (at most
    /// 10 KiB) and about as much again.
    pub max_records: usize,
    /// Most withdrawals that are remembered, one for each name and peer. Default 4096.
    pub max_tombstones: usize,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            max_records: 4096,
            max_tombstones: 4096,
        }
    }
}

/// A directory in memory, for tests, examples and custom sources. Clones share it.
///
/// It keeps one record for each name and peer: the one with the highest sequence number. Expired
/// records are not found. A withdrawn one cannot come back with a sequence number that the
/// tombstone covers for as long as the tombstone holds. When it is full of unexpired entries it
/// answers `Busy` and changes nothing. `find` tells what stands in it at that moment.
#[derive(Clone, Debug)]
pub struct MemoryDiscovery {
    directory: Arc<Mutex<Directory>>,
}

impl MemoryDiscovery {
    /// An empty directory of one network: records of another are refused.
    pub fn new(network: NetworkId, config: MemoryConfig) -> Self {
        Self {
            directory: Arc::new(Mutex::new(Directory::new(network, config))),
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

    fn lock(&self) -> MutexGuard<'_, Directory> {
        // Every change of the directory is complete before anything in it can panic.
        self.directory
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryDiscovery {
    fn default() -> Self {
        Self::new(NetworkId::default(), MemoryConfig::default())
    }
}

#[async_trait]
impl Discovery for MemoryDiscovery {
    async fn announce(&self, record: &SignedRecord) -> Result<(), DiscoveryError> {
        self.lock().announce(record, SystemTime::now())
    }

    async fn withdraw(&self, tombstone: &SignedTombstone) -> Result<(), DiscoveryError> {
        self.lock()
            .withdraw(tombstone.tombstone(), SystemTime::now())
    }

    fn find(&self, query: Query) -> ProviderStream {
        let found = self.lock().find(&query, SystemTime::now());
        stream::iter(found.into_iter().map(Ok)).boxed()
    }
}
