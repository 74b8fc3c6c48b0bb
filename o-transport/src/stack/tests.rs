//! What is missing or wrong in a configuration, and why an address is not taken.

use libp2p::core::{
    Endpoint,
    transport::{DialOpts, ListenerId, PortUse, TransportError},
};

use super::*;
use crate::{Security, flatten_error};

fn keys() -> Keypair {
    Keypair::from_seed("stack")
}

fn addr(text: &str) -> TransportAddr {
    TransportAddr::parse(text).unwrap()
}

#[test]
fn turned_on_and_not_compiled_in_is_an_error() {
    let absent = TRANSPORTS.iter().map(|entry| Entry {
        build: None,
        ..*entry
    });
    let absent: Vec<_> = absent.collect();
    let turn_on: [fn(&mut TransportConfig); 5] = [
        |config| config.websocket.enabled = true,
        |config| config.unix.enabled = true,
        |config| config.memory.enabled = true,
        |config| config.tcp.enabled = true,
        |config| config.quic.enabled = true,
    ];
    assert_eq!(absent.len(), turn_on.len());
    for (entry, turn_on) in absent.iter().zip(turn_on) {
        let mut config = TransportConfig::default();
        join(
            &absent,
            &config,
            &keys(),
            Vec::new(),
            &PlaintextPeers::default(),
        )
        .unwrap();
        turn_on(&mut config);
        let error = join(
            &absent,
            &config,
            &keys(),
            Vec::new(),
            &PlaintextPeers::default(),
        )
        .unwrap_err();
        assert!(matches!(
            error,
            BuildError::NotCompiledIn { feature } if feature == entry.feature
        ));
        assert!(error.to_string().contains(entry.feature), "{error}");
    }
}

/// Says something only where a feature is off, as in `cargo hack --each-feature`.
#[tokio::test]
async fn real_features_answer_the_same_way() {
    let mut config = TransportConfig::default();
    config.quic.enabled = true;
    let built = build_transport(&config, &keys(), Vec::new());
    assert_eq!(built.is_ok(), cfg!(feature = "quic"), "{built:?}");

    let mut config = TransportConfig::default();
    config.memory.enabled = true;
    for (security, compiled) in [
        (Security::Noise, cfg!(feature = "noise")),
        (Security::Tls, cfg!(feature = "tls")),
    ] {
        config.security = vec![security];
        let built = build_transport(&config, &keys(), Vec::new());
        assert_eq!(built.is_ok(), compiled, "{built:?}");
    }
}

#[test]
fn invalid_configuration_builds_nothing() {
    let mut config = TransportConfig::default();
    config.yamux.max_streams = 5000;
    let error = build_transport(&config, &keys(), Vec::new()).unwrap_err();
    assert!(matches!(
        error,
        BuildError::Invalid {
            field: "yamux.max_streams",
            ..
        }
    ));
}

#[test]
fn nothing_turned_on_takes_no_address() {
    let config = TransportConfig::default();
    let mut transport = build_transport(&config, &keys(), Vec::new()).unwrap();
    let address = to_multiaddr(&addr("/memory/7")).unwrap();
    let error = transport
        .listen_on(ListenerId::next(), address.clone())
        .unwrap_err();
    assert!(matches!(error, TransportError::MultiaddrNotSupported(_)));
    let options = DialOpts {
        role: Endpoint::Dialer,
        port_use: PortUse::New,
    };
    let error = transport.dial(address, options).err().unwrap();
    assert_eq!(
        flatten_error(&error),
        "Multiaddr is not supported: /memory/7"
    );
}

#[test]
fn reason_names_what_is_missing() {
    let mut config = TransportConfig::default();
    let reason = |config: &_, text: &str| unsupported_reason(config, &addr(text));
    assert_eq!(reason(&config, "/memory/7"), "`memory` is turned off");
    assert!(reason(&config, "/dns4/a.example/tcp/443/wss").contains("wss"));
    assert!(reason(&config, "/ip4/127.0.0.1/sctp/1").contains("no transport is known"));
    config.memory.enabled = true;
    assert!(reason(&config, "/memory/7").contains("does not take"));
}

#[cfg(all(feature = "tcp", feature = "quic", feature = "websocket"))]
#[tokio::test]
async fn what_can_be_listened_on_is_what_a_transport_takes() {
    let mut config = TransportConfig::default();
    let all_off = config.clone();
    config.tcp.enabled = true;
    config.quic.enabled = true;
    config.websocket.enabled = true;
    config.memory.enabled = true;
    #[cfg(feature = "dns")]
    {
        config.dns.enabled = true;
    }
    let mut transport = build_transport(&config, &keys(), Vec::new()).unwrap();
    for (address, expected) in [
        ("/ip4/127.0.0.1/tcp/0", true),
        ("/ip4/127.0.0.1/tcp/0/ws", true),
        ("/ip4/127.0.0.1/udp/0/quic-v1", true),
        ("/memory/0", true),
        ("/ip6/::1/tcp/0", true),
        ("/ip4/127.0.0.1", false),
        ("/ip4/127.0.0.1/udp/0", false),
        ("/ip4/127.0.0.1/udp/0/quic", false),
        ("/ip4/127.0.0.1/tcp/0/http", false),
        ("/ip4/127.0.0.1/tcp/99999", false),
        ("/ip4/300.0.0.1/tcp/0", false),
        ("/ip4/127.0.0.1/sctp/1", false),
        ("/dns4/localhost/tcp/0", false),
        ("/unix/tmp/nowhere.sock", false),
    ] {
        let listened = to_multiaddr(&addr(address)).is_ok_and(|multiaddr| {
            let id = ListenerId::next();
            let listened = transport.listen_on(id, multiaddr);
            transport.remove_listener(id);
            !matches!(listened, Err(TransportError::MultiaddrNotSupported(_)))
        });
        assert_eq!(listened, expected, "{address}");
        assert_eq!(can_listen(&config, &addr(address)), expected, "{address}");
        assert!(!can_listen(&all_off, &addr(address)), "{address}");
    }
}

#[cfg(feature = "tcp")]
#[test]
fn reason_speaks_of_names_when_they_are_turned_off() {
    let mut config = TransportConfig::default();
    config.tcp.enabled = true;
    let reason = unsupported_reason(&config, &addr("/dns4/a.example/tcp/443"));
    assert!(reason.contains("`dns`"), "{reason}");
}

#[test]
fn peer_is_checked_for_the_dialer_only() {
    let (mine, other) = (keys(), Keypair::from_seed("other"));
    let found = other.libp2p().public().to_peer_id();
    let dialed = |text: String| ConnectedPoint::Dialer {
        address: to_multiaddr(&addr(&text)).unwrap(),
        role_override: Endpoint::Dialer,
        port_use: PortUse::New,
    };
    let (me, you) = (mine.peer_id(), other.peer_id());
    for allowed in [
        "/memory/7".to_owned(),
        format!("/memory/7/p2p/{you}"),
        format!("/memory/7/p2p/{me}/p2p-circuit"),
        format!("/memory/7/p2p/{me}/p2p-circuit/p2p/{you}"),
    ] {
        check(found, &dialed(allowed)).unwrap();
    }
    let error = check(found, &dialed(format!("/memory/7/p2p/{me}"))).unwrap_err();
    let expected = WrongPeer {
        expected: me,
        found: you,
    };
    assert_eq!(crate::find_cause(&error), Some(&expected));
}
