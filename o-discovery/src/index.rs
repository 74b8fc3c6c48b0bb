//! Records in memory: bounded, and searched by name, capability, attribute and word.

mod rank;
mod share;
#[cfg(test)]
mod tests;
mod tokens;
mod withdrawals;
mod words;

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, SystemTime},
};

use o_address::{Address, PeerId};
use o_core::{
    DiscoveryError, NetworkId, Provider, Query, Record, SignedRecord, SignedTombstone, Source, Text,
};
use serde::{Deserialize, Serialize};

pub(crate) use self::share::share;
pub use self::{rank::rank, share::has_place};
use self::{
    share::by_turns,
    withdrawals::Withdrawals,
    words::{Document, Words},
};

/// Limits of an [`Index`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct IndexConfig {
    /// Most records, one for each name and peer. Default 4096.
    pub max_records: usize,
    /// Most records of one peer. Default 1024.
    pub max_per_peer: usize,
    /// Most withdrawals that are remembered, one for each name and peer, a sixteenth of them of one peer; for
    /// one more the one that expires first is forgotten. Default 4096.
    pub max_tombstones: usize,
    /// Most bytes of signed records. Default 16 MiB; with what is read out of them and the words,
    /// about four times as much memory.
    pub max_bytes: usize,
}

impl Default for IndexConfig {
    fn default() -> Self {
        Self {
            max_records: 4096,
            max_per_peer: 1024,
            max_tombstones: 4096,
            max_bytes: 16 << 20,
        }
    }
}

/// What a record was to an index that took it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insertion {
    /// The first of its peer for its name.
    New,
    /// It took the place of an older one.
    Newer,
    /// It was there already; its age counts from now.
    Same,
}

/// Records and withdrawals of one network, as plain functions of the time.
///
/// It keeps one record for each name and peer: the one with the highest sequence number. Expired
/// records are not found, and go when room is needed. A withdrawn one cannot come back with a sequence
/// number that the tombstone covers for as long as the tombstone is remembered. When it is full of unexpired
/// entries it refuses new ones and keeps those that it has; one peer's share is bounded, so that it
/// cannot fill it alone.
#[derive(Debug)]
pub struct Index {
    network: NetworkId,
    config: IndexConfig,
    records: BTreeMap<Address, BTreeMap<PeerId, Entry>>,
    withdrawals: Withdrawals,
    per_peer: HashMap<PeerId, usize>,
    count: usize,
    bytes: usize,
    words: Words,
}

#[derive(Debug)]
struct Entry {
    record: SignedRecord,
    source: Source,
    /// When somebody said last that it holds.
    heard: SystemTime,
    /// When it has expired by our clock, whatever that of its maker says.
    until: SystemTime,
    document: Document,
}

impl Index {
    /// An empty one: records of another network are refused.
    pub fn new(network: NetworkId, config: IndexConfig) -> Self {
        Self {
            withdrawals: Withdrawals::new(config.max_tombstones),
            network,
            config,
            records: BTreeMap::new(),
            per_peer: HashMap::new(),
            count: 0,
            bytes: 0,
            words: Words::default(),
        }
    }

    /// How many records it holds, expired ones included until they make room.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether it holds no record.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of the signed records that it holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Every record, in the order of names.
    pub fn records(&self) -> impl Iterator<Item = &SignedRecord> {
        self.entries().map(|(_, entry)| &entry.record)
    }

    /// Every withdrawal, in the order of names.
    pub fn tombstones(&self) -> impl Iterator<Item = &SignedTombstone> {
        self.withdrawals.iter()
    }

    /// The record of a peer for a name.
    pub fn get(&self, name: &Address, peer: &PeerId) -> Option<&SignedRecord> {
        let entry = self.records.get(&name.without_pin())?.get(peer)?;
        Some(&entry.record)
    }

    /// Every record of a peer.
    pub fn of_peer(&self, peer: &PeerId) -> impl Iterator<Item = &SignedRecord> {
        let held = self
            .records
            .values()
            .filter_map(move |peers| peers.get(peer));
        held.map(|entry| &entry.record)
    }

    /// The records behind this name and peer, in ascending order of names; all of them for `None`.
    pub fn records_after(
        &self,
        key: Option<&(Address, PeerId)>,
    ) -> impl Iterator<Item = &SignedRecord> {
        let names = match key {
            Some((name, _)) => self.records.range(name..),
            None => self.records.range::<Address, _>(..),
        };
        names
            .flat_map(|(name, peers)| peers.iter().map(move |(peer, entry)| (name, peer, entry)))
            .skip_while(move |(name, peer, _)| key.is_some_and(|(n, p)| *name == n && *peer <= p))
            .map(|(_, _, entry)| &entry.record)
    }

