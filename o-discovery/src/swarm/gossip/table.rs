//! Who is there and what each announces: plain functions of messages and the time.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use o_address::{Address, PeerId, TransportAddr};
use o_core::{DiscoveryError, NetworkId, Provider, Query, SignedRecord, SignedTombstone, Source};
use o_protocol::{Alive, announced_digest};

use super::{GossipConfig, Moment};
use crate::index::{Index, Insertion};

/// How far apart two clocks may be, as for records.
const SKEW: Duration = Duration::from_secs(300);
/// Longest time that a peer may say it will be silent for.
const MAX_INTERVAL: Duration = Duration::from_secs(300);

/// What is known; shared by the Swarm task and everybody who searches.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) local: PeerId,
    pub(super) network: NetworkId,
    pub(super) index: Index,
    /// What this node announces.
    own: BTreeMap<Address, SignedRecord>,
    /// When it said last that it is there.
    own_at: u64,
    /// Everybody who has a record in the index.
    lives: HashMap<PeerId, Life>,
    /// Peers that went, and when each had said last that it is there.
    gone: HashMap<PeerId, u64>,
    /// Connected peers that take part.
    neighbors: BTreeSet<PeerId>,
    config: GossipConfig,
}

/// The life of a peer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    /// When it said last that it is there, by its own clock.
    pub(super) at: u64,
    /// When that was, by ours.
    heard: Instant,
    /// When it will say so again.
    interval: Duration,
    /// Until when it must have spoken up.
    suspect_until: Option<Instant>,
    /// What we have of it.
    digest: u64,
}

/// What a message that was believed is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Worth {
    /// Others should hear it.
    News,
    /// They should, and this node lacks something of what the sender announces.
    Incomplete,
    /// It is known already, or of no use.
    Nothing,
}

/// One line of an answer to who asks what is known here.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) said: Said,
    pub(super) at: u64,
    pub(super) interval: Duration,
    pub(super) quiet: Duration,
}

/// What a peer announced or withdrew.
#[derive(Clone, Debug)]
pub(super) enum Said {
    Record(SignedRecord),
    Tombstone(SignedTombstone),
}

impl Table {
    pub(super) fn new(local: PeerId, network: NetworkId, config: GossipConfig) -> Self {
        Self {
            local,
            index: Index::new(network.clone(), config.index.clone()),
            network,
            own: BTreeMap::new(),
            own_at: 0,
            lives: HashMap::new(),
            gone: HashMap::new(),
            neighbors: BTreeSet::new(),
            config,
        }
    }

    /// How often this node says that it is there: less often where many do.
    pub(super) fn interval(&self) -> Duration {
        let rate = f64::from(self.config.max_heartbeats_per_second.max(1));
        let nodes = u32::try_from(self.lives.len() + 1).unwrap_or(u32::MAX);
        let fair = Duration::from_secs_f64(f64::from(nodes) / rate);
        self.config.heartbeat.max(fair).min(MAX_INTERVAL)
    }

    // What this node itself says.

    pub(super) fn announce(&mut self, record: &SignedRecord) {
        let name = record.record().address.without_pin();
        self.own.insert(name, record.clone());
    }

    pub(super) fn withdraw(&mut self, tombstone: &SignedTombstone, now: Moment) {
        self.own
            .remove(&tombstone.tombstone().address.without_pin());
        // To be told to those that did not hear it.
        self.index.withdraw(tombstone, now.clock);
    }

    pub(super) fn own(&self) -> Vec<SignedRecord> {
        self.own.values().cloned().collect()
    }

    pub(super) fn announces(&self) -> bool {
        !self.own.is_empty()
    }

    /// That this node is there, as it is said now.
    pub(super) fn alive(&mut self, now: Moment) -> Alive {
        self.own_at = millis(now.clock).max(self.own_at + 1);
        let interval = u32::try_from(self.interval().as_millis()).unwrap_or(u32::MAX);
        let records = self.own.values().map(SignedRecord::record);
        Alive {
            at: self.own_at,
            interval,
            digest: announced_digest(records.map(|record| (&record.address, record.sequence))),
        }
    }

