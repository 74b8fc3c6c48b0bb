//! What is signed, and what is not believed.

use std::time::Duration;

use o_core::{MethodDigest, SchemaHash, Shape, Verified};
use proptest::prelude::*;
use serde::Serialize;

use super::*;

/// The payload of [`record`] in hexadecimal digits.
const GOLDEN_RECORD: &[&str] = &[
    "ad01646d61696e02716f3a2f2f636f6d70616e792f73616c65730344000207070419012c051a6553",
    "f10006190e100781772f6970342f3132372e302e302e312f7463702f34303031088169746578742f",
    "6563686f098184646563686f025820ababababababababababababababababababababababababab",
    "ababababababab6e5361797320697420616761696e2e0a81696563686f2f6c6f75640b81676c616e",
    "673d64650c674563686f65732e0d81420102",
];
/// The payload of [`tombstone`] in hexadecimal digits.
const GOLDEN_TOMBSTONE: &[&str] = &[
    "a701646d61696e02716f3a2f2f636f6d70616e792f73616c65730344000207070419012c051a6553",
    "f10006190e10088169746578742f6563686f",
];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An envelope is peer, payload type and payload with their lengths, and a hash instead of a
/// signature.
#[derive(Debug)]
struct Fake(PeerId);

fn digest(domain: &str, rest: &[u8]) -> [u8; 32] {
    Sha256::new()
        .chain_update(domain)
        .chain_update([0])
        .chain_update(rest)
        .finalize()
        .into()
}

impl Signer for Fake {
    fn peer(&self) -> PeerId {
        self.0
    }

    fn sign(&self, domain: &str, payload_type: &[u8], payload: &[u8]) -> Result<Bytes, SignError> {
        let mut envelope = Vec::new();
        for part in [self.0.as_bytes(), payload_type, payload] {
            envelope.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
            envelope.extend(part);
        }
        envelope.extend(digest(domain, &envelope));
        Ok(envelope.into())
    }
}

impl Verifier for Fake {
    fn verify(
        &self,
        domain: &str,
        payload_type: &[u8],
        envelope: &[u8],
    ) -> Result<Verified, VerifyError> {
        let (rest, signature) = envelope
            .split_last_chunk::<32>()
            .ok_or(VerifyError::Malformed)?;
        let signed = digest(domain, rest);
        let mut rest = rest;
        let mut part = || {
            let (length, after) = rest.split_first_chunk::<4>().unwrap();
            let (part, after) = after.split_at(u32::from_be_bytes(*length) as usize);
            rest = after;
            part
        };
        let (peer, found, payload) = (part(), part(), part());
        if found != payload_type {
            return Err(VerifyError::WrongType);
        }
        if signed != *signature {
            return Err(VerifyError::BadSignature);
        }
        let peer = PeerId::from_bytes(peer).unwrap();
        Ok(Verified {
            peer,
            payload: Bytes::copy_from_slice(payload),
        })
    }
}

fn peer(byte: u8) -> PeerId {
    PeerId::from_bytes(&[0, 2, byte, byte]).unwrap()
}

fn fake() -> Fake {
    Fake(peer(7))
}

fn made() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

fn record() -> Record {
    Record {
        address: "o://company/sales".parse().unwrap(),
        peer: peer(7),
        addresses: vec!["/ip4/127.0.0.1/tcp/4001".parse().unwrap()],
        capabilities: vec!["text/echo".parse().unwrap()],
        methods: vec![MethodDigest {
            name: "echo".into(),
            shape: Shape::Server,
            hash: SchemaHash([0xab; 32]),
            description: "Says it again.".into(),
        }],
        specialisations: vec!["echo/loud".parse().unwrap()],
        labels: vec!["lang=de".parse().unwrap()],
        description: "Echoes.".into(),
        chain: vec![Bytes::from_static(&[1, 2])],
        sequence: 300,
        times: RecordTimes::starting(made(), Duration::from_secs(3600)),
        network: NetworkId::default(),
    }
}

fn tombstone() -> Tombstone {
    let Record {
        address,
        peer,
        capabilities,
        sequence,
        times,
        network,
        ..
    } = record();
    Tombstone {
        address,
        peer,
        sequence,
        capabilities,
        times,
        network,
    }
}

fn verify(envelope: Bytes) -> Result<SignedRecord, RecordError> {
    verify_record(envelope, &fake(), made(), &NetworkId::default())
}

/// Signs and verifies any payload as a record.
fn verify_payload<T: Serialize>(payload: &T) -> Result<SignedRecord, RecordError> {
    let payload = cbor::to_vec(payload).unwrap();
    verify(fake().sign(RECORD.0, RECORD.1, &payload).unwrap())
}

