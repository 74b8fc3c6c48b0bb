//! Every error of a transport address with its offset, the peer at its end, and what is told from its text.

use super::{TransportAddr, TransportAddrError};
use crate::PeerId;

const PEER: &str = "12D3KooWQA9eZ7s8E7KvNJGG7AXRioyASFicECjdKL1DS2C1Duoo";
const RELAY: &str = "12D3KooWPnBbydeA5Uxas2QpTZL7fcckv7fS5E9cgQBJqreR54CW";

fn addr(text: &str) -> TransportAddr {
    TransportAddr::parse(text).unwrap()
}

#[track_caller]
fn assert_refused(text: &str, expected: &TransportAddrError, offset: usize) {
    let error = TransportAddr::parse(text).unwrap_err();
    assert_eq!(&error, expected, "{text:?}");
    assert_eq!(error.offset(), offset, "{text:?}");
}

#[test]
fn a_text_without_a_first_slash_is_refused() {
    for text in [
        "",
        "ip4/127.0.0.1",
        "127.0.0.1:4001",
        " /ip4/127.0.0.1",
        "\0/",
    ] {
        assert_refused(text, &TransportAddrError::MissingSlash, 0);
    }
}

#[test]
fn an_empty_component_is_refused_where_it_should_begin() {
    for (text, offset) in [
        ("/", 1),
        ("//", 1),
        ("//tcp", 1),
        ("/ip4//tcp", 5),
        ("/tcp/1/", 7),
        ("/tcp/1//", 7),
    ] {
        assert_refused(text, &TransportAddrError::EmptyComponent { offset }, offset);
    }
}

#[test]
fn a_bad_character_is_refused_where_it_begins() {
    for found in [' ', '\t', '\n', '\0', '\u{7f}', 'é', '€'] {
        let expected = TransportAddrError::BadCharacter { offset: 7, found };
        assert_refused(&format!("/dns4/a{found}b"), &expected, 7);
    }
    let printable: String = ('!'..='~').collect();
    assert_eq!(addr(&format!("/unix/{printable}")).as_str().len(), 6 + 94);
}

#[test]
fn the_limits_leave_room_for_a_peer() {
    let longest_peer = PeerId::from_bytes(&[&[0x00, 42][..], &[0xff; 42]].concat()).unwrap();
    let longest = format!("/unix/{}", "p".repeat(TransportAddr::MAX_LEN - 6));
    let with_peer = addr(&longest).with_peer(&longest_peer);
    assert_eq!(with_peer.as_str().len(), TransportAddr::MAX_LEN_WITH_PEER);
    assert_eq!(
        TransportAddr::parse(with_peer.as_str()),
        Ok(with_peer.clone())
    );
    assert_eq!(with_peer.without_peer(), Some(addr(&longest)));

    let expected = TransportAddrError::TooLong {
        length: 1025,
        limit: 1024,
    };
    assert_refused(&format!("{longest}p"), &expected, 1024);
    assert_refused(&format!("{longest}p/p2p/{PEER}"), &expected, 1024);
    let expected = TransportAddrError::TooLong {
        length: 1090,
        limit: 1089,
    };
    assert_refused(&format!("{with_peer}p"), &expected, 1089);
    // Were anything else looked at first, each of these would get another error.
    for start in ["", "/", "//"] {
        let length = 10_000_000 + start.len();
        let huge = format!("{start}{}", "\n".repeat(10_000_000));
        assert_refused(
            &huge,
            &TransportAddrError::TooLong {
                length,
                limit: 1089,
            },
            1089,
        );
    }
}

#[test]
fn the_peer_is_the_one_at_the_end() {
    for place in [
        "/ip4/1.2.3.4/tcp/4001",
        "/memory/7",
        "/dns4/p2p/tcp/1",
        &format!("/p2p/{RELAY}/p2p-circuit"),
    ] {
        let place = addr(place);
        assert_eq!(place.peer_id(), None, "{place}");
        assert_eq!(place.without_peer().as_ref(), Some(&place));

        let at_peer = place.with_peer(&PEER.parse().unwrap());
        assert_eq!(at_peer.as_str(), format!("{place}/p2p/{PEER}"));
        assert_eq!(at_peer.peer_id(), PEER.parse().ok());
        assert_eq!(at_peer.without_peer(), Some(place.clone()));
        assert_eq!(
            at_peer.with_peer(&RELAY.parse().unwrap()).as_str(),
            format!("{place}/p2p/{RELAY}")
        );
    }
}

