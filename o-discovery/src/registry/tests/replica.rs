//! A registry and a copy of it, without a network between them.

use futures::future::{Either, select};
use o_core::Caller;

use super::*;

/// Calls the agent of a registry as this peer.
#[derive(Debug)]
struct Direct(Registry, u8);

#[async_trait::async_trait]
impl Caller for Direct {
    async fn call(&self, call: OutgoingCall) -> Result<Reply, CallError> {
        ask(&self.0.agent(alone()), self.1, &call.method, &()).await
    }
}

/// The names that the copy has.
fn copied(copy: &Replica) -> Vec<String> {
    let below = Attributes::any(["below:o://a".parse().unwrap()]);
    let found = copy.find(&Query::Attributes(below));
    let mut names: Vec<_> = found
        .into_iter()
        .map(|found| found.record.unwrap().record().address.to_string())
        .collect();
    names.sort_unstable();
    names
}

/// Follows until the copy has these names.
async fn until(copy: &Replica, of: &Registry, names: &[&str]) {
    let caller = Direct(of.clone(), 9);
    let following = std::pin::pin!(copy.follow(&caller, Registry::address()));
    let looking = std::pin::pin!(async {
        while copied(copy) != names {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let done = tokio::time::timeout(Duration::from_secs(60), select(following, looking)).await;
    assert!(
        matches!(done, Ok(Either::Right(_))),
        "{:?} and not {names:?}",
        copied(copy)
    );
}

fn insert(registry: &Registry, name: &str, by: u8) {
    registry.insert(&signed(name, by, 1), peer(by)).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_copy_has_what_the_registry_has_and_keeps_it_when_that_is_gone() {
    let above = registry();
    let copy = Replica::like(&above);
    for n in 1..=40 {
        insert(&above, &format!("o://a/n{n}"), n);
    }
    let first = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(copied(&copy).len(), 40);
        above.lost(&peer(7));
        let record = signed("o://a/n8", 8, 1);
        let stone = tombstone(record.record());
        let stone = o_protocol::sign_tombstone(stone.tombstone(), &Key(peer(8))).unwrap();
        assert!(above.withdraw(&stone));
        insert(&above, "o://a/late", 41);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let names = copied(&copy);
        assert_eq!(names.len(), 39, "{names:?}");
        assert!(
            names
                .iter()
                .all(|name| name != "o://a/n7" && name != "o://a/n8")
        );
        assert!(names.contains(&"o://a/late".to_owned()));
        above.close();
    };
    let caller = Direct(above.clone(), 9);
    let following = copy.follow(&caller, Registry::address());
    // It ends because the registry closes.
    let ((), error) = futures::join!(first, following);
    assert!(matches!(error, CallError::ConnectionLost { .. }), "{error}");
    assert_eq!(copied(&copy).len(), 39);
    let refused = copy.follow(&caller, Registry::address()).await;
    assert_eq!(refused, CallError::ShuttingDown);

    // It comes back with less, and only that is left once it has told all of it.
    let again = registry();
    insert(&again, "o://a/n1", 1);
    until(&copy, &again, &["o://a/n1"]).await;
}

#[tokio::test(start_paused = true)]
async fn who_is_too_far_behind_begins_anew() {
    let above = registry();
    let mut stream = above.watch(peer(9)).unwrap();
    assert!(stream.next().await.unwrap().unwrap().complete);
    let record = signed("o://a/n1", 1, 1);
    for _ in 0..2500 {
        above.insert(&record, peer(1)).unwrap();
        above.lost(&peer(1));
    }
    let told = stream.next().await.unwrap();
    assert!(matches!(told, Err(CallError::Busy { .. })), "{told:?}");
    assert!(stream.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn as_many_are_told_as_the_limit_says_and_one_peer_twice() {
    let check: Check = Arc::new(|_, _| Ok(()));
    let config = RegistryConfig {
        max_watchers: 2,
        ..RegistryConfig::default()
    };
    let above = Registry::new(NetworkId::default(), config, Arc::new(Trusting), check);
    let busy = |by| matches!(above.watch(peer(by)), Err(CallError::Busy { .. }));
    let first = [above.watch(peer(1)).unwrap(), above.watch(peer(1)).unwrap()];
    let second = above.watch(peer(2)).unwrap();
    assert!(busy(1) && busy(3));
    drop(second);
    assert!(!busy(3) && busy(1));
    drop(first);
    assert!(!busy(1));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_hold_is_not_copied() {
    /// Tells what nobody has signed, again and again.
    #[derive(Debug)]
    struct Liar;

    #[async_trait::async_trait]
    impl Caller for Liar {
        async fn call(&self, _: OutgoingCall) -> Result<Reply, CallError> {
            let forged = Watched {
                changes: vec![Change {
                    name: "o://a/forged".parse().unwrap(),
                    peer: peer(1),
                    record: Some(Blob(bytes::Bytes::from_static(b"forged"))),
                }],
                complete: true,
            };
            let items = std::iter::repeat(encode_body(Encoding::Cbor, &forged).unwrap());
            Ok(Reply::Stream(stream::iter(items.map(Ok)).boxed()))
        }
    }
    let copy = Replica::like(&registry());
    let error = copy.follow(&Liar, Registry::address()).await;
    assert!(matches!(error, CallError::InvalidReply { .. }), "{error}");
    assert!(copy.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_search_asks_the_copy_where_nobody_else_can_be_asked() {
    let above = registry();
    insert(&above, "o://a/n1", 1);
    insert(&above, "o://a/n2", 2);
    let copy = Replica::like(&above);
    until(&copy, &above, &["o://a/n1", "o://a/n2"]).await;

    let own = registry();
    insert(&own, "o://a/n1", 1);
    let source = |others: Vec<Address>| {
        let others: Registries = Arc::new(move || others.clone());
        RegistryDiscovery::new(
            others,
            Arc::new(Gone),
            Arc::new(Trusting),
            NetworkId::default(),
        )
        .with_own(own.clone(), peer(5))
        .with_standby(copy.clone())
    };
    let below = Attributes::any(["below:o://a".parse().unwrap()]);
    for others in [Vec::new(), vec![Registry::address().pinned(peer(6))]] {
        let found = o_core::Discovery::find(&source(others), Query::Attributes(below.clone()));
        let found: Vec<_> = found.collect().await;
        let peers: Vec<_> = found.into_iter().map(|found| found.unwrap().peer).collect();
        assert_eq!(peers, [peer(1), peer(2)]);
    }
}

/// Whoever is called cannot be reached.
#[derive(Debug)]
struct Gone;

#[async_trait::async_trait]
impl Caller for Gone {
    async fn call(&self, call: OutgoingCall) -> Result<Reply, CallError> {
        Err(CallError::Unreachable {
            address: call.target,
            reason: "it is gone".into(),
        })
    }
}
