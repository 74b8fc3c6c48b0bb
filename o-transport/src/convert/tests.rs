//! Round trips, and multiaddrs that must not become addresses.

use libp2p::{multiaddr::Protocol, multihash::Multihash};

use super::*;
use crate::Keypair;

const PEER: &str = "12D3KooWQA9eZ7s8E7KvNJGG7AXRioyASFicECjdKL1DS2C1Duoo";

#[test]
fn peer_ids_survive_both_ways() {
    let ours: PeerId = PEER.parse().unwrap();
    let theirs = to_peer_id(&ours).unwrap();
    assert_eq!(theirs.to_string(), PEER);
    assert_eq!(from_peer_id(&theirs).unwrap(), ours);

    let generated = Keypair::generate();
    let theirs = generated.libp2p().public().to_peer_id();
    assert_eq!(from_peer_id(&theirs).unwrap(), generated.peer_id());

    let hashed = PeerId::from_bytes(&[&[0x12, 0x20][..], &[7; 32]].concat()).unwrap();
    assert_eq!(from_peer_id(&to_peer_id(&hashed).unwrap()).unwrap(), hashed);
}

#[test]
fn short_hash_is_no_peer_id() {
    let short = Multihash::<64>::wrap(0x12, b"short").unwrap();
    let theirs = libp2p::PeerId::from_multihash(short).unwrap();
    assert!(matches!(from_peer_id(&theirs), Err(AddrError::PeerId(_))));
}

#[test]
fn addresses_survive_both_ways() {
    let texts = [
        "/ip4/127.0.0.1/tcp/4001".to_owned(),
        format!("/ip6/::1/udp/4001/quic-v1/p2p/{PEER}"),
        format!("/dns4/example.com/tcp/443/wss/p2p/{PEER}/p2p-circuit"),
        "/ip4/127.0.0.1/tcp/0/ws".to_owned(),
        "/memory/7".to_owned(),
        format!("/unix/%2Ftmp%2Fa.sock/p2p/{PEER}"),
    ];
    for text in texts {
        let ours = TransportAddr::parse(&text).unwrap();
        let theirs = to_multiaddr(&ours).unwrap();
        assert_eq!(theirs.to_string(), text);
        assert_eq!(from_multiaddr(&theirs).unwrap(), ours);
    }
}

#[test]
fn text_that_is_no_multiaddr_is_refused() {
    for text in ["/foo/bar", "/ip4/127.0.0.1/tcp/70000", "/ip4/300.0.0.1"] {
        let ours = TransportAddr::parse(text).unwrap();
        let error = to_multiaddr(&ours).unwrap_err();
        assert!(matches!(error, AddrError::NotMultiaddr(_)), "{text}");
    }
}

#[test]
fn name_with_a_path_in_it_is_refused() {
    let smuggled = Multiaddr::empty()
        .with(Protocol::Dns4("x/tcp/1".into()))
        .with(Protocol::Tcp(2));
    assert_eq!(smuggled.to_string(), "/dns4/x/tcp/1/tcp/2");
    assert!(matches!(
        from_multiaddr(&smuggled),
        Err(AddrError::Ambiguous)
    ));

    let spaced = Multiaddr::empty().with(Protocol::Dns4("a b".into()));
    assert!(matches!(from_multiaddr(&spaced), Err(AddrError::Shape(_))));
}

#[test]
fn empty_and_endless_multiaddrs_are_refused() {
    assert!(matches!(
        from_multiaddr(&Multiaddr::empty()),
        Err(AddrError::Shape(_))
    ));
    let long = Multiaddr::empty().with(Protocol::Dns4("x".repeat(100_000).into()));
    assert!(matches!(
        from_multiaddr(&long),
        Err(AddrError::TooLong { limit: 1089, .. })
    ));
}

#[test]
fn a_path_with_slashes_becomes_one_part() {
    let cases = [
        ("/unix/tmp/a.sock", "/unix/%2Ftmp%2Fa.sock".to_owned()),
        (
            &format!("/unix/tmp/p2p/x/p2p/{PEER}"),
            format!("/unix/%2Ftmp%2Fp2p%2Fx/p2p/{PEER}"),
        ),
        ("/unix/a.sock", "/unix/a.sock".to_owned()),
    ];
    for (written, expected) in cases {
        let theirs = to_multiaddr(&TransportAddr::parse(written).unwrap()).unwrap();
        assert_eq!(theirs.to_string(), expected);
    }
}
