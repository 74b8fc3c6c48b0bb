//! What a directory in memory holds, as plain functions of the time.

use std::{collections::BTreeMap, time::SystemTime};

use o_address::{Address, PeerId};
use o_core::{
    DiscoveryError, NetworkId, Provider, Query, Record, RecordTimes, SignedRecord, Source,
    Tombstone,
};

use super::MemoryConfig;

/// A name without pin, and the peer that announced it.
type Key = (Address, PeerId);

#[derive(Debug)]
pub(super) struct Directory {
    network: NetworkId,
    config: MemoryConfig,
    records: BTreeMap<Key, SignedRecord>,
    tombstones: BTreeMap<Key, Withdrawn>,
}

#[derive(Clone, Copy, Debug)]
struct Withdrawn {
    sequence: u64,
    times: RecordTimes,
}

impl Directory {
    pub(super) fn new(network: NetworkId, config: MemoryConfig) -> Self {
        Self {
            network,
            config,
            records: BTreeMap::new(),
            tombstones: BTreeMap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn announce(
        &mut self,
        signed: &SignedRecord,
        now: SystemTime,
    ) -> Result<(), DiscoveryError> {
        let record = signed.record();
        let key = (record.address.without_pin(), record.peer);
        self.check(record, &key, now)?;
        if !self.records.contains_key(&key) && self.records.len() >= self.config.max_records {
            self.records
                .retain(|_, held| !held.record().times.is_expired(now));
            if self.records.len() >= self.config.max_records {
                return Err(DiscoveryError::Busy {
                    limit: "max_records",
                });
            }
        }
        self.records.insert(key, signed.clone());
        Ok(())
    }

    fn check(&self, record: &Record, key: &Key, now: SystemTime) -> Result<(), DiscoveryError> {
        let reason = if record.network != self.network {
            format!(
                "it is of the network {}, not {}",
                record.network, self.network
            )
        } else if record.address.root().is_node() {
            "its name is reserved".to_owned()
        } else if record.times.is_expired(now) {
            "it has expired".to_owned()
        } else if let Some(withdrawn) = self.tombstone(key, now)
            && record.sequence <= withdrawn
        {
            format!(
                "sequence {} is withdrawn up to {withdrawn}",
                record.sequence
            )
        } else if let Some(held) = self.records.get(key).map(|held| held.record().sequence)
            && record.sequence < held
        {
            format!("sequence {} is older than {held}", record.sequence)
        } else {
            return Ok(());
        };
        Err(DiscoveryError::BadRecord { reason })
    }

    pub(super) fn withdraw(
        &mut self,
        tombstone: &Tombstone,
        now: SystemTime,
    ) -> Result<(), DiscoveryError> {
        if tombstone.network != self.network || tombstone.times.is_expired(now) {
            return Ok(()); // There is nothing here that it could withdraw.
        }
        let key = (tombstone.address.without_pin(), tombstone.peer);
        if self
            .tombstone(&key, now)
            .is_none_or(|held| held < tombstone.sequence)
        {
            self.remember(&key, tombstone, now)?;
        }
        if self
            .records
            .get(&key)
            .is_some_and(|held| held.record().sequence <= tombstone.sequence)
        {
            self.records.remove(&key);
        }
        Ok(())
    }

    fn remember(
        &mut self,
        key: &Key,
        tombstone: &Tombstone,
        now: SystemTime,
    ) -> Result<(), DiscoveryError> {
        if !self.tombstones.contains_key(key) && self.tombstones.len() >= self.config.max_tombstones
        {
            self.tombstones
                .retain(|_, held| !held.times.is_expired(now));
            if self.tombstones.len() >= self.config.max_tombstones {
                return Err(DiscoveryError::Busy {
                    limit: "max_tombstones",
                });
            }
        }
        let withdrawn = Withdrawn {
            sequence: tombstone.sequence,
            times: tombstone.times,
        };
        self.tombstones.insert(key.clone(), withdrawn);
        Ok(())
    }

    /// Up to which sequence number the name is withdrawn.
    fn tombstone(&self, key: &Key, now: SystemTime) -> Option<u64> {
        let held = self.tombstones.get(key)?;
        (!held.times.is_expired(now)).then_some(held.sequence)
    }

    /// Every record that matches: a peer once for each of its names.
    pub(super) fn find(&self, query: &Query, now: SystemTime) -> Vec<Provider> {
        let matching = self
            .records
            .iter()
            .filter(|((name, peer), signed)| match query {
                Query::Name(address) => {
                    name.name() == address.name() && address.pin().is_none_or(|pin| pin == *peer)
                }
                Query::Capability(wanted) => signed.record().capabilities.contains(wanted),
                _ => false,
            });
        let current = matching.filter(|(_, signed)| !signed.record().times.is_expired(now));
        current.map(|(_, signed)| provider(signed, now)).collect()
    }
}

fn provider(signed: &SignedRecord, now: SystemTime) -> Provider {
    let record = signed.record();
    let mut provider = Provider::hint(record.peer, record.addresses.clone(), Source::Memory);
    provider.record = Some(signed.clone());
    provider.age = record.times.age(now);
    provider
}