    fn entries(&self) -> impl Iterator<Item = (&PeerId, &Entry)> {
        self.records.values().flatten()
    }

    /// Takes a verified record.
    ///
    /// # Errors
    /// `BadRecord` for one of another network, with a reserved name, expired, withdrawn or older than
    /// the one that it holds; `Busy` with the limit where there is no room. Nothing changes then.
    pub fn insert(
        &mut self,
        signed: &SignedRecord,
        source: Source,
        now: SystemTime,
    ) -> Result<Insertion, DiscoveryError> {
        let record = signed.record();
        let (name, peer) = (record.address.without_pin(), record.peer);
        self.check(record, now)?;
        let held = self
            .records
            .get_mut(&name)
            .and_then(|peers| peers.get_mut(&peer));
        if let Some(held) = held
            && held.record.record().sequence == record.sequence
        {
            held.heard = now;
            return Ok(Insertion::Same);
        }
        self.make_room(signed, now)?;
        let replaced = self.forget(&name, &peer).is_some();
        let document = self.words.add(record);
        self.bytes += signed.envelope().len();
        self.count += 1;
        *self.per_peer.entry(peer).or_default() += 1;
        let entry = Entry {
            record: signed.clone(),
            source,
            heard: now,
            until: record.times.holds_until(now),
            document,
        };
        self.records.entry(name).or_default().insert(peer, entry);
        Ok(match replaced {
            true => Insertion::Newer,
            false => Insertion::New,
        })
    }

    fn check(&self, record: &Record, now: SystemTime) -> Result<(), DiscoveryError> {
        let key = (record.address.without_pin(), record.peer);
        let sequence = record.sequence;
        let held = self.get(&key.0, &key.1).map(|held| held.record().sequence);
        let reason = if record.network != self.network {
            format!(
                "it is of the network {}, not {}",
                record.network, self.network
            )
        } else if record.address.root().is_node() {
            "its name is reserved".to_owned()
        } else if record.times.is_expired(now) {
            "it has expired".to_owned()
        } else if let Some(withdrawn) = self.withdrawals.up_to(&key.0, &key.1, now)
            && sequence <= withdrawn
        {
            format!("sequence {sequence} is withdrawn up to {withdrawn}")
        } else if let Some(held) = held
            && sequence < held
        {
            format!("sequence {sequence} is older than {held}")
        } else {
            return Ok(());
        };
        Err(DiscoveryError::BadRecord { reason })
    }

    /// Room for one more record, without those that have expired if need be.
    fn make_room(&mut self, signed: &SignedRecord, now: SystemTime) -> Result<(), DiscoveryError> {
        if self.lacks(signed).is_some() {
            self.expire(now);
        }
        match self.lacks(signed) {
            Some(limit) => Err(DiscoveryError::Busy { limit }),
            None => Ok(()),
        }
    }

