//! The table between several nodes.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: a failure is the test's"
)]

mod node;
mod records;

use std::{collections::BTreeSet, time::Duration};

use futures::{StreamExt, future::join_all};
use libp2p::PeerId;
use o_core::{Discovery, DiscoveryError, Provider, Query, Source};
use o_discovery::swarm::dht::{DhtConfig, DhtMode, Handle};
use tokio::time::timeout;

pub(crate) use self::node::Node;
use self::records::{record, tombstone};
use crate::support::DEADLINE;

fn name(text: &str) -> Query {
    Query::Name(text.parse().unwrap())
}

fn capability(text: &str) -> Query {
    Query::Capability(text.parse().unwrap())
}

async fn find(handle: &Handle, query: Query) -> Vec<Result<Provider, DiscoveryError>> {
    timeout(DEADLINE, handle.find(query).collect())
        .await
        .unwrap()
}

async fn peers(handle: &Handle, query: Query) -> BTreeSet<String> {
    let found = find(handle, query).await;
    found
        .into_iter()
        .map(|hint| hint.unwrap().peer.to_string())
        .collect()
}

fn only(peer: PeerId) -> BTreeSet<String> {
    BTreeSet::from([peer.to_string()])
}

/// Looks again until `peer` is among those that are found.
async fn until_found(handle: &Handle, query: Query, peer: PeerId) -> Vec<Provider> {
    let looking = async {
        loop {
            let found = find(handle, query.clone()).await;
            let found: Vec<Provider> = found.into_iter().filter_map(Result::ok).collect();
            if found
                .iter()
                .any(|hint| hint.peer.to_string() == peer.to_string())
            {
                return found;
            }
        }
    };
    timeout(DEADLINE, looking).await.unwrap()
}

pub(crate) fn server() -> DhtConfig {
    let mut config = DhtConfig::default();
    config.mode = DhtMode::Server;
    config.allow_private = true;
    config
}

pub(crate) fn client() -> DhtConfig {
    let mut config = server();
    config.mode = DhtMode::Client;
    config
}

#[tokio::test]
async fn five_nodes_with_one_bootstrap_find_a_name_and_a_capability() {
    let bootstrap = Node::start("main", server()).await;
    let a = Node::start("main", server()).await;
    let c = Node::start("main", server()).await;
    let d = Node::start("main", server()).await;
    let e = Node::start("main", client()).await;

    // Alone on its network: the normal first state, and no error.
    let announced = record(&a.network, &a.peer, "o://a/b", "text/summarize");
    timeout(DEADLINE, a.handle.announce(&announced))
        .await
        .unwrap()
        .unwrap();
    let nobody = find(&e.handle, name("o://a/b")).await;
    assert!(
        matches!(nobody[..], [Err(DiscoveryError::NoNetwork)]),
        "{nobody:?}"
    );

    for node in [&a, &c, &d, &e] {
        node.join(&bootstrap).await;
    }
    for query in [name("o://a/b"), capability("text/summarize")] {
        let found = until_found(&e.handle, query, a.peer).await;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].sources, [Source::Dht]);
        assert!(!found[0].confirmed);
        let addresses: Vec<_> = found[0].addresses.iter().map(|a| a.to_string()).collect();
        assert_eq!(addresses, [format!("{}/p2p/{}", a.address, a.peer)]);
    }
    let pinned = format!("o://a/b#{}", a.peer);
    assert_eq!(peers(&e.handle, name(&pinned)).await, only(a.peer));
    let pinned = format!("o://a/b#{}", c.peer);
    assert!(peers(&e.handle, name(&pinned)).await.is_empty());
    assert!(peers(&e.handle, name("o://a")).await.is_empty());
    assert!(peers(&e.handle, capability("text")).await.is_empty());
}

#[tokio::test]
async fn an_announcement_has_arrived_when_announce_returns() {
    let bootstrap = Node::start("main", server()).await;
    let a = Node::start("main", server()).await;
    let e = Node::start("main", client()).await;
    a.join(&bootstrap).await;
    e.join(&bootstrap).await;
    let announced = record(&a.network, &a.peer, "o://a", "x");
    timeout(DEADLINE, a.handle.announce(&announced))
        .await
        .unwrap()
        .unwrap();
    // The last message of an announcement has no answer: it may be a moment behind.
    until_found(&e.handle, name("o://a"), a.peer).await;
}

#[tokio::test]
async fn a_client_is_found_and_can_be_dialed() {
    let bootstrap = Node::start("main", server()).await;
    let a = Node::start("main", client()).await;
    let e = Node::start("main", client()).await;
    a.join(&bootstrap).await;
    e.join(&bootstrap).await;
    a.handle
        .announce(&record(&a.network, &a.peer, "o://a", "x"))
        .await
        .unwrap();
    let found = until_found(&e.handle, capability("x"), a.peer).await;
    let addresses: Vec<_> = found[0].addresses.iter().map(|a| a.to_string()).collect();
    assert_eq!(addresses, [format!("{}/p2p/{}", a.address, a.peer)]);
    // The bootstrap node has nobody in its table, and still knows what it was told.
    assert_eq!(
        peers(&bootstrap.handle, capability("x")).await,
        only(a.peer)
    );
}

