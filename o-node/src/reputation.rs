//! What this node has observed of the peers that it called.

mod file;
mod gate;
mod known;
mod outcome;
mod watched;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use o_address::PeerId;
use o_core::{CallError, OutgoingCall, Reply};
use o_protocol::{SessionHandle, Unanswered};

pub use self::outcome::CallCounts;
use self::watched::Watched;
pub(crate) use self::{file::keep, gate::ReputationGater, known::Known, outcome::Outcome};
use crate::balance::Standing;
pub(crate) use crate::config::ReputationConfig;

/// What this node observed of a peer. Only calls that went over the network count.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PeerReputation {
    /// Whose.
    pub peer: PeerId,
    /// How well it did lately, from 0 to 1; 0.67 where nothing is known.
    ///
    /// The expected value of a beta distribution (Jøsang and Ismail, "The Beta Reputation System", 2002):
    /// (good + 2) / (good + bad + 3), where good and bad are halved in each
    /// [`half_life`](crate::ReputationConfig::half_life). A call that is answered is one good
    /// observation. A peer that cannot be reached, or a connection that is lost, is one bad one; a
    /// refusal or a deadline that passes a half; a method that fails, and a peer that is busy, a quarter:
    /// that may be the caller's doing. To deny what it signed counts as four.
    pub score: f64,
    /// How calls ended, since the peer was first called.
    pub counts: CallCounts,
    /// How long answers take: an exponential average over all methods.
    pub latency: Option<Duration>,
    /// The methods that were called last.
    pub methods: Vec<MethodReputation>,
    /// Calls by capability that are under way.
    pub in_flight: usize,
    /// When it was last called; before this run, by the clock of then.
    pub last_seen: SystemTime,
    /// For how long calls still go elsewhere, if there is an elsewhere, because it could not be called.
    pub set_aside: Option<Duration>,
}

/// What this node observed of one method of a peer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MethodReputation {
    /// The method.
    pub method: Arc<str>,
    /// Calls since it was first called.
    pub calls: u64,
    /// The share of the latest calls, about twenty, that did not fail.
    pub success: f64,
    /// How long its answers take: an exponential average.
    pub latency: Option<Duration>,
}

/// What is known of one peer, shared by all who call it.
#[derive(Debug)]
pub(crate) struct Entry {
    peer: PeerId,
    config: Arc<ReputationConfig>,
    in_flight: AtomicUsize,
    known: Mutex<Known>,
}

impl Entry {
    pub(crate) fn peer(&self) -> PeerId {
        self.peer
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls over a session, and remembers how that ended.
    pub(crate) async fn request(
        self: &Arc<Self>,
        session: &SessionHandle,
        call: &mut OutgoingCall,
    ) -> Result<Reply, Unanswered> {
        let begun = Instant::now();
        let answer = session.request(call).await;
        match answer {
            Ok(Reply::Stream(items)) => {
                let watched = Watched::new(items, self.clone(), call.method.clone(), begun);
                return Ok(Reply::Stream(Box::pin(watched)));
            }
            Ok(_) => self.observe(&call.method, Outcome::Succeeded, begun),
            // The connection was at fault; another one may not be.
            Err(ref unanswered) if unanswered.untouched => {}
            Err(ref unanswered) => self.failed(&call.method, &unanswered.error, begun),
        }
        answer
    }

    /// A call that began then has failed.
    pub(crate) fn failed(&self, method: &Arc<str>, error: &CallError, begun: Instant) {
        if let Some(outcome) = Outcome::of(error) {
            self.observe(method, outcome, begun);
        }
    }

    /// A call that began then has ended.
    pub(crate) fn observe(&self, method: &Arc<str>, outcome: Outcome, begun: Instant) {
        let now = Instant::now();
        let took = now.saturating_duration_since(begun);
        self.lock()
            .observe(method, outcome, took, &self.config, now);
    }

    /// No call could be made.
    pub(crate) fn unreached(&self, outcome: Outcome) {
        self.lock().count(outcome, &self.config, Instant::now());
    }

    /// A call that began then was given up.
    pub(crate) fn gave_up(&self, method: &Arc<str>, begun: Instant) {
        let now = Instant::now();
        let took = now.saturating_duration_since(begun);
        self.lock()
            .gave_up(method, took, self.config.max_methods, now);
    }

    /// How many calls of a method were answered; only to see whether it has changed.
    pub(crate) fn succeeded(&self, method: &str) -> u64 {
        self.lock().succeeded(method)
    }

    /// What the balancer wants to know.
    pub(crate) fn standing(&self, method: &str, now: Instant) -> Standing {
        Standing {
            in_flight: self.in_flight.load(Ordering::Relaxed),
            ..self.lock().standing(method, self.config.half_life, now)
        }
    }

    /// A call is balanced onto it, and counted as long as the answer lives.
    pub(crate) fn begin(self: &Arc<Self>, method: &Arc<str>, now: Instant) -> InFlight {
        self.lock().picked(method, self.config.max_methods, now);
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self.clone())
    }