    // What others say.

    /// A verified record, said by its own peer.
    pub(super) fn hear_record(&mut self, record: &SignedRecord, now: Moment) -> Worth {
        let peer = record.record().peer;
        if peer == self.local {
            return Worth::Nothing;
        }
        if self.gone.contains_key(&peer) && !self.is_younger(record) {
            // Anybody could repeat what it once said.
            return Worth::Nothing;
        }
        match self.index.insert(record, Source::Gossip, now.clock) {
            Ok(Insertion::New | Insertion::Newer) => {
                let at = record.record().times.created.saturating_mul(1000);
                let interval = self.interval();
                self.lives.entry(peer).or_insert(Life {
                    at,
                    heard: now.at,
                    interval,
                    suspect_until: None,
                    digest: 0,
                });
                self.note(&peer);
                Worth::News
            }
            Ok(Insertion::Same) => Worth::News,
            Err(error) => {
                tracing::debug!(%peer, %error, "a record was not kept");
                Worth::Nothing
            }
        }
    }

    /// Whether a record was made after its peer went, as far as whole seconds tell. Who is back within one
    /// is heard by its next word.
    fn is_younger(&self, record: &SignedRecord) -> bool {
        let record = record.record();
        let made = record.times.created.saturating_mul(1000);
        self.gone.get(&record.peer).is_none_or(|at| made > *at)
    }

    /// A verified tombstone, said by its own peer.
    pub(super) fn hear_tombstone(&mut self, tombstone: &SignedTombstone, now: Moment) -> Worth {
        let peer = tombstone.tombstone().peer;
        if self.index.withdraw(tombstone, now.clock) {
            self.note(&peer);
            return Worth::News;
        }
        // Others may have what this node has not.
        match peer == self.local {
            true => Worth::Nothing,
            false => Worth::News,
        }
    }

    /// That `peer` is there, said by itself.
    pub(super) fn hear_alive(&mut self, peer: &PeerId, alive: Alive, now: Moment) -> Worth {
        let ahead = millis(now.clock + SKEW);
        let behind = millis(now.clock.checked_sub(SKEW).unwrap_or(UNIX_EPOCH));
        if *peer == self.local || alive.at > ahead {
            return Worth::Nothing;
        }
        if self.gone.get(peer).is_some_and(|at| alive.at <= *at) {
            return Worth::Nothing;
        }
        let Some(life) = self.lives.get_mut(peer) else {
            // Who said nothing yet may be repeated by anybody, but not for long.
            return if alive.at >= behind {
                Worth::Incomplete
            } else {
                Worth::Nothing
            };
        };
        if alive.at <= life.at {
            return Worth::Nothing;
        }
        life.at = alive.at;
        life.heard = now.at;
        life.interval = Duration::from_millis(alive.interval.into()).min(MAX_INTERVAL);
        life.suspect_until = None;
        if life.digest == alive.digest {
            Worth::News
        } else {
            Worth::Incomplete
        }
    }

    /// Somebody cannot reach `peer`, of which it heard at `at`.
    pub(super) fn hear_suspicion(&mut self, peer: &PeerId, at: u64, now: Moment) -> Worth {
        // Nobody can have heard of it later than that.
        let ahead = millis(now.clock + SKEW);
        match self.lives.get_mut(peer) {
            Some(life) if life.at <= at && at <= ahead => {
                let until = now.at + self.config.suspicion;
                life.suspect_until.get_or_insert(until);
                Worth::News
            }
            _ => Worth::Nothing,
        }
    }

