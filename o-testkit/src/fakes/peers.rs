//! Peer ids for tests.

use o_address::PeerId;

/// The peer with this number: a peer id in the form of an Ed25519 key, different for each number.
/// Nobody has the key.
#[expect(
    clippy::expect_used,
    reason = "the bytes are those of an Ed25519 key inlined in a peer id"
)]
pub fn test_peer(number: u64) -> PeerId {
    // Multihash: identity, 36 bytes; protobuf: key type 1, then 32 bytes of key.
    let mut bytes = vec![0x00, 36, 0x08, 0x01, 0x12, 0x20];
    bytes.extend_from_slice(&[0x7e; 24]);
    bytes.extend_from_slice(&number.to_be_bytes());
    PeerId::from_bytes(&bytes).expect("the shape of a peer id")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_differ_and_read_back() {
        assert_ne!(test_peer(1), test_peer(256));
        let text = test_peer(7).to_string();
        assert!(text.starts_with("12D3KooW"), "{text}");
        assert_eq!(text.parse(), Ok(test_peer(7)));
    }
}
