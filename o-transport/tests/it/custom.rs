//! A transport of a user's own beside those of this crate.
#![cfg(feature = "noise")]

use libp2p::core::transport::MemoryTransport;
use o_transport::{Keypair, TransportConfig, build_transport, from_peer_id, upgrade};

use crate::pair::{connect, echo, listen};

/// The configuration turns nothing on: what takes the address is the custom transport.
#[tokio::test]
async fn raw_transport_is_upgraded_and_used() {
    let config = TransportConfig::default();
    let build = |keys: &Keypair| {
        let raw = MemoryTransport::new();
        let custom = upgrade(raw, &config, keys).unwrap();
        build_transport(&config, keys, vec![custom]).unwrap()
    };
    let (near, far) = (Keypair::generate(), Keypair::generate());
    let (mut dialer, mut listener) = (build(&near), build(&far));
    let address = listen(&mut listener, "/memory/0").await;
    let (dialed, accepted) = connect(&mut dialer, &mut listener, &address).await;
    let (found, dialed) = dialed.unwrap();
    assert_eq!(from_peer_id(&found).unwrap(), far.peer_id());
    echo(dialed, accepted.unwrap().1, b"hello").await;
}