    /// The limit that a record would break.
    fn lacks(&self, signed: &SignedRecord) -> Option<&'static str> {
        let record = signed.record();
        let held = self.get(&record.address, &record.peer);
        let bytes = self.bytes - held.map_or(0, |held| held.envelope().len());
        let of_peer = self.per_peer.get(&record.peer).copied().unwrap_or(0);
        if bytes + signed.envelope().len() > self.config.max_bytes {
            Some("max_bytes")
        } else if held.is_some() {
            None
        } else if self.count >= self.config.max_records {
            Some("max_records")
        } else if of_peer >= self.config.max_per_peer {
            Some("max_per_peer")
        } else {
            None
        }
    }

    /// Takes a verified withdrawal; whether it took a record away.
    pub fn withdraw(&mut self, signed: &SignedTombstone, now: SystemTime) -> bool {
        let tombstone = signed.tombstone();
        if tombstone.network != self.network || tombstone.times.is_expired(now) {
            return false; // There is nothing here that it could withdraw.
        }
        self.withdrawals.insert(signed, now);
        let (name, peer) = (tombstone.address.without_pin(), tombstone.peer);
        let covered = self
            .get(&name, &peer)
            .is_some_and(|held| held.record().sequence <= tombstone.sequence);
        covered && self.forget(&name, &peer).is_some()
    }

    /// Takes out the record of a peer for a name, without a withdrawal: it may come again.
    pub fn forget(&mut self, name: &Address, peer: &PeerId) -> Option<SignedRecord> {
        let name = name.without_pin();
        let peers = self.records.get_mut(&name)?;
        let entry = peers.remove(peer)?;
        if peers.is_empty() {
            self.records.remove(&name);
        }
        self.words.remove(entry.record.record(), entry.document);
        self.bytes -= entry.record.envelope().len();
        self.count -= 1;
        if let Some(count) = self.per_peer.get_mut(peer) {
            *count -= 1;
            if *count == 0 {
                self.per_peer.remove(peer);
            }
        }
        Some(entry.record)
    }

    /// Takes out every record of a peer, which is gone.
    pub fn forget_peer(&mut self, peer: &PeerId) -> Vec<SignedRecord> {
        let names: Vec<Address> = self
            .of_peer(peer)
            .map(|held| held.record().address.clone())
            .collect();
        names
            .iter()
            .filter_map(|name| self.forget(name, peer))
            .collect()
    }

    /// Notes that a peer is there: the ages of its records count from now.
    pub fn touch(&mut self, peer: &PeerId, now: SystemTime) {
        for entry in self
            .records
            .values_mut()
            .filter_map(|peers| peers.get_mut(peer))
        {
            entry.heard = now;
        }
    }

    /// Takes out what has expired.
    pub fn expire(&mut self, now: SystemTime) -> Vec<SignedRecord> {
        self.withdrawals.expire(now);
        let old = self.entries().filter(|(_, entry)| entry.until < now);
        let old: Vec<_> = old
            .map(|(peer, entry)| (entry.record.record().address.clone(), *peer))
            .collect();
        old.iter()
            .filter_map(|(name, peer)| self.forget(name, peer))
            .collect()
    }

    /// Whoever matches, a peer once for each of its names: those of attributes and words with the best
    /// first, those that match equally well in the order of names, but each peer's first before anybody's
    /// second. Words find at most the hits that are asked for, a quarter of them of one peer if others match.
    pub fn find(&self, query: &Query, now: SystemTime) -> Vec<Provider> {
        match query {
            Query::Name(address) => {
                let peers = self.records.get(&address.without_pin());
                let entries = peers.into_iter().flatten().map(|(_, entry)| entry);
                entries
                    .filter_map(|entry| entry.matching(query, now))
                    .collect()
            }
            Query::Text(text) => self.find_text(text, now),
            _ => {
                let entries = self.entries().map(|(_, entry)| entry);
                let score = |provider: &Provider| {
                    std::cmp::Reverse(provider.matched.as_ref().map(|m| m.score))
                };
                let mut found: Vec<_> = entries
                    .filter_map(|entry| entry.matching(query, now))
                    .collect();
                // Stable sorts: equal ones stay in the order of names.
                found.sort_by_key(score);
                let mut found = by_turns(found, |provider| provider.peer);
                found.sort_by_key(score);
                found
            }
        }
    }

    fn find_text(&self, text: &Text, now: SystemTime) -> Vec<Provider> {
        let hits = self.words.search(&text.words).into_iter();
        let held = hits.filter_map(|hit| {
            let entry = self.records.get(&hit.key.0)?.get(&hit.key.1)?;
            (entry.until >= now).then_some((entry, hit))
        });
        let limit = text.limit.min(Text::MAX_HITS);
        let shared = share(held.collect(), limit, |(_, hit)| hit.key.1);
        let found = shared.into_iter().filter_map(|(entry, hit)| {
            let mut provider = entry.provider(now)?;
            provider.matched = Some(hit.matched);
            Some(provider)
        });
        found.collect()
    }
}

impl Entry {
    fn matching(&self, query: &Query, now: SystemTime) -> Option<Provider> {
        let matched = query.matches(self.record.record())?;
        let mut provider = self.provider(now)?;
        provider.matched = Some(matched);
        Some(provider)
    }

    /// Whom it tells of; nobody where it has expired.
    fn provider(&self, now: SystemTime) -> Option<Provider> {
        let record = self.record.record();
        if self.until < now {
            return None;
        }
        let mut provider = Provider::hint(record.peer, record.addresses.clone(), self.source);
        provider.record = Some(self.record.clone());
        let heard = now.duration_since(self.heard).unwrap_or(Duration::ZERO);
        provider.age = record.times.age(now).min(heard);
        Some(provider)
    }
}
