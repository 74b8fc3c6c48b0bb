//! Searches: what is yielded, and what ends them.

use std::collections::BTreeSet;

use futures::{FutureExt, StreamExt};
use o_core::{ProviderStream, Source};

use super::*;

/// Begins a search, as far as the state.
async fn begin(bench: &mut Bench, query: Query) -> ProviderStream {
    let mut search = bench.handle.find(query);
    assert!(search.next().now_or_never().is_none());
    let command = bench.commands.recv().await.unwrap();
    bench.state.on_command(&mut bench.kad, command, bench.now);
    search
}

async fn find(bench: &mut Bench, query: Query) -> Vec<Result<Provider, DiscoveryError>> {
    let search = bench.handle.find(query);
    bench.wait(search.collect()).await
}

/// Other peers announce the capability to this node.
fn announced(bench: &mut Bench, peers: usize) -> BTreeSet<String> {
    let digest = shard(0);
    let peers: BTreeSet<_> = (0..peers).map(|_| PeerId::random()).collect();
    for peer in &peers {
        bench.receive(ProviderRecord::new(record_key(&digest), *peer, vec![at(5)]));
    }
    peers.iter().map(PeerId::to_string).collect()
}

#[tokio::test]
async fn without_anybody_to_ask_there_is_no_network() {
    let mut bench = Bench::local();
    let found = find(&mut bench, capability()).await;
    assert!(
        matches!(found[..], [Err(DiscoveryError::NoNetwork)]),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_node_alone_finds_itself() {
    let mut bench = Bench::local();
    bench.announce(bench.record("o://a", 1)).await.unwrap();
    for query in [capability(), Query::Name("o://a".parse().unwrap())] {
        let found = find(&mut bench, query).await;
        let [Ok(hint)] = &found[..] else {
            panic!("{found:?}")
        };
        assert_eq!(hint.peer, from_peer_id(&bench.local).unwrap());
        assert_eq!(hint.sources, [Source::Dht]);
        assert!(!hint.confirmed);
    }
}

#[tokio::test]
async fn what_was_announced_here_is_found_here_each_once() {
    let mut bench = Bench::local();
    let peers = announced(&mut bench, 45);
    let found = find(&mut bench, capability()).await;
    assert_eq!(found.len(), 45);
    let found: BTreeSet<_> = found
        .into_iter()
        .map(|hint| hint.unwrap().peer.to_string())
        .collect();
    assert_eq!(found, peers);
    assert_eq!(bench.queries(), 0);
}

#[tokio::test]
async fn a_pin_leaves_only_that_peer() {
    let mut bench = Bench::local();
    bench.announce(bench.record("o://a", 1)).await.unwrap();
    let ours = from_peer_id(&bench.local).unwrap();
    let name: o_address::Address = "o://a".parse().unwrap();
    assert_eq!(
        find(&mut bench, Query::Name(name.pinned(ours))).await.len(),
        1
    );
    let other = name.pinned(crate::testing::peer(1));
    assert!(find(&mut bench, Query::Name(other)).await.is_empty());
}

#[tokio::test]
async fn a_search_ends_when_enough_are_found_and_nobody_needs_to_read() {
    let config = DhtConfig {
        max_providers: 7,
        allow_private: true,
        min_shards: 1,
        ..DhtConfig::default()
    };
    let mut bench = Bench::new(config);
    bench.meet();
    announced(&mut bench, 45);
    let search = begin(&mut bench, capability()).await;
    bench.poll();
    assert_eq!(bench.queries(), 0);
    assert_eq!(search.map(Result::unwrap).count().await, 7);
}

#[tokio::test]
async fn known_addresses_come_with_the_hint() {
    let mut bench = Bench::local();
    let digest = shard(0);
    let peer = PeerId::random();
    bench.identify(&peer, "main", &[at(3), at(4)]);
    bench.receive(ProviderRecord::new(record_key(&digest), peer, Vec::new()));
    let found = find(&mut bench, capability()).await;
    let [Ok(hint)] = &found[..] else {
        panic!("{found:?}")
    };
    let addresses: Vec<_> = hint
        .addresses
        .iter()
        .map(|address| address.as_str())
        .collect();
    assert_eq!(
        addresses,
        [3, 4].map(|port| format!("{}/p2p/{peer}", at(port)))
    );
}

/// Kademlia takes the providers in an answer for stations of the query, which it would ask as well.
#[tokio::test]
async fn whoever_provides_is_told_with_addresses_and_not_dialed() {
    type FromHandler = libp2p::swarm::THandlerOutEvent<Behaviour>;
    let mut bench = Bench::local();
    let peer = bench.meet();
    let mut search = begin(&mut bench, capability()).await;
    let provider = PeerId::random();
    let query_id = bench.kad.iter_queries().next().unwrap().id();
    let answer = FromHandler::GetProvidersRes {
        closer_peers: Vec::new(),
        provider_peers: vec![kad::KadPeer {
            node_id: provider,
            multiaddrs: vec![at(7)],
            connection_ty: kad::ConnectionType::NotConnected,
        }],
        query_id,
    };
    let id = ConnectionId::new_unchecked(1);
    bench.kad.on_connection_handler_event(peer, id, answer);
    let mut dialed = Vec::new();
    let mut context = Context::from_waker(Waker::noop());
    while let Poll::Ready(event) = bench.kad.poll(&mut context) {
        match event {
            ToSwarm::GenerateEvent(event) => {
                bench.state.on_event(&mut bench.kad, event, bench.now);
            }
            ToSwarm::Dial { opts } => dialed.extend(opts.get_peer_id()),
            _ => {}
        }
    }
    assert_eq!(dialed, [peer]);
    let hint = search.next().now_or_never().unwrap().unwrap().unwrap();
    assert_eq!(hint.peer, from_peer_id(&provider).unwrap());
    assert_eq!(
        hint.addresses[0].as_str(),
        format!("{}/p2p/{provider}", at(7))
    );
}

#[tokio::test]
async fn dropping_the_stream_ends_the_query() {
    let mut bench = Bench::local();
    bench.meet();
    let search = begin(&mut bench, capability()).await;
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.queries(), 1);
    drop(search);
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.queries(), 0);
}