    /// This node cannot reach `peer`: when it was heard last, if others should know and nobody has told
    /// them.
    pub(super) fn suspect(&mut self, peer: &PeerId, now: Moment) -> Option<u64> {
        let life = self.lives.get_mut(peer)?;
        if life.suspect_until.is_some() {
            return None;
        }
        life.suspect_until = Some(now.at + self.config.suspicion);
        Some(life.at)
    }

    /// What a neighbor told, verified.
    pub(super) fn learn(&mut self, known: Known, now: Moment) {
        let limit = self.patience(known.interval);
        // Whoever tells could make a peer seem silent at once, or hold its own word against it later.
        let interval = known
            .interval
            .clamp(self.config.heartbeat.min(MAX_INTERVAL), MAX_INTERVAL);
        let at = known.at.min(millis(now.clock));
        match known.said {
            Said::Tombstone(tombstone) => {
                self.hear_tombstone(&tombstone, now);
            }
            Said::Record(record) => {
                let peer = record.record().peer;
                let gone = self.gone.get(&peer).is_some_and(|at| known.at <= *at);
                let ahead = millis(now.clock + SKEW);
                if peer == self.local || gone || known.quiet > limit || known.at > ahead {
                    return;
                }
                let inserted = self.index.insert(&record, Source::Gossip, now.clock);
                if inserted.is_err() {
                    return;
                }
                let heard = now.at.checked_sub(known.quiet).unwrap_or(now.at);
                // Only the peer itself makes its life longer.
                self.lives.entry(peer).or_insert(Life {
                    at,
                    heard,
                    interval,
                    suspect_until: None,
                    digest: 0,
                });
                self.note(&peer);
            }
        }
    }

    /// What is known of one peer, or of everybody.
    pub(super) fn tell(&self, of: Option<&PeerId>, now: Moment) -> Vec<Known> {
        let wanted = |peer: &PeerId| of.is_none_or(|of| of == peer);
        let mut known = Vec::new();
        if wanted(&self.local) {
            known.extend(self.own.values().map(|record| Known {
                said: Said::Record(record.clone()),
                at: self.own_at.max(millis(now.clock)),
                interval: self.interval(),
                quiet: Duration::ZERO,
            }));
        }
        for record in self.index.records() {
            let peer = record.record().peer;
            if let (true, Some(life)) = (wanted(&peer), self.lives.get(&peer)) {
                known.push(Known {
                    said: Said::Record(record.clone()),
                    at: life.at,
                    interval: life.interval,
                    quiet: now.at.saturating_duration_since(life.heard),
                });
            }
        }
        let tombstones = self.index.tombstones();
        let tombstones = tombstones.filter(|held| wanted(&held.tombstone().peer));
        known.extend(tombstones.map(|tombstone| Known {
            said: Said::Tombstone(tombstone.clone()),
            at: 0,
            interval: Duration::ZERO,
            quiet: Duration::ZERO,
        }));
        known.truncate(self.config.max_told);
        known
    }

    /// Notes what this node has of a peer now, and forgets one of which it has nothing.
    fn note(&mut self, peer: &PeerId) {
        let records = self.index.of_peer(peer).map(SignedRecord::record);
        let held: Vec<_> = records
            .map(|record| (record.address.clone(), record.sequence))
            .collect();
        if held.is_empty() {
            if let Some(life) = self.lives.remove(peer) {
                self.remember_gone(*peer, life.at);
            }
            return;
        }
        self.gone.remove(peer);
        if let Some(life) = self.lives.get_mut(peer) {
            life.digest = announced_digest(held.iter().map(|(name, sequence)| (name, *sequence)));
        }
    }

    fn remember_gone(&mut self, peer: PeerId, at: u64) {
        if self.gone.len() >= self.config.max_gone.max(1) {
            // Whoever went the longest ago.
            let oldest = self.gone.iter().min_by_key(|(_, at)| **at);
            if let Some(oldest) = oldest.map(|(peer, _)| *peer) {
                self.gone.remove(&oldest);
            }
        }
        self.gone.insert(peer, at);
    }

