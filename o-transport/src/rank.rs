//! Which of a peer's addresses is dialed first: the nearest one.

use o_address::TransportAddr;

/// How far away an address is: of several addresses of one peer, the one with the lowest number costs
/// the least to connect to and to use. 0 is a Unix socket or this process, 1 TCP on this machine,
/// 2 another transport on this machine, 3 TCP elsewhere, 4 another transport elsewhere, 5 a relay.
#[must_use]
pub fn rank(address: &TransportAddr) -> u8 {
    let label = address.transport_label();
    match (label, address.is_loopback()) {
        ("relay", _) => 5,
        ("unix" | "memory", _) => 0,
        ("tcp", true) => 1,
        (_, true) => 2,
        ("tcp", false) => 3,
        (_, false) => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_comes_first() {
        let peer = "12D3KooWQA9eZ7s8E7KvNJGG7AXRioyASFicECjdKL1DS2C1Duoo";
        let relayed = format!("/ip4/127.0.0.1/tcp/1/p2p/{peer}/p2p-circuit");
        let ordered = [
            "/unix/%2Ftmp%2Fa.sock",
            "/ip4/127.0.0.1/tcp/1",
            "/ip4/127.0.0.1/udp/1/quic-v1",
            "/ip4/192.0.2.1/tcp/1",
            "/ip4/192.0.2.1/udp/1/quic-v1",
            &relayed,
        ];
        for (expected, text) in (0..).zip(ordered) {
            assert_eq!(rank(&text.parse().unwrap()), expected, "{text}");
        }
    }
}
