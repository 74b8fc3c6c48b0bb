//! Merging: provenance, failures, limits.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

use o_address::{PeerId, TransportAddr};
use o_core::{Provider, Source};
use proptest::{collection::vec, prelude::*};
use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::{
    BootstrapDiscovery, MemoryDiscovery,
    testing::{peer, record, signed, tombstone},
};

/// A source that says what it is told to, and counts what it is told.
#[derive(Debug)]
struct Scripted {
    announce: fn() -> Result<(), DiscoveryError>,
    find: fn() -> ProviderStream,
}

impl Default for Scripted {
    fn default() -> Self {
        Self {
            announce: || Ok(()),
            find: || stream::empty().boxed(),
        }
    }
}

#[async_trait]
impl Discovery for Scripted {
    async fn announce(&self, _: &SignedRecord) -> Result<(), DiscoveryError> {
        (self.announce)()
    }

    async fn withdraw(&self, _: &SignedTombstone) -> Result<(), DiscoveryError> {
        (self.announce)()
    }

    fn find(&self, _: Query) -> ProviderStream {
        (self.find)()
    }
}

fn busy() -> DiscoveryError {
    DiscoveryError::Busy { limit: "test" }
}

fn address(n: u8) -> TransportAddr {
    format!("/ip4/127.0.0.1/tcp/{}", u16::from(n) + 1)
        .parse()
        .unwrap()
}

fn query() -> Query {
    Query::Capability("text/summarize".parse().unwrap())
}

async fn all(merged: &MergedDiscovery) -> Vec<Result<Provider, DiscoveryError>> {
    merged.find(query()).collect().await
}

#[tokio::test]
async fn one_peer_of_two_sources_is_merged() {
    let memory = MemoryDiscovery::default();
    let announced = signed(record("o://a", peer(1), 1, SystemTime::now()));
    memory.announce(&announced).await.unwrap();
    let dialable = address(9).with_peer(&peer(1));
    let bootstrap = BootstrapDiscovery::new([dialable.clone()]).unwrap();
    let merged = MergedDiscovery::default().with(bootstrap).with(memory);

    let found: Vec<_> = all(&merged).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(
        found.len(),
        2,
        "the first sighting, then what the second source added"
    );
    assert_eq!(found[0].sources.len(), 1);
    let last = &found[1];
    assert_eq!(last.peer, peer(1));
    assert_eq!(last.record.as_ref(), Some(&announced));
    let sources: BTreeSet<_> = last.sources.iter().copied().collect();
    assert_eq!(sources, BTreeSet::from([Source::Bootstrap, Source::Memory]));
    assert_eq!(last.addresses.len(), 2);
    assert!(last.addresses.contains(&dialable));
}

#[tokio::test]
async fn a_sighting_is_yielded_before_the_other_source_has_answered() {
    #[derive(Debug)]
    struct Slow(std::sync::Mutex<Option<mpsc::Receiver<Provider>>>);
    #[async_trait]
    impl Discovery for Slow {
        async fn announce(&self, _: &SignedRecord) -> Result<(), DiscoveryError> {
            Ok(())
        }
        async fn withdraw(&self, _: &SignedTombstone) -> Result<(), DiscoveryError> {
            Ok(())
        }
        fn find(&self, _: Query) -> ProviderStream {
            let found = self.0.lock().unwrap().take().unwrap();
            stream::unfold(found, |mut found| async {
                Some((Ok(found.recv().await?), found))
            })
            .boxed()
        }
    }
    let (slow, found) = mpsc::channel(1);
    let bootstrap = BootstrapDiscovery::new([address(1).with_peer(&peer(1))]).unwrap();
    let slow_source = Slow(std::sync::Mutex::new(Some(found)));
    let merged = MergedDiscovery::default().with(slow_source).with(bootstrap);
    let mut search = merged.find(query());
    assert_eq!(
        search.next().await.unwrap().unwrap().sources,
        [Source::Bootstrap]
    );
    slow.send(Provider::hint(peer(1), Vec::new(), Source::Dht))
        .await
        .unwrap();
    let again = search.next().await.unwrap().unwrap();
    assert_eq!(again.sources, [Source::Bootstrap, Source::Dht]);
    drop(search);
    assert!(
        slow.is_closed(),
        "dropping the search drops those of its sources"
    );
}