#[tokio::test]
async fn a_search_that_takes_too_long_says_so() {
    let mut bench = Bench::local();
    bench.meet();
    let search = begin(&mut bench, capability()).await;
    bench.pass(Duration::from_secs(15));
    assert_eq!(bench.queries(), 0);
    let found: Vec<_> = search.collect().await;
    let fifteen = Duration::from_secs(15);
    assert!(matches!(found[..], [Err(DiscoveryError::TimedOut { after })] if after == fifteen));
}

#[tokio::test]
async fn searches_at_once_are_bounded_but_not_by_those_that_nobody_reads() {
    let config = DhtConfig {
        max_searches: 2,
        allow_private: true,
        ..DhtConfig::default()
    };
    let mut bench = Bench::new(config);
    bench.meet();
    let _one = begin(&mut bench, capability()).await;
    let two = begin(&mut bench, capability()).await;
    let mut three = begin(&mut bench, capability()).await;
    let refused = three.next().await;
    assert!(matches!(
        refused,
        Some(Err(DiscoveryError::Busy {
            limit: "max_searches"
        }))
    ));
    assert!(three.next().await.is_none());
    drop(two);
    let mut four = begin(&mut bench, capability()).await;
    assert!(four.next().now_or_never().is_none(), "it runs");
}

#[tokio::test]
async fn a_search_whose_node_stops_says_so() {
    let mut bench = Bench::local();
    bench.meet();
    let search = begin(&mut bench, capability()).await;
    drop(bench);
    let found: Vec<_> = search.collect().await;
    assert!(matches!(found[..], [Err(DiscoveryError::Shutdown)]));
}

#[tokio::test]
async fn a_crowd_does_not_hide_the_peer_that_a_pin_means() {
    let config = DhtConfig {
        max_providers: 7,
        allow_private: true,
        ..DhtConfig::default()
    };
    let mut bench = Bench::new(config);
    let name: o_address::Address = "o://a".parse().unwrap();
    let digest = o_protocol::name_key(&name);
    let crowd: Vec<_> = (0..60).map(|_| PeerId::random()).collect();
    for peer in &crowd {
        bench.receive(ProviderRecord::new(record_key(&digest), *peer, Vec::new()));
    }
    for peer in &crowd {
        let peer = from_peer_id(peer).unwrap();
        let found = find(&mut bench, Query::Name(name.pinned(peer))).await;
        assert!(matches!(&found[..], [Ok(hint)] if hint.peer == peer));
    }
}
