//! Dials that must fail, and what they say.
#![cfg(all(feature = "tcp", feature = "noise", feature = "tls"))]

use std::{io, net::TcpListener, time::Duration};

use libp2p::core::{Transport, transport::ListenerId};
use o_transport::{
    Keypair, Security, flatten_error, from_peer_id, io_error_kind, probe_fixed_port, to_multiaddr,
};

use crate::pair::{addr, build, config_for, connect, dial, echo, listen};

const TCP: &str = "/ip4/127.0.0.1/tcp/0";

#[tokio::test]
async fn noise_and_tls_do_not_meet() {
    for (near, far) in [
        (Security::Noise, Security::Tls),
        (Security::Tls, Security::Noise),
    ] {
        let mut dialer = build(&config_for(TCP, &[near]), &Keypair::generate());
        let mut listener = build(&config_for(TCP, &[far]), &Keypair::generate());
        let address = listen(&mut listener, TCP).await;
        let (dialed, accepted) = connect(&mut dialer, &mut listener, &address).await;
        let (dialed, accepted) = (dialed.err().unwrap(), accepted.err().unwrap());
        let said = flatten_error(&dialed);
        assert!(said.contains("rotocol negotiation failed"), "{said}");
        assert!(!said.contains('\n'), "{said}");
        let said = flatten_error(&accepted);
        assert!(said.contains("Multistream select failed"), "{said}");
    }
}

#[tokio::test]
async fn preference_is_the_dialers_and_one_in_common_is_enough() {
    let both = [Security::Tls, Security::Noise];
    for (near, far) in [
        (&both[..], &both[1..]),
        (&both[1..], &both[..]),
        (&both[..], &[Security::Noise, Security::Tls]),
    ] {
        let keys = Keypair::generate();
        let mut dialer = build(&config_for(TCP, near), &Keypair::generate());
        let mut listener = build(&config_for(TCP, far), &keys);
        let address = listen(&mut listener, TCP).await;
        let (dialed, accepted) = connect(&mut dialer, &mut listener, &address).await;
        let (found, dialed) = dialed.unwrap();
        assert_eq!(from_peer_id(&found).unwrap(), keys.peer_id());
        echo(dialed, accepted.unwrap().1, b"hello").await;
    }
}

#[tokio::test]
async fn refused_connection_says_so() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let mut dialer = build(&config_for(TCP, &[Security::Noise]), &Keypair::generate());
    let address = addr(&format!("/ip4/127.0.0.1/tcp/{port}"));
    let error = dial(&mut dialer, &address).await.err().unwrap();
    let refused = io::ErrorKind::ConnectionRefused;
    assert_eq!(io_error_kind(&error), Some(refused), "{error:?}");
    if cfg!(target_os = "linux") {
        assert_eq!(flatten_error(&error), "Connection refused (os error 111)");
    }
}

#[tokio::test]
async fn silent_listener_costs_the_connect_timeout_only() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let mut config = config_for(TCP, &[Security::Noise]);
    config.connect_timeout = Duration::from_millis(200);
    let mut dialer = build(&config, &Keypair::generate());
    let address = addr(&format!("/ip4/127.0.0.1/tcp/{port}"));
    let error = dial(&mut dialer, &address).await.err().unwrap();
    assert_eq!(flatten_error(&error), "Timeout has been reached");
}

/// A datagram to a closed port is refused by nobody that QUIC would listen to.
#[cfg(feature = "quic")]
#[tokio::test]
async fn dead_quic_address_next_door_costs_little() {
    let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let mut config = config_for("/ip4/127.0.0.1/udp/0/quic-v1", &[Security::Noise]);
    config.connect_timeout = Duration::from_secs(60);
    config.loopback_timeout = Duration::from_millis(200);
    let mut dialer = build(&config, &Keypair::generate());
    let address = addr(&format!("/ip4/127.0.0.1/udp/{port}/quic-v1"));
    let dialing = dial(&mut dialer, &address);
    let dialed = tokio::time::timeout(Duration::from_secs(20), dialing).await;
    let error = dialed.unwrap().err().unwrap();
    assert_eq!(io_error_kind(&error), Some(io::ErrorKind::TimedOut));
}

#[tokio::test]
async fn taken_port_is_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut transport = build(&config_for(TCP, &[Security::Noise]), &Keypair::generate());
    let address = addr(&format!("/ip4/127.0.0.1/tcp/{port}"));
    let address = to_multiaddr(&address).unwrap();
    let error = transport.listen_on(ListenerId::next(), address);
    let in_use = Some(io::ErrorKind::AddrInUse);
    assert_eq!(io_error_kind(&error.unwrap_err()), in_use);
}

/// The reason for the probe: libp2p alone shares the port with whoever has it.
#[tokio::test]
async fn probe_finds_a_listener_that_libp2p_would_share_the_port_with() {
    let config = config_for(TCP, &[Security::Noise]);
    let mut first = build(&config, &Keypair::generate());
    let address = listen(&mut first, TCP).await;
    let error = probe_fixed_port(&address).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);

    let mut second = build(&config, &Keypair::generate());
    listen(&mut second, address.as_str()).await;
}
