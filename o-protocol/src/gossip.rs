//! Messages of gossip: what a node tells everybody of its network about itself.
//!
//! # Layout
//! A message is a CBOR map with unsigned integers as keys, written with the keys in ascending order,
//! definite lengths and the shortest form of every integer and length. It has at most 11264 bytes.
//!
//! | key | value | 1 announce | 2 withdraw | 3 alive | 4 suspect |
//! |---|---|---|---|---|---|
//! | 1 | kind: unsigned | yes | yes | yes | yes |
//! | 2 | the envelope of a record or a tombstone: byte string | yes | yes | | |
//! | 3 | when the peer said last that it is there: unsigned, milliseconds since 1970 by its own clock | | | yes | yes |
//! | 4 | milliseconds until it says so again: unsigned, up to 2^32 - 1 | | | yes | |
//! | 5 | a digest of what it announces: unsigned, up to 2^64 - 1 | | | yes | |
//! | 6 | who is suspected to be gone: byte string, the multihash | | | | yes |
//!
//! A reader ignores unknown keys from 0 up and messages of unknown kinds. It refuses unknown negative
//! keys, keys of another type, a key that occurs twice, and tags. What a message says about its sender
//! holds by the sender's signature, which the network puts around it.

#[cfg(test)]
mod tests;

use std::fmt;

use bytes::Bytes;
use o_address::{Address, PeerId};
use o_core::Record;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, IgnoredAny, MapAccess, Visitor},
    ser::SerializeMap as _,
};
use serde_bytes::ByteBuf;
use sha2::{Digest as _, Sha256};

use crate::{
    cbor::{self, DecodeError, EncodeError, Limits},
    fields::{ReadPeer, read, required},
};

const KIND: i64 = 1;
const ENVELOPE: i64 = 2;
const AT: i64 = 3;
const INTERVAL: i64 = 4;
const DIGEST: i64 = 5;
const PEER: i64 = 6;

const LIMITS: Limits = Limits {
    max_bytes: GossipMessage::MAX_BYTES,
    max_depth: 16,
};

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GossipMessage {
    /// The sender's signed record, not looked at yet.
    Announce(Bytes),
    /// The sender's signed tombstone, not looked at yet.
    Withdraw(Bytes),
    /// The sender is there.
    Alive(Alive),
    /// The sender cannot reach a peer, which is gone unless it says otherwise.
    Suspect {
        /// Who may be gone.
        peer: PeerId,
        /// When that peer said last that it is there, as far as the sender knows: milliseconds since
        /// 1970 by that peer's clock.
        at: u64,
    },
    /// A kind that this version does not know.
    Unknown(u64),
}

/// That a peer is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alive {
    /// When it said so: milliseconds since 1970 by its own clock, more each time.
    pub at: u64,
    /// When it will say so again, in milliseconds from then.
    pub interval: u32,
    /// What it announces: see [`announced_digest`].
    pub digest: u64,
}

impl GossipMessage {
    /// Longest message, in bytes: the longest record and room around it.
    pub const MAX_BYTES: usize = Record::MAX_SIGNED + 1024;

    /// Writes it.
    ///
    /// # Errors
    /// `EncodeError` for a message of an unknown kind, of which nothing else is known.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        cbor::to_vec(self)
    }

    /// Reads one from anybody.
    ///
    /// # Errors
    /// Too long, not CBOR, or not a message.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        cbor::from_slice::<Fields>(bytes, LIMITS)?.into_message()
    }
}

/// A digest of what a peer announces: the first eight bytes, as a big-endian number, of SHA-256 over, for
/// each record in ascending order of names, the name, a zero byte and its sequence number as eight
/// big-endian bytes. The order of `records` does not matter.
pub fn announced_digest<'a>(records: impl IntoIterator<Item = (&'a Address, u64)>) -> u64 {
    let mut records: Vec<_> = records
        .into_iter()
        .map(|(name, sequence)| (name.name(), sequence))
        .collect();
    records.sort_unstable();
    let mut hash = Sha256::new();
    for (name, sequence) in records {
        hash.update(name.as_bytes());
        hash.update([0]);
        hash.update(sequence.to_be_bytes());
    }
    let hash = hash.finalize();
    hash.iter()
        .take(8)
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

impl Serialize for GossipMessage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (kind, entries): (u64, usize) = match self {
            Self::Announce(_) => (1, 2),
            Self::Withdraw(_) => (2, 2),
            Self::Alive(_) => (3, 4),
            Self::Suspect { .. } => (4, 3),
            Self::Unknown(kind) => {
                let message = format_args!("nothing is known of the kind {kind}");
                return Err(serde::ser::Error::custom(message));
            }
        };
        let mut map = serializer.serialize_map(Some(entries))?;
        map.serialize_entry(&KIND, &kind)?;
        match self {
            Self::Announce(envelope) | Self::Withdraw(envelope) => {
                map.serialize_entry(&ENVELOPE, serde_bytes::Bytes::new(envelope))?;
            }
            Self::Alive(alive) => {
                map.serialize_entry(&AT, &alive.at)?;
                map.serialize_entry(&INTERVAL, &alive.interval)?;
                map.serialize_entry(&DIGEST, &alive.digest)?;
            }
            Self::Suspect { peer, at } => {
                map.serialize_entry(&AT, at)?;
                map.serialize_entry(&PEER, serde_bytes::Bytes::new(peer.as_bytes()))?;
            }
            Self::Unknown(_) => {}
        }
        map.end()
    }
}

/// What was read, before anything is known to be there.
#[derive(Default)]
struct Fields {
    kind: Option<u64>,
    envelope: Option<ByteBuf>,
    at: Option<u64>,
    interval: Option<u32>,
    digest: Option<u64>,
    peer: Option<ReadPeer>,
}

impl Fields {
    fn into_message(self) -> Result<GossipMessage, DecodeError> {
        let envelope = |envelope: Option<ByteBuf>| {
            required(envelope, ENVELOPE).map(|envelope| Bytes::from(envelope.into_vec()))
        };
        Ok(match required(self.kind, KIND)? {
            1 => GossipMessage::Announce(envelope(self.envelope)?),
            2 => GossipMessage::Withdraw(envelope(self.envelope)?),
            3 => GossipMessage::Alive(Alive {
                at: required(self.at, AT)?,
                interval: required(self.interval, INTERVAL)?,
                digest: required(self.digest, DIGEST)?,
            }),
            4 => GossipMessage::Suspect {
                at: required(self.at, AT)?,
                peer: required(self.peer, PEER)?.0,
            },
            kind => GossipMessage::Unknown(kind),
        })
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map with integers as keys")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Fields::default();
        while let Some(key) = map.next_key::<i64>()? {
            match key {
                KIND => read(&mut fields.kind, key, &mut map)?,
                ENVELOPE => read(&mut fields.envelope, key, &mut map)?,
                AT => read(&mut fields.at, key, &mut map)?,
                INTERVAL => read(&mut fields.interval, key, &mut map)?,
                DIGEST => read(&mut fields.digest, key, &mut map)?,
                PEER => read(&mut fields.peer, key, &mut map)?,
                ..=-1 => return Err(A::Error::custom(format_args!("unknown key {key}"))),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(fields)
    }
}