#[tokio::test]
async fn a_withdrawn_name_is_told_by_its_node_no_longer() {
    let bootstrap = Node::start("main", server()).await;
    let a = Node::start("main", server()).await;
    let announced = record(&a.network, &a.peer, "o://a", "x");
    a.handle.announce(&announced).await.unwrap();
    assert_eq!(peers(&a.handle, name("o://a")).await, only(a.peer));
    a.handle.withdraw(&tombstone(&announced)).await.unwrap();
    let found = find(&a.handle, name("o://a")).await;
    assert!(matches!(found[..], [Err(DiscoveryError::NoNetwork)]));

    // Withdrawn before anybody was met: nobody ever hears of it.
    a.join(&bootstrap).await;
    assert!(peers(&a.handle, name("o://a")).await.is_empty());
    assert!(peers(&bootstrap.handle, name("o://a")).await.is_empty());
}

#[tokio::test]
async fn what_others_were_told_is_forgotten_after_its_time() {
    let mut forgetful = server();
    forgetful.provider_ttl = Duration::from_secs(1);
    let bootstrap = Node::start("main", forgetful).await;
    let a = Node::start("main", server()).await;
    let e = Node::start("main", client()).await;
    a.join(&bootstrap).await;
    e.join(&bootstrap).await;
    let announced = record(&a.network, &a.peer, "o://a", "x");
    a.handle.announce(&announced).await.unwrap();
    until_found(&e.handle, name("o://a"), a.peer).await;
    drop(a); // Without a word.
    let forgotten = async { while !peers(&e.handle, name("o://a")).await.is_empty() {} };
    timeout(DEADLINE, forgotten).await.unwrap();
}

/// Those who were told know it as soon as the withdrawal has returned, which waits for their answer.
#[tokio::test]
async fn a_withdrawal_reaches_those_who_were_told() {
    let servers = join_all((0..4).map(|_| Node::start("main", server()))).await;
    let [bootstrap, a, ..] = &servers[..] else {
        panic!("there are four");
    };
    let e = Node::start("main", client()).await;
    for node in servers[1..].iter().chain([&e]) {
        node.join(bootstrap).await;
    }
    let [one, two] = ["o://one", "o://two"].map(|at| record(&a.network, &a.peer, at, "x"));
    for announced in [&one, &two] {
        a.handle.announce(announced).await.unwrap();
    }
    for query in [name("o://one"), name("o://two"), capability("x")] {
        until_found(&e.handle, query, a.peer).await;
    }
    withdraw(a, &one).await;
    until_forgotten(&e.handle, name("o://one")).await;
    // The other agent still needs the capability.
    assert_eq!(peers(&e.handle, name("o://two")).await, only(a.peer));
    assert_eq!(peers(&e.handle, capability("x")).await, only(a.peer));

    withdraw(a, &two).await;
    for query in [name("o://two"), capability("x")] {
        until_forgotten(&e.handle, query).await;
    }
    for server in &servers {
        assert_eq!(server.stored().await, 0);
    }
    // What was taken back can be announced again.
    let again = record(&a.network, &a.peer, "o://one", "x");
    a.handle.announce(&again).await.unwrap();
    until_found(&e.handle, name("o://one"), a.peer).await;
}

async fn withdraw(node: &Node, announced: &o_core::SignedRecord) {
    let tombstone = tombstone(announced);
    let withdrawing = node.handle.withdraw(&tombstone);
    timeout(DEADLINE, withdrawing).await.unwrap().unwrap();
}

/// An answered question is no proof that the withdrawal before it has been dealt with, only nearly.
async fn until_forgotten(handle: &Handle, query: Query) {
    let forgotten = async { while !peers(handle, query.clone()).await.is_empty() {} };
    timeout(DEADLINE, forgotten).await.unwrap();
}

#[tokio::test]
async fn a_withdrawal_ends_when_nobody_is_left_to_hear_it() {
    let bootstrap = Node::start("main", server()).await;
    let a = Node::start("main", server()).await;
    a.join(&bootstrap).await;
    let announced = record(&a.network, &a.peer, "o://a", "x");
    a.handle.announce(&announced).await.unwrap();
    drop(bootstrap);
    withdraw(&a, &announced).await;
}

#[tokio::test]
async fn who_leaves_is_taken_out_of_the_tables_and_announces_nothing_more() {
    let bootstrap = Node::start("main", server()).await;
    let a = Node::start("main", server()).await;
    a.join(&bootstrap).await;
    until_in_table(&bootstrap, &a, true).await;
    a.leave().await;
    until_in_table(&bootstrap, &a, false).await;
    let late = record(&a.network, &a.peer, "o://a", "x");
    assert!(
        timeout(Duration::from_millis(200), a.handle.announce(&late))
            .await
            .is_err(),
        "it waits in vain"
    );
    assert_eq!(bootstrap.stored().await, 0);
}

