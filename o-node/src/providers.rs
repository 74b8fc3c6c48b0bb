//! Who has a capability: found once, kept for a while, looked for again in the background.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use futures::StreamExt;
use o_address::{Address, PeerId, TransportAddr};
use o_core::{Capability, Provider, Query, Route, SignedRecord, Source};
use o_discovery::has_place;
use tokio::sync::watch;

use crate::{
    config::BalanceConfig,
    find::Finder,
    reputation::{Entry, Ledger, Outcome},
    tasks::Tasks,
};

/// An agent that can be called, and what is known of its node.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub(crate) peer: PeerId,
    pub(crate) address: Address,
    pub(crate) addresses: Vec<TransportAddr>,
    pub(crate) source: Source,
    pub(crate) record: Option<SignedRecord>,
    pub(crate) entry: Arc<Entry>,
}

impl Instance {
    pub(crate) fn route(&self) -> Route {
        Route {
            peer: self.peer,
            addresses: self.addresses.clone(),
            source: self.source,
            age: Duration::ZERO,
        }
    }

    /// Whether its record says that it has the method.
    pub(crate) fn has(&self, method: &str) -> bool {
        let record = self.record.as_ref().map(SignedRecord::record);
        record.is_some_and(|record| record.methods.iter().any(|known| &*known.name == method))
    }

    fn is(&self, other: &Self) -> bool {
        self.peer == other.peer && self.address == other.address
    }

    fn sequence(&self) -> u64 {
        self.record.as_ref().map_or(0, |r| r.record().sequence)
    }

    fn is_expired(&self, now: SystemTime) -> bool {
        let record = self.record.as_ref();
        record.is_some_and(|record| record.record().times.is_expired(now))
    }
}

/// The providers of each capability that was called lately.
#[derive(Clone, Debug)]
pub(crate) struct Providers {
    pub(crate) finder: Finder,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) config: BalanceConfig,
    /// How long a search may take.
    pub(crate) limit: Duration,
    pub(crate) tasks: Tasks,
    pub(crate) slots: Arc<Mutex<HashMap<Capability, Arc<Slot>>>>,
}

/// What is known of one capability.
#[derive(Debug)]
pub(crate) struct Slot {
    state: watch::Sender<State>,
}

#[derive(Debug, Default)]
struct State {
    found: Arc<Vec<Instance>>,
    /// When a search ended last.
    ended: Option<Instant>,
    searching: bool,
    denied: Vec<Denied>,
}

/// A record that its peer denied.
#[derive(Clone, Debug)]
struct Denied {
    instance: Instance,
    /// How many calls of the method it had answered by then.
    succeeded: u64,
}

/// Providers, and whether they were looked for just now.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) all: Arc<Vec<Instance>>,
    pub(crate) fresh: bool,
}

impl Providers {
    fn lock(&self) -> MutexGuard<'_, HashMap<Capability, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that are known, or else those that a search finds until it ends, or a little after the first.
    pub(crate) async fn get(&self, capability: &Capability) -> Found {
        let slot = self.slot(capability);
        let (age, all) = {
            let state = slot.state.borrow();
            (state.ended.map(|at| at.elapsed()), state.found.clone())
        };
        let lifetime = match all.is_empty() {
            true => self.config.nobody_lifetime,
            false => self.config.provider_lifetime,
        };
        if age.is_none_or(|age| age >= lifetime) {
            return self.search(&slot, capability, false).await;
        }
        if !all.is_empty() && age.is_some_and(|age| age >= lifetime / 2) {
            self.begin(&slot, capability, true);
        }
        // That there is nobody is not asked again so soon.
        let fresh = all.is_empty();
        Found { all, fresh }
    }

    /// Looks for them anew, and waits for that.
    pub(crate) async fn again(&self, capability: &Capability) -> Found {
        let slot = self.slot(capability);
        self.search(&slot, capability, true).await
    }

    async fn search(&self, slot: &Arc<Slot>, capability: &Capability, keep: bool) -> Found {
        let mut state = slot.state.subscribe();
        self.begin(slot, capability, keep);
        // The sender is in the slot, so that neither wait can fail.
        if !keep {
            let some = |state: &State| !state.searching || !state.found.is_empty();
            // Whoever has not answered by then is found by the search, which goes on.
            let patience = self.config.search_patience;
            let waited = tokio::time::timeout(patience, state.wait_for(some));
            if waited.await.is_err() {
                // Others need not wait as long again.
                slot.state
                    .send_modify(|state| state.ended = Some(Instant::now()));
            }
            if !state.borrow().found.is_empty() {
                let ended = state.wait_for(|state| !state.searching);
                let _ = tokio::time::timeout(self.config.settle, ended).await;
            }
        } else {
            let _ = state.wait_for(|state| !state.searching).await;
        }
        let all = slot.state.borrow().found.clone();
        Found { all, fresh: true }
    }

    fn slot(&self, capability: &Capability) -> Arc<Slot> {
        let mut slots = self.lock();
        if let Some(slot) = slots.get(capability) {
            return slot.clone();
        }
        if slots.len() >= self.config.max_capabilities {
            // What has expired goes, and if nothing has, everything does: it is only a cache.
            let lifetime = self.config.provider_lifetime;
            let lives = |slot: &Slot| {
                let ended = slot.state.borrow().ended;
                ended.is_some_and(|at| at.elapsed() < lifetime)
            };
            slots.retain(|_, slot| lives(slot));
            if slots.len() >= self.config.max_capabilities {
                slots.clear();
            }
        }
        let state = watch::Sender::new(State::default());
        let slot = Arc::new(Slot { state });
        slots.insert(capability.clone(), slot.clone());
        slot
    }

