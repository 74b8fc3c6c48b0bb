//! What this node announces: which keys, when again, and who waits for it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use libp2p::{
    PeerId,
    kad::{K_VALUE, ProviderRecord, QueryId, store::RecordStore as _},
};
use o_address::Address;
use o_core::DiscoveryError;
use tracing::{debug, warn};

use super::table_size;
use crate::swarm::dht::{
    Behaviour, DhtConfig,
    farewell::Waiter,
    handle::{Announce, Reply},
    keys::Digest,
    record_key,
};

#[derive(Debug)]
pub(super) struct Announcements {
    local: PeerId,
    names: BTreeMap<Address, Announcement>,
    keys: BTreeMap<Digest, Key>,
    /// When each key that is not under way is announced next.
    due: BTreeSet<(Instant, Digest)>,
    running: HashMap<QueryId, Digest>,
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Announcement {
    sequence: u64,
    keys: Vec<Digest>,
    until: Instant,
}

#[derive(Debug, Default)]
struct Key {
    /// How many names need it: two agents of a node may have the same capability.
    names: usize,
    /// Its place in `due`; none while it is under way.
    due: Option<Instant>,
    /// Size of the routing table when it was last announced.
    table: usize,
    failures: u32,
}

/// Somebody who waits until the keys of an announcement have been given away.
#[derive(Debug)]
struct Waiting {
    keys: BTreeSet<Digest>,
    until: Instant,
    reply: Reply,
}

impl Announcements {
    pub(super) fn new(local: PeerId) -> Self {
        Self {
            local,
            names: BTreeMap::new(),
            keys: BTreeMap::new(),
            due: BTreeSet::new(),
            running: HashMap::new(),
            waiting: Vec::new(),
        }
    }

    pub(super) fn announce(
        &mut self,
        kad: &mut Behaviour,
        announce: Announce,
        config: &DhtConfig,
        now: Instant,
    ) {
        let Announce {
            name,
            sequence,
            keys,
            lifetime,
            reply,
        } = announce;
        if let Err(error) = self.check(&name, sequence, &keys, config) {
            let _ = reply.send(Err(error)); // Whoever asked may have gone.
            return;
        }
        for digest in &keys {
            self.keys.entry(*digest).or_default().names += 1;
            self.schedule(digest, now);
            // Known to this node at once, also while there is nobody to tell.
            let own = ProviderRecord::new(record_key(digest), self.local, Vec::new());
            if let Err(error) = kad.store_mut().add_provider(own) {
                warn!(%name, %error, "no room for our own announcement");
            }
        }
        let made = Announcement {
            sequence,
            keys: keys.clone(),
            until: now + lifetime,
        };
        if let Some(older) = self.names.insert(name, made) {
            self.release(kad, &older.keys, &Arc::default());
        }
        if table_size(kad) == 0 {
            let _ = reply.send(Ok(()));
            return;
        }
        let until = now + config.query_timeout;
        self.waiting.push(Waiting {
            keys: keys.into_iter().collect(),
            until,
            reply,
        });
        self.publish_due(kad, config, now);
    }

    fn check(
        &self,
        name: &Address,
        sequence: u64,
        keys: &[Digest],
        config: &DhtConfig,
    ) -> Result<(), DiscoveryError> {
        let older = self.names.get(name);
        if let Some(older) = older
            && sequence < older.sequence
        {
            let reason = format!("sequence {sequence} is older than {}", older.sequence);
            return Err(DiscoveryError::BadRecord { reason });
        }
        if self.waiting.len() >= config.max_announcements
            || older.is_none() && self.names.len() >= config.max_announcements
        {
            return Err(DiscoveryError::Busy {
                limit: "max_announcements",
            });
        }
        let new = keys
            .iter()
            .filter(|digest| !self.keys.contains_key(*digest))
            .count();
        if self.keys.len() + new > config.max_announced_keys {
            return Err(DiscoveryError::Busy {
                limit: "max_announced_keys",
            });
        }
        Ok(())
    }

    /// Ends an announcement, and tells those who were told. `waiter` is held until they have been.
    pub(super) fn withdraw(
        &mut self,
        kad: &mut Behaviour,
        name: &Address,
        sequence: u64,
        waiter: &Arc<Waiter>,
    ) {
        let covered = self
            .names
            .get(name)
            .is_some_and(|made| made.sequence <= sequence);
        if covered && let Some(made) = self.names.remove(name) {
            self.release(kad, &made.keys, waiter);
        }
    }

