//! The suite of `Discovery`.

mod hints;
mod searching;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures::StreamExt;
use o_address::{Address, PeerId, TransportAddr};
use o_core::{
    Capability, Discovery, NetworkId, Provider, Query, Record, RecordTimes, SignedRecord,
    SignedTombstone, Signer, Tombstone,
};

pub use self::{hints::hints, searching::searching};
use super::check::Suite;

const SUITE: Suite = Suite("Discovery");
const LIFETIME: Duration = Duration::from_secs(3600);
/// Pause between two searches for something that has yet to get around.
const PAUSE: Duration = Duration::from_millis(100);

/// A source under test, seen from two sides.
#[derive(Clone, Debug)]
pub struct DiscoveryCase {
    /// Announces.
    pub announcer: Arc<dyn Discovery>,
    /// Searches; may be the same.
    pub seeker: Arc<dyn Discovery>,
    /// Signs the announcer's records.
    pub signer: Arc<dyn Signer>,
    /// The network of both.
    pub network: NetworkId,
    /// Where the announcer can be dialed.
    pub addresses: Vec<TransportAddr>,
}

impl DiscoveryCase {
    /// One source in the default network that stands on both sides.
    pub fn one(source: Arc<dyn Discovery>, signer: impl Signer) -> Self {
        Self {
            announcer: source.clone(),
            seeker: source,
            signer: Arc::new(signer),
            network: NetworkId::default(),
            addresses: SUITE.ok(
                "an address",
                "/memory/1".parse().map(|address| vec![address]),
            ),
        }
    }

    fn peer(&self) -> PeerId {
        self.signer.peer()
    }

    fn record(&self, name: &str, capabilities: &[&str], sequence: u64) -> SignedRecord {
        let times = RecordTimes::starting(SystemTime::now(), LIFETIME);
        let record = Record {
            addresses: self.addresses.clone(),
            capabilities: capabilities.iter().map(|text| capability(text)).collect(),
            sequence,
            ..Record::new(self::name(name), self.peer(), self.network.clone(), times)
        };
        SUITE.ok(
            "signing a record",
            o_protocol::sign_record(&record, &*self.signer),
        )
    }

    fn tombstone(&self, record: &SignedRecord) -> SignedTombstone {
        let times = RecordTimes::starting(SystemTime::now(), LIFETIME);
        let tombstone = Tombstone::of(record.record(), times);
        SUITE.ok(
            "signing a tombstone",
            o_protocol::sign_tombstone(&tombstone, &*self.signer),
        )
    }

    /// What one search finds: the last word about each peer and name.
    async fn search(&self, step: &str, query: &Query) -> Vec<Provider> {
        let mut found = BTreeMap::new();
        let mut stream = self.seeker.find(query.clone());
        while let Some(item) = SUITE.within(step, stream.next()).await {
            // One source among several may fail; what is checked is what was found.
            let Ok(provider) = item else { continue };
            let address = provider
                .record
                .as_ref()
                .map(|record| record.record().address.clone());
            let before = found.insert((provider.peer, address), provider.clone());
            SUITE.check(
                step,
                before.as_ref() != Some(&provider),
                "the same provider twice",
            );
        }
        found.into_values().collect()
    }

    /// Searches until `good` holds of what was found, for as long as a step may take.
    async fn until(&self, step: &str, query: &Query, good: impl Fn(&[Provider]) -> bool) {
        let search = async {
            loop {
                let found = self.search(step, query).await;
                if good(&found) {
                    return;
                }
                tracing::debug!(step, ?found, "not yet");
                tokio::time::sleep(PAUSE).await;
            }
        };
        SUITE.within(step, search).await;
    }
}

fn name(text: &str) -> Address {
    SUITE.ok("a name", format!("o://conformance/{text}").parse())
}

fn capability(text: &str) -> Capability {
    SUITE.ok("a capability", format!("conformance/{text}").parse())
}

fn by_name(text: &str) -> Query {
    Query::Name(name(text))
}

fn by_capability(text: &str) -> Query {
    Query::Capability(capability(text))
}

/// Checks that what is announced is found by name and by capability, that a newer record replaces
/// an older one, that what is withdrawn is gone, and that searches end.
///
/// The source must hold nothing below `o://conformance` and `conformance/` before. Sources that
/// need time to spread what they learn get it.
///
/// # Panics
/// When the source does not conform.
///
/// # Cancel safety
/// Dropping the future ends the suite; what it has announced may stay until it expires.
pub async fn discovery(case: &DiscoveryCase) {
    finds_nothing(case).await;
    let (newer, second) = announced(case).await;
    withdrawn(case, &newer, &second).await;
}

