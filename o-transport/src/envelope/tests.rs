//! What an envelope proves, and everything that it must not.

use super::*;

const DOMAIN: &str = "o-record/1";
const TYPE: &[u8] = b"/o/record";

fn signed(payload: &[u8]) -> Bytes {
    Keypair::from_seed("signer")
        .sign(DOMAIN, TYPE, payload)
        .unwrap()
}

fn verify(envelope: &[u8]) -> Result<Verified, VerifyError> {
    EnvelopeVerifier.verify(DOMAIN, TYPE, envelope)
}

#[test]
fn envelope_proves_signer_and_payload() {
    let keys = Keypair::from_seed("signer");
    assert_eq!(keys.peer(), keys.peer_id());
    for payload in [&b""[..], b"hello", &[0; 10_000]] {
        let verified = verify(&signed(payload)).unwrap();
        assert_eq!(verified.peer, keys.peer_id());
        assert_eq!(verified.payload, payload);
    }
}

#[test]
fn other_domain_and_other_type_are_told_apart() {
    let envelope = signed(b"hello");
    assert!(matches!(
        EnvelopeVerifier.verify("o-delegation/1", TYPE, &envelope),
        Err(VerifyError::BadSignature)
    ));
    assert!(matches!(
        EnvelopeVerifier.verify(DOMAIN, b"/o/other", &envelope),
        Err(VerifyError::WrongType)
    ));
}

#[test]
fn domain_type_and_payload_cannot_flow_into_each_other() {
    let keys = Keypair::from_seed("signer");
    let envelope = keys.sign("ab", b"c", b"d").unwrap();
    for (domain, payload_type) in [("a", &b"bc"[..]), ("abc", b""), ("", b"abc")] {
        assert!(
            EnvelopeVerifier
                .verify(domain, payload_type, &envelope)
                .is_err()
        );
    }
}

#[test]
fn flipped_bits_are_noticed_everywhere() {
    let envelope = signed(b"hello").to_vec();
    let key = Keypair::from_seed("signer").libp2p().public();
    let key = key.try_into_ed25519().unwrap().to_bytes();
    let key_at = envelope.windows(32).position(|w| w == key).unwrap();
    let signature_at = envelope.len() - 64;
    for byte in 0..envelope.len() {
        let random = (key_at..key_at + 32).contains(&byte) || byte >= signature_at;
        // Checking a signature is slow in a debug build, so of bytes that mean nothing by
        // themselves one bit must do.
        let bits = if random { byte % 8..byte % 8 + 1 } else { 0..8 };
        for bit in bits {
            let mut flipped = envelope.clone();
            flipped[byte] ^= 1 << bit;
            assert!(verify(&flipped).is_err(), "bit {bit} of byte {byte}");
        }
    }
}

#[test]
fn every_truncation_is_noticed() {
    let envelope = signed(b"hello");
    for length in 0..envelope.len() {
        assert!(verify(&envelope[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn key_of_another_signer_is_noticed() {
    let mut forged = signed(b"hello").to_vec();
    let mine = Keypair::from_seed("signer").libp2p().public();
    let other = Keypair::from_seed("other").libp2p().public();
    let (mine, other) = (mine.encode_protobuf(), other.encode_protobuf());
    let at = forged.windows(mine.len()).position(|w| w == mine).unwrap();
    forged[at..at + other.len()].copy_from_slice(&other);
    assert!(matches!(verify(&forged), Err(VerifyError::BadSignature)));
}

#[test]
fn random_bytes_prove_nothing_and_never_panic() {
    // SplitMix64: the same bytes in every run.
    let mut state = 7_u64;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let envelope = signed(b"hello");
    for round in 0..4_000 {
        let length = next() as usize % 300;
        let mut bytes: Vec<u8> = (0..length).map(|_| next() as u8).collect();
        if round % 2 == 0 {
            // A true envelope with a random piece in it gets further than noise alone.
            let mut spliced = envelope.to_vec();
            let at = next() as usize % spliced.len();
            bytes.truncate(8);
            bytes.push(spliced[at] ^ 1);
            spliced.splice(at..=at, bytes);
            bytes = spliced;
        }
        if let Ok(verified) = verify(&bytes) {
            // Only unknown fields can have been added.
            assert_eq!(verified.payload, &b"hello"[..], "{bytes:02x?}");
        }
    }
}
