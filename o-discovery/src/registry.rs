//! The registry of a hierarchy: an agent that takes signed records and answers searches.
//!
//! Every node that may have children keeps one, at the name `o://network/registry`. What a child
//! announces to its parent's is passed on up to the leader's, which so has all of them; a search goes
//! up the same way. A record is verified before it takes memory, and is forgotten when the child is
//! lost by way of which it came.

mod client;
mod replica;
#[cfg(feature = "store")]
mod store;
#[cfg(test)]
mod tests;
mod watching;
mod wire;

use std::{
    collections::{HashMap, HashSet},
    fmt,
    future::ready,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Instant, SystemTime},
};

use futures::{StreamExt as _, stream, stream::BoxStream};
use o_address::{Address, PeerId};
use o_core::{
    CallContext, CallError, DiscoveryError, NetworkId, Provider, Query, SignedRecord,
    SignedTombstone, Source, Verifier,
};
use o_protocol::{Blob, Methods, RecordError, verify_record, verify_tombstone};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

#[cfg(feature = "store")]
pub use self::store::{Store, StoreError, Stored};
use self::watching::{Log, Watchers};
pub use self::{
    client::{Registries, RegistryDiscovery, announce_at, search_at, tell},
    replica::Replica,
    wire::{Announced, Change, Entry, Lost, SearchRequest, Watched},
};
use crate::{
    index::{Index, IndexConfig, Insertion, share},
    throttle::{Bad, Throttle},
};

/// Limits of a [`Registry`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RegistryConfig {
    /// What it holds.
    pub index: IndexConfig,
    /// Announcements and withdrawals that one peer may make in a second; twenty times as many at
    /// once. Default 200.
    pub max_per_second: u32,
    /// Bad ones after which a peer is not listened to for a minute. Default 100.
    pub max_bad: u32,
    /// Most answers to one search. Default 1024.
    pub max_found: usize,
    /// Most nodes that are told of every change at once: each child copies its parent's registry.
    /// Default 1024.
    pub max_watchers: usize,
    /// Where it is kept over restarts; nowhere by default.
    #[cfg(feature = "store")]
    pub file: Option<std::path::PathBuf>,
    /// How long after a start those that were restored have to be announced anew. Default 30 s.
    #[cfg(feature = "store")]
    #[serde(with = "humantime_serde")]
    pub grace: std::time::Duration,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self {
            index: IndexConfig::default(),
            max_per_second: 200,
            max_bad: 100,
            max_found: 1024,
            max_watchers: 1024,
            #[cfg(feature = "store")]
            file: None,
            #[cfg(feature = "store")]
            grace: std::time::Duration::from_secs(30),
        }
    }
}

/// Peers that are remembered to have told of one peer's records.
const MAX_VIA: usize = 4;

/// What a record must pass beside its signature, and who tells of it, where somebody does: an error says why
/// it may not be announced here.
pub type Check = Arc<dyn Fn(&SignedRecord, Option<&PeerId>) -> Result<(), String> + Send + Sync>;

/// Where a search goes on: to the registry above.
pub type Further =
    Arc<dyn Fn(SearchRequest) -> BoxStream<'static, Result<Entry, CallError>> + Send + Sync>;

/// A registry. Clones share it.
#[derive(Clone)]
pub struct Registry {
    shared: Arc<Shared>,
}

struct Shared {
    network: NetworkId,
    config: RegistryConfig,
    verifier: Arc<dyn Verifier>,
    check: Check,
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    index: Index,
    /// By way of which peers each peer's records came, the first of them: as long as one of these is
    /// there, they are kept.
    via: HashMap<PeerId, Vec<PeerId>>,
    /// Peers of which nothing but what was stored is known.
    restored: HashSet<PeerId>,
    throttle: Throttle,
    log: Log,
    watchers: Watchers,
}

impl State {
    /// Forgets what has expired, which others would take for bad.
    fn expire(&mut self) {
        for record in self.index.expire(SystemTime::now()) {
            self.log.push(record.record());
        }
    }