#[tokio::test]
async fn what_is_known_already_is_not_yielded_again() {
    let bootstrap = BootstrapDiscovery::new([address(1).with_peer(&peer(1))]).unwrap();
    let merged = MergedDiscovery::default()
        .with(bootstrap.clone())
        .with(bootstrap);
    assert_eq!(all(&merged).await.len(), 1);
}

#[tokio::test]
async fn two_names_of_one_peer_stay_two() {
    let memory = MemoryDiscovery::default();
    for name in ["o://a", "o://b"] {
        let record = record(name, peer(1), 1, SystemTime::now());
        memory.announce(&signed(record)).await.unwrap();
    }
    let merged = MergedDiscovery::default().with(memory.clone()).with(memory);
    let found = all(&merged).await;
    let names: Vec<_> = found
        .iter()
        .map(|found| {
            found
                .as_ref()
                .unwrap()
                .record
                .as_ref()
                .unwrap()
                .record()
                .address
                .as_str()
        })
        .collect();
    assert_eq!(names, ["o://a", "o://b"]);
}

#[tokio::test]
async fn a_failure_shows_only_if_nothing_was_found() {
    let failing = || Scripted {
        find: || stream::iter([Err(busy())]).boxed(),
        ..<_>::default()
    };
    let offline = || Scripted {
        find: || stream::iter([Err(DiscoveryError::NoNetwork)]).boxed(),
        ..<_>::default()
    };
    let bootstrap = BootstrapDiscovery::new([address(1).with_peer(&peer(1))]).unwrap();
    let merged = MergedDiscovery::default().with(failing()).with(bootstrap);
    let found = all(&merged).await;
    assert_eq!(found.len(), 1);
    assert!(found[0].is_ok());

    let merged = MergedDiscovery::default()
        .with(offline())
        .with(failing())
        .with(offline());
    let found = all(&merged).await;
    assert!(
        matches!(found[..], [Err(DiscoveryError::Busy { limit: "test" })]),
        "{found:?}"
    );

    let merged = MergedDiscovery::default().with(offline()).with(offline());
    let found = all(&merged).await;
    assert!(
        matches!(found[..], [Err(DiscoveryError::NoNetwork)]),
        "{found:?}"
    );

    let merged = MergedDiscovery::default()
        .with(Scripted::default())
        .with(offline());
    assert!(
        all(&merged).await.is_empty(),
        "nobody failed and nobody was found"
    );
}

#[tokio::test]
async fn without_a_source_there_is_no_network() {
    let merged = MergedDiscovery::default();
    assert!(merged.is_empty());
    assert!(matches!(
        all(&merged).await[..],
        [Err(DiscoveryError::NoNetwork)]
    ));
    let record = signed(record("o://a", peer(1), 1, SystemTime::now()));
    assert!(matches!(
        merged.announce(&record).await,
        Err(DiscoveryError::NoNetwork)
    ));
    merged.withdraw(&tombstone(record.record())).await.unwrap();
}

#[tokio::test]
async fn one_source_that_accepts_is_enough_and_all_are_told() {
    let failing = || Scripted {
        announce: || Err(busy()),
        ..<_>::default()
    };
    let record = signed(record("o://a", peer(1), 1, SystemTime::now()));
    let memory = MemoryDiscovery::default();
    let merged = MergedDiscovery::default()
        .with(failing())
        .with(memory.clone());
    assert_eq!(merged.len(), 2);
    merged.announce(&record).await.unwrap();
    assert_eq!(memory.len(), 1);

    // A name is withdrawn only when every source knows.
    let withdrawn = merged.withdraw(&tombstone(record.record())).await;
    assert!(matches!(withdrawn, Err(DiscoveryError::Busy { .. })));
    assert_eq!(memory.len(), 0);

    let merged = MergedDiscovery::default().with(failing()).with(failing());
    assert!(matches!(
        merged.announce(&record).await,
        Err(DiscoveryError::Busy { .. })
    ));
}

