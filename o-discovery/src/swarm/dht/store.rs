//! Who provides what, as this node was told: bounded, expiring, and fair to every provider.

use std::{
    borrow::Cow,
    cell::Cell,
    collections::{BTreeMap, HashMap, HashSet, hash_map},
    iter,
    time::Instant,
};

use libp2p::{
    Multiaddr, PeerId,
    kad::{
        K_VALUE, ProviderRecord, Record, RecordKey,
        store::{Error, RecordStore, Result},
    },
};
use tracing::warn;

use super::DhtConfig;

/// Most peers that are remembered for having announced too much.
const MAX_NAMED: usize = 1024;

/// The provider records that this node keeps.
///
/// libp2p's `MemoryStore` keeps 20 providers for a key, always answers with the same ones, keeps
/// expired keys until somebody asks for them, and lets strangers fill the room that our own
/// announcements need. This one counts our own records apart, bounds the others in total, for each
/// key and for each provider, and lets every answer begin where the last one ended: who asks again
/// learns of the next twenty, and who asks another node of others still. A provider that announced itself without addresses (a client, a node
/// without confirmed ones) is told of with those that identify gave. It stores no values.
#[derive(Debug)]
pub struct ProviderStore {
    local: PeerId,
    max_own: usize,
    max_others: usize,
    max_per_key: usize,
    max_per_peer: usize,
    own: HashMap<RecordKey, ProviderRecord>,
    others: HashMap<RecordKey, Providers>,
    /// How many records of others there are, and how many for each provider.
    count: usize,
    per_peer: HashMap<PeerId, usize>,
    /// Peers of which the log says already that they announce too much.
    named: HashSet<PeerId>,
    known: KnownPeers,
    /// Where the first answer about a key begins: not the same everywhere.
    first: usize,
}

/// The providers of a key, other than this node.
#[derive(Debug)]
struct Providers {
    records: Vec<ProviderRecord>,
    /// Where the next answer begins; a reader moves it on.
    next: Cell<usize>,
}

impl ProviderStore {
    /// An empty store of the node `local`.
    pub fn new(local: PeerId, config: &DhtConfig) -> Self {
        Self {
            local,
            max_own: config.max_announced_keys,
            max_others: config.max_stored,
            max_per_key: config.max_stored_per_key,
            max_per_peer: config.max_stored_per_peer,
            own: HashMap::new(),
            others: HashMap::new(),
            count: 0,
            per_peer: HashMap::new(),
            named: HashSet::new(),
            known: KnownPeers::new(config.max_known_peers),
            first: local.to_bytes().last().copied().unwrap_or_default().into(),
        }
    }

    /// How many records of other peers it holds.
    pub fn stored(&self) -> usize {
        self.count
    }

    /// Whether this node itself provides `key`.
    pub(super) fn provides(&self, key: &RecordKey) -> bool {
        self.own.contains_key(key)
    }

    /// Whether somebody is known to provide `key`.
    pub(super) fn knows(&self, key: &RecordKey, now: Instant) -> bool {
        self.own.contains_key(key)
            || self.others.get(key).is_some_and(|providers| {
                providers
                    .records
                    .iter()
                    .any(|record| !record.is_expired(now))
            })
    }

    /// Removes what has expired.
    pub(super) fn sweep(&mut self, now: Instant) {
        let (count, per_peer) = (&mut self.count, &mut self.per_peer);
        self.others.retain(|_, providers| {
            forget_expired(providers, count, per_peer, now);
            !providers.records.is_empty()
        });
        self.named.retain(|peer| self.per_peer.contains_key(peer));
    }

    /// Remembers where `peer` said that it listens.
    pub(super) fn remember(&mut self, peer: PeerId, addresses: Vec<Multiaddr>) {
        self.known.insert(peer, addresses);
    }

    /// Where `peer` said that it listens, as far as that is remembered.
    pub(super) fn remembered(&self, peer: &PeerId) -> &[Multiaddr] {
        self.known.get(peer)
    }
}

impl RecordStore for ProviderStore {
    type RecordsIter<'a> = iter::Empty<Cow<'a, Record>>;
    type ProvidedIter<'a> = iter::Map<
        hash_map::Values<'a, RecordKey, ProviderRecord>,
        fn(&'a ProviderRecord) -> Cow<'a, ProviderRecord>,
    >;

    fn get(&self, _: &RecordKey) -> Option<Cow<'_, Record>> {
        None
    }

    fn put(&mut self, _: Record) -> Result<()> {
        Err(Error::MaxRecords)
    }

    fn remove(&mut self, _: &RecordKey) {}

