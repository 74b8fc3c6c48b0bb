//! The state: who is known, and for how long.

use futures::{FutureExt, StreamExt};
use libp2p::{Multiaddr, mdns::Event};
use o_core::{Discovery, DiscoveryError, Provider, Query, Source};

use super::*;

fn query() -> Query {
    Query::Capability("text/summarize".parse().unwrap())
}

fn at(port: u16) -> Multiaddr {
    format!("/ip4/192.168.1.7/tcp/{port}").parse().unwrap()
}

fn settled(config: MdnsConfig) -> (State, Handle) {
    channel(config, Instant::now() - Duration::from_secs(3600))
}

async fn found(handle: &Handle) -> Vec<Provider> {
    handle.find(query()).map(Result::unwrap).collect().await
}

/// A search says that nobody is there.
async fn nobody(handle: &Handle) {
    let found: Vec<_> = handle.find(query()).collect().await;
    assert!(
        matches!(found[..], [Err(DiscoveryError::NoNetwork)]),
        "{found:?}"
    );
}

#[tokio::test]
async fn every_known_peer_is_a_hint_until_it_expires() {
    let (mut state, handle) = settled(MdnsConfig::default());
    nobody(&handle).await;
    let (a, b) = (PeerId::random(), PeerId::random());
    let full = at(2).with_p2p(a).unwrap();
    state.on_event(Event::Discovered(vec![
        (a, at(1)),
        (a, full.clone()),
        (b, at(3)),
    ]));

    let hints = found(&handle).await;
    assert_eq!(hints.len(), 2);
    let hint = hints
        .iter()
        .find(|hint| hint.peer.to_string() == a.to_string())
        .unwrap();
    assert_eq!(hint.sources, [Source::Mdns]);
    assert!(!hint.confirmed);
    let addresses: Vec<_> = hint
        .addresses
        .iter()
        .map(|address| address.as_str())
        .collect();
    assert_eq!(addresses, [format!("{}/p2p/{a}", at(1)), full.to_string()]);

    state.on_event(Event::Expired(vec![(a, at(1)), (a, full), (b, at(9))]));
    let left = found(&handle).await;
    assert_eq!(left.len(), 1, "b has another address");
    assert_eq!(left[0].peer.to_string(), b.to_string());
}

#[tokio::test]
async fn peers_and_addresses_are_bounded() {
    let config = MdnsConfig {
        max_peers: 2,
        max_addresses: 3,
        ..MdnsConfig::default()
    };
    let (mut state, handle) = settled(config);
    for _ in 0..5 {
        let peer = PeerId::random();
        let told = (1..9).map(|port| (peer, at(port)));
        state.on_event(Event::Discovered(told.collect()));
    }
    let hints = found(&handle).await;
    assert_eq!(hints.len(), 2);
    assert!(hints.iter().all(|hint| hint.addresses.len() == 3));
}

#[tokio::test]
async fn a_young_node_waits_for_those_that_are_about_to_answer() {
    let (mut state, handle) = channel(MdnsConfig::default(), Instant::now());
    let mut search = handle.find(query());
    assert!(search.next().now_or_never().is_none());
    let peer = PeerId::random();
    state.on_event(Event::Discovered(vec![(peer, at(1))]));
    let hint = search.next().await.unwrap().unwrap();
    assert_eq!(hint.peer.to_string(), peer.to_string());

    let pin: o_address::Address = format!("o://a#{peer}").parse().unwrap();
    let pinned: Vec<_> = handle.find(Query::Name(pin)).collect().await;
    assert_eq!(
        pinned.len(),
        1,
        "the pinned peer is known: nothing to wait for"
    );

    drop(state);
    assert!(matches!(
        search.next().await,
        Some(Err(DiscoveryError::Shutdown))
    ));
    assert!(search.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_search_ends_when_the_time_has_come() {
    let (state, handle) = channel(
        MdnsConfig::default(),
        tokio::time::Instant::now().into_std(),
    );
    nobody(&handle).await;
    drop(state);
}

#[tokio::test]
async fn it_is_off_unless_asked_for() {
    let config = MdnsConfig::default();
    assert!(!config.enabled);
    assert!(behaviour(PeerId::random(), &config).unwrap().is_none());
}
