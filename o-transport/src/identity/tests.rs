//! Vectors of seeds, forms of keys, and what is never shown.

use super::*;

/// Made with the reference implementation; the first column is the seed.
const VECTORS: [(&str, &str); 5] = [
    (
        "olane",
        "12D3KooWQA9eZ7s8E7KvNJGG7AXRioyASFicECjdKL1DS2C1Duoo",
    ),
    (
        "hello world",
        "12D3KooWPnBbydeA5Uxas2QpTZL7fcckv7fS5E9cgQBJqreR54CW",
    ),
    ("", "12D3KooWNeFQq6UZ8meyknx3sH7CGZUsJsSNntzRsDuFTdAwpDBP"),
    (
        "héllo ✓",
        "12D3KooWHbxkAivCd9PAK4hTV1jAHeWpRVgbA8GcSEXzN5fMcF9X",
    ),
    (
        "ref-leader-seed",
        "12D3KooWENv1GhzuyWHPuSREUDbATnmXpq6xQnX6Gx8mZRwMCRdW",
    ),
];

#[test]
fn seeds_give_the_reference_peer_ids() {
    for (seed, peer) in VECTORS {
        assert_eq!(Keypair::from_seed(seed).peer_id().to_string(), peer);
    }
}

#[test]
fn protobuf_has_the_reference_bytes_and_survives() {
    let keys = Keypair::from_seed("olane");
    let bytes = keys.to_protobuf();
    assert_eq!(bytes.len(), 68);
    assert_eq!(bytes[..4], [0x08, 0x01, 0x12, 0x40]);
    assert_eq!(bytes[4..36], Sha256::digest("olane")[..]);
    let public = keys.libp2p().public().try_into_ed25519().unwrap();
    assert_eq!(bytes[36..], public.to_bytes());
    assert_eq!(
        Keypair::from_protobuf(&bytes).unwrap().peer_id(),
        keys.peer_id()
    );
}

#[test]
fn generated_keys_differ() {
    assert_ne!(Keypair::generate().peer_id(), Keypair::generate().peer_id());
}

#[test]
fn other_bytes_are_no_key() {
    let good = Keypair::from_seed("x").to_protobuf();
    let refused = |bytes: &[u8]| Keypair::from_protobuf(bytes).unwrap_err();

    for length in 0..good.len() {
        let expected = 68;
        let found = length;
        assert_eq!(
            refused(&good[..length]),
            KeyDecodeError::WrongLength { expected, found }
        );
    }
    assert_eq!(
        refused(&[&good[..], b"\n"].concat()),
        KeyDecodeError::WrongLength {
            expected: 68,
            found: 69
        }
    );
    // The first bytes of an RSA key.
    assert_eq!(
        refused(&[0x08, 0x00, 0x12, 0xa9, 0x09, 0x30]),
        KeyDecodeError::WrongType { key_type: 0 }
    );
    assert_eq!(refused(&[7; 68]), KeyDecodeError::Malformed);

    let mut halves_of_two_keys = good.clone();
    halves_of_two_keys[36..].copy_from_slice(&Keypair::from_seed("y").to_protobuf()[36..]);
    assert_eq!(refused(&halves_of_two_keys), KeyDecodeError::Malformed);
}

#[test]
fn debug_shows_the_peer_id_only() {
    let keys = Keypair::from_seed("olane");
    let shown = format!("{keys:?}");
    assert_eq!(shown, format!("Keypair({})", keys.peer_id()));
}

#[test]
fn seed_is_neither_shown_nor_written() {
    let config = IdentityConfig::new(KeySource::Seed(Seed::new("s3cret")));
    let written = serde_json::to_string(&config).unwrap();
    assert_eq!(written, r#"{"key":{"seed":"(hidden)"}}"#);
    assert!(!format!("{config:?}").contains("s3cret"));
    // A configuration that was printed must not quietly give another key.
    let error = serde_json::from_str::<IdentityConfig>(&written).unwrap_err();
    assert!(error.to_string().contains("hidden"), "{error}");
}

#[test]
fn identity_is_read_from_configuration() {
    let read = |text: &str| serde_json::from_str::<IdentityConfig>(text).unwrap();
    assert_eq!(read("{}").key, KeySource::Ephemeral);
    assert_eq!(read(r#"{"key":"ephemeral"}"#).key, KeySource::Ephemeral);
    assert_eq!(
        read(r#"{"key":{"file":"/a/b.key"}}"#).key,
        KeySource::File("/a/b.key".into())
    );
    let identity = read(r#"{"key":{"seed":"olane"}}"#).open().unwrap();
    assert_eq!(identity.peer_id().to_string(), VECTORS[0].1);
    assert!(identity.file().is_none());
}

#[test]
fn empty_seed_in_a_configuration_is_refused() {
    let config = IdentityConfig::new(KeySource::Seed(Seed::new("")));
    assert!(matches!(config.open(), Err(KeyError::EmptySeed)));
}

#[test]
fn identity_from_a_file_keeps_the_lock() {
    let directory = tempfile::tempdir().unwrap();
    let config = IdentityConfig::new(KeySource::File(directory.path().join("node.key")));
    let identity = config.open().unwrap();
    assert!(identity.file().unwrap().created());
    assert!(matches!(config.open(), Err(KeyError::InUse { .. })));

    let peer = identity.peer_id();
    drop(identity);
    assert_eq!(config.open().unwrap().peer_id(), peer);
}
