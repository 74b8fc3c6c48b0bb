//! Signs the records of the hosted agents and keeps them findable.

use std::{
    sync::{Arc, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures::{StreamExt, future::join_all, stream};
use o_address::{Address, TransportAddr};
use o_core::{
    Chain, Discovery, DiscoveryError, Event, Events, MethodDigest, NetworkId, Record, RecordTimes,
    SignedRecord, Signer, Source, Tombstone, plain_text,
};
use o_discovery::MergedDiscovery;
use o_protocol::{sign_fitting_record, sign_tombstone};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    builtin::BuiltIn,
    config::Times,
    events::EventBus,
    hosting::{Agents, Hosted},
};

/// Pause after a change, so that a burst of changes is announced once.
const SETTLE: Duration = Duration::from_millis(20);

/// How often the clock is looked at: that of a machine that slept has gone on, and its timers have not.
const GLANCE: Duration = Duration::from_secs(30);

/// When records are to be signed anew.
#[derive(Clone, Copy, Debug)]
struct Due {
    /// By the clock that only goes forward.
    at: Instant,
    /// When they were signed, by the clock that stands in them.
    signed: SystemTime,
    refresh: Duration,
}

impl Due {
    fn after(refresh: Duration) -> Self {
        Self {
            at: Instant::now() + refresh,
            signed: SystemTime::now(),
            refresh,
        }
    }

    /// Whether it is time by the clock: also where that was set back to before the signature.
    fn is_over(&self, now: SystemTime) -> bool {
        let passed = now.duration_since(self.signed);
        passed.map_or(true, |passed| passed >= self.refresh)
    }

    async fn wait(self) {
        while Instant::now() < self.at && !self.is_over(SystemTime::now()) {
            sleep_until(self.at.min(Instant::now() + GLANCE)).await;
        }
    }
}

/// Announces what the node hosts, again whenever that changes and before a record expires.
pub(crate) struct Announcer {
    pub(crate) agents: Arc<Agents>,
    pub(crate) builtin: Arc<BuiltIn>,
    pub(crate) discovery: Arc<MergedDiscovery>,
    /// What is joined in it: each is told by itself, so that one that fails is told again.
    pub(crate) sources: Vec<Arc<dyn Discovery>>,
    pub(crate) signer: Arc<dyn Signer>,
    pub(crate) network: NetworkId,
    pub(crate) times: Times,
    pub(crate) addresses: watch::Receiver<Vec<TransportAddr>>,
    /// What gives the node its names, where it belongs to a hierarchy.
    pub(crate) chain: Option<watch::Receiver<Option<Chain>>>,
    pub(crate) events: EventBus,
}

/// A record, and the sources that have still to be told of it.
struct Untold {
    record: SignedRecord,
    sources: Vec<Arc<dyn Discovery>>,
}

impl Announcer {
    /// Runs until the node begins to stop.
    pub(crate) async fn run(mut self, mut changes: watch::Receiver<u64>) {
        loop {
            changes.mark_unchanged();
            let addresses = self.addresses.borrow_and_update().clone();
            let mut watched = self.addresses.clone();
            let mut chain = self.chain.clone();
            if let Some(chain) = &mut chain {
                chain.mark_unchanged();
            }
            tokio::select! {
                // A change begins anew with what is announced: a slow source holds nothing up.
                changed = changes.changed() => if changed.is_err() { return },
                changed = watched.changed() => if changed.is_err() { return },
                changed = chain_changed(&mut chain) => if changed.is_err() { return },
                () = self.announce_all(&addresses) => continue,
            }
            sleep(SETTLE).await;
        }
    }

    /// Announces everything, and returns when it is time to do so anew.
    async fn announce_all(&self, addresses: &[TransportAddr]) {
        let refresh = self.times.record_lifetime / 2;
        let due = Due::after(refresh);
        let mut untold = self.sign_all(addresses).await;
        let mut pause = self.times.announce_retry;
        loop {
            untold = self.tell(untold).await;
            if untold.is_empty() || Instant::now() + pause >= due.at {
                return due.wait().await;
            }
            sleep(pause).await;
            // The machine may have slept.
            if due.is_over(SystemTime::now()) {
                return;
            }
            pause = pause.saturating_mul(2).min(refresh).min(GLANCE);
        }
    }

    async fn sign_all(&self, addresses: &[TransportAddr]) -> Vec<Untold> {
        let hosted = self.agents.all();
        // Every agent has its record before the first source is asked: who asks us gets it.
        let records: Vec<_> = hosted
            .iter()
            .filter(|hosted| hosted.hosting.announced)
            .filter_map(|hosted| self.sign(hosted, addresses))
            .collect();
        self.withdraw_gone(&hosted).await;
        let untold = records.into_iter().map(|record| Untold {
            record,
            sources: self.sources.clone(),
        });
        untold.collect()
    }

    /// Tells each source that has not heard of a record yet; those that failed are left.
    async fn tell(&self, untold: Vec<Untold>) -> Vec<Untold> {
        let telling = untold.into_iter().map(|untold| self.announce(untold));
        let left = stream::iter(telling)
            .buffer_unordered(self.times.max_announcing)
            .filter_map(std::future::ready);
        left.collect().await
    }

    fn sign(&self, hosted: &Hosted, addresses: &[TransportAddr]) -> Option<SignedRecord> {
        let record = self.record(hosted, addresses);
        match sign_fitting_record(record.clone(), &*self.signer) {
            Ok(signed) => {
                self.keep(signed.clone());
                Some(signed)
            }
            Err(error) => {
                let address = &record.address;
                tracing::error!(%address, %error, "the record cannot be signed");
                None
            }
        }
    }

    async fn announce(&self, untold: Untold) -> Option<Untold> {
        let Untold { record, sources } = untold;
        let address = &record.record().address;
        let limit = self.times.announce_timeout;
        let asked = sources
            .iter()
            .map(|source| timeout(limit, source.announce(&record)));
        let (mut told, mut left) = (false, Vec::new());
        for (source, result) in sources.iter().zip(join_all(asked).await) {
            match result {
                Ok(Ok(())) => told = true,
                // Another try would end the same way.
                Ok(Err(error @ (DiscoveryError::BadRecord { .. } | DiscoveryError::Shutdown))) => {
                    tracing::warn!(%address, %error, "a source does not announce");
                }
                Ok(Err(error)) => {
                    tracing::debug!(%address, %error, "a source did not announce, will try again");
                    left.push(source.clone());
                }
                Err(_) => {
                    tracing::debug!(%address, "a source did not announce in time, will try again");
                    left.push(source.clone());
                }
            }
        }
        if told {
            self.events.publish(Event::Announced(address.clone()));
        }
        (!left.is_empty()).then_some(Untold {
            record,
            sources: left,
        })
    }

    fn record(&self, hosted: &Hosted, addresses: &[TransportAddr]) -> Record {
        let now = SystemTime::now();
        let millis = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_millis();
        let clock = u64::try_from(millis).unwrap_or(u64::MAX);
        let address = hosted.hosting.address.clone();
        let last = self
            .kept(&address)
            .map_or(0, |record| record.record().sequence);
        let addresses = addresses.iter().take(Record::MAX_ADDRESSES);
        let hosting = &hosted.hosting;
        let description = hosting.description.as_deref().unwrap_or_default();
        let times = RecordTimes::starting(now, self.times.record_lifetime);
        Record {
            addresses: addresses.cloned().collect(),
            capabilities: hosting.capabilities.clone(),
            specialisations: hosting.specialisations.clone(),
            labels: hosting.labels.clone(),
            description: plain_text(description, Record::MAX_DESCRIPTION).into(),
            methods: hosted.methods().iter().map(MethodDigest::from).collect(),
            chain: self.chain_for(&address),
            // Higher than any before, also across restarts as long as the clock runs on.
            sequence: clock.max(last.saturating_add(1)),
            ..Record::new(address, self.signer.peer(), self.network.clone(), times)
        }
    }

    /// The envelopes of the chain, where it gives this name to the node.
    fn chain_for(&self, address: &Address) -> Vec<Bytes> {
        let chain = self.chain.as_ref().map(|chain| chain.borrow());
        let Some(chain) = chain.as_ref().and_then(|chain| chain.as_ref()) else {
            return Vec::new();
        };
        let root = address.root();
        let subtree = chain.subtree().unwrap_or(&root);
        let within = address.name() == subtree.name() || subtree.is_ancestor_of(address);
        let envelopes = within.then(|| chain.envelopes());
        envelopes.unwrap_or_default()
    }

    fn kept(&self, address: &Address) -> Option<SignedRecord> {
        let records = self
            .builtin
            .records
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        records.get(address, &self.signer.peer()).cloned()
    }

    fn keep(&self, record: SignedRecord) {
        let mut records = self
            .builtin
            .records
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // There is room for as many as can be hosted, and this one is newer than any before.
        if let Err(error) = records.insert(&record, Source::Local, SystemTime::now()) {
            tracing::error!(%error, "the node's own record is not kept");
        }
    }

    /// Withdraws the names that are no longer hosted.
    async fn withdraw_gone(&self, hosted: &[Arc<Hosted>]) {
        let gone: Vec<SignedRecord> = {
            let records = self
                .builtin
                .records
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let here = |record: &SignedRecord| {
                let name = record.record().address.name();
                hosted.iter().any(|h| h.hosting.address.name() == name)
            };
            records
                .records()
                .filter(|held| !here(held))
                .cloned()
                .collect()
        };
        withdraw(gone.clone(), &self.discovery, &*self.signer, &self.times).await;
        // Only now: a withdrawal that a change cuts short is begun anew.
        let mut records = self
            .builtin
            .records
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for record in gone {
            let (name, peer) = (&record.record().address, &record.record().peer);
            if records.get(name, peer) == Some(&record) {
                records.forget(name, peer);
            }
        }
    }
}

/// Waits for ever where there is no hierarchy.
async fn chain_changed(
    chain: &mut Option<watch::Receiver<Option<Chain>>>,
) -> Result<(), watch::error::RecvError> {
    match chain {
        Some(chain) => chain.changed().await,
        None => std::future::pending().await,
    }
}

/// Tells every source that these records no longer hold.
pub(crate) async fn withdraw(
    records: Vec<SignedRecord>,
    discovery: &MergedDiscovery,
    signer: &dyn Signer,
    times: &Times,
) {
    let signed = records.iter().filter_map(|record| {
        let held = RecordTimes::starting(SystemTime::now(), times.record_lifetime);
        let tombstone = Tombstone::of(record.record(), held);
        match sign_tombstone(&tombstone, signer) {
            Ok(signed) => Some(signed),
            Err(error) => {
                let address = &tombstone.address;
                tracing::error!(%address, %error, "the withdrawal cannot be signed");
                None
            }
        }
    });
    let all =
        stream::iter(signed).for_each_concurrent(times.max_announcing, |tombstone| async move {
            if let Err(error) = discovery.withdraw(&tombstone).await {
                let address = &tombstone.tombstone().address;
                tracing::debug!(%address, %error, "not withdrawn everywhere");
            }
        });
    if timeout(times.withdraw_timeout, all).await.is_err() {
        tracing::debug!("not everything was withdrawn in time");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_signed_anew_when_the_clock_has_jumped() {
        let due = Due::after(Duration::from_secs(1800));
        let minute = Duration::from_secs(60);
        assert!(!due.is_over(due.signed + minute));
        assert!(due.is_over(due.signed + 30 * minute));
        // A clock that was wrong by hours made records that others take for expired, or for new too long.
        assert!(due.is_over(due.signed - minute));
    }
}
