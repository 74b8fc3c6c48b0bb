//! When a connection is in plaintext, and what a listener does with one that says nothing.
#![cfg(feature = "noise")]

use std::{path::Path, time::Duration};

use futures::{
    StreamExt,
    future::{Either, select},
};
use libp2p::{
    Multiaddr,
    core::transport::{DialOpts, ListenerId, PortUse, TransportEvent},
};
use o_address::PeerId;
use tokio::net::UnixStream;

use super::*;
use crate::from_peer_id;

struct Node {
    transport: BoxedTransport,
    peer: PeerId,
    plaintext: PlaintextPeers,
}

fn node(seed: &str, plaintext: bool, trust: Trust) -> Node {
    let mut config = TransportConfig::default();
    config.unix.enabled = true;
    config.unix.plaintext = plaintext;
    config.connect_timeout = Duration::from_millis(300);
    let (keys, peers) = (Keypair::from_seed(seed), PlaintextPeers::default());
    Node {
        transport: build_trusting(&config, &keys, &peers, trust).unwrap(),
        peer: keys.peer_id(),
        plaintext: peers,
    }
}

fn listen(node: &mut Node, path: &Path) -> Multiaddr {
    let address = path::to_address(path);
    node.transport
        .listen_on(ListenerId::next(), address.clone())
        .unwrap();
    address
}

/// Whether a connection of these two is in plaintext; both ends must say the same.
async fn is_plaintext(mut dialer: Node, mut listener: Node) -> bool {
    let home = tempfile::tempdir().unwrap();
    let address = listen(&mut listener, &home.path().join("a"));
    let opts = DialOpts {
        role: Endpoint::Dialer,
        port_use: PortUse::New,
    };
    let dialing = dialer.transport.dial(address, opts).unwrap();
    let serving = Box::pin(async {
        let upgrade = loop {
            if let TransportEvent::Incoming { upgrade, .. } =
                listener.transport.select_next_some().await
            {
                break upgrade;
            }
        };
        // It waits for the choice of a muxer, which the dialer sends with its first bytes.
        upgrade.await.map(drop)
    });
    match select(dialing, serving).await {
        Either::Left((dialed, _serving)) => {
            let (peer, _muxer) = dialed.unwrap();
            assert_eq!(from_peer_id(&peer).unwrap(), listener.peer);
            dialer.plaintext.contains(&listener.peer)
        }
        Either::Right((end, _)) => panic!("the listener was first: {end:?}"),
    }
}

#[tokio::test]
async fn plaintext_needs_both_ends_and_one_user() {
    let cases = [
        (true, true, true, true, true),
        (true, false, true, true, false),
        (false, true, true, true, false),
        (false, false, true, true, false),
        // Another user at either end: the other one, too, gets Noise.
        (true, true, false, true, false),
        (true, true, true, false, false),
    ];
    let trust = |same: bool| -> Trust { if same { |_| true } else { |_| false } };
    for (dialer, listener, there, here, expected) in cases {
        let dialer = node("a", dialer, trust(there));
        let listener = node("b", listener, trust(here));
        assert_eq!(is_plaintext(dialer, listener).await, expected);
    }
}

#[tokio::test]
async fn two_ends_of_one_process_are_of_one_user() {
    let ends = (
        node("a", true, Socket::is_same_user),
        node("b", true, Socket::is_same_user),
    );
    let nameless = rustix::process::geteuid().as_raw() == 65_534;
    assert_eq!(is_plaintext(ends.0, ends.1).await, !nameless);
}

#[tokio::test]
async fn silence_ends_with_the_timeout() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a");
    let mut listener = node("a", true, |_| true);
    listen(&mut listener, &path);
    let silent = UnixStream::connect(&path).await.unwrap();
    let upgrade = loop {
        if let TransportEvent::Incoming { upgrade, .. } =
            listener.transport.select_next_some().await
        {
            break upgrade;
        }
    };
    let error = upgrade.await.map(drop).unwrap_err();
    assert!(error.to_string().contains("Timeout"), "{error}");
    drop(silent);
}

#[tokio::test]
async fn a_removed_listener_takes_its_file_with_it() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a");
    let mut node = node("a", false, |_| true);
    let id = ListenerId::next();
    node.transport
        .listen_on(id, path::to_address(&path))
        .unwrap();
    assert!(path.exists());
    assert!(node.transport.remove_listener(id));
    assert!(!path.exists());
    let mut closed = false;
    while !closed {
        let event = node.transport.select_next_some().await;
        closed = matches!(event, TransportEvent::ListenerClosed { .. });
    }
}
