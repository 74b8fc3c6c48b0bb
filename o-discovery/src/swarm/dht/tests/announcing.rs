//! Announcements: when they are made, made again and withdrawn.

use super::*;

#[tokio::test]
async fn a_node_alone_succeeds_and_announces_when_it_meets_somebody() {
    let mut bench = Bench::local();
    bench.announce(bench.record("o://a", 1)).await.unwrap();
    assert_eq!(bench.provided(), 2, "the name and the capability");
    assert_eq!(bench.queries(), 0);
    bench.meet();
    assert_eq!(bench.queries(), 2);
}

#[tokio::test]
async fn what_reached_nobody_is_tried_again_later_and_later() {
    let mut bench = Bench::new(DhtConfig {
        allow_private: true,
        min_shards: 1,
        // No refresh meanwhile.
        bootstrap_interval: Duration::from_secs(24 * 3600),
        ..DhtConfig::default()
    });
    bench.meet();
    bench.announce(bench.record("o://a", 1)).await.unwrap();
    for pause in [5, 10, 20, 40] {
        assert_eq!(bench.queries(), 0);
        bench.pass(Duration::from_secs(pause - 1));
        assert_eq!(bench.queries(), 0, "before {pause} s");
        bench.pass(Duration::from_secs(1));
        assert_eq!(bench.queries(), 2, "after {pause} s");
        assert!(bench.poll());
    }
    bench.pass(Duration::from_secs(1200));
    assert_eq!(bench.queries(), 2, "never later than republish_interval");
}

#[tokio::test]
async fn a_young_table_that_has_doubled_is_told_again() {
    let mut bench = Bench::local();
    bench.meet();
    bench.announce(bench.record("o://a", 1)).await.unwrap();
    let mut again = Vec::new();
    for size in 2..=20 {
        bench.meet();
        if bench.queries() > 0 {
            again.push(size);
        }
        bench.poll();
    }
    assert_eq!(again, [2, 4, 8, 16]);
}

#[tokio::test]
async fn a_capability_of_two_agents_is_provided_until_both_are_gone() {
    let mut bench = Bench::local();
    let [a, b] = ["o://a", "o://b"].map(|name| bench.record(name, 1));
    bench.announce(a.clone()).await.unwrap();
    bench.announce(b.clone()).await.unwrap();
    assert_eq!(bench.provided(), 3);
    bench.withdraw(&a).await;
    assert_eq!(bench.provided(), 2);
    bench.withdraw(&a).await;
    assert_eq!(bench.provided(), 2);
    bench.withdraw(&b).await;
    assert_eq!(bench.provided(), 0);
    bench.meet();
    assert_eq!(bench.queries(), 0);
}

#[tokio::test]
async fn a_newer_record_replaces_the_older() {
    let mut bench = Bench::local();
    bench.announce(bench.record("o://a", 1)).await.unwrap();
    let mut newer = bench.record("o://a", 2);
    newer.capabilities = ["x", "y", "x"].map(|text| text.parse().unwrap()).to_vec();
    bench.announce(newer.clone()).await.unwrap();
    assert_eq!(bench.provided(), 3, "the name, x and y");
    let older = bench.announce(bench.record("o://a", 1)).await;
    assert!(matches!(older, Err(DiscoveryError::BadRecord { .. })));
    let covered = bench.record("o://a", 1);
    bench.withdraw(&covered).await;
    assert_eq!(
        bench.provided(),
        3,
        "the tombstone does not cover sequence 2"
    );
    bench.withdraw(&newer).await;
    assert_eq!(bench.provided(), 0);
}

#[tokio::test]
async fn a_record_is_announced_until_it_expires() {
    let mut bench = Bench::local();
    bench.announce(bench.record("o://a", 1)).await.unwrap();
    bench.pass(Duration::from_secs(3590));
    assert_eq!(bench.provided(), 2);
    bench.pass(Duration::from_secs(11));
    assert_eq!(bench.provided(), 0);
}

