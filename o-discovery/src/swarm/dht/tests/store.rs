//! The store: whose records are kept, and how many.

use std::collections::BTreeSet;

use super::*;

fn store(local: PeerId, config: DhtConfig) -> ProviderStore {
    ProviderStore::new(local, &config)
}

fn providing(n: u8, provider: PeerId) -> ProviderRecord {
    ProviderRecord::new(key(n), provider, vec![at(1)])
}

#[test]
fn strangers_cannot_take_the_room_of_our_own() {
    let local = PeerId::random();
    let limits = DhtConfig {
        max_stored: 3,
        max_announced_keys: 2,
        ..DhtConfig::default()
    };
    let mut store = store(local, limits);
    for n in 0..10 {
        let added = store.add_provider(providing(n, PeerId::random()));
        assert_eq!(added.is_ok(), n < 3);
    }
    assert_eq!(store.stored(), 3);
    store.add_provider(providing(100, local)).unwrap();
    store.add_provider(providing(101, local)).unwrap();
    store.add_provider(providing(101, local)).unwrap();
    assert!(store.add_provider(providing(102, local)).is_err());
    assert_eq!(store.provided().count(), 2);
    assert_eq!(store.stored(), 3);
}

#[test]
fn keys_and_peers_are_bounded_and_removal_makes_room() {
    let limits = DhtConfig {
        max_stored_per_key: 2,
        max_stored_per_peer: 2,
        ..DhtConfig::default()
    };
    let mut store = store(PeerId::random(), limits);
    let [a, b, c] = [(); 3].map(|()| PeerId::random());
    for (n, peer, fits) in [
        (1, a, true),
        (1, b, true),
        (1, c, false),
        (1, a, true),
        (2, a, true),
        (3, a, false),
    ] {
        assert_eq!(store.add_provider(providing(n, peer)).is_ok(), fits, "{n}");
    }
    store.remove_provider(&key(1), &a);
    store.remove_provider(&key(1), &a);
    assert_eq!(store.stored(), 2);
    store.add_provider(providing(1, c)).unwrap();
    store.add_provider(providing(3, a)).unwrap();
}

#[test]
fn what_has_expired_is_forgotten() {
    let (local, peer) = (PeerId::random(), PeerId::random());
    let mut store = store(
        local,
        DhtConfig {
            max_stored_per_peer: 2,
            ..DhtConfig::default()
        },
    );
    let now = Instant::now();
    let expiring = |n, seconds| ProviderRecord {
        expires: Some(now + Duration::from_secs(seconds)),
        ..providing(n, peer)
    };
    store.add_provider(expiring(1, 10)).unwrap();
    store.add_provider(expiring(2, 20)).unwrap();
    store.add_provider(providing(1, local)).unwrap();
    store.sweep(now + Duration::from_secs(10));
    assert_eq!(store.stored(), 1);
    assert!(store.knows(&key(2), now));
    assert!(!store.knows(&key(2), now + Duration::from_secs(20)));
    assert!(
        store.knows(&key(1), now + Duration::from_secs(99)),
        "our own stays"
    );
    store.add_provider(expiring(3, 30)).unwrap();
    store.sweep(now + Duration::from_secs(60));
    assert_eq!(store.stored(), 0);
}

#[test]
fn answers_go_round_all_providers() {
    let mut store = store(PeerId::random(), DhtConfig::default());
    let everybody: BTreeSet<_> = (0..45).map(|_| PeerId::random()).collect();
    for peer in &everybody {
        store.add_provider(providing(1, *peer)).unwrap();
    }
    let answer = || -> BTreeSet<PeerId> {
        let all = store.providers(&key(1));
        assert_eq!(all.len(), 45);
        all.into_iter()
            .take(20)
            .map(|record| record.provider)
            .collect()
    };
    let told: BTreeSet<_> = (0..3).flat_map(|_| answer()).collect();
    assert_eq!(told, everybody);
}

#[test]
fn a_provider_without_addresses_gets_those_that_identify_gave() {
    let limits = DhtConfig {
        max_known_peers: 2,
        ..DhtConfig::default()
    };
    let mut store = store(PeerId::random(), limits);
    let [a, b, c] = [(); 3].map(|()| PeerId::random());
    for peer in [a, b] {
        store
            .add_provider(ProviderRecord::new(key(1), peer, Vec::new()))
            .unwrap();
        store.remember(peer, vec![at(7)]);
    }
    store.add_provider(providing(1, c)).unwrap();
    store.remember(a, vec![at(8)]);
    store.remember(c, vec![at(9)]); // b was heard of longest ago.
    let addresses = |store: &ProviderStore, peer| {
        let mut all = store.providers(&key(1)).into_iter();
        all.find(|record| record.provider == peer)
            .unwrap()
            .addresses
    };
    assert_eq!(addresses(&store, a), [at(8)]);
    assert!(addresses(&store, b).is_empty());
    assert_eq!(
        addresses(&store, c),
        [at(1)],
        "what it announced itself comes first"
    );
    store.remember(a, Vec::new());
    assert!(addresses(&store, a).is_empty());
}

#[test]
fn values_are_not_stored() {
    let mut store = store(PeerId::random(), DhtConfig::default());
    assert!(store.put(kad::Record::new(key(1), vec![1])).is_err());
    assert!(store.get(&key(1)).is_none());
}