/// What is announced is found, and newer records replace older ones: the two that are left.
async fn announced(case: &DiscoveryCase) -> (SignedRecord, SignedRecord) {
    let first = case.record("first", &["both", "early"], 1);
    let second = case.record("second", &["both"], 1);
    for record in [&first, &second] {
        SUITE
            .ok_within("announcing a record", case.announcer.announce(record))
            .await;
    }
    found_by(case).await;
    searches_may_be_dropped(case).await;

    let newer = case.record("first", &["both", "late"], 2);
    SUITE
        .ok_within("announcing a newer record", case.announcer.announce(&newer))
        .await;
    replaced(case).await;
    // An older one is refused or passed over, but never comes back.
    let _ = SUITE
        .within(
            "announcing an older record",
            case.announcer.announce(&first),
        )
        .await;
    replaced(case).await;
    (newer, second)
}

/// What is withdrawn is gone, and nothing else; in the end all of it.
async fn withdrawn(case: &DiscoveryCase, newer: &SignedRecord, second: &SignedRecord) {
    let step = "withdrawing a name";
    SUITE
        .ok_within(step, case.announcer.withdraw(&case.tombstone(newer)))
        .await;
    case.until(
        "a withdrawn name is gone",
        &by_name("first"),
        <[_]>::is_empty,
    )
    .await;
    case.until(
        "so is its capability",
        &by_capability("late"),
        <[_]>::is_empty,
    )
    .await;
    case.until("the other name stays", &by_name("second"), |found| {
        of(case, found)
    })
    .await;

    let step = "withdrawing what was never announced";
    let never = case.record("never", &[], 1);
    SUITE
        .ok_within(step, case.announcer.withdraw(&case.tombstone(&never)))
        .await;
    SUITE
        .ok_within(
            "withdrawing the other name",
            case.announcer.withdraw(&case.tombstone(second)),
        )
        .await;
    case.until(
        "then nothing is left",
        &by_capability("both"),
        <[_]>::is_empty,
    )
    .await;
}

/// Whether all that was found is the announcer, and at least that.
fn of(case: &DiscoveryCase, found: &[Provider]) -> bool {
    !found.is_empty() && found.iter().all(|provider| provider.peer == case.peer())
}

async fn finds_nothing(case: &DiscoveryCase) {
    for query in [by_name("first"), by_capability("both")] {
        let step = format!("a search for {query:?} that finds nothing ends");
        let found = case.search(&step, &query).await;
        SUITE.equal(&step, &found, &Vec::new());
    }
}

async fn found_by(case: &DiscoveryCase) {
    case.until("found by name", &by_name("first"), |found| of(case, found))
        .await;
    case.until("found by capability", &by_capability("early"), |found| {
        of(case, found)
    })
    .await;
    case.until(
        "a capability of two names",
        &by_capability("both"),
        |found| of(case, found),
    )
    .await;

    for (step, query) in [
        ("a name that was not announced", by_name("third")),
        (
            "a name above those that were announced",
            Query::Name(SUITE.ok("a name", "o://conformance".parse())),
        ),
        ("a capability that was not announced", by_capability("bot")),
    ] {
        SUITE.equal(step, &case.search(step, &query).await, &Vec::new());
    }

    for provider in case.search("what was found", &by_name("first")).await {
        let Some(record) = provider.record else {
            continue;
        };
        SUITE.equal(
            "the record is of the peer",
            &record.record().peer,
            &provider.peer,
        );
        SUITE.equal(
            "the record is of the name",
            &record.record().address,
            &name("first"),
        );
    }
}

async fn searches_may_be_dropped(case: &DiscoveryCase) {
    let step = "dropping a search";
    drop(case.seeker.find(by_name("first")));
    let mut stream = case.seeker.find(by_capability("both"));
    let _ = SUITE.within(step, stream.next()).await;
    drop(stream);
    case.until(
        "searching after dropped searches",
        &by_name("first"),
        |found| of(case, found),
    )
    .await;
}

/// Nobody is told the older record any more; a source without records has nothing to replace.
async fn replaced(case: &DiscoveryCase) {
    case.until(
        "a newer record replaces the older",
        &by_name("first"),
        |found| {
            let newest = |provider: &Provider| {
                provider
                    .record
                    .as_ref()
                    .is_none_or(|record| record.record().sequence == 2)
            };
            of(case, found) && found.iter().all(newest)
        },
    )
    .await;
    case.until(
        "found by a new capability",
        &by_capability("late"),
        |found| of(case, found),
    )
    .await;
}
