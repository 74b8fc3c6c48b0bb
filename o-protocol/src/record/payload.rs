//! The signed payloads: maps with integer keys, written in one way and read with care.

use std::fmt;

use o_address::{Address, PeerId, TransportAddr};
use o_core::{
    Capability, Label, MethodDigest, NetworkId, Record, RecordTimes, SchemaHash, Shape, Tombstone,
};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
    ser::SerializeMap as _,
};
use serde_bytes::{ByteArray, ByteBuf, Bytes};

use crate::{
    cbor::DecodeError,
    fields::{ReadPeer, UpTo, read, required},
};

const NETWORK: i64 = 1;
const ADDRESS: i64 = 2;
const PEER: i64 = 3;
const SEQUENCE: i64 = 4;
const CREATED: i64 = 5;
const LIFETIME: i64 = 6;
const ADDRESSES: i64 = 7;
const CAPABILITIES: i64 = 8;
const METHODS: i64 = 9;
const SPECIALISATIONS: i64 = 10;
const LABELS: i64 = 11;
const DESCRIPTION: i64 = 12;
const CHAIN: i64 = 13;

/// What is written of a record or a tombstone.
pub(super) struct Payload<'a> {
    network: &'a NetworkId,
    address: &'a Address,
    peer: &'a PeerId,
    sequence: u64,
    times: RecordTimes,
    capabilities: &'a [Capability],
    /// The rest, which a tombstone does not have.
    record: Option<&'a Record>,
}

pub(super) fn of_record(record: &Record) -> Payload<'_> {
    Payload {
        network: &record.network,
        address: &record.address,
        peer: &record.peer,
        sequence: record.sequence,
        times: record.times,
        capabilities: &record.capabilities,
        record: Some(record),
    }
}

pub(super) fn of_tombstone(tombstone: &Tombstone) -> Payload<'_> {
    Payload {
        network: &tombstone.network,
        address: &tombstone.address,
        peer: &tombstone.peer,
        sequence: tombstone.sequence,
        times: tombstone.times,
        capabilities: &tombstone.capabilities,
        record: None,
    }
}

impl Serialize for Payload<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let entries = if self.record.is_some() { 13 } else { 7 };
        let mut map = serializer.serialize_map(Some(entries))?;
        map.serialize_entry(&NETWORK, self.network)?;
        map.serialize_entry(&ADDRESS, self.address)?;
        map.serialize_entry(&PEER, Bytes::new(self.peer.as_bytes()))?;
        map.serialize_entry(&SEQUENCE, &self.sequence)?;
        map.serialize_entry(&CREATED, &self.times.created)?;
        map.serialize_entry(&LIFETIME, &self.times.lifetime)?;
        if let Some(record) = self.record {
            map.serialize_entry(&ADDRESSES, &record.addresses)?;
        }
        map.serialize_entry(&CAPABILITIES, self.capabilities)?;
        if let Some(record) = self.record {
            let method = |method: &MethodDigest| {
                let hash = ByteArray::new(method.hash.0);
                let (name, description) = (method.name.to_string(), method.description.to_string());
                (name, method.shape.number(), hash, description)
            };
            let methods: Vec<_> = record.methods.iter().map(method).collect();
            map.serialize_entry(&METHODS, &methods)?;
            map.serialize_entry(&SPECIALISATIONS, &record.specialisations)?;
            map.serialize_entry(&LABELS, &record.labels)?;
            map.serialize_entry(&DESCRIPTION, &*record.description)?;
            let chain = record.chain.iter().map(|envelope| Bytes::new(envelope));
            map.serialize_entry(&CHAIN, &chain.collect::<Vec<_>>())?;
        }
        map.end()
    }
}

/// What was read, before anything is known to be there.
#[derive(Default)]
pub(super) struct Fields {
    network: Option<NetworkId>,
    address: Option<Address>,
    peer: Option<ReadPeer>,
    sequence: Option<u64>,
    created: Option<u64>,
    lifetime: Option<u32>,
    addresses: Option<UpTo<TransportAddr, { Record::MAX_ADDRESSES }>>,
    capabilities: Option<UpTo<Capability, { Record::MAX_CAPABILITIES }>>,
    methods: Option<UpTo<ReadMethod, { Record::MAX_METHODS }>>,
    specialisations: Option<UpTo<Capability, { Record::MAX_SPECIALISATIONS }>>,
    labels: Option<UpTo<Label, { Record::MAX_LABELS }>>,
    description: Option<String>,
    chain: Option<UpTo<ByteBuf, { Record::MAX_CHAIN }>>,
}