    /// Begins a search unless one is under way. Those that are known are called until it ends, if `keep`.
    fn begin(&self, slot: &Arc<Slot>, capability: &Capability, keep: bool) {
        let begun = slot.state.send_if_modified(|state| {
            let begins = !state.searching;
            state.searching = true;
            if begins && !keep {
                state.found = Arc::default();
            }
            begins
        });
        if begun {
            let ending = Ending(slot.clone());
            let searching = self.clone().look(ending, capability.clone());
            self.tasks.spawn("providers", searching);
        }
    }

    async fn look(self, ending: Ending, capability: Capability) {
        let slot = &ending.0;
        let (mut found, mut failed) = (Vec::<Instance>::new(), false);
        let mut search = self.finder.callable(Query::Capability(capability.clone()));
        let looking = async {
            while let Some(item) = search.next().await {
                let provider = match item {
                    Ok(provider) => provider,
                    Err(error) => {
                        tracing::debug!(%capability, %error, "a search for providers failed");
                        failed = true;
                        continue;
                    }
                };
                let Some(instance) = self.instance(provider) else {
                    continue;
                };
                if self.is_denied(slot, &instance) {
                    continue;
                }
                let (taken, places) = (found.len(), self.config.max_providers);
                let of_peer = found.iter().filter(|known| known.peer == instance.peer);
                let of_peer = of_peer.count();
                match found.iter_mut().find(|known| known.is(&instance)) {
                    Some(known) => *known = instance,
                    None if taken >= places => break,
                    None if !has_place(of_peer, taken, places) => continue,
                    None => found.push(instance),
                }
                // Who waits for somebody need not wait for all; who has somebody goes on with him.
                slot.state.send_if_modified(|state| {
                    let grows = state.found.len() < found.len();
                    if grows {
                        state.found = Arc::new(found.clone());
                    }
                    grows
                });
            }
        };
        // The next search is to begin even where a source never ends.
        let limit = self.limit.min(self.config.search_patience * 2);
        if tokio::time::timeout(limit, looking).await.is_err() {
            tracing::debug!(%capability, "a search for providers took too long");
            failed = true;
        }
        // Where nobody could be asked, those that were known may still be there.
        if !(failed && found.is_empty()) {
            slot.state
                .send_modify(|state| state.found = Arc::new(found));
        }
    }

    /// An agent of this node, by its record.
    pub(crate) fn local(&self, record: &SignedRecord) -> Instance {
        let peer = record.record().peer;
        Instance {
            peer,
            address: record.record().address.clone(),
            addresses: Vec::new(),
            source: Source::Local,
            record: Some(record.clone()),
            entry: self.ledger.entry(peer),
        }
    }

    fn instance(&self, provider: Provider) -> Option<Instance> {
        let record = provider.record?;
        Some(Instance {
            peer: provider.peer,
            address: record.record().address.clone(),
            addresses: provider.addresses,
            source: provider.sources.first().copied().unwrap_or(Source::Dht),
            entry: self.ledger.entry(provider.peer),
            record: Some(record),
        })
    }

    /// Whether the peer has denied this very record. Whoever still tells of it may only be slow.
    fn is_denied(&self, slot: &Slot, instance: &Instance) -> bool {
        let state = slot.state.borrow();
        let mut rows = state.denied.iter();
        rows.any(|row| row.instance.is(instance) && row.instance.sequence() >= instance.sequence())
    }

    /// The peer says that it is not what its record says: it is left out as long as the record is the same.
    /// Once may be a change that has not come through yet; who signs it again and denies it again, and has
    /// answered no call of the method in between, lies.
    pub(crate) fn deny(&self, capability: &Capability, method: &str, instance: &Instance) {
        let limit = self.config.max_providers;
        let now = SystemTime::now();
        let succeeded = instance.entry.succeeded(method);
        let mut lies = false;
        self.slot(capability).state.send_modify(|state| {
            let found = state.found.iter().filter(|known| !known.is(instance));
            state.found = Arc::new(found.cloned().collect());
            let rows = &mut state.denied;
            let mut newest = Denied {
                instance: instance.clone(),
                succeeded,
            };
            for row in rows.iter().filter(|row| row.instance.is(instance)) {
                let older = row.instance.sequence() < instance.sequence();
                lies |= older && row.succeeded == succeeded;
                if row.instance.sequence() > newest.instance.sequence() {
                    newest = row.clone();
                }
            }
            rows.retain(|row| !row.instance.is(instance) && !row.instance.is_expired(now));
            if rows.len() < limit {
                rows.push(newest);
            }
        });
        if lies {
            let method: Arc<str> = "describe".into();
            let entry = &instance.entry;
            entry.observe(&method, Outcome::Lied, Instant::now());
        }
    }
}

/// A search that is under way; it has ended when this is dropped, whatever became of it.
#[derive(Debug)]
struct Ending(Arc<Slot>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.state.send_modify(|state| {
            state.searching = false;
            state.ended = Some(Instant::now());
        });
    }
}
