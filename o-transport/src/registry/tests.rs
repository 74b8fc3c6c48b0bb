//! What the list says about itself.

use o_address::TransportAddr;

use super::*;

#[test]
fn labels_are_those_of_addresses() {
    let addresses = [
        ("websocket", "/ip4/127.0.0.1/tcp/1/ws"),
        ("unix", "/unix/tmp/a.sock"),
        ("memory", "/memory/1"),
        ("tcp", "/ip4/127.0.0.1/tcp/1"),
        ("quic", "/ip4/127.0.0.1/udp/1/quic-v1"),
    ];
    assert_eq!(addresses.len(), TRANSPORTS.len());
    for (entry, (feature, address)) in TRANSPORTS.iter().zip(addresses) {
        assert_eq!(entry.feature, feature);
        let address = TransportAddr::parse(address).unwrap();
        assert_eq!(address.transport_label(), entry.label);
    }
}

#[test]
fn features_decide_what_is_compiled_in_and_nothing_is_on_by_default() {
    let compiled = [
        cfg!(feature = "websocket"),
        cfg!(all(feature = "unix", unix)),
        true,
        cfg!(feature = "tcp"),
        cfg!(feature = "quic"),
    ];
    for (entry, compiled) in TRANSPORTS.iter().zip(compiled) {
        assert_eq!(entry.build.is_some(), compiled, "{}", entry.feature);
        assert!(!(entry.enabled)(&TransportConfig::default()));
    }
}
