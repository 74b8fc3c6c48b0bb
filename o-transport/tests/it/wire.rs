//! Each transport with each handshake: who is there, and do bytes come through.
#![cfg(any(
    feature = "noise",
    feature = "quic",
    all(feature = "tcp", feature = "tls")
))]
#![expect(clippy::unwrap_used, reason = "a failed step of a test ends the test")]

use o_transport::{Keypair, Security, WrongPeer, find_cause, flatten_error, from_peer_id};

use crate::pair::{build, config_for, connect, echo, listen};

/// Dials, compares both peer ids, sends bytes; then dials with the id of somebody else.
async fn check(at: &str, security: &[Security]) {
    let (near, far) = (Keypair::generate(), Keypair::generate());
    let config = config_for(at, security);
    let mut dialer = build(&config, &near);
    let mut listener = build(&config, &far);
    let address = listen(&mut listener, at).await;
    assert_eq!(address.transport_label(), config_label(at));

    let expected = address.with_peer(&far.peer_id());
    let (dialed, accepted) = connect(&mut dialer, &mut listener, &expected).await;
    let (found, dialed) = dialed.unwrap();
    assert_eq!(from_peer_id(&found).unwrap(), far.peer_id());
    let (found, accepted) = accepted.unwrap();
    assert_eq!(from_peer_id(&found).unwrap(), near.peer_id());
    // More than one frame of any layer.
    let bytes: Vec<u8> = (0..200_000_u32).map(|i| (i % 251) as u8).collect();
    echo(dialed, accepted, &bytes).await;

    let other = Keypair::generate().peer_id();
    let wrong = address.with_peer(&other);
    let (dialed, _) = connect(&mut dialer, &mut listener, &wrong).await;
    let error = dialed.err().unwrap();
    let expected = WrongPeer {
        expected: other,
        found: far.peer_id(),
    };
    assert_eq!(find_cause(&error), Some(&expected), "{error:?}");
    let far = far.peer_id();
    assert_eq!(
        flatten_error(&error),
        format!("{other} was dialed and {far} answered")
    );
}

fn config_label(at: &str) -> &'static str {
    crate::pair::addr(at).transport_label()
}

#[cfg(all(feature = "tcp", feature = "noise"))]
#[tokio::test]
async fn tcp_with_noise() {
    check("/ip4/127.0.0.1/tcp/0", &[Security::Noise]).await;
}

#[cfg(all(feature = "tcp", feature = "tls"))]
#[tokio::test]
async fn tcp_with_tls() {
    check("/ip4/127.0.0.1/tcp/0", &[Security::Tls]).await;
}

#[cfg(all(feature = "websocket", feature = "noise"))]
#[tokio::test]
async fn websocket_with_noise() {
    check("/ip4/127.0.0.1/tcp/0/ws", &[Security::Noise]).await;
}

#[cfg(all(feature = "websocket", feature = "tls"))]
#[tokio::test]
async fn websocket_with_tls() {
    check("/ip4/127.0.0.1/tcp/0/ws", &[Security::Tls]).await;
}

#[cfg(feature = "quic")]
#[tokio::test]
async fn quic() {
    // What the others call security is part of QUIC.
    check("/ip4/127.0.0.1/udp/0/quic-v1", &[]).await;
}

#[cfg(feature = "noise")]
#[tokio::test]
async fn memory_with_noise() {
    check("/memory/0", &[Security::Noise]).await;
}
