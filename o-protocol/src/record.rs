//! Signed records and tombstones: their bytes, and what must hold before they are believed.
//!
//! # Layout
//! Both travel in an envelope as `o_core::Signer` makes it. The domain of a record is `o-record/1` and its
//! payload type `/o-record/1`, those of a tombstone `o-tombstone/1` and `/o-tombstone/1`, as ASCII. The envelope has
//! at most 10240 bytes.
//!
//! The payload is a CBOR map with unsigned integers as keys. It is written with the keys in ascending
//! order, definite lengths and the shortest form of every integer and length.
//!
//! | key | value | in a tombstone |
//! |---|---|---|
//! | 1 | network id: text | yes |
//! | 2 | address: text, without a pin, not below `o://~` | yes |
//! | 3 | peer id: byte string, the multihash; the signer's | yes |
//! | 4 | sequence number: unsigned, up to 2^64 - 1 | yes |
//! | 5 | made at: unsigned, seconds since 1970 | yes |
//! | 6 | holds for: unsigned, seconds, up to 2^32 - 1; more than 48 hours count as 48 hours | yes |
//! | 7 | transport addresses: array of at most 16 texts | |
//! | 8 | capabilities: array of at most 100 texts | yes |
//! | 9 | methods: array of at most 256 arrays `[name, shape, hash, description]`: text of 1 to 128 bytes, the wire number of the shape, byte string of 32 bytes, plain text of at most 256 bytes | |
//! | 10 | specialisations: array of at most 32 texts in the grammar of capabilities | |
//! | 11 | labels: array of at most 100 texts | |
//! | 12 | description: plain text of at most 1024 bytes | |
//! | 13 | chain: array of at most 16 byte strings, the envelopes of the delegations that give the name to the peer, the root's first | |
//!
//! Plain text has no control characters and none of U+200B to U+200F, U+2028 to U+202E, U+2060 to
//! U+206F, U+FEFF, U+FFF9 to U+FFFB and U+E0000 to U+E007F.
//!
//! A writer writes all of its keys. A reader takes an array or text that is absent for an empty one, and
//! ignores unknown keys from 0 up and further items of a method. It refuses unknown negative keys,
//! which are how a later version says that the rest must not be believed without them, keys of
//! another type, a key that occurs twice, and tags.
//!
//! A reader checks the signature over the bytes as they came, and relays those; it never encodes a
//! payload again. It goes by the *content* of a verified payload, not by its order of keys.

mod payload;
#[cfg(test)]
mod tests;

use std::time::SystemTime;

use bytes::Bytes;
use o_address::{Address, PeerId};
use o_core::{
    Capability, MethodSpec, NetworkId, Record, RecordTimes, SignError, SignedRecord,
    SignedTombstone, Signer, Tombstone, Verifier, VerifyError, is_plain_text,
};
use sha2::{Digest, Sha256};

use crate::cbor::{self, DecodeError, EncodeError, Limits};

/// The domain and the payload type of records.
const RECORD: Kind = ("o-record/1", b"/o-record/1");
/// The domain and the payload type of tombstones.
const TOMBSTONE: Kind = ("o-tombstone/1", b"/o-tombstone/1");

/// What a signature is for: the domain, and what an envelope says that it holds.
type Kind = (&'static str, &'static [u8]);

/// Room for what later versions may nest below keys that this one ignores.
const LIMITS: Limits = Limits {
    max_bytes: Record::MAX_SIGNED,
    max_depth: 16,
};

