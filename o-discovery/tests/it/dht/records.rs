//! Records that nobody signed: nobody here looks at the signature.

use std::time::{Duration, SystemTime};

use o_core::{NetworkId, Record, RecordTimes, SignedRecord, SignedTombstone, Tombstone};

/// What `peer` says about its agent `name`, which can do `capability`.
pub(crate) fn record(
    network: &NetworkId,
    peer: &libp2p::PeerId,
    name: &str,
    capability: &str,
) -> SignedRecord {
    let record = Record {
        capabilities: vec![capability.parse().unwrap()],
        sequence: 1,
        ..Record::new(
            name.parse().unwrap(),
            o_transport::from_peer_id(peer).unwrap(),
            network.clone(),
            RecordTimes::starting(SystemTime::now(), Duration::from_secs(3600)),
        )
    };
    SignedRecord::new_verified(record, b"unsigned".as_slice().into())
}

/// The withdrawal of `record`.
pub(crate) fn tombstone(record: &SignedRecord) -> SignedTombstone {
    let record = record.record();
    let tombstone = Tombstone {
        address: record.address.clone(),
        peer: record.peer,
        sequence: record.sequence,
        capabilities: record.capabilities.clone(),
        times: record.times,
        network: record.network.clone(),
    };
    SignedTombstone::new_verified(tombstone, b"unsigned".as_slice().into())
}
