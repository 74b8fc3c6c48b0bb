//! What one of the encodings writes in a form of its own: byte strings in JSON, enums in CBOR.

use std::fmt;

use serde::de::{
    self, Error as _, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor,
    value::{MapAccessDeserializer, SeqDeserializer, StrDeserializer},
};

use super::{Adapt, access::Entries};
use crate::cbor::blob;

/// Takes a byte string in JSON, which is a map, where bytes or an array are expected.
pub(super) struct JsonBytes<'p, V> {
    pub(super) visitor: Adapt<'p, V>,
    pub(super) as_seq: bool,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for JsonBytes<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_seq(access)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<V::Value, A::Error> {
        let is_bytes = access
            .next_key::<String>()?
            .is_some_and(|key| key == blob::KEY);
        if !is_bytes {
            return Err(A::Error::invalid_type(Unexpected::Map, &self));
        }
        let text: String = access.next_value()?;
        if access.next_key::<IgnoredAny>()?.is_some() {
            return Err(A::Error::invalid_type(Unexpected::Map, &self));
        }
        let bytes = blob::from_base64(&text).ok_or_else(|| A::Error::custom(blob::NOT_BASE64))?;
        if self.as_seq {
            self.visitor
                .visit_seq(SeqDeserializer::new(bytes.into_iter()))
        } else {
            self.visitor.visit_byte_buf(bytes)
        }
    }

    fn visit_unit<E: de::Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_unit()
    }
}

/// Reads an enum in CBOR: text, or a map of one entry.
pub(super) struct CborEnum<'p, V>(pub(super) Adapt<'p, V>);

impl<'de, V: Visitor<'de>> Visitor<'de> for CborEnum<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_str<E: de::Error>(self, variant: &str) -> Result<V::Value, E> {
        self.0.inner.visit_enum(StrDeserializer::new(variant))
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        let mut entries = Entries::new(Adapt::new(access, self.0.path));
        let value = self
            .0
            .inner
            .visit_enum(MapAccessDeserializer::new(&mut entries))?;
        entries.finish()?;
        Ok(value)
    }
}
