//! All transports in one node, and names in front of them.
#![cfg(all(
    feature = "tcp",
    feature = "quic",
    feature = "websocket",
    feature = "dns",
    feature = "noise",
    feature = "tls"
))]
#![expect(clippy::unwrap_used, reason = "a failed step of a test ends the test")]

use o_address::TransportAddr;
use o_transport::{Keypair, Security, TransportConfig, flatten_error, from_peer_id};

use crate::pair::{addr, build, connect, dial, echo, listen};

fn everything(names: bool) -> TransportConfig {
    let mut config = TransportConfig::default();
    config.tcp.enabled = true;
    config.quic.enabled = true;
    config.websocket.enabled = true;
    config.memory.enabled = true;
    config.dns.enabled = names;
    config.security = vec![Security::Noise, Security::Tls];
    config
}

const LISTEN: [&str; 4] = [
    "/ip4/127.0.0.1/tcp/0",
    "/ip4/127.0.0.1/tcp/0/ws",
    "/ip4/127.0.0.1/udp/0/quic-v1",
    "/memory/0",
];

async fn all_at_once(names: bool) {
    let (near, far) = (Keypair::generate(), Keypair::generate());
    let mut dialer = build(&everything(names), &near);
    let mut listener = build(&everything(names), &far);
    for at in LISTEN {
        let address = listen(&mut listener, at).await;
        assert_eq!(address.transport_label(), addr(at).transport_label());
        let address = address.with_peer(&far.peer_id());
        let (dialed, accepted) = connect(&mut dialer, &mut listener, &address).await;
        let (found, dialed) = dialed.unwrap();
        assert_eq!(from_peer_id(&found).unwrap(), far.peer_id(), "{at}");
        echo(dialed, accepted.unwrap().1, b"hello").await;
    }
}

#[tokio::test]
async fn every_transport_in_one_node() {
    all_at_once(false).await;
}

#[tokio::test]
async fn every_transport_in_one_node_that_resolves_names() {
    all_at_once(true).await;
}

/// `localhost` is answered from the hosts file: no packet leaves the machine.
#[tokio::test]
async fn names_are_resolved_for_every_transport_that_has_any() {
    let far = Keypair::generate();
    let mut dialer = build(&everything(true), &Keypair::generate());
    let mut listener = build(&everything(true), &far);
    for at in &LISTEN[..3] {
        let address = listen(&mut listener, at).await;
        let named = address
            .as_str()
            .replace("/ip4/127.0.0.1", "/dns4/localhost");
        let named = addr(&named).with_peer(&far.peer_id());
        let (dialed, accepted) = connect(&mut dialer, &mut listener, &named).await;
        let (_, dialed) = dialed.unwrap();
        echo(dialed, accepted.unwrap().1, b"hello").await;
    }
}

#[tokio::test]
async fn address_that_no_transport_takes_is_named() {
    for names in [false, true] {
        let mut dialer = build(&everything(names), &Keypair::generate());
        let address = addr("/ip4/127.0.0.1/udp/1/webrtc-direct");
        let error = dial(&mut dialer, &address).await.err().unwrap();
        let said = flatten_error(&error);
        assert!(said.contains(address.as_str()), "{said}");
    }
}

#[tokio::test]
async fn name_without_the_resolver_is_refused_at_once() {
    let mut dialer = build(&everything(false), &Keypair::generate());
    let address: TransportAddr = addr("/dns4/localhost/tcp/1");
    let error = dial(&mut dialer, &address).await.err().unwrap();
    assert!(flatten_error(&error).contains("not supported"));
}