    fn records(&self) -> Self::RecordsIter<'_> {
        iter::empty()
    }

    fn add_provider(&mut self, record: ProviderRecord) -> Result<()> {
        if record.provider == self.local {
            if !self.own.contains_key(&record.key) && self.own.len() >= self.max_own {
                return Err(Error::MaxProvidedKeys);
            }
            self.own.insert(record.key.clone(), record);
            return Ok(());
        }
        if let Some(providers) = self.others.get_mut(&record.key) {
            let mut held = providers.records.iter_mut();
            if let Some(held) = held.find(|held| held.provider == record.provider) {
                *held = record;
                return Ok(());
            }
        }
        let of_key = self
            .others
            .get(&record.key)
            .map_or(0, |held| held.records.len());
        let of_peer = self.per_peer.get(&record.provider).copied().unwrap_or(0);
        if of_peer >= self.max_per_peer
            && self.named.len() < MAX_NAMED
            && self.named.insert(record.provider)
        {
            let (peer, limit) = (record.provider, self.max_per_peer);
            warn!(%peer, limit, "a peer announces more keys than one may: the others are not kept");
        }
        if self.count >= self.max_others
            || of_key >= self.max_per_key
            || of_peer >= self.max_per_peer
        {
            return Err(Error::MaxProvidedKeys);
        }
        self.count += 1;
        self.per_peer.insert(record.provider, of_peer + 1);
        let first = self.first;
        let providers = self.others.entry(record.key.clone());
        let providers = providers.or_insert_with(|| Providers {
            records: Vec::new(),
            next: Cell::new(first),
        });
        providers.records.push(record);
        Ok(())
    }

    fn providers(&self, key: &RecordKey) -> Vec<ProviderRecord> {
        let own = self.own.get(key);
        let Some(others) = self.others.get(key) else {
            return own.into_iter().cloned().collect();
        };
        let mut all: Vec<_> = own.into_iter().chain(&others.records).cloned().collect();
        let start = others.next.get() % all.len().max(1);
        // An answer holds K_VALUE of them, so the next one begins there.
        others.next.set(start + K_VALUE.get());
        all.rotate_left(start);
        for record in all.iter_mut().filter(|record| record.addresses.is_empty()) {
            record.addresses = self.known.get(&record.provider).to_vec();
        }
        all
    }

    fn provided(&self) -> Self::ProvidedIter<'_> {
        self.own.values().map(Cow::Borrowed)
    }

    fn remove_provider(&mut self, key: &RecordKey, provider: &PeerId) {
        if *provider == self.local {
            self.own.remove(key);
            return;
        }
        let Some(providers) = self.others.get_mut(key) else {
            return;
        };
        let Some(at) = providers
            .records
            .iter()
            .position(|held| held.provider == *provider)
        else {
            return;
        };
        providers.records.remove(at);
        self.count = self.count.saturating_sub(1);
        release(&mut self.per_peer, provider);
        if providers.records.is_empty() {
            self.others.remove(key);
        }
    }
}

fn forget_expired(
    providers: &mut Providers,
    count: &mut usize,
    per_peer: &mut HashMap<PeerId, usize>,
    now: Instant,
) {
    providers.records.retain(|record| {
        let expired = record.is_expired(now);
        if expired {
            *count = count.saturating_sub(1);
            release(per_peer, &record.provider);
        }
        !expired
    });
}

fn release(per_peer: &mut HashMap<PeerId, usize>, peer: &PeerId) {
    if let hash_map::Entry::Occupied(mut held) = per_peer.entry(*peer) {
        match held.get().checked_sub(1) {
            None | Some(0) => drop(held.remove()),
            Some(left) => *held.get_mut() = left,
        }
    }
}

/// Where peers said that they listen: bounded, the one heard of longest ago makes room.
#[derive(Debug)]
struct KnownPeers {
    limit: usize,
    heard: u64,
    peers: HashMap<PeerId, (u64, Vec<Multiaddr>)>,
    order: BTreeMap<u64, PeerId>,
}

impl KnownPeers {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            heard: 0,
            peers: HashMap::new(),
            order: BTreeMap::new(),
        }
    }

    fn get(&self, peer: &PeerId) -> &[Multiaddr] {
        self.peers.get(peer).map_or(&[], |(_, addresses)| addresses)
    }

    fn insert(&mut self, peer: PeerId, addresses: Vec<Multiaddr>) {
        if let Some((heard, _)) = self.peers.remove(&peer) {
            self.order.remove(&heard);
        }
        if addresses.is_empty() || self.limit == 0 {
            return;
        }
        if self.peers.len() >= self.limit
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.peers.remove(&oldest);
        }
        self.heard += 1;
        self.order.insert(self.heard, peer);
        self.peers.insert(peer, (self.heard, addresses));
    }
}