#[tokio::test]
async fn who_is_gone_without_a_word_leaves_the_tables_and_may_come_back() {
    let bootstrap = Node::start("main", server()).await;
    let a = Node::start("main", server()).await;
    a.join(&bootstrap).await;
    until_in_table(&bootstrap, &a, true).await;
    let announced = record(&bootstrap.network, &bootstrap.peer, "o://b", "x");
    bootstrap.handle.announce(&announced).await.unwrap();
    let gone = a.peer;
    drop(a);
    let left = async { while bootstrap.table().await.contains(&gone) {} };
    timeout(DEADLINE, left).await.unwrap();

    // The only server once more, who knows nothing: it is told at once, not at the next round.
    let a = Node::start("main", server()).await;
    a.join(&bootstrap).await;
    let told = async { while a.stored().await < 2 {} };
    timeout(DEADLINE, told).await.unwrap();
}

async fn until_in_table(node: &Node, peer: &Node, wanted: bool) {
    let looking = async { while node.table().await.contains(&peer.peer) != wanted {} };
    timeout(DEADLINE, looking).await.unwrap();
}

#[tokio::test]
async fn another_network_never_shows_up() {
    let bootstrap = Node::start("main", server()).await;
    let stranger = Node::start("other", server()).await;
    let a = Node::start("main", server()).await;
    // Both networks are told of the same bootstrap node, and the stranger of `a` too.
    stranger.join_as_stranger(&bootstrap).await;
    stranger.join_as_stranger(&a).await;
    a.join(&bootstrap).await;
    let theirs = record(&stranger.network, &stranger.peer, "o://a", "x");
    stranger.handle.announce(&theirs).await.unwrap();
    let ours = record(&a.network, &a.peer, "o://a", "x");
    a.handle.announce(&ours).await.unwrap();

    until_found(&bootstrap.handle, capability("x"), a.peer).await;
    for node in [&bootstrap, &a] {
        assert_eq!(peers(&node.handle, capability("x")).await, only(a.peer));
        assert_eq!(peers(&node.handle, name("o://a")).await, only(a.peer));
    }
    assert_eq!(
        peers(&stranger.handle, capability("x")).await,
        only(stranger.peer)
    );
    assert!(!bootstrap.table().await.contains(&stranger.peer));
    assert!(!a.table().await.contains(&stranger.peer));
    let entered = async { while !bootstrap.table().await.contains(&a.peer) {} };
    timeout(DEADLINE, entered).await.unwrap();
    assert!(
        stranger.table().await.is_empty(),
        "it dropped its bootstrap peers"
    );
}

#[tokio::test]
async fn twenty_five_providers_of_one_capability_are_all_found() {
    let bootstrap = Node::start("main", server()).await;
    let providers = join_all((0..25).map(|_| Node::start("main", client()))).await;
    let mut everybody = BTreeSet::new();
    for (n, node) in providers.iter().enumerate() {
        node.join(&bootstrap).await;
        let record = record(&node.network, &node.peer, &format!("o://agents/n{n}"), "x");
        node.handle.announce(&record).await.unwrap();
        everybody.insert(node.peer.to_string());
    }
    // One server holds them all, and an answer of it holds twenty.
    let seeker = Node::start("main", client()).await;
    seeker.join(&bootstrap).await;
    // The name of each, and four shards of the capability.
    let all_there = async { while bootstrap.stored().await < 125 {} };
    timeout(DEADLINE, all_there).await.unwrap();
    assert_eq!(peers(&seeker.handle, capability("x")).await, everybody);
}

#[tokio::test]
async fn two_hundred_providers_are_found_where_a_key_has_room_for_twenty() {
    let mut scant = server();
    scant.max_stored_per_key = 20;
    let bootstrap = Node::start("main", scant).await;
    let providers = join_all((0..200).map(|_| Node::start("main", client()))).await;
    let everybody: BTreeSet<_> = providers.iter().map(|node| node.peer.to_string()).collect();
    for (n, node) in providers.iter().enumerate() {
        node.join_as_stranger(&bootstrap).await;
        let record = record(&node.network, &node.peer, &format!("o://agents/n{n}"), "x");
        node.handle.announce(&record).await.unwrap();
    }
    let seeker = Node::start("main", client()).await;
    seeker.join(&bootstrap).await;
    let all_found = async { while peers(&seeker.handle, capability("x")).await != everybody {} };
    timeout(DEADLINE, all_found).await.unwrap();
}

#[tokio::test]
async fn an_announcement_is_made_again_before_it_expires() {
    let mut forgetful = server();
    forgetful.provider_ttl = Duration::from_secs(2);
    let mut zealous = client();
    zealous.republish_interval = Duration::from_millis(200);
    let bootstrap = Node::start("main", forgetful).await;
    let a = Node::start("main", zealous).await;
    let e = Node::start("main", client()).await;
    a.join(&bootstrap).await;
    e.join(&bootstrap).await;
    let announced = record(&a.network, &a.peer, "o://a", "x");
    a.handle.announce(&announced).await.unwrap();
    until_found(&e.handle, name("o://a"), a.peer).await;
    until_found(&e.handle, capability("x"), a.peer).await;
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        assert_eq!(peers(&e.handle, name("o://a")).await, only(a.peer));
        assert_eq!(peers(&e.handle, capability("x")).await, only(a.peer));
    }
}
