//! A directory in memory that everybody in a test shares.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use futures::{StreamExt, stream};
use o_address::{Address, PeerId, TransportAddr};
use o_core::{
    Discovery, DiscoveryError, Provider, ProviderStream, Query, ResolveError, Resolver, Route,
    SignedRecord, SignedTombstone, Source,
};

/// A name without its pin, and the peer that answers to it.
type Key = (Address, PeerId);

/// Who answers to which name. Clones share it; it is a [`Resolver`] and a [`Discovery`].
///
/// Nodes of this crate enter the names that they host; a test may enter others, and records.
#[derive(Clone, Debug)]
pub struct Directory {
    entries: Arc<Mutex<BTreeMap<Key, Entry>>>,
    max_entries: usize,
}

#[derive(Clone, Debug)]
enum Entry {
    Hosted(Vec<TransportAddr>),
    Announced(SignedRecord),
    /// Every record up to this sequence number is withdrawn.
    Withdrawn(u64),
}

impl Entry {
    fn addresses(&self) -> Option<&[TransportAddr]> {
        match self {
            Self::Hosted(addresses) => Some(addresses),
            Self::Announced(record) => Some(&record.record().addresses),
            Self::Withdrawn(_) => None,
        }
    }
}

impl Default for Directory {
    fn default() -> Self {
        Self::new(4096)
    }
}

impl Directory {
    /// An empty directory that takes at most `max_entries` names.
    pub fn new(max_entries: usize) -> Self {
        Self {
            entries: Arc::default(),
            max_entries,
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, key: Key, entry: Entry) -> Result<(), DiscoveryError> {
        let entries = &mut *self.lock();
        if entries.len() >= self.max_entries && !entries.contains_key(&key) {
            return Err(DiscoveryError::Busy {
                limit: "max_entries",
            });
        }
        entries.insert(key, entry);
        Ok(())
    }

    /// Enters that `peer` hosts `address` and can be dialed at `addresses`.
    ///
    /// # Errors
    /// `Busy` when the directory is full.
    pub fn insert(
        &self,
        address: &Address,
        peer: PeerId,
        addresses: Vec<TransportAddr>,
    ) -> Result<(), DiscoveryError> {
        self.enter((address.without_pin(), peer), Entry::Hosted(addresses))
    }

    /// Forgets that `peer` answers to `address`.
    pub fn remove(&self, address: &Address, peer: PeerId) {
        self.lock().remove(&(address.without_pin(), peer));
    }

    fn find_all(&self, mut wanted: impl FnMut(&Key, &Entry) -> bool) -> Vec<(Key, Entry)> {
        let entries = self.lock();
        let found = entries.iter().filter(|(key, entry)| {
            let expired = match entry {
                Entry::Announced(record) => record.record().times.is_expired(SystemTime::now()),
                Entry::Hosted(_) => false,
                Entry::Withdrawn(_) => true,
            };
            !expired && wanted(key, entry)
        });
        found
            .map(|(key, entry)| (key.clone(), entry.clone()))
            .collect()
    }
}

fn answers_to((name, peer): &Key, address: &Address) -> bool {
    name.name() == address.name() && address.pin().is_none_or(|pin| pin == *peer)
}

#[async_trait]
impl Resolver for Directory {
    async fn resolve(&self, address: &Address) -> Result<Vec<Route>, ResolveError> {
        let found = self.find_all(|key, _| answers_to(key, address));
        let routes: Vec<Route> = found
            .into_iter()
            .map(|((_, peer), entry)| Route {
                peer,
                addresses: entry.addresses().unwrap_or_default().to_vec(),
                source: Source::Memory,
                age: Duration::ZERO,
            })
            .collect();
        if routes.is_empty() {
            return Err(ResolveError::NotFound {
                address: address.clone(),
            });
        }
        Ok(routes)
    }
}

#[async_trait]
impl Discovery for Directory {
    async fn announce(&self, signed: &SignedRecord) -> Result<(), DiscoveryError> {
        let record = signed.record();
        let key = (record.address.without_pin(), record.peer);
        let bad = |reason: String| Err(DiscoveryError::BadRecord { reason });
        if record.address.root().is_node() {
            return bad(format!("{} is reserved", record.address));
        }
        if record.times.is_expired(SystemTime::now()) {
            return bad("it has expired".to_owned());
        }
        let oldest = match self.lock().get(&key) {
            Some(Entry::Announced(held)) => held.record().sequence,
            Some(Entry::Withdrawn(sequence)) => sequence.saturating_add(1),
            _ => 0,
        };
        if record.sequence < oldest {
            return bad(format!(
                "sequence {} is older than {oldest}",
                record.sequence
            ));
        }
        self.enter(key, Entry::Announced(signed.clone()))
    }

    async fn withdraw(&self, signed: &SignedTombstone) -> Result<(), DiscoveryError> {
        let tombstone = signed.tombstone();
        let key = (tombstone.address.without_pin(), tombstone.peer);
        let held = match self.lock().get(&key) {
            Some(Entry::Announced(held)) => held.record().sequence,
            Some(Entry::Withdrawn(sequence)) => *sequence,
            _ => return Ok(()),
        };
        if held > tombstone.sequence {
            return Ok(());
        }
        self.enter(key, Entry::Withdrawn(tombstone.sequence))
    }

    fn find(&self, query: Query) -> ProviderStream {
        let found = self.find_all(|key, entry| match (&query, entry) {
            (Query::Name(address), _) => answers_to(key, address),
            (Query::Capability(wanted), Entry::Announced(record)) => {
                record.record().capabilities.contains(wanted)
            }
            _ => false,
        });
        let providers = found.into_iter().map(|((_, peer), entry)| {
            let addresses = entry.addresses().unwrap_or_default().to_vec();
            let mut provider = Provider::hint(peer, addresses, Source::Memory);
            if let Entry::Announced(record) = entry {
                provider.age = record.record().times.age(SystemTime::now());
                provider.record = Some(record);
            }
            Ok(provider)
        });
        stream::iter(providers.collect::<Vec<_>>()).boxed()
    }
}
