//! Swarms over memory or TCP, and records.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: a failure is the test's"
)]

use std::time::{Duration, SystemTime};

use libp2p::{
    Swarm, Transport, core::upgrade::Version, identity::Keypair, noise, swarm, swarm::dial_opts,
    yamux,
};
use o_core::{NetworkId, Record, RecordTimes, SignedRecord, SignedTombstone, Tombstone};

/// How long anything may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A Swarm over memory and TCP.
pub(crate) fn swarm<B: swarm::NetworkBehaviour>(keys: &Keypair, behaviour: B) -> Swarm<B> {
    let tcp = libp2p::tcp::tokio::Transport::default();
    let transport = libp2p::core::transport::MemoryTransport::default()
        .or_transport(tcp)
        .upgrade(Version::V1)
        .authenticate(noise::Config::new(keys).unwrap())
        .multiplex(yamux::Config::default())
        .boxed();
    let config = swarm::Config::with_tokio_executor().with_idle_connection_timeout(DEADLINE);
    Swarm::new(transport, behaviour, keys.public().to_peer_id(), config)
}

/// Dials whoever is at `address`.
pub(crate) fn unknown(address: libp2p::Multiaddr) -> dial_opts::DialOpts {
    dial_opts::DialOpts::unknown_peer_id()
        .address(address)
        .build()
}

/// What `peer` says about its agent `name`, which can do `capability`.
pub(crate) fn record(
    network: &NetworkId,
    peer: &libp2p::PeerId,
    name: &str,
    capability: &str,
) -> SignedRecord {
    let record = Record {
        address: name.parse().unwrap(),
        peer: o_transport::from_peer_id(peer).unwrap(),
        addresses: Vec::new(),
        capabilities: vec![capability.parse().unwrap()],
        methods: Vec::new(),
        sequence: 1,
        times: RecordTimes::starting(SystemTime::now(), Duration::from_secs(3600)),
        network: network.clone(),
    };
    // Nobody here looks at the signature.
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
