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
use o_core::{Capability, DiscoveryError};
use tracing::{debug, warn};

use super::table_size;
use crate::swarm::dht::{
    Behaviour, DhtConfig,
    farewell::Waiter,
    handle::{Announce, Reply},
    keys::{self, Digest},
    record_key,
};

#[derive(Debug)]
pub(super) struct Announcements {
    local: PeerId,
    names: BTreeMap<Address, Announcement>,
    keys: BTreeMap<Digest, Key>,
    /// When each key that is not under way is announced next.
    due: BTreeSet<(Instant, Digest)>,
    running: HashMap<QueryId, Run>,
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
    /// What it is the home of, if it is the shard of a capability that is this node's own in its
    /// level.
    home: Option<Home>,
}

#[derive(Clone, Debug)]
struct Home {
    capability: Capability,
    level: u32,
}

/// A query that is under way for a key.
#[derive(Debug)]
struct Run {
    digest: Digest,
    /// Before a home is announced it is looked at: whether an answer was full. None while it is being
    /// announced.
    full: Option<bool>,
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
            key,
            capabilities,
            lifetime,
            reply,
        } = announce;
        let older = self.names.get(&name).map_or(&[][..], |made| &made.keys);
        let mut wanted = vec![(key, None)];
        for capability in &capabilities {
            self.add_shards(&mut wanted, capability, older, config);
        }
        let keys: Vec<Digest> = wanted.iter().map(|(digest, _)| *digest).collect();
        if let Err(error) = self.check(&name, sequence, &keys, config) {
            let _ = reply.send(Err(error)); // Whoever asked may have gone.
            return;
        }
        for (digest, home) in wanted {
            self.hold(kad, &digest, home, 1, now);
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

    /// The shards under which a capability is announced: all of the first level, and of the others
    /// this node's home, as far as `older` says that they are full.
    fn add_shards(
        &self,
        wanted: &mut Vec<(Digest, Option<Home>)>,
        capability: &Capability,
        older: &[Digest],
        config: &DhtConfig,
    ) {
        let home = |level| {
            let capability = capability.clone();
            Some(Home { capability, level })
        };
        let everywhere = keys::level(config.min_shards, 0);
        let own = keys::home(&everywhere, &self.local);
        for shard in everywhere {
            let home = (Some(shard) == own).then(|| home(0)).flatten();
            wanted.push((keys::shard(capability, shard), home));
        }
        for level in 1.. {
            match self.home_key(capability, level, config) {
                Some(key) if older.contains(&key) => wanted.push((key, home(level))),
                _ => return,
            }
        }
    }

    /// The key of this node's home in a level; none after the last level.
    fn home_key(&self, capability: &Capability, level: u32, config: &DhtConfig) -> Option<Digest> {
        let shard = keys::home(&keys::level(config.min_shards, level), &self.local)?;
        Some(keys::shard(capability, shard))
    }

    /// So many names more need this key, which is announced now.
    fn hold(
        &mut self,
        kad: &mut Behaviour,
        digest: &Digest,
        home: Option<Home>,
        names: usize,
        now: Instant,
    ) {
        let key = self.keys.entry(*digest).or_default();
        key.names += names;
        key.home = home;
        self.schedule(digest, now);
        // Known to this node at once, also while there is nobody to tell.
        let own = ProviderRecord::new(record_key(digest), self.local, Vec::new());
        if let Err(error) = kad.store_mut().add_provider(own) {
            warn!(%error, "no room for our own announcement");
        }
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

    /// Takes in how many providers of a key somebody knows, if that was asked for one of ours.
    pub(super) fn on_told(&mut self, id: &QueryId, providers: usize) {
        if let Some(Run {
            full: Some(full), ..
        }) = self.running.get_mut(id)
        {
            *full |= providers >= K_VALUE.get();
        }
    }

    /// The look at a home is over: it is announced; and where it is full of others, in the next level
    /// too.
    pub(super) fn on_looked(
        &mut self,
        kad: &mut Behaviour,
        id: QueryId,
        config: &DhtConfig,
        now: Instant,
    ) {
        let Some(Run { digest, full }) = self.running.remove(&id) else {
            return;
        };
        if full == Some(true) {
            self.deepen(kad, &digest, config, now);
        }
        if self.keys.contains_key(&digest) {
            self.give(kad, &digest, config, now);
        }
        self.publish_due(kad, config, now);
    }

    /// Whoever is announced under `digest`, a home, is announced in the next level too.
    fn deepen(&mut self, kad: &mut Behaviour, digest: &Digest, config: &DhtConfig, now: Instant) {
        let Some(home) = self.keys.get(digest).and_then(|key| key.home.clone()) else {
            return;
        };
        let level = home.level.saturating_add(1);
        let Some(deeper) = self.home_key(&home.capability, level, config) else {
            return;
        };
        if self.keys.contains_key(&deeper) || self.keys.len() >= config.max_announced_keys {
            return;
        }
        let mut names = 0;
        for made in self.names.values_mut() {
            if made.keys.contains(digest) {
                made.keys.push(deeper);
                names += 1;
            }
        }
        debug!(capability = %home.capability, level, "many provide it: announced in a shard more");
        self.hold(kad, &deeper, Some(Home { level, ..home }), names, now);
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
        let Some(Run { digest, .. }) = self.running.remove(&id) else {
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
        let is_due = |(due, _): &(Instant, Digest)| *due <= now;
        if !self.due.first().is_some_and(is_due) {
            return;
        }
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
            if key.home.is_some() {
                let id = kad.get_providers(record_key(&digest));
                let full = Some(false);
                self.running.insert(id, Run { digest, full });
            } else {
                self.give(kad, &digest, config, now);
            }
        }
    }

    /// Gives a key away.
    fn give(&mut self, kad: &mut Behaviour, digest: &Digest, config: &DhtConfig, now: Instant) {
        match kad.start_providing(record_key(digest)) {
            Ok(id) => {
                let (digest, full) = (*digest, None);
                self.running.insert(id, Run { digest, full });
            }
            Err(error) => {
                warn!(%error, "no room for our own announcement");
                self.schedule(digest, now + config.republish_interval);
            }
        }
    }

    /// Sets when a key is announced next; one that is under way is set when that has ended.
    fn schedule(&mut self, digest: &Digest, due: Instant) {
        if self.running.values().any(|run| run.digest == *digest) {
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
