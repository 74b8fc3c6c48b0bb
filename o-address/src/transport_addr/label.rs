//! What can be told from the text of a transport address without a network stack.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Protocols whose name is followed by a value. A name missing here costs a wrong label in a table, nothing more.
const WITH_VALUE: &[&str] = &[
    "certhash",
    "dccp",
    "dns",
    "dns4",
    "dns6",
    "dnsaddr",
    "garlic32",
    "garlic64",
    "http-path",
    "ip4",
    "ip6",
    "ip6zone",
    "ipcidr",
    "memory",
    "onion",
    "onion3",
    "p2p",
    "sctp",
    "sni",
    "tcp",
    "udp",
    "unix",
    "x-parity-ws",
    "x-parity-wss",
];

/// A word for the outermost transport of `address`.
pub(super) fn label(address: &str) -> &'static str {
    let mut label = "other";
    let mut secure = false;
    if let Some(path) = address.strip_prefix("/unix/") {
        // A path may have any words in it.
        return match path.ends_with("/p2p-circuit") {
            true => "relay",
            false => "unix",
        };
    }
    for protocol in protocols(address) {
        label = match protocol {
            "p2p-circuit" => return "relay",
            "tcp" => "tcp",
            "udp" => "udp",
            "unix" => "unix",
            "memory" => "memory",
            "quic" | "quic-v1" => "quic",
            "webtransport" => "webtransport",
            "webrtc" | "webrtc-direct" => "webrtc",
            "ws" | "x-parity-ws" if !secure => "ws",
            "ws" | "wss" | "x-parity-ws" | "x-parity-wss" => "wss",
            _ => label,
        };
        secure |= protocol == "tls";
    }
    label
}

/// Whether the first hop of `address` stays within this machine.
pub(super) fn is_loopback(address: &str) -> bool {
    let mut components = address.split('/').skip(1);
    let mut protocol = components.next();
    let mut value = components.next();
    if protocol == Some("ip6zone") {
        protocol = components.next();
        value = components.next();
    }
    match (protocol, value) {
        (Some("memory" | "unix"), _) => true,
        (Some("ip4"), Some(ip)) => ip.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback()),
        (Some("ip6"), Some(ip)) => ip
            .parse::<Ipv6Addr>()
            .is_ok_and(|ip| ip.to_canonical().is_loopback()),
        (Some("dns" | "dns4" | "dns6"), Some(host)) => host.eq_ignore_ascii_case("localhost"),
        _ => false,
    }
}

/// The names of the protocols in `address`, without their values.
fn protocols(address: &str) -> impl Iterator<Item = &str> {
    let mut components = address.split('/').skip(1);
    std::iter::from_fn(move || {
        let name = components.next()?;
        if WITH_VALUE.contains(&name) {
            components.next();
        }
        Some(name)
    })
}
