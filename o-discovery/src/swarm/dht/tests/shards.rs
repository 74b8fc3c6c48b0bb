//! Shards of capabilities: where a node announces itself, and where it looks.

use std::collections::BTreeSet;

use futures::{FutureExt as _, StreamExt as _};

use super::*;

/// A node with the default number of shards.
fn bench() -> Bench {
    Bench::new(DhtConfig {
        allow_private: true,
        ..DhtConfig::default()
    })
}

/// So many others announce themselves to this node under a shard.
fn fill(bench: &mut Bench, shard_of: u8, count: usize) -> Vec<String> {
    let peers = (0..count).map(|_| PeerId::random());
    peers
        .map(|peer| {
            bench.receive(ProviderRecord::new(
                record_key(&shard(shard_of)),
                peer,
                vec![at(5)],
            ));
            peer.to_string()
        })
        .collect()
}

/// Under which shards of the capability this node announces itself.
fn announced(bench: &mut Bench) -> Vec<u8> {
    let provided = |shard_of: &u8| {
        let store = bench.kad.store_mut();
        store.provides(&record_key(&shard(*shard_of)))
    };
    (0..keys::MAX_SHARDS).filter(provided).collect()
}

fn home(bench: &Bench, level: u32) -> u8 {
    keys::home(&keys::level(4, level), &bench.local).unwrap()
}

/// Lets everything happen that is due.
fn settle(bench: &mut Bench) {
    bench.pass(Duration::ZERO);
    while bench.poll() {}
}

#[tokio::test]
async fn a_capability_is_announced_in_four_places_and_its_name_in_one() {
    let mut bench = bench();
    bench.announce(bench.record("o://a", 1)).await.unwrap();
    assert_eq!(announced(&mut bench), [0, 1, 2, 3]);
    assert_eq!(bench.provided(), 5);
    bench.meet();
    settle(&mut bench);
    assert_eq!(announced(&mut bench), [0, 1, 2, 3], "nobody else does");
    bench.withdraw(&bench.record("o://a", 1)).await;
    assert_eq!(bench.provided(), 0);
}

#[tokio::test]
async fn where_an_answer_is_full_the_next_level_is_used_too() {
    let mut bench = bench();
    let first = home(&bench, 0);
    bench.announce(bench.record("o://a", 1)).await.unwrap();
    fill(&mut bench, first, 18);
    bench.meet();
    settle(&mut bench);
    assert_eq!(announced(&mut bench), [0, 1, 2, 3], "19 with ourselves");

    fill(&mut bench, first, 1);
    let second = home(&bench, 1);
    fill(&mut bench, second, 30);
    bench.pass(Duration::from_secs(1200)); // It is announced again.
    settle(&mut bench);
    let third = home(&bench, 2);
    assert_eq!(announced(&mut bench), [0, 1, 2, 3, second, third]);
    assert!((4..8).contains(&second) && (8..16).contains(&third));

    // A newer record stays where its capability was; and all of them are taken back.
    bench.announce(bench.record("o://a", 2)).await.unwrap();
    assert_eq!(announced(&mut bench), [0, 1, 2, 3, second, third]);
    bench.withdraw(&bench.record("o://a", 2)).await;
    assert_eq!(bench.provided(), 0);
}

#[tokio::test]
async fn two_agents_share_the_shards_of_a_capability() {
    let mut bench = bench();
    let first = home(&bench, 0);
    fill(&mut bench, first, 20);
    for name in ["o://a", "o://b"] {
        bench.announce(bench.record(name, 1)).await.unwrap();
    }
    bench.meet();
    settle(&mut bench);
    assert_eq!(announced(&mut bench).len(), 5);
    bench.withdraw(&bench.record("o://a", 1)).await;
    assert_eq!(announced(&mut bench).len(), 5);
    bench.withdraw(&bench.record("o://b", 1)).await;
    assert_eq!(bench.provided(), 0);
}

#[tokio::test]
async fn a_search_looks_in_all_places_and_in_the_next_level_where_they_are_full() {
    let mut bench = bench();
    let mut everybody = BTreeSet::new();
    for shard_of in 0..4 {
        everybody.extend(fill(&mut bench, shard_of, 1 + 6 * usize::from(shard_of)));
    }
    let beyond = fill(&mut bench, 5, 2);
    let found = find(&mut bench).await;
    assert_eq!(found, everybody, "none of these answers is full");

    everybody.extend(fill(&mut bench, 3, 1));
    everybody.extend(beyond);
    let far = fill(&mut bench, 9, 1);
    assert_eq!(find(&mut bench).await, everybody);

    everybody.extend(fill(&mut bench, 5, 18));
    everybody.extend(far);
    assert_eq!(find(&mut bench).await, everybody);
}

#[tokio::test]
async fn one_place_has_no_more_than_its_share_of_the_answer() {
    let mut bench = Bench::new(DhtConfig {
        allow_private: true,
        max_providers: 40,
        ..DhtConfig::default()
    });
    // Whoever surrounds three of the four places could tell of more than a search may find.
    for shard_of in 0..3 {
        fill(&mut bench, shard_of, 200);
    }
    let honest = fill(&mut bench, 3, 1);
    let found = find(&mut bench).await;
    assert!(found.contains(&honest[0]));
}

#[tokio::test]
async fn a_silent_place_holds_up_a_search_for_a_second() {
    let mut bench = bench();
    bench.meet();
    let mut search = bench.handle.find(capability());
    assert!(search.next().now_or_never().is_none());
    let command = bench.commands.recv().await.unwrap();
    bench.state.on_command(&mut bench.kad, command, bench.now);
    assert_eq!(bench.queries(), 1);
    bench.pass(Duration::from_millis(999));
    assert_eq!(bench.queries(), 1);
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.queries(), 4);
}

async fn find(bench: &mut Bench) -> BTreeSet<String> {
    let search = bench.handle.find(capability());
    let found: Vec<_> = bench.wait(search.collect()).await;
    let peers = found.into_iter().map(|hint| hint.unwrap().peer.to_string());
    peers.collect()
}