    /// A peer's record was told by `via`.
    fn came(&mut self, peer: PeerId, via: PeerId) {
        if self.via.len() >= 2 * self.index.len() + MAX_VIA {
            // Of those whose records have expired.
            let index = &self.index;
            self.via
                .retain(|peer, _| index.of_peer(peer).next().is_some());
        }
        let ways = self.via.entry(peer).or_default();
        if self.restored.remove(&peer) {
            ways.clear();
        }
        if !ways.contains(&via) && ways.len() < MAX_VIA {
            ways.push(via);
        }
    }

    /// Forgets that a peer's records came by way of `via`; whether no other way is left.
    fn went(&mut self, peer: &PeerId, via: &PeerId) -> bool {
        let Some(ways) = self.via.get_mut(peer) else {
            return false;
        };
        let before = ways.len();
        ways.retain(|way| way != via);
        ways.is_empty() && before > 0
    }
}

impl Registry {
    /// The name at which every registry is asked.
    pub fn address() -> Address {
        // A text that is an address; the tests look.
        "o://network/registry"
            .parse()
            .unwrap_or_else(|_| Address::node())
    }

    /// An empty one.
    pub fn new(
        network: NetworkId,
        config: RegistryConfig,
        verifier: Arc<dyn Verifier>,
        check: Check,
    ) -> Self {
        let state = State {
            index: Index::new(network.clone(), config.index.clone()),
            via: HashMap::new(),
            restored: HashSet::new(),
            throttle: Throttle::new(config.max_per_second, config.max_bad),
            log: Log::default(),
            watchers: Watchers::default(),
        };
        Self {
            shared: Arc::new(Shared {
                network,
                config,
                verifier,
                check,
                state: Mutex::new(state),
                changed: watch::Sender::new(0),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is complete before anything in it can panic.
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// When something changes: the number of changes so far.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    fn changed(&self) {
        self.shared.changed.send_modify(|count| *count += 1);
    }

    /// An empty one with the same settings.
    fn emptied(&self) -> Self {
        let Shared {
            network,
            config,
            verifier,
            check,
            ..
        } = &*self.shared;
        Self::new(
            network.clone(),
            config.clone(),
            verifier.clone(),
            check.clone(),
        )
    }

    /// Forgets these peers; those of whom something was held.
    fn forget(&self, mut state: MutexGuard<'_, State>, peers: Vec<PeerId>) -> Vec<PeerId> {
        for peer in &peers {
            state.via.remove(peer);
            for record in state.index.forget_peer(peer) {
                state.log.push(record.record());
            }
        }
        drop(state);
        if !peers.is_empty() {
            self.changed();
        }
        peers
    }

    /// Everything that it holds, to be told to another registry.
    pub fn contents(&self) -> (Vec<SignedRecord>, Vec<SignedTombstone>) {
        let mut state = self.lock();
        state.expire();
        let records = state.index.records().cloned().collect();
        (records, state.index.tombstones().cloned().collect())
    }

    /// How many records it holds.
    pub fn len(&self) -> usize {
        self.lock().index.len()
    }

    /// Whether it holds no record.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a record may be announced here.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn check(&self, record: &SignedRecord) -> Result<(), String> {
        (self.shared.check)(record, None)
    }

    /// Takes a record that `via` told, or this node itself.
    ///
    /// # Errors
    /// `BadRecord`, or `Busy` where there is no room.
    pub fn insert(&self, record: &SignedRecord, via: PeerId) -> Result<Insertion, DiscoveryError> {
        let checked = (self.shared.check)(record, Some(&via));
        checked.map_err(|reason| DiscoveryError::BadRecord { reason })?;
        self.take(record, via)
    }

    /// Takes a record that was checked.
    fn take(&self, record: &SignedRecord, via: PeerId) -> Result<Insertion, DiscoveryError> {
        let mut state = self.lock();
        let inserted = state
            .index
            .insert(record, Source::Registry, SystemTime::now())?;
        state.came(record.record().peer, via);
        if inserted == Insertion::Same {
            return Ok(inserted);
        }
        state.log.push(record.record());
        drop(state);
        self.changed();
        Ok(inserted)
    }

    /// Takes a withdrawal; whether it took a record away.
    pub fn withdraw(&self, tombstone: &SignedTombstone) -> bool {
        let mut state = self.lock();
        let withdrawn = state.index.withdraw(tombstone, SystemTime::now());
        if withdrawn {
            let tombstone = tombstone.tombstone();
            let key = (tombstone.address.without_pin(), tombstone.peer);
            state.log.push_key(key);
            drop(state);
            self.changed();
        }
        withdrawn
    }

    /// Takes a record that was here before.
    #[cfg(feature = "store")]
    fn restore_record(&self, envelope: bytes::Bytes) -> bool {
        let (verifier, network) = (&*self.shared.verifier, &self.shared.network);
        let verified = verify_record(envelope, verifier, SystemTime::now(), network);
        let peer = verified.as_ref().map(|record| record.record().peer);
        let taken = match &verified {
            // By way of whom it came is not known any more.
            Ok(record) => {
                self.check(record).is_ok() && self.take(record, record.record().peer).is_ok()
            }
            Err(_) => false,
        };
        if let (true, Ok(peer)) = (taken, peer) {
            self.lock().restored.insert(peer);
        }
        taken
    }

    #[cfg(feature = "store")]
    fn restore_tombstone(&self, envelope: bytes::Bytes) -> bool {
        let (verifier, network) = (&*self.shared.verifier, &self.shared.network);
        let verified = verify_tombstone(envelope, verifier, SystemTime::now(), network);
        verified.map(|tombstone| self.withdraw(&tombstone)).is_ok()
    }

    /// Forgets those of whom nobody has told anew since they were restored; who they were.
    pub fn forget_unrenewed(&self) -> Vec<PeerId> {
        let mut state = self.lock();
        let gone = state.restored.drain().collect();
        self.forget(state, gone)
    }

    /// A peer is there: the ages of its records count from now.
    pub fn touch(&self, peer: &PeerId) {
        self.lock().index.touch(peer, SystemTime::now());
    }

    /// A child is gone: forgets what came by way of it alone, its own records among that. The peers whose
    /// records were forgotten.
    pub fn lost(&self, child: &PeerId) -> Vec<PeerId> {
        let mut state = self.lock();
        let peers: Vec<PeerId> = state.via.keys().copied().collect();
        let gone = peers.into_iter().filter(|peer| state.went(peer, child));
        let gone = gone.collect();
        self.forget(state, gone)
    }

    /// Peers that are gone, as a child says by way of which their records came; others are left alone.
    fn lost_below(&self, child: &PeerId, peers: &[PeerId]) -> Vec<PeerId> {
        let mut state = self.lock();
        let gone = peers.iter().filter(|peer| state.went(peer, child));
        let gone = gone.copied().collect();
        self.forget(state, gone)
    }

    /// Whoever matches, as far as this registry knows.
    pub fn find(&self, query: &Query) -> Vec<Provider> {
        let found = self.lock().index.find(query, SystemTime::now());
        share(found, self.shared.config.max_found, |found| found.peer)
    }

    /// The agent that answers for it: `announce`, `remove`, `search`, `watch`, `lost`, `status`.
    pub fn agent(&self, further: Further) -> Methods {
        let [announce, remove, search, watch, lost, status] = [(); 6].map(|()| self.clone());
        Methods::new()
            .unary("announce", move |context: CallContext, record: Blob| {
                ready(announce.announced(&context, record))
            })
            .describe("Takes a signed record.")
            .idempotent()
            .unary("remove", move |context: CallContext, tombstone: Blob| {
                ready(remove.removed(&context, tombstone))
            })
            .describe("Takes a signed withdrawal of a record.")
            .idempotent()
            .server("search", move |_: CallContext, request: SearchRequest| {
                ready(search.searched(request, &further))
            })
            .describe(
                "Finds agents by name, capability, attributes or words; then asks further up.",
            )
            .idempotent()
            .server("watch", move |context: CallContext, ()| {
                ready(caller(&context).and_then(|from| watch.watch(from)))
            })
            .describe("Tells everything that is held, and then every change.")
            .idempotent()
            .unary("lost", move |context: CallContext, request: Lost| {
                let gone = caller(&context).and_then(|from| {
                    lost.admit(&from)?;
                    Ok(lost.lost_below(&from, &request.peers).len())
                });
                ready(gone)
            })
            .describe("Says that nodes below the caller are gone.")
            .idempotent()
            .unary("status", move |_: CallContext, ()| {
                let entries = status.len();
                ready(Ok::<_, CallError>(wire::Status { entries }))
            })
            .describe("Counts what is held here.")
            .idempotent()
    }

    fn announced(
        &self,
        context: &CallContext,
        Blob(envelope): Blob,
    ) -> Result<Announced, CallError> {
        let from = caller(context)?;
        self.admit(&from)?;
        let (verifier, network) = (&*self.shared.verifier, &self.shared.network);
        let verified = verify_record(envelope, verifier, SystemTime::now(), network);
        let record = verified.map_err(|error| self.bad(&from, &error))?;
        let sequence = record.record().sequence;
        match self.insert(&record, from) {
            Ok(inserted) => Ok(Announced {
                sequence,
                changed: inserted != Insertion::Same,
            }),
            Err(DiscoveryError::Busy { limit }) => Err(CallError::Busy {
                reason: format!("{limit} of the registry is reached"),
            }),
            Err(error) => {
                // Older than what is here, of a name that is not its peer's, withdrawn. Whoever passes on what
                // another signed cannot know.
                if record.record().peer == from {
                    self.blame(&from, &error.to_string());
                }
                Err(CallError::InvalidParams {
                    message: error.to_string(),
                })
            }
        }
    }

    fn removed(&self, context: &CallContext, Blob(envelope): Blob) -> Result<bool, CallError> {
        let from = caller(context)?;
        self.admit(&from)?;
        let (verifier, network) = (&*self.shared.verifier, &self.shared.network);
        let verified = verify_tombstone(envelope, verifier, SystemTime::now(), network);
        let tombstone = verified.map_err(|error| self.bad(&from, &error))?;
        Ok(self.withdraw(&tombstone))
    }

    fn searched(
        &self,
        request: SearchRequest,
        further: &Further,
    ) -> Result<BoxStream<'static, Result<Entry, CallError>>, CallError> {
        let query = request.query()?;
        let limit = request
            .limit
            .unwrap_or(usize::MAX)
            .min(self.shared.config.max_found);
        let own = share(self.find(&query), limit, |found| found.peer);
        let own: Vec<_> = own.iter().filter_map(Entry::of).collect();
        let own = stream::iter(own.into_iter().map(Ok));
        let Some(above) = request.hops.checked_sub(1) else {
            return Ok(own.take(limit).boxed());
        };
        let above = SearchRequest {
            hops: above,
            ..request
        };
        Ok(own.chain(further(above)).take(limit).boxed())
    }

    /// # Errors
    /// The peer says too much, or too much that is bad.
    fn admit(&self, peer: &PeerId) -> Result<(), CallError> {
        let mut state = self.lock();
        let now = Instant::now();
        let admitted = state.throttle.admit(peer, now);
        let silent = state.throttle.is_silent(peer, now);
        drop(state);
        admitted.map_err(|reason| {
            if !silent {
                self.blame(peer, reason);
            }
            CallError::Busy {
                reason: reason.to_owned(),
            }
        })
    }

    /// Notes that a peer sent what nobody should believe.
    fn bad(&self, peer: &PeerId, error: &RecordError) -> CallError {
        self.blame(peer, &error.to_string());
        CallError::InvalidParams {
            message: error.to_string(),
        }
    }
}

impl Registry {
    /// Counts against a peer; whoever has too much against it is named, once, and not listened to.
    fn blame(&self, peer: &PeerId, reason: &str) {
        let silenced = self.lock().throttle.bad(peer, Instant::now());
        if silenced == (Bad::Silenced { name: true }) {
            let bad = self.shared.config.max_bad;
            tracing::warn!(%peer, reason, bad, "a peer sends too much, or bad records: not listened to for a minute");
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.len();
        f.debug_struct("Registry")
            .field("entries", &entries)
            .finish_non_exhaustive()
    }
}

/// Who calls: a registry is told things by peers only.
fn caller(context: &CallContext) -> Result<PeerId, CallError> {
    context.peer.ok_or_else(|| CallError::Unsupported {
        what: "a call within the process: announce by hosting an agent".into(),
    })
}

/// Whether nothing but a registry may have this name.
pub fn is_reserved(address: &Address) -> bool {
    address.root().name() == Registry::address().root().name()
}
