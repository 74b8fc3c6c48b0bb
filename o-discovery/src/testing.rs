//! Records and peers for the unit tests.

use std::time::{Duration, SystemTime};

use o_address::{Address, PeerId};
use o_core::{NetworkId, Record, RecordTimes, SignedRecord, SignedTombstone, Tombstone};

/// The peer number `n`: of a form that is right, with no key behind it.
pub(crate) fn peer(n: u8) -> PeerId {
    PeerId::from_bytes(&[&[0x12, 0x20][..], &[n; 32]].concat()).unwrap()
}

/// What `peer` says about `name` from `now` on, for an hour.
pub(crate) fn record(name: &str, peer: PeerId, sequence: u64, now: SystemTime) -> Record {
    Record {
        addresses: vec!["/ip4/127.0.0.1/tcp/1".parse().unwrap()],
        capabilities: vec!["text/summarize".parse().unwrap()],
        sequence,
        ..Record::new(
            Address::parse(name).unwrap(),
            peer,
            NetworkId::default(),
            RecordTimes::starting(now, Duration::from_secs(3600)),
        )
    }
}

pub(crate) fn signed(record: Record) -> SignedRecord {
    SignedRecord::new_verified(record, b"unsigned".as_slice().into())
}

/// The withdrawal of `record`.
pub(crate) fn tombstone(record: &Record) -> SignedTombstone {
    let tombstone = Tombstone::of(record, record.times);
    SignedTombstone::new_verified(tombstone, b"unsigned".as_slice().into())
}
