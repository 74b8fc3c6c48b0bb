//! What a running node has inside.

use o_address::Address;
use o_core::{Route, Source};

use super::*;

#[test]
fn routes_are_remembered_up_to_a_limit() {
    let cache = |lifetime, limit| crate::route::RouteCache::new(lifetime, lifetime, limit);
    let route = |source| Route {
        peer: Keypair::from_seed("a").peer_id(),
        addresses: Vec::new(),
        source,
        age: std::time::Duration::ZERO,
    };
    let address = |n: usize| format!("o://a/b{n}").parse::<Address>().unwrap();

    let kept = cache(std::time::Duration::from_secs(60), 3);
    kept.put(&address(0), route(Source::Dht), None);
    assert_eq!(kept.get(&address(0)).unwrap().source, Source::Dht);
    assert!(kept.get(&address(1)).is_none());
    kept.forget(&address(0));
    assert!(kept.get(&address(0)).is_none());
    kept.miss(&address(1));
    assert!(kept.is_absent(&address(1)) && !kept.is_absent(&address(2)));
    kept.put(&address(1), route(Source::Dht), None);
    assert!(!kept.is_absent(&address(1)));
    let none = cache(std::time::Duration::ZERO, 3);
    none.miss(&address(1));
    assert!(!none.is_absent(&address(1)));
    // No longer than the record holds.
    let holding = |created: std::time::SystemTime| {
        let times = o_core::RecordTimes::starting(created, std::time::Duration::from_secs(10));
        let peer = route(Source::Dht).peer;
        o_core::Record::new(address(1), peer, o_core::NetworkId::default(), times)
    };
    let now = std::time::SystemTime::now();
    let (fresh, old) = (
        holding(now),
        holding(now - std::time::Duration::from_secs(3600)),
    );
    kept.put(&address(1), route(Source::Dht), Some(&fresh));
    kept.put(&address(2), route(Source::Dht), Some(&old));
    assert!(kept.get(&address(1)).is_some() && kept.peer(&address(1)).is_some());
    assert!(kept.get(&address(2)).is_none() && kept.peer(&address(2)).is_none());
    // Bounded.
    for n in 0..100 {
        kept.put(&address(n), route(Source::Dht), None);
        kept.miss(&address(100 + n));
    }
    let absent = (100..200).filter(|n| kept.is_absent(&address(*n)));
    assert!((1..=3).contains(&absent.count()));
    assert!(
        (0..100)
            .filter(|n| kept.get(&address(*n)).is_some())
            .count()
            <= 3
    );
}
