//! The bytes of gossip, and what is refused.

use ciborium::{Value, cbor};
use proptest::prelude::*;

use super::*;

fn peer() -> PeerId {
    "12D3KooWQA9eZ7s8E7KvNJGG7AXRioyASFicECjdKL1DS2C1Duoo"
        .parse()
        .unwrap()
}

fn alive() -> Alive {
    Alive {
        at: 1_700_000_000_123,
        interval: 2000,
        digest: 7,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn golden_bytes() {
    let announce = GossipMessage::Announce(Bytes::from_static(b"abc"));
    assert_eq!(
        hex(&announce.encode().unwrap()),
        "a20101 0243616263".replace(' ', "")
    );
    let withdraw = GossipMessage::Withdraw(Bytes::from_static(b"abc"));
    assert_eq!(
        hex(&withdraw.encode().unwrap()),
        "a20102 0243616263".replace(' ', "")
    );
    let alive = GossipMessage::Alive(alive());
    let expected = "a40103 031b0000018bcfe5687b 041907d0 0507".replace(' ', "");
    assert_eq!(hex(&alive.encode().unwrap()), expected);
    let suspect = GossipMessage::Suspect {
        peer: peer(),
        at: 9,
    };
    let expected = format!("a301040309065826{}", hex(peer().as_bytes()));
    assert_eq!(hex(&suspect.encode().unwrap()), expected);
    for message in [announce, withdraw, alive, suspect] {
        let bytes = message.encode().unwrap();
        assert_eq!(GossipMessage::decode(&bytes).unwrap(), message);
    }
}

#[test]
fn digests_depend_on_names_and_sequences_and_on_no_order() {
    let [a, b]: [Address; 2] = ["o://a", "o://b"].map(|name| name.parse().unwrap());
    let digest = announced_digest([(&a, 1), (&b, 2)]);
    assert_eq!(digest, announced_digest([(&b, 2), (&a, 1)]));
    assert_eq!(digest, announced_digest([(&b.pinned(peer()), 2), (&a, 1)]));
    assert_ne!(digest, announced_digest([(&a, 2), (&b, 2)]));
    assert_ne!(digest, announced_digest([(&a, 1)]));
    // The first bytes of SHA-256 of nothing.
    assert_eq!(announced_digest([]), 0xe3b0_c442_98fc_1c14);
}

fn read_value(value: &Value) -> Result<GossipMessage, DecodeError> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    GossipMessage::decode(&bytes)
}

#[test]
fn later_versions_are_read_as_far_as_they_can_be() {
    let more = cbor!({ 1 => 3, 3 => 1, 4 => 2, 5 => 3, 99 => "more" }).unwrap();
    assert!(matches!(read_value(&more), Ok(GossipMessage::Alive(_))));
    let unknown = cbor!({ 1 => 77, 2 => "what" }).unwrap();
    // Keys that are known keep their types.
    assert!(read_value(&unknown).is_err());
    let unknown = cbor!({ 1 => 77, 9 => "what" }).unwrap();
    assert_eq!(read_value(&unknown).unwrap(), GossipMessage::Unknown(77));
    assert!(GossipMessage::Unknown(77).encode().is_err());
}

#[test]
fn what_is_no_message_is_refused() {
    let missing = [
        cbor!({ 3 => 1 }),
        cbor!({ 1 => 1 }),
        cbor!({ 1 => 3, 3 => 1, 4 => 2 }),
        cbor!({ 1 => 3, 3 => 1, 4 => 4_294_967_296_u64, 5 => 1 }),
        cbor!({ 1 => 4, 3 => 1 }),
        cbor!({ 1 => 4, 3 => 1, 6 => "text" }),
        cbor!({ 1 => 3, 3 => 1, 4 => 2, 5 => 3, -1 => 0 }),
        cbor!([1, 2]),
    ];
    for value in missing {
        let value = value.unwrap();
        assert!(read_value(&value).is_err(), "{value:?}");
    }
    let long = GossipMessage::Announce(vec![0; GossipMessage::MAX_BYTES].into());
    assert!(GossipMessage::decode(&long.encode().unwrap()).is_err());
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(at: u64, interval: u32, digest: u64, envelope: Vec<u8>) {
        let messages = [
            GossipMessage::Alive(Alive { at, interval, digest }),
            GossipMessage::Suspect { peer: peer(), at },
            GossipMessage::Announce(envelope.clone().into()),
            GossipMessage::Withdraw(envelope.into()),
        ];
        for message in messages {
            let bytes = message.encode().unwrap();
            prop_assert_eq!(GossipMessage::decode(&bytes).unwrap(), message);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        let _ = GossipMessage::decode(&bytes);
    }
}
