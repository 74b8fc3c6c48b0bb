//! Signs the records of the hosted agents and keeps them findable.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
    time::{Duration, SystemTime},
};

use futures::{StreamExt, stream};
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
/// How long the sources may take for an announcement; one is under way at a time for each agent.
const ANNOUNCE: Duration = Duration::from_secs(60);
/// How long the sources may take for all withdrawals together.
const WITHDRAW: Duration = Duration::from_secs(1);
/// Announcements and withdrawals under way at once.
const AT_ONCE: usize = 64;

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
            changes.mark_unchanged();
            let addresses = self.addresses.borrow_and_update().clone();
            let refresh = tokio::time::sleep(self.lifetime / 2);
            let mut watched = self.addresses.clone();
            tokio::select! {
                // A change begins anew with what is announced: a slow source holds nothing up.
                changed = changes.changed() => if changed.is_err() { return },
                changed = watched.changed() => if changed.is_err() { return },
                () = async { tokio::join!(self.announce_all(&addresses), refresh); } => continue,
            }
            tokio::time::sleep(SETTLE).await;
        }
    }

    async fn announce_all(&self, addresses: &[TransportAddr]) {
        let hosted = self.agents.all();
        // Every agent has its record before the first source is asked: who asks us gets it.
        let records: Vec<_> = hosted
            .iter()
            .filter(|hosted| hosted.hosting.announced)
            .filter_map(|hosted| self.sign(hosted, addresses))
            .collect();
        self.withdraw_gone(&hosted).await;
        stream::iter(records)
            .for_each_concurrent(AT_ONCE, |record| self.announce(record))
            .await;
    }

    fn sign(&self, hosted: &Hosted, addresses: &[TransportAddr]) -> Option<SignedRecord> {
        let record = self.record(hosted, addresses);
        match sign_record(&record, &*self.signer) {
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

    async fn announce(&self, record: SignedRecord) {
        let address = &record.record().address;
        match tokio::time::timeout(ANNOUNCE, self.discovery.announce(&record)).await {
            Ok(Ok(())) => self.events.publish(Event::Announced(address.clone())),
            Ok(Err(error)) => tracing::debug!(%address, %error, "not announced"),
            Err(_) => tracing::debug!(%address, "not announced in time"),
        }
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
        let addresses: Vec<_> = addresses
            .iter()
            .take(Record::MAX_ADDRESSES)
            .cloned()
            .collect();
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
        let records = self
            .builtin
            .records
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        records.get(address.name()).cloned()
    }

    fn keep(&self, record: SignedRecord) {
        let name = record.record().address.name().to_owned();
        let mut records = self
            .builtin
            .records
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        records.insert(name, record);
    }

    /// Withdraws the names that are no longer hosted.
    async fn withdraw_gone(&self, hosted: &[Arc<Hosted>]) {
        let gone: HashMap<String, SignedRecord> = {
            let records = self
                .builtin
                .records
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let here = |name: &str| hosted.iter().any(|h| h.hosting.address.name() == name);
            let gone = records.iter().filter(|(name, _)| !here(name));
            gone.map(|(name, record)| (name.clone(), record.clone()))
                .collect()
        };
        let (discovery, signer) = (&self.discovery, &self.signer);
        let records = gone.values().cloned().collect();
        withdraw(records, discovery, &**signer, self.lifetime).await;
        // Only now: a withdrawal that a change cuts short is begun anew.
        let mut records = self
            .builtin
            .records
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for (name, record) in gone {
            if records.get(&name) == Some(&record) {
                records.remove(&name);
            }
        }
    }
}

/// Tells every source that these records no longer hold.
pub(crate) async fn withdraw(
    records: Vec<SignedRecord>,
    discovery: &MergedDiscovery,
    signer: &dyn Signer,
    lifetime: Duration,
) {
    let signed = records.iter().filter_map(|record| {
        let tombstone = tombstone(record, lifetime);
        match sign_tombstone(&tombstone, signer) {
            Ok(signed) => Some(signed),
            Err(error) => {
                let address = &tombstone.address;
                tracing::error!(%address, %error, "the withdrawal cannot be signed");
                None
            }
        }
    });
    let all = stream::iter(signed).for_each_concurrent(AT_ONCE, |tombstone| async move {
        if let Err(error) = discovery.withdraw(&tombstone).await {
            let address = &tombstone.tombstone().address;
            tracing::debug!(%address, %error, "not withdrawn everywhere");
        }
    });
    if tokio::time::timeout(WITHDRAW, all).await.is_err() {
        tracing::debug!("not everything was withdrawn in time");
    }
}

fn tombstone(record: &SignedRecord, lifetime: Duration) -> Tombstone {
    let record = record.record();
    Tombstone {
        address: record.address.clone(),
        peer: record.peer,
        sequence: record.sequence,
        capabilities: record.capabilities.clone(),
        times: RecordTimes::starting(SystemTime::now(), lifetime),
        network: record.network.clone(),
    }
}