/// Why a record or tombstone was not signed, or is not believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The signed form is too large.
    #[error("{length} signed bytes are more than {limit}")]
    TooLarge {
        /// Its length, in bytes.
        length: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The envelope proves nothing.
    #[error("the envelope cannot be verified")]
    Envelope(#[source] VerifyError),
    /// The key did not sign.
    #[error("it cannot be signed")]
    Sign(#[source] SignError),
    /// What was signed has not the layout.
    #[error("the payload cannot be read")]
    Payload(#[source] DecodeError),
    /// It could not be written.
    #[error("the payload cannot be written")]
    Encode(#[source] EncodeError),
    /// One peer signed what another one is said to say.
    #[error("it is about {named} and signed by {signer}")]
    WrongPeer {
        /// Who signed.
        signer: PeerId,
        /// Who stands in it.
        named: PeerId,
    },
    /// It belongs to another network.
    #[error("it belongs to the network {found}")]
    WrongNetwork {
        /// That network.
        found: NetworkId,
    },
    /// It no longer holds.
    #[error("it has expired")]
    Expired,
    /// More entries than a record may have.
    #[error("more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many it may have.
        limit: usize,
    },
    /// Nothing may be announced under `o://~`.
    #[error("the name {address} is reserved")]
    Reserved {
        /// The name.
        address: Address,
    },
    /// A name is announced without a pin: who announces it says who it is.
    #[error("the name {address} has a pin")]
    Pinned {
        /// The name.
        address: Address,
    },
    /// A method's name is empty or too long.
    #[error("a method's name is not 1 to 128 bytes long")]
    MethodName,
    /// A description is too long or has characters that are not shown.
    #[error("{what} is not plain text of at most {limit} bytes")]
    BadText {
        /// Which.
        what: &'static str,
        /// How long it may be, in bytes.
        limit: usize,
    },
}

/// Signs a record.
///
/// # Errors
/// A record that others would not believe for its content, and a key that does not sign.
pub fn sign_record(record: &Record, signer: &dyn Signer) -> Result<SignedRecord, RecordError> {
    check_subject(&record.address, record.peer, signer.peer())?;
    check_record(record)?;
    let payload = cbor::to_vec(&payload::of_record(record)).map_err(RecordError::Encode)?;
    let envelope = sign(signer, RECORD, &payload)?;
    Ok(SignedRecord::new_verified(record.clone(), envelope))
}

/// Signs a record, with as much of its texts and methods as fit into [`Record::MAX_SIGNED`]: first
/// the descriptions of the methods go, then its own, then methods from the last one on. Who asks
/// the agent to describe itself learns all of them.
///
/// # Errors
/// As [`sign_record`]; [`RecordError::TooLarge`] where it does not fit without any of those.
pub fn sign_fitting_record(
    mut record: Record,
    signer: &dyn Signer,
) -> Result<SignedRecord, RecordError> {
    loop {
        match sign_record(&record, signer) {
            Err(RecordError::TooLarge { .. }) if shorten(&mut record) => {}
            ended => return ended,
        }
    }
}

/// Takes the least important part out; `false` where there is none left.
fn shorten(record: &mut Record) -> bool {
    if record.methods.iter().any(|m| !m.description.is_empty()) {
        for method in &mut record.methods {
            method.description = "".into();
        }
        return true;
    }
    if !record.description.is_empty() {
        record.description = "".into();
        return true;
    }
    let listed = record.methods.len();
    record.methods.truncate(listed * 7 / 8);
    listed > 0
}

/// Signs a tombstone.
///
/// # Errors
/// A tombstone that others would not believe for its content, and a key that does not sign.
pub fn sign_tombstone(
    tombstone: &Tombstone,
    signer: &dyn Signer,
) -> Result<SignedTombstone, RecordError> {
    check_subject(&tombstone.address, tombstone.peer, signer.peer())?;
    check_capabilities(&tombstone.capabilities)?;
    let payload = cbor::to_vec(&payload::of_tombstone(tombstone)).map_err(RecordError::Encode)?;
    let envelope = sign(signer, TOMBSTONE, &payload)?;
    Ok(SignedTombstone::new_verified(tombstone.clone(), envelope))
}

/// Reads a record as it came from anybody: signed by the peer that it is about, of this `network`,
/// and still holding at `now`.
///
/// # Errors
/// Whatever is wrong with it; the size is looked at first, the signature next.
pub fn verify_record(
    envelope: Bytes,
    verifier: &dyn Verifier,
    now: SystemTime,
    network: &NetworkId,
) -> Result<SignedRecord, RecordError> {
    let (signer, fields) = open(&envelope, verifier, RECORD)?;
    let record = fields.into_record().map_err(RecordError::Payload)?;
    check_subject(&record.address, record.peer, signer)?;
    check_currency(&record.network, network, record.times, now)?;
    check_record(&record)?;
    Ok(SignedRecord::new_verified(record, envelope))
}

/// Reads a tombstone as it came from anybody: see [`verify_record`].
///
/// # Errors
/// Whatever is wrong with it; the size is looked at first, the signature next.
pub fn verify_tombstone(
    envelope: Bytes,
    verifier: &dyn Verifier,
    now: SystemTime,
    network: &NetworkId,
) -> Result<SignedTombstone, RecordError> {
    let (signer, fields) = open(&envelope, verifier, TOMBSTONE)?;
    let tombstone = fields.into_tombstone().map_err(RecordError::Payload)?;
    check_subject(&tombstone.address, tombstone.peer, signer)?;
    check_currency(&tombstone.network, network, tombstone.times, now)?;
    check_capabilities(&tombstone.capabilities)?;
    Ok(SignedTombstone::new_verified(tombstone, envelope))
}

/// Under what a capability is announced: SHA-256 of `o-capability/1`, a zero byte and its text.
pub fn capability_key(capability: &Capability) -> [u8; 32] {
    key(b"o-capability/1\0", capability.as_str())
}

/// Under what a shard of a capability is announced. Shard 0 is [`capability_key`] itself, the others
/// are SHA-256 of `o-capability/1`, a zero byte, the text, a zero byte and the number of the shard.
pub fn capability_shard_key(capability: &Capability, shard: u8) -> [u8; 32] {
    if shard == 0 {
        return capability_key(capability);
    }
    Sha256::new()
        .chain_update(b"o-capability/1\0")
        .chain_update(capability.as_str())
        .chain_update([0, shard])
        .finalize()
        .into()
}

/// Under what a name is announced: SHA-256 of `o-name/1`, a zero byte and its text without the pin.
pub fn name_key(address: &Address) -> [u8; 32] {
    key(b"o-name/1\0", address.name())
}

fn key(prefix: &[u8], text: &str) -> [u8; 32] {
    Sha256::new()
        .chain_update(prefix)
        .chain_update(text)
        .finalize()
        .into()
}

fn sign(
    signer: &dyn Signer,
    (domain, payload_type): Kind,
    payload: &[u8],
) -> Result<Bytes, RecordError> {
    let envelope = signer
        .sign(domain, payload_type, payload)
        .map_err(RecordError::Sign)?;
    check_size(&envelope)?;
    Ok(envelope)
}

fn open(
    envelope: &Bytes,
    verifier: &dyn Verifier,
    (domain, payload_type): Kind,
) -> Result<(PeerId, payload::Fields), RecordError> {
    check_size(envelope)?;
    let verified = verifier
        .verify(domain, payload_type, envelope)
        .map_err(RecordError::Envelope)?;
    let fields = cbor::from_slice(&verified.payload, LIMITS).map_err(RecordError::Payload)?;
    Ok((verified.peer, fields))
}

fn check_size(envelope: &Bytes) -> Result<(), RecordError> {
    let (length, limit) = (envelope.len(), Record::MAX_SIGNED);
    if length > limit {
        return Err(RecordError::TooLarge { length, limit });
    }
    Ok(())
}

fn check_subject(address: &Address, named: PeerId, signer: PeerId) -> Result<(), RecordError> {
    if signer != named {
        return Err(RecordError::WrongPeer { signer, named });
    }
    let address = address.clone();
    if address.pin().is_some() {
        return Err(RecordError::Pinned { address });
    }
    if address.root().is_node() {
        return Err(RecordError::Reserved { address });
    }
    Ok(())
}

fn check_currency(
    found: &NetworkId,
    network: &NetworkId,
    times: RecordTimes,
    now: SystemTime,
) -> Result<(), RecordError> {
    if found != network {
        let found = found.clone();
        return Err(RecordError::WrongNetwork { found });
    }
    if times.is_expired(now) {
        return Err(RecordError::Expired);
    }
    Ok(())
}

fn check_record(record: &Record) -> Result<(), RecordError> {
    check_count(
        "transport addresses",
        record.addresses.len(),
        Record::MAX_ADDRESSES,
    )?;
    check_capabilities(&record.capabilities)?;
    check_count("methods", record.methods.len(), Record::MAX_METHODS)?;
    let good = 1..=MethodSpec::MAX_NAME;
    if !record
        .methods
        .iter()
        .all(|method| good.contains(&method.name.len()))
    {
        return Err(RecordError::MethodName);
    }
    let specialisations = record.specialisations.len();
    check_count(
        "specialisations",
        specialisations,
        Record::MAX_SPECIALISATIONS,
    )?;
    check_count("labels", record.labels.len(), Record::MAX_LABELS)?;
    check_count("delegations", record.chain.len(), Record::MAX_CHAIN)?;
    let limit = Record::MAX_DESCRIPTION;
    check_text("the description", &record.description, limit)?;
    let limit = Record::MAX_METHOD_DESCRIPTION;
    let mut methods = record.methods.iter();
    methods.try_for_each(|m| check_text("a method's description", &m.description, limit))
}

fn check_text(what: &'static str, text: &str, limit: usize) -> Result<(), RecordError> {
    match is_plain_text(text, limit) {
        true => Ok(()),
        false => Err(RecordError::BadText { what, limit }),
    }
}

fn check_capabilities(capabilities: &[Capability]) -> Result<(), RecordError> {
    check_count("capabilities", capabilities.len(), Record::MAX_CAPABILITIES)
}

fn check_count(what: &'static str, count: usize, limit: usize) -> Result<(), RecordError> {
    if count > limit {
        return Err(RecordError::TooMany { what, limit });
    }
    Ok(())
}