impl Fields {
    pub(super) fn into_record(self) -> Result<Record, DecodeError> {
        let times = self.times()?;
        let methods = self.methods.unwrap_or_default().0;
        let chain = self.chain.unwrap_or_default().0;
        Ok(Record {
            address: required(self.address, ADDRESS)?,
            peer: required(self.peer, PEER)?.0,
            addresses: self.addresses.unwrap_or_default().0,
            capabilities: self.capabilities.unwrap_or_default().0,
            specialisations: self.specialisations.unwrap_or_default().0,
            labels: self.labels.unwrap_or_default().0,
            description: self.description.unwrap_or_default().into(),
            methods: methods.into_iter().map(|method| method.0).collect(),
            chain: chain.into_iter().map(|e| e.into_vec().into()).collect(),
            sequence: required(self.sequence, SEQUENCE)?,
            times,
            network: required(self.network, NETWORK)?,
        })
    }

    pub(super) fn into_tombstone(self) -> Result<Tombstone, DecodeError> {
        let times = self.times()?;
        Ok(Tombstone {
            address: required(self.address, ADDRESS)?,
            peer: required(self.peer, PEER)?.0,
            sequence: required(self.sequence, SEQUENCE)?,
            capabilities: self.capabilities.unwrap_or_default().0,
            times,
            network: required(self.network, NETWORK)?,
        })
    }

    fn times(&self) -> Result<RecordTimes, DecodeError> {
        Ok(RecordTimes {
            created: required(self.created, CREATED)?,
            lifetime: required(self.lifetime, LIFETIME)?,
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
        f.write_str("a map with integer keys")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Fields::default();
        while let Some(key) = map.next_key::<i64>()? {
            match key {
                NETWORK => read(&mut fields.network, key, &mut map)?,
                ADDRESS => read(&mut fields.address, key, &mut map)?,
                PEER => read(&mut fields.peer, key, &mut map)?,
                SEQUENCE => read(&mut fields.sequence, key, &mut map)?,
                CREATED => read(&mut fields.created, key, &mut map)?,
                LIFETIME => read(&mut fields.lifetime, key, &mut map)?,
                ADDRESSES => read(&mut fields.addresses, key, &mut map)?,
                CAPABILITIES => read(&mut fields.capabilities, key, &mut map)?,
                METHODS => read(&mut fields.methods, key, &mut map)?,
                SPECIALISATIONS => read(&mut fields.specialisations, key, &mut map)?,
                LABELS => read(&mut fields.labels, key, &mut map)?,
                DESCRIPTION => read(&mut fields.description, key, &mut map)?,
                CHAIN => read(&mut fields.chain, key, &mut map)?,
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

struct ReadMethod(MethodDigest);

impl<'de> Deserialize<'de> for ReadMethod {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(MethodVisitor)
    }
}

struct MethodVisitor;

impl<'de> Visitor<'de> for MethodVisitor {
    type Value = ReadMethod;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of a name, a shape, a hash and a description")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<ReadMethod, A::Error> {
        let name: String = item(&mut items, &self)?;
        let shape: u8 = item(&mut items, &self)?;
        let hash: ByteArray<32> = item(&mut items, &self)?;
        // A writer that knows no descriptions ends here.
        let description: String = items.next_element()?.unwrap_or_default();
        while items.next_element::<IgnoredAny>()?.is_some() {}
        let shape = Shape::from_number(shape)
            .ok_or_else(|| A::Error::custom(format_args!("no shape has the number {shape}")))?;
        Ok(ReadMethod(MethodDigest {
            name: name.into(),
            shape,
            hash: SchemaHash(hash.into_array()),
            description: description.into(),
        }))
    }
}

fn item<'de, T: DeserializeOwned, A: SeqAccess<'de>>(
    items: &mut A,
    expected: &MethodVisitor,
) -> Result<T, A::Error> {
    items
        .next_element()?
        .ok_or_else(|| A::Error::invalid_length(0, expected))
}
