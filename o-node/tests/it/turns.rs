//! A peer with several addresses: the nearest is dialed first, and the others do not wait long for it.
#![cfg(feature = "websocket")]

use std::time::{Duration, Instant};

use o_address::{PeerId, TransportAddr};
use o_core::{ConnectError, Event, NextHop};
use o_node::{Keypair, Node, NodeConfig};

use crate::support::{Watch, address, quiet, soon, start, stop};

/// Far longer than a dial on this machine takes.
const LONG: Duration = Duration::from_secs(10);

fn config(stagger: Duration) -> impl FnOnce(&mut NodeConfig) {
    move |config| {
        config.node.dial_stagger = stagger;
        config.transport.websocket.enabled = true;
        config.transport.unix.enabled = cfg!(all(unix, feature = "unix"));
    }
}

async fn client(stagger: Duration) -> Node {
    start(quiet().client().configure(config(stagger))).await
}

/// A node that listens at these.
async fn server(listen: &[&str]) -> Node {
    let listen = listen.iter().map(|text| text.parse().unwrap()).collect();
    let builder = quiet().configure(config(LONG));
    start(builder.configure(|config| config.listen = listen)).await
}

async fn dial(
    from: &Node,
    peer: PeerId,
    addresses: Vec<TransportAddr>,
) -> Result<(), ConnectError> {
    let (target, caller) = (address("o://far/worker"), address("o://near/caller"));
    let hop = NextHop::Peer { peer, addresses };
    let channel = from.connect_via(&hop, &target, &caller);
    soon(channel).await.map(|_| ())
}

/// Which address of the server the client is connected to.
async fn used(watch: &mut Watch) -> TransportAddr {
    let connected = |event: &Event| matches!(event, Event::Connected { .. });
    match watch.until("connected", connected).await {
        Event::Connected { address, .. } => address,
        other => panic!("{other:?}"),
    }
}

fn closed_port() -> TransportAddr {
    let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = probe.local_addr().unwrap().port();
    format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()
}

#[cfg(all(unix, feature = "unix"))]
#[tokio::test]
async fn of_all_addresses_the_nearest_is_used_and_no_other_is_dialed() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("a.sock");
    let socket = format!("/unix/{}", socket.to_str().unwrap().replace('/', "%2F"));
    let far = ["/ip4/127.0.0.1/tcp/0/ws", "/ip4/127.0.0.1/tcp/0"];
    let server = server(&[far[0], far[1], &socket]).await;
    let client = client(LONG).await;
    let (mut here, mut there) = (Watch::new(&client), Watch::new(&server));
    let addresses = server.listen_addresses();
    assert_eq!(addresses.len(), 3);
    dial(&client, server.peer_id(), addresses).await.unwrap();
    assert_eq!(used(&mut here).await.transport_label(), "unix");
    used(&mut there).await;
    stop([client, server]).await;
    let more = there.so_far();
    let more: Vec<_> = more
        .iter()
        .filter(|event| matches!(event, Event::Connected { .. }))
        .collect();
    assert!(more.is_empty(), "{more:?}");
}

#[tokio::test]
async fn an_address_that_never_answers_costs_the_stagger() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let silent_at = format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap();
    let stagger = Duration::from_millis(200);
    let server = server(&["/ip4/127.0.0.1/tcp/0/ws"]).await;
    let client = client(stagger).await;
    let mut watch = Watch::new(&client);
    let mut addresses = server.listen_addresses();
    addresses.push(silent_at);
    let begun = Instant::now();
    dial(&client, server.peer_id(), addresses).await.unwrap();
    let took = begun.elapsed();
    assert!(took >= stagger && took < LONG / 2, "{took:?}");
    assert_eq!(used(&mut watch).await.transport_label(), "ws");
    stop([client, server]).await;
}

#[tokio::test]
async fn an_address_that_refuses_costs_no_stagger() {
    let server = server(&["/ip4/127.0.0.1/tcp/0/ws"]).await;
    let client = client(LONG).await;
    let mut addresses = server.listen_addresses();
    addresses.push(closed_port());
    let begun = Instant::now();
    dial(&client, server.peer_id(), addresses).await.unwrap();
    assert!(begun.elapsed() < LONG / 2, "{:?}", begun.elapsed());
    stop([client, server]).await;
}

#[tokio::test]
async fn when_no_address_answers_each_is_named_once() {
    let client = client(LONG).await;
    let peer = Keypair::generate().peer_id();
    let tcp = closed_port();
    let ws: TransportAddr = format!("{}/ws", closed_port()).parse().unwrap();
    let error = dial(&client, peer, vec![ws.clone(), tcp.clone()])
        .await
        .unwrap_err();
    let text = error.to_string();
    for address in [&ws, &tcp] {
        let port = address.as_str().split('/').nth(4).unwrap();
        assert_eq!(text.matches(&format!("/{port}")).count(), 1, "{text}");
    }
    let failed = matches!(&error, ConnectError::Unreachable { .. });
    assert!(failed, "{error:?}");
    stop([client]).await;
}
