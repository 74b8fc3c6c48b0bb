//! Peer ids of known seeds: the text is what js-libp2p prints, the key is what OpenSSL makes of the seed's SHA-256.

use o_address::{Address, PeerId, TransportAddr};

/// Seed, public Ed25519 key in hex, peer id.
const VECTORS: [(&str, &str, &str); 5] = [
    (
        "olane",
        "d515137f28627074d4d2985acde93c365dadfc07d69325af1b5d2e8f8c16d26a",
        "12D3KooWQA9eZ7s8E7KvNJGG7AXRioyASFicECjdKL1DS2C1Duoo",
    ),
    (
        "hello world",
        "cf74826ffd487a1010bc90950087d8730a3c900fd31baf1f6377f15034590f87",
        "12D3KooWPnBbydeA5Uxas2QpTZL7fcckv7fS5E9cgQBJqreR54CW",
    ),
    (
        "",
        "be907b4bac84fee5ce8811db2defc9bf0b2a2a2bbc3d54d8a2257ecd70441962",
        "12D3KooWNeFQq6UZ8meyknx3sH7CGZUsJsSNntzRsDuFTdAwpDBP",
    ),
    (
        "héllo ✓",
        "73b00a587ae931fcb463a4d008e167db8ac63800637944ad7c3ba6b4ab332ede",
        "12D3KooWHbxkAivCd9PAK4hTV1jAHeWpRVgbA8GcSEXzN5fMcF9X",
    ),
    (
        "ref-leader-seed",
        "43c554d937dde6a087cd2389b45b58042bcd789b29c4d81d641b79be3abc245d",
        "12D3KooWENv1GhzuyWHPuSREUDbATnmXpq6xQnX6Gx8mZRwMCRdW",
    ),
];

/// The identity multihash of an Ed25519 key as libp2p's protobuf: type 1, then 32 bytes of data.
const ED25519_PREFIX: &str = "002408011220";
/// The SHA-256 of the letter `o`, standing for the hash of a long key.
const SHA256: (&str, &str) = (
    "122065c74c15a686187bb6bbf9958f494fc6b80068034a659a9ad44991b08c58f2d2",
    "QmVBx9SynkyCJzdoR4MvXMv1JxTS6VdFpkL59PgQTW8e6M",
);

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Result<Vec<u8>, std::num::ParseIntError> {
    let byte = |index: usize| u8::from_str_radix(&text[index..index + 2], 16);
    (0..text.len()).step_by(2).map(byte).collect()
}

#[test]
fn peer_ids_have_the_known_texts_and_bytes() {
    let ed25519 = VECTORS.map(|(_, key, text)| (format!("{ED25519_PREFIX}{key}"), text));
    let sha256 = (SHA256.0.to_owned(), SHA256.1);
    for (bytes, text) in ed25519.into_iter().chain([sha256]) {
        let peer: PeerId = text.parse().unwrap();
        assert_eq!(hex(peer.as_bytes()), bytes);
        assert_eq!(PeerId::from_bytes(&unhex(&bytes).unwrap()), Ok(peer));
        assert_eq!(peer.to_string(), text);
    }
}

#[test]
fn known_peers_pin_addresses_and_end_transport_addresses() {
    for (seed, _, text) in VECTORS {
        let peer: PeerId = text.parse().unwrap();
        let pinned = Address::parse(&format!("o://leader/echo#{text}")).unwrap();
        assert_eq!(pinned.pin(), Some(peer), "{seed:?}");
        let there = TransportAddr::parse(&format!("/ip4/127.0.0.1/tcp/4001/p2p/{text}")).unwrap();
        assert_eq!(there.peer_id(), Some(peer), "{seed:?}");
    }
}

#[test]
fn names_of_the_reference_network_keep_their_protocol_ids() {
    for (address, protocol) in [
        ("o://echo", "/o/echo"),
        ("o://leader", "/o/leader"),
        ("o://leader/echo", "/o/leader/echo"),
        ("o://a/b/c", "/o/a/b/c"),
    ] {
        assert_eq!(Address::parse(address).unwrap().to_protocol(), protocol);
        assert_eq!(Address::from_protocol(protocol).unwrap().as_str(), address);
    }
}
