//! Signs the records of the hosted agents and keeps them findable.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
    time::{Duration, SystemTime},
};

use o_address::{Address, TransportAddr};
use o_core::{
    Discovery, Event, Events, MethodDigest, NetworkId, Record, RecordTimes, SignedRecord, Signer,
    Tombstone,
};
use o_discovery::MergedDiscovery;
use o_protocol::{sign_record, sign_tombstone};
use tokio::sync::watch;

use crate::{
    builtin::BuiltIn,
    events::EventBus,
    hosting::{Agents, Hosted},
};

/// Pause after a change, so that a burst of changes is announced once.
const SETTLE: Duration = Duration::from_millis(20);
/// How long a source may take to take a withdrawal.
const WITHDRAW: Duration = Duration::from_secs(1);

/// Announces what the node hosts, again whenever that changes and before a record expires.
pub(crate) struct Announcer {
    pub(crate) agents: Arc<Agents>,
    pub(crate) builtin: Arc<BuiltIn>,
    pub(crate) discovery: Arc<MergedDiscovery>,
    pub(crate) signer: Arc<dyn Signer>,
    pub(crate) network: NetworkId,
    pub(crate) lifetime: Duration,
    pub(crate) addresses: watch::Receiver<Vec<TransportAddr>>,
    pub(crate) events: EventBus,
}

impl Announcer {
    /// Runs until the node stops.
    pub(crate) async fn run(mut self, mut changes: watch::Receiver<u64>) {
        loop {
            self.announce_all().await;
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                changed = self.addresses.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(self.lifetime / 2) => {}
            }
            tokio::time::sleep(SETTLE).await;
            changes.mark_unchanged();
        }
    }

    async fn announce_all(&mut self) {
        let addresses = self.addresses.borrow_and_update().clone();
        let hosted = self.agents.all();
        self.withdraw_gone(&hosted).await;
        for hosted in hosted.iter().filter(|hosted| hosted.hosting.announced) {
            let record = self.record(hosted, &addresses);
            let address = &hosted.hosting.address;
            let signed = match sign_record(&record, &*self.signer) {
                Ok(signed) => signed,
                Err(error) => {
                    tracing::error!(%address, %error, "the record cannot be signed");
                    continue;
                }
            };
            self.keep(signed.clone());
            match self.discovery.announce(&signed).await {
                Ok(()) => self.events.publish(Event::Announced(address.clone())),
                Err(error) => tracing::debug!(%address, %error, "not announced"),
            }
        }
    }

    fn record(&self, hosted: &Hosted, addresses: &[TransportAddr]) -> Record {
        let now = SystemTime::now();
        let millis = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let clock = u64::try_from(millis).unwrap_or(u64::MAX);
        let address = hosted.hosting.address.clone();
        let last = self.kept(&address).map_or(0, |record| record.record().sequence);
        let addresses: Vec<_> = addresses.iter().take(Record::MAX_ADDRESSES).cloned().collect();
        Record {
            peer: self.signer.peer(),
            addresses,
            capabilities: hosted.hosting.capabilities.clone(),
            methods: hosted.methods().iter().map(MethodDigest::from).collect(),
            // Higher than any before, also across restarts as long as the clock runs on.
            sequence: clock.max(last.saturating_add(1)),
            times: RecordTimes::starting(now, self.lifetime),
            network: self.network.clone(),
            address,
        }
    }

    fn kept(&self, address: &Address) -> Option<SignedRecord> {
        let records = self.builtin.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.get(address.name()).cloned()
    }

    fn keep(&self, record: SignedRecord) {
        let name = record.record().address.name().to_owned();
        let mut records = self.builtin.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.insert(name, record);
    }

    /// Withdraws the names that are no longer hosted.
    async fn withdraw_gone(&self, hosted: &[Arc<Hosted>]) {
        let gone: HashMap<String, SignedRecord> = {
            let mut records = self.builtin.records.lock().unwrap_or_else(PoisonError::into_inner);
            let here = |name: &str| hosted.iter().any(|h| h.hosting.address.name() == name);
            let (kept, gone) = std::mem::take(&mut *records)
                .into_iter()
                .partition(|(name, _)| here(name));
            *records = kept;
            gone
        };
        let (discovery, signer) = (&self.discovery, &self.signer);
        withdraw(gone.into_values().collect(), discovery, &**signer, self.lifetime).await;
    }
}

/// Tells every source that these records no longer hold.
pub(crate) async fn withdraw(
    records: Vec<SignedRecord>,
    discovery: &MergedDiscovery,
    signer: &dyn Signer,
    lifetime: Duration,
) {
    for record in records {
        let record = record.record();
        let tombstone = Tombstone {
            address: record.address.clone(),
            peer: record.peer,
            sequence: record.sequence,
            capabilities: record.capabilities.clone(),
            times: RecordTimes::starting(SystemTime::now(), lifetime),
            network: record.network.clone(),
        };
        let address = &record.address;
        let Ok(signed) = sign_tombstone(&tombstone, signer) else {
            tracing::error!(%address, "the withdrawal cannot be signed");
            continue;
        };
        match tokio::time::timeout(WITHDRAW, discovery.withdraw(&signed)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%address, %error, "not withdrawn everywhere"),
            Err(_) => tracing::debug!(%address, "not withdrawn in time"),
        }
    }
}