#[tokio::test]
async fn only_our_own_records_are_announced() {
    let mut bench = Bench::local();
    let ours = bench.record("o://a", 1);
    let bad = [
        Record {
            peer: crate::testing::peer(1),
            ..ours.clone()
        },
        Record {
            network: "other".parse().unwrap(),
            ..ours.clone()
        },
        Record {
            address: "o://~/x".parse().unwrap(),
            ..ours.clone()
        },
        record(
            "o://a",
            ours.peer,
            1,
            SystemTime::now() - Duration::from_secs(7200),
        ),
    ];
    for record in bad {
        let refused = bench.announce(record).await;
        assert!(
            matches!(refused, Err(DiscoveryError::BadRecord { .. })),
            "{refused:?}"
        );
    }
    assert_eq!(bench.provided(), 0);
    let others = Record {
        peer: crate::testing::peer(1),
        ..ours
    };
    bench.withdraw(&others).await; // Never announced, so no error.
}

#[tokio::test]
async fn names_keys_and_queries_at_once_are_bounded() {
    let limits = DhtConfig {
        max_announcements: 2,
        max_announced_keys: 4,
        min_shards: 1,
        ..DhtConfig::default()
    };
    let mut bench = Bench::new(limits);
    bench.announce(bench.record("o://a", 1)).await.unwrap();
    let mut greedy = bench.record("o://b", 1);
    greedy.capabilities = (0..3).map(|n| format!("c{n}").parse().unwrap()).collect();
    let refused = bench.announce(greedy).await;
    assert!(matches!(
        refused,
        Err(DiscoveryError::Busy {
            limit: "max_announced_keys"
        })
    ));
    assert_eq!(bench.provided(), 2);
    bench.announce(bench.record("o://b", 1)).await.unwrap();
    let refused = bench.announce(bench.record("o://c", 1)).await;
    assert!(matches!(
        refused,
        Err(DiscoveryError::Busy {
            limit: "max_announcements"
        })
    ));
    bench.announce(bench.record("o://b", 2)).await.unwrap();

    let mut bench = Bench::local();
    let mut many = bench.record("o://a", 1);
    many.capabilities = (0..100).map(|n| format!("c{n}").parse().unwrap()).collect();
    bench.announce(many).await.unwrap();
    assert_eq!(bench.provided(), 101);
    bench.meet();
    assert_eq!(bench.queries(), 8, "the others wait their turn");
}

#[tokio::test]
async fn announcing_waits_no_longer_than_a_query_may_take() {
    let mut bench = Bench::local();
    bench.meet();
    let handle = bench.handle.clone();
    let record = signed(bench.record("o://a", 1));
    let announcing = tokio::spawn(async move { handle.announce(&record).await });
    let command = bench.commands.recv().await.unwrap();
    bench.state.on_command(&mut bench.kad, command, bench.now);
    bench.pass(Duration::from_secs(14));
    tokio::task::yield_now().await;
    assert!(!announcing.is_finished());
    bench.pass(Duration::from_secs(1));
    let deadline = Duration::from_secs(10);
    tokio::time::timeout(deadline, announcing)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_node_that_has_gone_says_so() {
    let bench = Bench::local();
    let record = signed(bench.record("o://a", 1));
    let handle = bench.handle.clone();
    drop(bench);
    assert!(matches!(
        handle.announce(&record).await,
        Err(DiscoveryError::Shutdown)
    ));
    assert!(matches!(
        handle.withdraw(&tombstone(record.record())).await,
        Err(DiscoveryError::Shutdown)
    ));
    assert!(matches!(
        handle.bootstrap().await,
        Err(DiscoveryError::Shutdown)
    ));
    let found: Vec<_> = futures::StreamExt::collect(handle.find(capability())).await;
    assert!(matches!(found[..], [Err(DiscoveryError::Shutdown)]));
}