#[tokio::test]
async fn a_search_ends_when_enough_are_found() {
    let endless = Scripted {
        find: || {
            let peers = stream::iter(0_u8..).chain(stream::pending());
            peers
                .map(|n| Ok(Provider::hint(peer(n), Vec::new(), Source::Dht)))
                .boxed()
        },
        ..<_>::default()
    };
    let config = MergedConfig {
        max_providers: 3,
        ..MergedConfig::default()
    };
    let merged = MergedDiscovery::new(config).with(endless);
    let deadline = Duration::from_secs(10);
    let found = tokio::time::timeout(deadline, all(&merged)).await.unwrap();
    assert_eq!(found.len(), 3);
}

#[tokio::test]
async fn sources_are_told_at_once() {
    /// Accepts when the other one has been told, too.
    #[derive(Debug)]
    struct Meeting(tokio::sync::Mutex<Option<(oneshot::Sender<()>, oneshot::Receiver<()>)>>);
    #[async_trait]
    impl Discovery for Meeting {
        async fn announce(&self, _: &SignedRecord) -> Result<(), DiscoveryError> {
            let (here, there) = self.0.lock().await.take().unwrap();
            here.send(()).unwrap();
            there.await.map_err(|_| DiscoveryError::Shutdown)
        }
        async fn withdraw(&self, _: &SignedTombstone) -> Result<(), DiscoveryError> {
            Ok(())
        }
        fn find(&self, _: Query) -> ProviderStream {
            stream::empty().boxed()
        }
    }
    let (here, to_here) = oneshot::channel();
    let (there, to_there) = oneshot::channel();
    let meeting = |pair| Meeting(tokio::sync::Mutex::new(Some(pair)));
    let merged = MergedDiscovery::default()
        .with(meeting((here, to_there)))
        .with(meeting((there, to_here)));
    let record = signed(record("o://a", peer(1), 1, SystemTime::now()));
    let told = tokio::time::timeout(Duration::from_secs(10), merged.announce(&record));
    told.await.unwrap().unwrap();
}

/// What a search for a name has heard of, each with the time since it began.
async fn by_name(first: &[Scripted], last: Scripted) -> Vec<(Source, Duration)> {
    let merged = first
        .iter()
        .fold(MergedDiscovery::default(), |merged, source| {
            let Scripted { announce, find } = *source;
            merged.with(Scripted { announce, find })
        });
    let begun = tokio::time::Instant::now();
    let found = merged
        .with_last(last)
        .find(Query::Name("o://a".parse().unwrap()));
    found
        .map(|found| (found.unwrap().sources[0], begun.elapsed()))
        .collect()
        .await
}

fn finds(find: fn() -> ProviderStream) -> Scripted {
    Scripted {
        find,
        ..Scripted::default()
    }
}

fn saw(n: u8, source: Source) -> ProviderStream {
    stream::iter([Ok(Provider::hint(peer(n), Vec::new(), source))]).boxed()
}

#[tokio::test(start_paused = true)]
async fn a_name_is_looked_for_in_the_last_source_when_the_others_do_not_have_it() {
    let table = || finds(|| saw(9, Source::Dht));
    let none = Duration::ZERO;
    let head_start = MergedConfig::default().head_start;

    // Nobody has it, and a bootstrap peer is only there.
    let there = finds(|| saw(1, Source::Bootstrap));
    let found = by_name(&[there, Scripted::default()], table()).await;
    assert_eq!(found, [(Source::Bootstrap, none), (Source::Dht, none)]);
    // Somebody has it: whoever reads on hears of the others too.
    let found = by_name(&[finds(|| saw(1, Source::Registry))], table()).await;
    assert_eq!(found, [(Source::Registry, none), (Source::Dht, head_start)]);
    // A source that does not answer holds up nobody for longer.
    let stuck = finds(|| stream::pending().take(1).boxed());
    let merged = MergedDiscovery::default().with(stuck).with_last(table());
    let begun = tokio::time::Instant::now();
    let mut search = merged.find(Query::Name("o://a".parse().unwrap()));
    let found = search.next().await.unwrap().unwrap();
    assert_eq!(found.sources, [Source::Dht]);
    assert_eq!(begun.elapsed(), head_start);
    // There is no other.
    let found = by_name(&[], table()).await;
    assert_eq!(found, [(Source::Dht, none)]);
    // Everything but names is looked for everywhere at once.
    let merged = MergedDiscovery::default()
        .with(finds(|| saw(1, Source::Registry)))
        .with_last(table());
    let begun = tokio::time::Instant::now();
    assert_eq!(all(&merged).await.len(), 2);
    assert_eq!(begun.elapsed(), none);
    assert_eq!(merged.len(), 2);
}