    fn patience(&self, interval: Duration) -> Duration {
        // Half a heartbeat more: who says it every two seconds is not always heard every two seconds.
        interval * self.config.missed_beats + interval / 2
    }

    /// Forgets who is gone and what has expired; whom it forgot.
    pub(super) fn sweep(&mut self, now: Moment) -> Vec<PeerId> {
        let is_gone = |life: &Life| {
            let silent =
                now.at.saturating_duration_since(life.heard) > self.patience(life.interval);
            silent || life.suspect_until.is_some_and(|until| until <= now.at)
        };
        let gone: Vec<(PeerId, u64)> = self
            .lives
            .iter()
            .filter(|(_, life)| is_gone(life))
            .map(|(peer, life)| (*peer, life.at))
            .collect();
        for (peer, at) in &gone {
            self.index.forget_peer(peer);
            self.lives.remove(peer);
            self.remember_gone(*peer, *at);
        }
        for record in self.index.expire(now.clock) {
            self.note(&record.record().peer);
        }
        gone.into_iter().map(|(peer, _)| peer).collect()
    }

    // Who is connected.

    pub(super) fn connected(&mut self, peer: PeerId) {
        self.neighbors.insert(peer);
    }

    /// Whether it took part.
    pub(super) fn disconnected(&mut self, peer: &PeerId) -> bool {
        self.neighbors.remove(peer)
    }

    pub(super) fn neighbors(&self) -> Vec<PeerId> {
        self.neighbors.iter().copied().collect()
    }

    /// Where a peer says that it is.
    pub(super) fn addresses(&self, peer: &PeerId) -> Vec<TransportAddr> {
        let mut records = self.index.of_peer(peer).map(SignedRecord::record);
        records
            .next()
            .map_or_else(Vec::new, |record| record.addresses.clone())
    }

    /// How many neighbors are wanted beyond those that are there.
    pub(super) fn lacking(&self) -> usize {
        self.config.neighbors.saturating_sub(self.neighbors.len())
    }

    /// Peers that could become neighbors, in an order that nobody can foresee.
    pub(super) fn candidates(&self, limit: usize) -> Vec<(PeerId, Vec<TransportAddr>)> {
        let order = RandomState::new();
        let mut peers: Vec<_> = self
            .lives
            .iter()
            .filter(|(peer, life)| !self.neighbors.contains(peer) && life.suspect_until.is_none())
            .map(|(peer, _)| (order.hash_one(peer), *peer))
            .collect();
        peers.sort_unstable();
        let addressed = peers
            .into_iter()
            .map(|(_, peer)| (peer, self.addresses(&peer)));
        addressed
            .filter(|(_, addresses)| !addresses.is_empty())
            .take(limit)
            .collect()
    }

    pub(super) fn find(&self, query: &Query, now: Moment) -> Vec<Provider> {
        let mut found = self.index.find(query, now.clock);
        for provider in &mut found {
            if let Some(life) = self.lives.get(&provider.peer) {
                let quiet = now.at.saturating_duration_since(life.heard);
                provider.age = provider.age.min(quiet);
            }
        }
        found
    }

    /// Whether there is nobody to have heard anything from.
    pub(super) fn is_alone(&self) -> bool {
        self.neighbors.is_empty() && self.index.is_empty()
    }

    /// # Errors
    /// It is no record that this node may announce.
    pub(super) fn check(&self, record: &SignedRecord) -> Result<(), DiscoveryError> {
        let record = record.record();
        let reason = if record.peer != self.local {
            "it was signed by another peer"
        } else if record.network != self.network {
            "it is of another network"
        } else if record.address.root().is_node() {
            "its name is reserved"
        } else if record.times.is_expired(SystemTime::now()) {
            "it has expired"
        } else {
            return Ok(());
        };
        Err(DiscoveryError::BadRecord {
            reason: reason.to_owned(),
        })
    }
}

fn millis(clock: SystemTime) -> u64 {
    let since = clock.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
