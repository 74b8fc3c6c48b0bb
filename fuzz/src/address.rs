//! Texts of addresses and of what else names things: what is accepted prints as it came, an error points into it.

use std::{fmt::Display, str::FromStr};

use o_address::{Address, AddressError, PeerId, TransportAddr};
use o_core::{Capability, NetworkId};

use crate::Seed;

const PEER: &str = "12D3KooWQA9eZ7s8E7KvNJGG7AXRioyASFicECjdKL1DS2C1Duoo";

/// Gives the bytes to [`PeerId::from_bytes`], and to every parser if they are text.
///
/// # Panics
/// When something does not hold.
pub fn run(data: &[u8]) {
    if let Ok(peer) = PeerId::from_bytes(data) {
        assert_eq!(peer.as_bytes(), data);
        assert_eq!(peer.to_string().parse(), Ok(peer));
        assert!(peer.to_string().len() <= PeerId::MAX_TEXT_LEN);
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    address(text);
    transport_addr(text);
    prints_as_it_came::<PeerId>(text);
    prints_as_it_came::<NetworkId>(text);
    prints_as_it_came::<Capability>(text);
    if let Ok(peer) = text.parse::<PeerId>() {
        assert_eq!(PeerId::from_bytes(peer.as_bytes()), Ok(peer));
    }
}

fn address(text: &str) {
    match Address::parse(text) {
        Ok(address) => {
            assert_eq!(address.to_string(), text);
            assert!(
                text.len() <= Address::MAX_LEN && address.name().len() <= Address::MAX_NAME_LEN
            );
            assert!((1..=Address::MAX_SEGMENTS).contains(&address.depth()));
            let bare = address.without_pin();
            let rebuilt = address.pin().map_or(bare.clone(), |pin| bare.pinned(pin));
            assert_eq!(rebuilt, address);
            assert_eq!(
                Address::from_protocol(&address.to_protocol()),
                Ok(bare.clone())
            );
            let parent = address.parent();
            assert_eq!(parent.is_some(), address.depth() > 1);
            if let Some(parent) = parent {
                assert_eq!(parent.child(address.leaf()), Ok(bare));
                assert!(parent.is_ancestor_of(&address) && address.root() == parent.root());
            }
        }
        Err(error) => {
            assert!(error.offset() <= text.len(), "{error}");
            if let AddressError::BadCharacter { offset, found } = error {
                assert!(text[offset..].starts_with(found), "{error}");
            }
        }
    }
    match Address::from_protocol(text) {
        Ok(address) => assert_eq!(address.to_protocol(), text),
        Err(error) => assert!(error.offset() <= text.len(), "{error}"),
    }
}

fn transport_addr(text: &str) {
    match TransportAddr::parse(text) {
        Ok(address) => {
            assert_eq!(address.to_string(), text);
            assert!(text.len() <= TransportAddr::MAX_LEN_WITH_PEER);
            let _ = (address.is_loopback(), address.transport_label());
            let place = address.without_peer();
            if let Some(place) = &place {
                assert_eq!(TransportAddr::parse(place.as_str()).as_ref(), Ok(place));
            }
            let Some(peer) = address.peer_id() else {
                return;
            };
            assert!(place.as_ref() != Some(&address));
            assert_eq!(address.with_peer(&peer), address);
            // A place that ends in a peer once more would have that one replaced.
            if let Some(place) = place.filter(|place| place.without_peer().as_ref() == Some(place))
            {
                assert_eq!(place.with_peer(&peer), address);
            }
        }
        Err(error) => assert!(error.offset() <= text.len(), "{error}"),
    }
}

fn prints_as_it_came<T: FromStr + Display>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string(), text);
    }
}

/// Good texts of every kind, and the bytes of a peer id.
pub fn seeds() -> Vec<Seed> {
    let deep = "o://a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p";
    let long = format!("o://{}", "s".repeat(Address::MAX_SEGMENT_LEN));
    let mut seeds: Vec<Seed> = [
        ("name", "o://company/sales/ai-assistant"),
        ("node", "o://~"),
        ("below-node", "o://~/ping"),
        ("characters", "o://aZ09._~-/..."),
        ("dots", "o://a/../b"),
        ("empty-segment", "o://a//b"),
        ("not-ascii", "o://caf\u{e9}"),
        ("deep", deep),
        ("long", &long),
        ("pinned", &format!("o://leader#{PEER}")),
        ("bad-pin", "o://leader#12D3Koo"),
        ("protocol", "/o/leader/echo"),
        ("peer", PEER),
        (
            "peer-sha256",
            "QmVBx9SynkyCJzdoR4MvXMv1JxTS6VdFpkL59PgQTW8e6M",
        ),
        ("tcp", "/ip4/127.0.0.1/tcp/4001"),
        ("quic", &format!("/ip6/::1/udp/4001/quic-v1/p2p/{PEER}")),
        (
            "relay",
            &format!("/dns4/relay.example/tcp/443/wss/p2p/{PEER}/p2p-circuit/p2p/{PEER}"),
        ),
        ("memory", "/memory/7"),
        ("only-peer", &format!("/p2p/{PEER}")),
        ("network", "main"),
        ("capability", "text/summarize.v1"),
    ]
    .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
    .into();
    let bytes = PEER.parse().map(|peer: PeerId| peer.as_bytes().to_vec());
    seeds.push(("peer-bytes".to_owned(), bytes.unwrap_or_default()));
    seeds
}