    /// The end of an attempt to give a key away.
    pub(super) fn on_published(
        &mut self,
        kad: &mut Behaviour,
        id: QueryId,
        reached: bool,
        config: &DhtConfig,
        now: Instant,
    ) {
        let Some(digest) = self.running.remove(&id) else {
            return;
        };
        if let Some(key) = self.keys.get_mut(&digest) {
            let pause = if reached {
                key.failures = 0;
                config.republish_interval
            } else {
                key.failures = key.failures.saturating_add(1);
                backoff(key.failures, config)
            };
            self.schedule(&digest, now + pause);
        }
        self.settle(&digest);
        self.publish_due(kad, config, now);
    }

    /// Peers may have left the table: who comes back, perhaps with nothing remembered, is new.
    pub(super) fn on_table_size(&mut self, size: usize) {
        for key in self.keys.values_mut() {
            key.table = key.table.min(size);
        }
    }

    /// The routing table may have grown: a key that was announced when it was less than half as
    /// large, and young, is announced again, for the new peers may be closer to it.
    pub(super) fn on_new_peer(&mut self, kad: &mut Behaviour, config: &DhtConfig, now: Instant) {
        let size = table_size(kad);
        let outgrown = |key: &Key| {
            let young = key.table < K_VALUE.get();
            key.due.is_some() && young && size >= key.table.saturating_mul(2).max(1)
        };
        let keys = self.keys.iter().filter(|(_, key)| outgrown(key));
        let outgrown: Vec<Digest> = keys.map(|(digest, _)| *digest).collect();
        for digest in outgrown {
            self.schedule(&digest, now);
        }
        self.publish_due(kad, config, now);
    }

    pub(super) fn on_tick(&mut self, kad: &mut Behaviour, config: &DhtConfig, now: Instant) {
        let expired = self.names.iter().filter(|(_, made)| made.until <= now);
        let expired: Vec<Address> = expired.map(|(name, _)| name.clone()).collect();
        for name in expired {
            debug!(%name, "our announcement has expired");
            self.withdraw(kad, &name, u64::MAX, &Arc::default());
        }
        // Whoever has waited long enough is let go: it goes on without them.
        self.reply_where(|waiting| waiting.until <= now);
        self.publish_due(kad, config, now);
    }

    /// Gives away the keys whose time has come, as many at once as is allowed.
    fn publish_due(&mut self, kad: &mut Behaviour, config: &DhtConfig, now: Instant) {
        let table = table_size(kad);
        if table == 0 {
            return;
        }
        while self.running.len() < config.max_publishes {
            let Some((due, digest)) = self.due.first().copied() else {
                return;
            };
            if due > now {
                return;
            }
            self.due.pop_first();
            let Some(key) = self.keys.get_mut(&digest) else {
                continue;
            };
            key.due = None;
            key.table = table;
            match kad.start_providing(record_key(&digest)) {
                Ok(id) => {
                    self.running.insert(id, digest);
                }
                Err(error) => {
                    warn!(%error, "no room for our own announcement");
                    self.schedule(&digest, now + config.republish_interval);
                }
            }
        }
    }

    /// Sets when a key is announced next; one that is under way is set when that has ended.
    fn schedule(&mut self, digest: &Digest, due: Instant) {
        if self.running.values().any(|running| running == digest) {
            return;
        }
        let Some(key) = self.keys.get_mut(digest) else {
            return;
        };
        if let Some(earlier) = key.due.replace(due) {
            self.due.remove(&(earlier, *digest));
        }
        self.due.insert((due, *digest));
    }

    /// One name less needs these keys.
    fn release(&mut self, kad: &mut Behaviour, keys: &[Digest], waiter: &Arc<Waiter>) {
        for digest in keys {
            let Some(key) = self.keys.get_mut(digest) else {
                continue;
            };
            key.names = key.names.saturating_sub(1);
            if key.names > 0 {
                continue;
            }
            if let Some(due) = key.due {
                self.due.remove(&(due, *digest));
            }
            self.keys.remove(digest);
            let key = record_key(digest);
            kad.stop_providing(&key);
            kad.withdraw(&key, waiter);
            self.settle(digest);
        }
    }

    /// Nobody needs to wait for this key any longer.
    fn settle(&mut self, digest: &Digest) {
        for waiting in &mut self.waiting {
            waiting.keys.remove(digest);
        }
        self.reply_where(|waiting| waiting.keys.is_empty());
    }

    fn reply_where(&mut self, done: impl Fn(&Waiting) -> bool) {
        for waiting in self.waiting.extract_if(.., |waiting| done(waiting)) {
            let _ = waiting.reply.send(Ok(()));
        }
    }
}

/// The pause after so many failures in a row.
fn backoff(failures: u32, config: &DhtConfig) -> Duration {
    let factor = 1_u32
        .checked_shl(failures.saturating_sub(1))
        .unwrap_or(u32::MAX);
    config
        .retry_interval
        .saturating_mul(factor)
        .min(config.republish_interval)
}
