//! Which addresses that somebody told us are worth keeping.

use std::net::{Ipv4Addr, Ipv6Addr};

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};
use o_address::TransportAddr;
use o_transport::from_multiaddr;

/// Longest address that is kept, in bytes of its binary form: a relayed one takes about 100.
const MAX_BYTES: usize = 160;

/// `address` without the peer at its end, if it is a sane address of `peer`. Loopback, private
/// ranges and memory only with `allow_private`.
pub(crate) fn usable(address: &Multiaddr, peer: &PeerId, allow_private: bool) -> Option<Multiaddr> {
    if address.len() > MAX_BYTES {
        return None;
    }
    let mut address = address.clone();
    if let Some(Protocol::P2p(last)) = address.iter().last() {
        if last != *peer {
            return None; // It leads to somebody else.
        }
        address.pop();
    }
    let mut parts = address.iter();
    let host_is_good = match parts.next()? {
        Protocol::Ip4(ip) => is_good_v4(ip, allow_private),
        Protocol::Ip6(ip) => is_good_v6(ip, allow_private),
        Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name) => {
            is_good_name(&name, allow_private)
        }
        Protocol::Memory(port) => return (port != 0 && allow_private).then_some(address),
        _ => false, // A path on this machine, or nothing that can be dialed.
    };
    let port_is_good = match parts.next() {
        Some(Protocol::Tcp(port) | Protocol::Udp(port)) => port != 0,
        _ => false,
    };
    let circuits = parts
        .filter(|part| matches!(part, Protocol::P2pCircuit))
        .count();
    (host_is_good && port_is_good && circuits <= 1).then_some(address)
}

/// The usable ones among `addresses`, each once, at most `limit`.
pub(crate) fn filtered<'a>(
    addresses: impl IntoIterator<Item = &'a Multiaddr>,
    peer: &PeerId,
    allow_private: bool,
    limit: usize,
) -> Vec<Multiaddr> {
    let mut kept = Vec::new();
    for address in addresses {
        if kept.len() >= limit {
            break;
        }
        if let Some(address) = usable(address, peer, allow_private)
            && !kept.contains(&address)
        {
            kept.push(address);
        }
    }
    kept
}

/// The addresses as o-core's, the peer at the end of each; what has no such form is left out.
pub(crate) fn to_transport(addresses: &[Multiaddr], peer: &PeerId) -> Vec<TransportAddr> {
    let full = addresses
        .iter()
        .filter_map(|address| address.clone().with_p2p(*peer).ok());
    full.filter_map(|address| from_multiaddr(&address).ok())
        .collect()
}

fn is_good_v4(ip: Ipv4Addr, allow_private: bool) -> bool {
    let [a, b, c, _] = ip.octets();
    if a == 0 || ip.is_multicast() || ip.is_broadcast() {
        return false;
    }
    let shared = a == 100 && (64..128).contains(&b); // RFC 6598
    let assignments = (a, b, c) == (192, 0, 0); // RFC 6890
    let benchmark = a == 198 && (18..20).contains(&b); // RFC 2544
    let local = ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || ip.is_documentation()
        || shared
        || assignments
        || benchmark
        || a >= 240;
    allow_private || !local
}

fn is_good_v6(ip: Ipv6Addr, allow_private: bool) -> bool {
    if ip.is_unspecified() || ip.is_multicast() {
        return false;
    }
    if let Some(ip) = ip.to_ipv4_mapped() {
        return is_good_v4(ip, allow_private);
    }
    let [a, b, ..] = ip.segments();
    let site_local = a & 0xffc0 == 0xfec0; // RFC 3879
    let documentation = a == 0x2001 && b == 0xdb8; // RFC 3849
    let local = ip.is_loopback()
        || ip.is_unique_local()
        || ip.is_unicast_link_local()
        || site_local
        || documentation;
    allow_private || !local
}