#[test]
fn a_peer_alone_is_no_place() {
    let alone = addr(&format!("/p2p/{PEER}"));
    assert_eq!(alone.peer_id(), PEER.parse().ok());
    assert_eq!(alone.without_peer(), None);
    assert_eq!(
        alone.with_peer(&RELAY.parse().unwrap()).as_str(),
        format!("/p2p/{RELAY}")
    );
}

#[test]
fn what_is_no_peer_id_is_no_peer_but_is_replaced() {
    let bad = addr("/memory/7/p2p/nobody0");
    assert_eq!(bad.peer_id(), None);
    assert_eq!(
        bad.with_peer(&PEER.parse().unwrap()).as_str(),
        format!("/memory/7/p2p/{PEER}")
    );
    assert_eq!(bad.without_peer(), Some(addr("/memory/7")));
}

#[test]
fn words_in_the_path_of_a_unix_socket_mean_nothing() {
    for text in [
        "/unix/%2Ftmp%2Fa.sock",
        "/unix/tmp/tcp/1/ws",
        &format!("/unix/tmp/quic-v1/p2p/{PEER}"),
    ] {
        assert_eq!(addr(text).transport_label(), "unix", "{text}");
    }
}

#[test]
fn loopback_is_told_from_the_first_hop() {
    for text in [
        "/ip4/127.0.0.1/tcp/1",
        "/ip4/127.255.0.9/udp/1/quic-v1",
        "/ip6/::1/tcp/1",
        "/ip6/0:0:0:0:0:0:0:1/tcp/1",
        "/ip6/::ffff:127.0.0.1/tcp/1",
        "/ip6zone/lo/ip6/::1/tcp/1",
        "/memory/7",
        "/unix/tmp/ip4/tcp/ws",
        "/dns4/LocalHost/tcp/1",
        &format!("/ip4/127.0.0.1/tcp/1/p2p/{RELAY}/p2p-circuit/p2p/{PEER}"),
    ] {
        assert!(addr(text).is_loopback(), "{text}");
    }
    for text in [
        "/ip4/0.0.0.0/tcp/1",
        "/ip4/10.0.0.1/tcp/1",
        "/ip4/127.0.0.1.example.com/tcp/1",
        "/ip4",
        "/ip6/::/tcp/1",
        "/ip6/fe80::1/tcp/1",
        "/dns4/127.0.0.1/tcp/1",
        "/dns4/example.com/tcp/1/memory/7",
        &format!("/p2p/{PEER}"),
    ] {
        assert!(!addr(text).is_loopback(), "{text}");
    }
}

#[test]
fn the_label_names_the_outermost_transport() {
    for (text, label) in [
        ("/ip4/127.0.0.1/tcp/1", "tcp"),
        ("/ip4/127.0.0.1/udp/1", "udp"),
        ("/ip4/127.0.0.1/udp/1/quic-v1", "quic"),
        (
            "/ip4/127.0.0.1/udp/1/quic-v1/webtransport/certhash/ws",
            "webtransport",
        ),
        ("/ip4/127.0.0.1/udp/1/webrtc-direct", "webrtc"),
        ("/ip4/127.0.0.1/tcp/1/ws", "ws"),
        ("/dns4/ws/tcp/1", "tcp"),
        ("/dns4/example.com/tcp/443/tls/ws", "wss"),
        ("/dns4/example.com/tcp/443/wss", "wss"),
        ("/dns4/example.com/tcp/443/tls/sni/quic/ws", "wss"),
        ("/memory/7", "memory"),
        ("/unix/socket", "unix"),
        ("/ip4/1.2.3.4/tcp/1/p2p/x/p2p-circuit/p2p/y", "relay"),
        ("/carrier-pigeon", "other"),
    ] {
        assert_eq!(addr(text).transport_label(), label, "{text}");
        let with_peer = addr(text).with_peer(&PEER.parse().unwrap());
        assert_eq!(with_peer.transport_label(), label, "{with_peer}");
    }
}

#[test]
fn text_forms() {
    let a = addr("/memory/7");
    assert_eq!(
        format!("{a}|{a:>11}|{a:?}"),
        "/memory/7|  /memory/7|TransportAddr(/memory/7)"
    );
    assert_eq!(AsRef::<str>::as_ref(&a), "/memory/7");
    assert_eq!("/memory/7".parse(), Ok(a.clone()));
    assert!(std::ptr::eq(a.as_str(), a.clone().as_str()));
    assert!(addr("/memory/7") < addr("/memory/8"));
}