fn sighting() -> impl Strategy<Value = Provider> {
    let sources = [Source::Bootstrap, Source::Mdns, Source::Dht, Source::Memory];
    let told = (
        0..4_u8,
        vec(0..6_u8, 0..4),
        0..sources.len(),
        any::<bool>(),
        0..9_u64,
        0..4_u64,
    );
    told.prop_map(move |(of, addresses, source, confirmed, age, sequence)| {
        let addresses = addresses.into_iter().map(address).collect();
        let mut hint = Provider::hint(peer(of), addresses, sources[source]);
        hint.confirmed = confirmed;
        hint.age = Duration::from_secs(age);
        let about = |sequence| signed(record("o://a", peer(of), sequence, SystemTime::UNIX_EPOCH));
        hint.record = (sequence > 0).then(|| about(sequence));
        hint
    })
}

/// What is known of a peer, in no order.
type Known = (
    BTreeSet<Source>,
    BTreeSet<TransportAddr>,
    bool,
    Duration,
    u64,
);

fn known(provider: &Provider) -> Known {
    (
        provider.sources.iter().copied().collect(),
        provider.addresses.iter().cloned().collect(),
        provider.confirmed,
        provider.age,
        provider
            .record
            .as_ref()
            .map_or(0, |record| record.record().sequence),
    )
}

proptest! {
    /// Whatever the order, what was yielded last for a peer is all that was said of it (only the
    /// age may have fallen since), each thing once, and every item told something new.
    #[test]
    fn nothing_that_was_told_is_lost(sightings in vec(sighting(), 0..30)) {
        let mut expected: BTreeMap<PeerId, Known> = BTreeMap::new();
        for sighting in &sightings {
            let told = known(sighting);
            expected
                .entry(sighting.peer)
                .and_modify(|(sources, addresses, confirmed, _, sequence)| {
                    sources.extend(&told.0);
                    addresses.extend(told.1.iter().cloned());
                    *confirmed |= told.2;
                    *sequence = told.4.max(*sequence);
                })
                .or_insert(told);
        }
        let mut merge = Merge::new(MergedConfig::default());
        let mut yielded: BTreeMap<PeerId, Known> = BTreeMap::new();
        for sighting in sightings {
            if let Some(merged) = merge.add(sighting) {
                prop_assert_eq!(merged.sources.len(), known(&merged).0.len());
                prop_assert_eq!(merged.addresses.len(), known(&merged).1.len());
                let before = yielded.insert(merged.peer, known(&merged));
                prop_assert_ne!(before, Some(known(&merged)));
            }
        }
        for known in expected.values_mut().chain(yielded.values_mut()) {
            known.3 = Duration::ZERO;
        }
        prop_assert_eq!(yielded, expected);
    }

    #[test]
    fn addresses_and_providers_are_bounded(sightings in vec(sighting(), 0..30)) {
        let config = MergedConfig { max_providers: 2, max_addresses: 3, ..MergedConfig::default() };
        let mut merge = Merge::new(config);
        let mut peers = BTreeSet::new();
        for merged in sightings.into_iter().filter_map(|sighting| merge.add(sighting)) {
            peers.insert(merged.peer);
            prop_assert!(merged.addresses.len() <= 3);
        }
        prop_assert!(peers.len() <= 2);
        prop_assert_eq!(merge.is_full(), peers.len() == 2);
    }
}