/// The payload of [`record`] with the value of one key replaced, added or, with `None`, removed.
fn with(key: i64, value: Option<ciborium::Value>) -> ciborium::Value {
    let payload = ciborium::Value::serialized(&payload::of_record(&record())).unwrap();
    let mut entries = payload.into_map().unwrap();
    entries.retain(|(found, _)| *found != key.into());
    entries.extend(value.map(|value| (key.into(), value)));
    ciborium::Value::Map(entries)
}

/// Why a payload was not believed.
fn refusal(payload: &ciborium::Value) -> String {
    match verify_payload(payload) {
        Err(RecordError::Payload(error)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_golden_payloads_stay() {
    let bytes = cbor::to_vec(&payload::of_record(&record())).unwrap();
    assert_eq!(hex(&bytes), GOLDEN_RECORD.concat());
    let bytes = cbor::to_vec(&payload::of_tombstone(&tombstone())).unwrap();
    assert_eq!(hex(&bytes), GOLDEN_TOMBSTONE.concat());
}

#[test]
fn what_was_signed_is_believed_and_keeps_its_bytes() {
    let signed = sign_record(&record(), &fake()).unwrap();
    assert_eq!(signed.record(), &record());
    assert_eq!(verify(signed.envelope().clone()).unwrap(), signed);

    let signed = sign_tombstone(&tombstone(), &fake()).unwrap();
    let envelope = signed.envelope().clone();
    let read = verify_tombstone(envelope, &fake(), made(), &NetworkId::default()).unwrap();
    assert_eq!(read, signed);
    assert_eq!(read.tombstone(), &tombstone());
}

#[test]
fn a_record_is_no_tombstone_and_another_domain_no_record() {
    let signed = sign_record(&record(), &fake()).unwrap();
    let envelope = signed.envelope().clone();
    let result = verify_tombstone(envelope, &fake(), made(), &NetworkId::default());
    assert!(matches!(
        result,
        Err(RecordError::Envelope(VerifyError::WrongType))
    ));

    let payload = cbor::to_vec(&payload::of_record(&record())).unwrap();
    let envelope = fake().sign(TOMBSTONE.0, RECORD.1, &payload).unwrap();
    assert!(matches!(
        verify(envelope),
        Err(RecordError::Envelope(VerifyError::BadSignature))
    ));
}

#[test]
fn nobody_speaks_for_another_peer() {
    let payload = cbor::to_vec(&payload::of_record(&record())).unwrap();
    let envelope = Fake(peer(8)).sign(RECORD.0, RECORD.1, &payload).unwrap();
    let (signer, named) = (peer(8), peer(7));
    match verify(envelope) {
        Err(RecordError::WrongPeer {
            signer: s,
            named: n,
        }) => assert_eq!((s, n), (signer, named)),
        other => panic!("{other:?}"),
    }
    let result = sign_record(&record(), &Fake(signer));
    assert!(matches!(result, Err(RecordError::WrongPeer { .. })));
    let result = sign_tombstone(&tombstone(), &Fake(signer));
    assert!(matches!(result, Err(RecordError::WrongPeer { .. })));
}

#[test]
fn another_network_and_another_time_are_refused() {
    let envelope = sign_record(&record(), &fake()).unwrap().envelope().clone();
    let other: NetworkId = "other".parse().unwrap();
    match verify_record(envelope.clone(), &fake(), made(), &other) {
        Err(RecordError::WrongNetwork { found }) => assert_eq!(found, NetworkId::default()),
        other => panic!("{other:?}"),
    }
    let verify_at = |now| verify_record(envelope.clone(), &fake(), now, &NetworkId::default());
    let end = made() + Duration::from_secs(3600 + 300);
    assert!(verify_at(end).is_ok());
    assert!(matches!(
        verify_at(end + Duration::from_secs(1)),
        Err(RecordError::Expired)
    ));
    assert!(verify_at(made() - Duration::from_secs(3600)).is_ok());

    let signed = sign_tombstone(&tombstone(), &fake()).unwrap();
    let late = end + Duration::from_secs(1);
    let envelope = signed.envelope().clone();
    let result = verify_tombstone(envelope, &fake(), late, &NetworkId::default());
    assert!(matches!(result, Err(RecordError::Expired)));
}

#[test]
fn reserved_and_pinned_names_are_refused_on_both_sides() {
    for name in ["o://~", "o://~/ping"] {
        let address: Address = name.parse().unwrap();
        let payload = with(2, Some(name.into()));
        assert!(matches!(
            verify_payload(&payload),
            Err(RecordError::Reserved { .. })
        ));
        let record = Record {
            address: address.clone(),
            ..record()
        };
        assert!(matches!(
            sign_record(&record, &fake()),
            Err(RecordError::Reserved { .. })
        ));
        let tombstone = Tombstone {
            address,
            ..tombstone()
        };
        assert!(matches!(
            sign_tombstone(&tombstone, &fake()),
            Err(RecordError::Reserved { .. })
        ));
    }
    let address = record().address.pinned(peer(7));
    let payload = with(2, Some(address.as_str().into()));
    assert!(matches!(
        verify_payload(&payload),
        Err(RecordError::Pinned { .. })
    ));
    let record = Record {
        address,
        ..record()
    };
    assert!(matches!(
        sign_record(&record, &fake()),
        Err(RecordError::Pinned { .. })
    ));
}

#[test]
fn counts_have_limits_on_both_sides() {
    let full = Record {
        addresses: vec![record().addresses[0].clone(); 16],
        capabilities: vec![record().capabilities[0].clone(); 100],
        methods: vec![record().methods[0].clone(); 100],
        specialisations: vec![record().specialisations[0].clone(); 32],
        labels: vec![record().labels[0].clone(); 100],
        chain: vec![Bytes::new(); 16],
        ..record()
    };
    let signed = sign_record(&full, &fake()).unwrap();
    assert_eq!(verify(signed.envelope().clone()).unwrap().record(), &full);

    let small = MethodDigest {
        name: "m".into(),
        description: "".into(),
        ..full.methods[0].clone()
    };
    let more = [
        Record {
            addresses: vec![full.addresses[0].clone(); 17],
            ..record()
        },
        Record {
            capabilities: vec![full.capabilities[0].clone(); 300],
            ..record()
        },
        Record {
            methods: vec![small.clone(); 257],
            ..record()
        },
        Record {
            specialisations: vec![full.specialisations[0].clone(); 33],
            ..record()
        },
        Record {
            labels: vec![full.labels[0].clone(); 101],
            ..record()
        },
        Record {
            chain: vec![Bytes::new(); 17],
            ..record()
        },
    ];
    for (record, limit) in more.iter().zip([16, 100, 256, 32, 100, 16]) {
        for result in [
            sign_record(record, &fake()),
            verify_payload(&payload::of_record(record)),
        ] {
            match result {
                Err(RecordError::TooMany { limit: found, .. }) => assert_eq!(found, limit),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn a_record_over_10_kib_is_refused_before_its_signature_is_looked_at() {
    let envelope = Bytes::from(vec![0; Record::MAX_SIGNED + 1]);
    assert!(matches!(
        verify(envelope),
        Err(RecordError::TooLarge {
            length: 10241,
            limit: 10240
        })
    ));
    let envelope = Bytes::from(vec![0; Record::MAX_SIGNED]);
    assert!(matches!(verify(envelope), Err(RecordError::Envelope(_))));

    let method = MethodDigest {
        name: "m".repeat(128).into(),
        ..record().methods[0].clone()
    };
    let address = format!("/{}", "a".repeat(1023)).parse().unwrap();
    let large = Record {
        addresses: vec![address; 16],
        methods: vec![method; 256],
        capabilities: vec!["c".repeat(128).parse().unwrap(); 100],
        ..record()
    };
    assert!(matches!(
        sign_record(&large, &fake()),
        Err(RecordError::TooLarge { .. })
    ));
}

#[test]
fn a_record_that_is_too_large_says_less() {
    let method = MethodDigest {
        name: "m".repeat(60).into(),
        description: "d".repeat(256).into(),
        ..record().methods[0].clone()
    };
    let with = |methods: usize| Record {
        methods: vec![method.clone(); methods],
        description: "d".repeat(1024).into(),
        ..record()
    };
    let fitting = |methods| sign_fitting_record(with(methods), &fake()).unwrap();
    assert_eq!(fitting(20).record(), &with(20));
    let fewer_words = fitting(60);
    assert_eq!(fewer_words.record().methods.len(), 60);
    assert!(fewer_words.record().methods[0].description.is_empty());
    assert_eq!(&*fewer_words.record().description, &*with(60).description);
    let fewer_methods = fitting(256);
    let listed = fewer_methods.record().methods.len();
    assert!((60..256).contains(&listed), "{listed}");
    assert!(verify(fewer_methods.envelope().clone()).is_ok());

    let address = format!("/{}", "a".repeat(1023)).parse().unwrap();
    let large = Record {
        addresses: vec![address; 16],
        ..record()
    };
    let refused = sign_fitting_record(large, &fake());
    assert!(matches!(refused, Err(RecordError::TooLarge { .. })));
}

#[test]
fn text_that_is_not_plain_is_refused_on_both_sides() {
    let method = MethodDigest {
        description: "d".repeat(257).into(),
        ..record().methods[0].clone()
    };
    for record in [
        Record {
            description: "red \u{1b}[31m".into(),
            ..record()
        },
        Record {
            description: "d".repeat(1025).into(),
            ..record()
        },
        Record {
            methods: vec![method],
            ..record()
        },
    ] {
        let refused = sign_record(&record, &fake());
        assert!(matches!(refused, Err(RecordError::BadText { .. })));
        let refused = verify_payload(&payload::of_record(&record));
        assert!(matches!(refused, Err(RecordError::BadText { .. })));
    }
}

#[test]
fn method_names_have_a_length() {
    for name in ["".to_owned(), "m".repeat(129)] {
        let method = MethodDigest {
            name: name.into(),
            ..record().methods[0].clone()
        };
        let record = Record {
            methods: vec![method],
            ..record()
        };
        assert!(matches!(
            sign_record(&record, &fake()),
            Err(RecordError::MethodName)
        ));
        let result = verify_payload(&payload::of_record(&record));
        assert!(matches!(result, Err(RecordError::MethodName)));
    }
}

#[test]
fn unknown_keys_are_ignored_unless_they_are_critical() {
    use ciborium::Value;

    let nested = Value::Map(vec![(
        "a".into(),
        Value::Array(vec![1.into(), Value::Null]),
    )]);
    for key in [0, 14, i64::MAX] {
        let read = verify_payload(&with(key, Some(nested.clone()))).unwrap();
        assert_eq!(read.record(), &record());
    }
    assert_eq!(
        refusal(&with(-1, Some(nested))),
        "the critical key -1 is not known"
    );
}

#[test]
fn what_is_missing_twice_or_of_another_type_is_refused() {
    use ciborium::Value;

    for key in 1..=6 {
        assert_eq!(refusal(&with(key, None)), format!("key {key} is missing"));
    }
    let bare = verify_payload(&with(7, None)).unwrap();
    assert_eq!(
        bare.record(),
        &Record {
            addresses: vec![],
            ..record()
        }
    );

    let mut entries = with(4, Some(1.into())).into_map().unwrap();
    entries.push((4.into(), 2.into()));
    assert_eq!(refusal(&Value::Map(entries)), "key 4 occurs twice");

    let mut entries = with(4, Some(1.into())).into_map().unwrap();
    entries.push(("x".into(), 2.into()));
    refusal(&Value::Map(entries));

    let wrong = [
        (1, Value::from("Main")),
        (2, "company".into()),
        (3, Value::Bytes(vec![1, 2])),
        (3, "x".into()),
        (4, (-1).into()),
        (5, "now".into()),
        (6, (1_u64 << 32).into()),
        (7, Value::Array(vec!["127.0.0.1".into()])),
        (8, Value::Array(vec!["Echo".into()])),
        (
            9,
            Value::Array(vec![Value::Array(vec!["m".into(), 1.into()])]),
        ),
        (9, method(5.into(), vec![0; 32])),
        (9, method(1.into(), vec![0; 31])),
    ];
    for (key, value) in wrong {
        refusal(&with(key, Some(value)));
    }
    let read = verify_payload(&with(9, Some(method(1.into(), vec![0; 32])))).unwrap();
    assert_eq!(&*read.record().methods[0].name, "m");
}

/// An array of one method with an item more than this version knows.
fn method(shape: ciborium::Value, hash: Vec<u8>) -> ciborium::Value {
    use ciborium::Value;
    Value::Array(vec![Value::Array(vec![
        "m".into(),
        shape,
        Value::Bytes(hash),
        "does".into(),
        Value::Null,
    ])])
}

#[test]
fn keys_are_those_of_the_specification() {
    let sha256 = |text: &str| -> [u8; 32] { Sha256::digest(text).into() };
    let capability = "text/echo".parse().unwrap();
    assert_eq!(
        capability_key(&capability),
        sha256("o-capability/1\0text/echo")
    );
    assert_eq!(
        capability_shard_key(&capability, 0),
        capability_key(&capability)
    );
    assert_eq!(
        capability_shard_key(&capability, 7),
        sha256("o-capability/1\0text/echo\0\x07")
    );
    let address: Address = "o://a/b".parse().unwrap();
    assert_eq!(name_key(&address), sha256("o-name/1\0o://a/b"));
    assert_eq!(name_key(&address.pinned(peer(7))), name_key(&address));
}

proptest! {
    #[test]
    fn a_damaged_payload_never_panics(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut payload = cbor::to_vec(&payload::of_record(&record())).unwrap();
        let at = at.index(payload.len());
        payload[at] = byte;
        let envelope = fake().sign(RECORD.0, RECORD.1, &payload).unwrap();
        let _ = verify(envelope);
    }
}