fn is_good_name(name: &str, allow_private: bool) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let local = ["localhost", "local", "internal", "home.arpa"]
        .iter()
        .any(|suffix| {
            name.strip_suffix(suffix)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        });
    // In a binary multiaddr a name may hold anything, slashes too.
    let clean = name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    clean && !name.is_empty() && (allow_private || !local)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, allow_private: bool) -> bool {
        usable(&text.parse().unwrap(), &PeerId::random(), allow_private).is_some()
    }

    #[test]
    fn local_addresses_need_the_wide_scope() {
        let local = [
            "/ip4/127.0.0.1/tcp/1",
            "/ip4/10.1.2.3/tcp/1",
            "/ip4/172.16.0.1/udp/1/quic-v1",
            "/ip4/192.168.1.1/tcp/1/ws",
            "/ip4/169.254.1.1/tcp/1",
            "/ip4/100.64.0.1/tcp/1",
            "/ip4/198.18.0.1/tcp/1",
            "/ip4/240.0.0.1/tcp/1",
            "/ip6/::1/tcp/1",
            "/ip6/fc00::1/tcp/1",
            "/ip6/fe80::1/tcp/1",
            "/ip6/::ffff:10.0.0.1/tcp/1",
            "/dns4/localhost/tcp/1",
            "/dns/a.LOCALHOST./tcp/1",
            "/dns/printer.local/tcp/1",
            "/memory/7",
        ];
        for text in local {
            assert!(!check(text, false), "{text}");
            assert!(check(text, true), "{text}");
        }
    }

    #[test]
    fn public_addresses_are_kept() {
        let public = [
            "/ip4/1.2.3.4/tcp/4001",
            "/ip4/100.63.0.1/tcp/1",
            "/ip4/100.128.0.1/tcp/1",
            "/ip6/2606:4700::1/udp/1/quic-v1",
            "/dns4/example.com/tcp/443/wss",
            "/dns/mylocal/tcp/1",
        ];
        for text in public {
            assert!(check(text, false), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_dialed_is_refused_in_every_scope() {
        let bad = [
            "/ip4/0.0.0.0/tcp/1",
            "/ip4/1.2.3.4/tcp/0",
            "/ip4/224.0.0.1/tcp/1",
            "/ip4/255.255.255.255/tcp/1",
            "/ip6/::/tcp/1",
            "/ip6/ff02::1/tcp/1",
            "/ip4/1.2.3.4",
            "/memory/0",
            "/unix/tmp%2Fsocket",
            "/tcp/1",
        ];
        for text in bad {
            assert!(!check(text, true), "{text}");
        }
        let relay = PeerId::random();
        let circuit = format!("/ip4/1.2.3.4/tcp/1/p2p/{relay}/p2p-circuit");
        assert!(check(&circuit, false));
        assert!(!check(&format!("{circuit}/p2p/{relay}/p2p-circuit"), false));
        let smuggled = Multiaddr::empty().with(Protocol::Dns4("x/tcp/1".into()));
        let smuggled = smuggled.with(Protocol::Tcp(2));
        assert_eq!(usable(&smuggled, &relay, true), None);
        let long = format!("/dns4/{}/tcp/1", "a".repeat(200));
        assert!(!check(&long, false));
    }

    #[test]
    fn the_peer_at_the_end_must_be_the_peer() {
        let (peer, other) = (PeerId::random(), PeerId::random());
        let bare: Multiaddr = "/ip4/1.2.3.4/tcp/1".parse().unwrap();
        let full = bare.clone().with_p2p(peer).unwrap();
        assert_eq!(usable(&full, &peer, false), Some(bare.clone()));
        assert_eq!(usable(&full, &other, false), None);
        let kept = filtered([&full, &bare, &full], &peer, false, 8);
        assert_eq!(kept, [bare]);
    }

    #[test]
    fn the_number_is_bounded() {
        let peer = PeerId::random();
        let many: Vec<Multiaddr> = (1..50)
            .map(|port| format!("/ip4/1.2.3.4/tcp/{port}").parse().unwrap())
            .collect();
        assert_eq!(filtered(&many, &peer, false, 8), many[..8]);
    }

    proptest::proptest! {
        /// Whatever a peer sends as an address, what is kept is short, dialable text of that peer.
        #[test]
        fn nothing_that_is_sent_breaks_it(
            bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64),
            code in proptest::sample::select(vec![4_u8, 41, 54, 53, 55, 6, 145]),
        ) {
            let peer = PeerId::random();
            for bytes in [bytes.clone(), [vec![code], bytes].concat()] {
                let Ok(address) = Multiaddr::try_from(bytes) else { continue };
                for kept in filtered([&address], &peer, true, 1) {
                    let text = to_transport(&[kept], &peer);
                    proptest::prop_assert_eq!(text.len(), 1);
                    let ours = o_transport::from_peer_id(&peer).unwrap();
                    proptest::prop_assert_eq!(text[0].peer_id(), Some(ours));
                }
            }
        }
    }
}