    fn report(&self, now: Instant) -> Option<PeerReputation> {
        let known = self.lock();
        let half_life = self.config.half_life;
        let seconds = |latency| Duration::try_from_secs_f64(latency).ok();
        let methods = known.methods.iter().map(|method| MethodReputation {
            method: method.name.clone(),
            calls: method.calls,
            success: known.standing(&method.name, half_life, now).success,
            latency: method.latency.and_then(seconds),
        });
        let ago = now.saturating_duration_since(known.at) + known.before;
        known.observed.then(|| PeerReputation {
            peer: self.peer,
            score: known.score(half_life, now),
            counts: known.counts,
            latency: known.latency.and_then(seconds),
            methods: methods.collect(),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            last_seen: SystemTime::now()
                .checked_sub(ago)
                .unwrap_or(SystemTime::UNIX_EPOCH),
            set_aside: known.aside(now),
        })
    }
}

/// A call that is under way.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Entry>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is known of all peers, within its bound.
#[derive(Debug)]
pub(crate) struct Ledger {
    config: Arc<ReputationConfig>,
    peers: Mutex<HashMap<PeerId, Arc<Entry>>>,
}

impl Ledger {
    pub(crate) fn new(config: ReputationConfig) -> Self {
        Self {
            config: Arc::new(config),
            peers: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PeerId, Arc<Entry>>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of `peer`, from now on.
    pub(crate) fn entry(&self, peer: PeerId) -> Arc<Entry> {
        let mut peers = self.lock();
        if let Some(entry) = peers.get(&peer) {
            return entry.clone();
        }
        make_room(&mut peers, self.config.max_peers);
        let entry = self.made(peer, Known::new(Instant::now()));
        peers.insert(peer, entry.clone());
        entry
    }

    fn made(&self, peer: PeerId, known: Known) -> Arc<Entry> {
        Arc::new(Entry {
            peer,
            config: self.config.clone(),
            in_flight: AtomicUsize::new(0),
            known: Mutex::new(known),
        })
    }

    /// Its score; that of an unknown peer if it was never called.
    pub(crate) fn score(&self, peer: &PeerId) -> f64 {
        let now = Instant::now();
        let entry = self.lock().get(peer).cloned();
        let score = |known: &Known| known.score(self.config.half_life, now);
        entry.map_or_else(|| score(&Known::new(now)), |entry| score(&entry.lock()))
    }

    /// What is known of `peer`, if it was ever called.
    pub(crate) fn report(&self, peer: &PeerId) -> Option<PeerReputation> {
        let entry = self.lock().get(peer).cloned();
        entry?.report(Instant::now())
    }

    /// What is known of everybody who was ever called.
    pub(crate) fn reports(&self) -> Vec<PeerReputation> {
        let now = Instant::now();
        let reports = self.all().into_iter().filter_map(|entry| entry.report(now));
        reports.collect()
    }

    fn all(&self) -> Vec<Arc<Entry>> {
        self.lock().values().cloned().collect()
    }
}

/// Forgets, when it is full, an eighth of the peers: first those that were never called, then those that
/// were not for the longest; who is connected stays as long as there are others.
fn make_room(peers: &mut HashMap<PeerId, Arc<Entry>>, limit: usize) {
    if peers.len() < limit.max(1) {
        return;
    }
    let rows = peers.values().map(|entry| {
        let known = entry.lock();
        (
            Arc::strong_count(entry) > 1,
            known.observed,
            known.at,
            entry.peer,
        )
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort_unstable();
    for (.., peer) in rows.into_iter().take(limit / 8 + 1) {
        peers.remove(&peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_bounded_and_those_in_use_stay() {
        let ledger = Ledger::new(ReputationConfig {
            max_peers: 8,
            ..ReputationConfig::default()
        });
        let peer = |n: u8| PeerId::from_bytes(&[&[0x00, 32][..], &[n; 32]].concat()).unwrap();
        let method: Arc<str> = "m".into();
        let held = ledger.entry(peer(200));
        ledger
            .entry(peer(201))
            .observe(&method, Outcome::Lied, Instant::now());
        for n in 0..100 {
            drop(ledger.entry(peer(n)));
        }
        assert!(ledger.all().len() <= 8);
        assert!(Arc::ptr_eq(&held, &ledger.entry(peer(200))));
        // Nobody called the others.
        let reports = ledger.reports();
        assert_eq!(reports.len(), 1);
        assert_eq!((reports[0].peer, reports[0].counts.lied), (peer(201), 1));
        assert!(ledger.score(&peer(201)) < 0.3 && ledger.score(&peer(202)) > 0.6);
        assert_eq!(ledger.report(&peer(99)), None);
    }

    #[test]
    fn calls_are_in_flight_until_they_are_dropped() {
        let ledger = Ledger::new(ReputationConfig::default());
        let peer = "12D3KooWQA9eZ7s8E7KvNJGG7AXRioyASFicECjdKL1DS2C1Duoo";
        let entry = ledger.entry(peer.parse().unwrap());
        let (method, now) = ("m".into(), Instant::now());
        let flights = [(); 3].map(|()| entry.begin(&method, now));
        assert_eq!(entry.standing("m", now).in_flight, 3);
        drop(flights);
        let standing = entry.standing("m", now);
        assert_eq!((standing.in_flight, standing.latency), (0, None));
    }
}
