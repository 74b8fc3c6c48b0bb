//! The signed payloads: maps with integer keys, written in one way and read with care.

use std::{collections::BTreeSet, fmt};

use o_address::{Address, PeerId};
use o_core::{Access, Delegation, NetworkId, Pattern, Policy, RecordTimes, Successor};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, IgnoredAny, MapAccess, Visitor},
    ser::SerializeMap as _,
};
use serde_bytes::Bytes;

use crate::{
    cbor::DecodeError,
    fields::{ReadPeer, UpTo, read, required},
};

const NETWORK: i64 = 1;
const NAME: i64 = 2;
const ISSUER: i64 = 3;
const SEQUENCE: i64 = 4;
const CREATED: i64 = 5;
const LIFETIME: i64 = 6;
const SUBJECT: i64 = 7;
const ACCESS: i64 = 8;
const DEPTH: i64 = 9;
const CAPABILITIES: i64 = 10;
const ALLOWED: i64 = 11;
const DENIED: i64 = 12;

/// What is written.
pub(super) enum Payload<'a> {
    Delegation(&'a Delegation),
    Successor(&'a Successor),
}

pub(super) fn of_delegation(delegation: &Delegation) -> Payload<'_> {
    Payload::Delegation(delegation)
}

pub(super) fn of_successor(successor: &Successor) -> Payload<'_> {
    Payload::Successor(successor)
}

impl Serialize for Payload<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Delegation(delegation) => write_delegation(delegation, serializer),
            Self::Successor(successor) => {
                let mut map = serializer.serialize_map(Some(5))?;
                map.serialize_entry(&NETWORK, &successor.network)?;
                map.serialize_entry(&NAME, &successor.root)?;
                map.serialize_entry(&ISSUER, Bytes::new(successor.old.as_bytes()))?;
                map.serialize_entry(&CREATED, &successor.created)?;
                map.serialize_entry(&SUBJECT, Bytes::new(successor.new.as_bytes()))?;
                map.end()
            }
        }
    }
}

fn write_delegation<S: Serializer>(
    delegation: &Delegation,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let policy = &delegation.policy;
    let optional = [policy.capabilities.is_some(), policy.allowed.is_some()];
    let entries = 10 + optional.iter().filter(|there| **there).count();
    let mut map = serializer.serialize_map(Some(entries))?;
    map.serialize_entry(&NETWORK, &delegation.network)?;
    map.serialize_entry(&NAME, &delegation.subtree)?;
    map.serialize_entry(&ISSUER, Bytes::new(delegation.issuer.as_bytes()))?;
    map.serialize_entry(&SEQUENCE, &delegation.sequence)?;
    map.serialize_entry(&CREATED, &delegation.times.created)?;
    map.serialize_entry(&LIFETIME, &delegation.times.lifetime)?;
    map.serialize_entry(&SUBJECT, Bytes::new(delegation.subject.as_bytes()))?;
    map.serialize_entry(&ACCESS, &policy.access.number())?;
    map.serialize_entry(&DEPTH, &policy.depth)?;
    if let Some(patterns) = &policy.capabilities {
        let texts: Vec<_> = patterns.iter().map(ToString::to_string).collect();
        map.serialize_entry(&CAPABILITIES, &texts)?;
    }
    if let Some(peers) = &policy.allowed {
        map.serialize_entry(&ALLOWED, &bytes(peers))?;
    }
    map.serialize_entry(&DENIED, &bytes(&policy.denied))?;
    map.end()
}

fn bytes(peers: &BTreeSet<PeerId>) -> Vec<&Bytes> {
    peers
        .iter()
        .map(|peer| Bytes::new(peer.as_bytes()))
        .collect()
}

/// What was read, before anything is known to be there.
#[derive(Default)]
pub(super) struct Fields {
    network: Option<NetworkId>,
    name: Option<Address>,
    issuer: Option<ReadPeer>,
    sequence: Option<u64>,
    created: Option<u64>,
    lifetime: Option<u32>,
    subject: Option<ReadPeer>,
    access: Option<ReadAccess>,
    depth: Option<u8>,
    capabilities: Option<UpTo<ReadPattern, { Policy::MAX }>>,
    allowed: Option<UpTo<ReadPeer, { Policy::MAX }>>,
    denied: Option<UpTo<ReadPeer, { Policy::MAX }>>,
}

impl Fields {
    pub(super) fn into_delegation(self) -> Result<Delegation, DecodeError> {
        let capabilities = self
            .capabilities
            .map(|list| list.0.into_iter().map(|p| p.0).collect());
        let mut policy = Policy::default();
        policy.access = required(self.access, ACCESS)?.0;
        policy.depth = required(self.depth, DEPTH)?;
        policy.capabilities = capabilities;
        policy.allowed = self.allowed.map(peers);
        policy.denied = self.denied.map(peers).unwrap_or_default();
        Ok(Delegation {
            issuer: required(self.issuer, ISSUER)?.0,
            subject: required(self.subject, SUBJECT)?.0,
            subtree: required(self.name, NAME)?,
            policy,
            sequence: required(self.sequence, SEQUENCE)?,
            times: RecordTimes {
                created: required(self.created, CREATED)?,
                lifetime: required(self.lifetime, LIFETIME)?,
            },
            network: required(self.network, NETWORK)?,
        })
    }

    pub(super) fn into_successor(self) -> Result<Successor, DecodeError> {
        Ok(Successor {
            root: required(self.name, NAME)?,
            old: required(self.issuer, ISSUER)?.0,
            new: required(self.subject, SUBJECT)?.0,
            created: required(self.created, CREATED)?,
            network: required(self.network, NETWORK)?,
        })
    }
}

fn peers<const MAX: usize>(list: UpTo<ReadPeer, MAX>) -> BTreeSet<PeerId> {
    list.0.into_iter().map(|peer| peer.0).collect()
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
        f.write_str("a map with integer keys")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Fields::default();
        while let Some(key) = map.next_key::<i64>()? {
            match key {
                NETWORK => read(&mut fields.network, key, &mut map)?,
                NAME => read(&mut fields.name, key, &mut map)?,
                ISSUER => read(&mut fields.issuer, key, &mut map)?,
                SEQUENCE => read(&mut fields.sequence, key, &mut map)?,
                CREATED => read(&mut fields.created, key, &mut map)?,
                LIFETIME => read(&mut fields.lifetime, key, &mut map)?,
                SUBJECT => read(&mut fields.subject, key, &mut map)?,
                ACCESS => read(&mut fields.access, key, &mut map)?,
                DEPTH => read(&mut fields.depth, key, &mut map)?,
                CAPABILITIES => read(&mut fields.capabilities, key, &mut map)?,
                ALLOWED => read(&mut fields.allowed, key, &mut map)?,
                DENIED => read(&mut fields.denied, key, &mut map)?,
                0.. => drop(map.next_value::<IgnoredAny>()?),
                ..0 => {
                    let message = format_args!("the critical key {key} is not known");
                    return Err(A::Error::custom(message));
                }
            }
        }
        Ok(fields)
    }
}

struct ReadAccess(Access);

impl<'de> Deserialize<'de> for ReadAccess {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u8::deserialize(deserializer)?;
        Access::from_number(number)
            .map(Self)
            .ok_or_else(|| D::Error::custom(format_args!("no access has the number {number}")))
    }
}

struct ReadPattern(Pattern);

impl<'de> Deserialize<'de> for ReadPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Pattern::parse(&text).map(Self).map_err(D::Error::custom)
    }
}
