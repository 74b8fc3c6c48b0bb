//! Payloads of signed records and tombstones: what is believed is within the limits, and means the same when signed
//! again.

use std::{
    sync::Mutex,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use ciborium::Value;
use o_address::{Address, PeerId};
use o_core::{
    MethodDigest, MethodSpec, NetworkId, Record, RecordTimes, SchemaHash, Shape, SignError, Signer,
    Tombstone, Verified, Verifier, VerifyError,
};
use o_protocol::{
    RecordError, sign_record, sign_tombstone, to_vec, verify_record, verify_tombstone,
};

use crate::Seed;

/// An envelope that is the payload and nothing else, always signed by one peer.
#[derive(Debug)]
struct Trusting {
    peer: PeerId,
    asked: Mutex<Option<(String, Vec<u8>)>>,
}

impl Trusting {
    fn new() -> Self {
        let Ok(peer) = PeerId::from_bytes(&[0, 2, 7, 7]) else {
            panic!("the peer of the golden vectors");
        };
        let asked = Mutex::new(None);
        Self { peer, asked }
    }

    /// Every check and signature is for one domain and type.
    fn expect_same(&self, domain: &str, payload_type: &[u8]) {
        let now = (domain.to_owned(), payload_type.to_vec());
        if let Ok(mut asked) = self.asked.lock() {
            assert_eq!(asked.get_or_insert_with(|| now.clone()), &now);
        }
    }
}

impl Signer for Trusting {
    fn peer(&self) -> PeerId {
        self.peer
    }

    fn sign(&self, domain: &str, payload_type: &[u8], payload: &[u8]) -> Result<Bytes, SignError> {
        self.expect_same(domain, payload_type);
        Ok(Bytes::copy_from_slice(payload))
    }
}

impl Verifier for Trusting {
    fn verify(
        &self,
        domain: &str,
        payload_type: &[u8],
        envelope: &[u8],
    ) -> Result<Verified, VerifyError> {
        self.expect_same(domain, payload_type);
        Ok(Verified {
            peer: self.peer,
            payload: Bytes::copy_from_slice(envelope),
        })
    }
}

fn made() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

/// The first byte chooses record or tombstone, the rest is the payload.
///
/// # Panics
/// When something does not hold.
pub fn run(data: &[u8]) {
    let Some((kind, payload)) = data.split_first() else {
        return;
    };
    let payload = Bytes::copy_from_slice(payload);
    let key = Trusting::new();
    if kind % 2 == 0 {
        record(&payload, &key);
    } else {
        tombstone(&payload, &key);
    }
}

fn record(payload: &Bytes, key: &Trusting) {
    let network = NetworkId::default();
    let Ok(signed) = verify_record(payload.clone(), key, made(), &network) else {
        return;
    };
    assert_eq!(signed.envelope(), payload, "a record is relayed as it came");
    let record = signed.record();
    subject(
        &record.address,
        record.peer,
        &record.network,
        record.times,
        key,
    );
    assert!(record.addresses.len() <= Record::MAX_ADDRESSES);
    assert!(record.capabilities.len() <= Record::MAX_CAPABILITIES);
    assert!(record.methods.len() <= Record::MAX_METHODS);
    for method in &record.methods {
        assert!((1..=MethodSpec::MAX_NAME).contains(&method.name.len()));
    }
    match sign_record(record, key) {
        Ok(again) => {
            let envelope = again.envelope().clone();
            let again = verify_record(envelope, key, made(), &network);
            let again = again.map(|again| again.record().clone());
            assert_eq!(again.ok().as_ref(), Some(record));
        }
        Err(error) => only_just_too_large(payload, &error),
    }
}

fn tombstone(payload: &Bytes, key: &Trusting) {
    let network = NetworkId::default();
    let Ok(signed) = verify_tombstone(payload.clone(), key, made(), &network) else {
        return;
    };
    assert_eq!(
        signed.envelope(),
        payload,
        "a tombstone is relayed as it came"
    );
    let stone = signed.tombstone();
    subject(&stone.address, stone.peer, &stone.network, stone.times, key);
    assert!(stone.capabilities.len() <= Record::MAX_CAPABILITIES);
    match sign_tombstone(stone, key) {
        Ok(again) => {
            let envelope = again.envelope().clone();
            let again = verify_tombstone(envelope, key, made(), &network);
            let again = again.map(|again| again.tombstone().clone());
            assert_eq!(again.ok().as_ref(), Some(stone));
        }
        Err(error) => only_just_too_large(payload, &error),
    }
}

fn subject(
    address: &Address,
    peer: PeerId,
    network: &NetworkId,
    times: RecordTimes,
    key: &Trusting,
) {
    assert_eq!(peer, key.peer, "the signer's own");
    assert!(address.pin().is_none() && !address.root().is_node());
    assert_eq!(*network, NetworkId::default());
    assert!(!times.is_expired(made()));
}

/// Definite lengths take a few bytes more than indefinite ones, and every array is written.
fn only_just_too_large(payload: &Bytes, error: &RecordError) {
    let near = payload.len() + 64 > Record::MAX_SIGNED;
    assert!(
        near && matches!(error, RecordError::TooLarge { .. }),
        "{error}"
    );
}

/// Payloads as they are signed here, and some that must not be believed.
pub fn seeds() -> Vec<Seed> {
    let key = Trusting::new();
    let record = good(&key);
    let stone = Tombstone::of(&record, record.times);
    let bare = Record {
        addresses: Vec::new(),
        capabilities: Vec::new(),
        methods: Vec::new(),
        specialisations: Vec::new(),
        labels: Vec::new(),
        description: "".into(),
        chain: Vec::new(),
        ..record.clone()
    };
    let records = [("record", &record), ("bare", &bare)].map(|(name, record)| {
        let signed = sign_record(record, &Trusting::new()).map(|signed| signed.envelope().to_vec());
        (name, 0, signed.unwrap_or_default())
    });
    let signed = sign_tombstone(&stone, &Trusting::new());
    let stone = signed
        .map(|signed| signed.envelope().to_vec())
        .unwrap_or_default();
    let mut seeds: Vec<Seed> = records
        .into_iter()
        .chain([("tombstone", 1, stone)])
        .map(|(name, kind, payload)| (name.to_owned(), [vec![kind], payload].concat()))
        .collect();
    if let Some((_, record)) = seeds.first() {
        let doubtful = doubtful(record);
        seeds.extend(doubtful);
    }
    for (name, address) in [
        (
            "pinned",
            "o://a#12D3KooWQA9eZ7s8E7KvNJGG7AXRioyASFicECjdKL1DS2C1Duoo",
        ),
        ("reserved", "o://~"),
        ("below-reserved", "o://~/ping"),
    ] {
        for (suffix, kind) in [("record", 0), ("tombstone", 1)] {
            let bytes = [vec![kind], payload(address, &key)].concat();
            seeds.push((format!("{name}-{suffix}"), bytes));
        }
    }
    seeds
}

fn good(key: &Trusting) -> Record {
    let parts = (
        "o://company/sales".parse(),
        "/ip4/127.0.0.1/tcp/4001".parse(),
        "text/echo".parse(),
        "echo/loud".parse(),
        "lang=de".parse(),
    );
    let (Ok(address), Ok(place), Ok(capability), Ok(loud), Ok(label)) = parts else {
        panic!("good texts");
    };
    let times = RecordTimes::starting(made(), Duration::from_secs(3600));
    Record {
        addresses: vec![place],
        capabilities: vec![capability],
        methods: vec![MethodDigest {
            name: "echo".into(),
            shape: Shape::Server,
            hash: SchemaHash([0xab; 32]),
            description: "Says it again.".into(),
        }],
        specialisations: vec![loud],
        labels: vec![label],
        description: "Echoes.".into(),
        chain: vec![Bytes::from_static(&[1, 2])],
        sequence: 300,
        ..Record::new(address, key.peer, NetworkId::default(), times)
    }
}

/// The good record with one thing in it that must not be believed, or may be ignored.
fn doubtful(good: &[u8]) -> Vec<Seed> {
    let with = |key: &[u8]| {
        let mut bytes = [good, key].concat();
        // The length of the map, after the byte that chooses.
        bytes[1] += 1;
        bytes
    };
    let seeds = [
        ("unknown-key", with(&[0x18, 40, 0x81, 1])),
        ("critical-key", with(&[0x20, 1])),
        ("twice", with(&[4, 1])),
        ("tag", with(&[0x18, 40, 0xc1, 1])),
        ("trailing", [good, &[0]].concat()),
    ];
    seeds.map(|(name, bytes)| (name.to_owned(), bytes)).into()
}

/// What is never signed here: a payload about any address.
fn payload(address: &str, key: &Trusting) -> Vec<u8> {
    let fields: [Value; 6] = [
        "main".into(),
        address.into(),
        Value::Bytes(key.peer.as_bytes().to_vec()),
        300.into(),
        1_700_000_000.into(),
        3600.into(),
    ];
    let keys = (1..).map(Value::from);
    to_vec(&Value::Map(keys.zip(fields).collect())).unwrap_or_default()
}
