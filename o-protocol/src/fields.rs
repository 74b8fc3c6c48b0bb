//! Parts of signed payloads: maps with integer keys, read with care.

use std::{fmt, marker::PhantomData};

use o_address::PeerId;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_bytes::ByteBuf;

use crate::cbor::DecodeError;

/// The value of a key that must be there.
pub(crate) fn required<T>(value: Option<T>, key: i64) -> Result<T, DecodeError> {
    value.ok_or_else(|| DecodeError::Mismatch {
        path: String::new(),
        message: format!("key {key} is missing"),
    })
}

/// Reads the value of a key, which may occur once.
pub(crate) fn read<'de, T: DeserializeOwned, A: MapAccess<'de>>(
    field: &mut Option<T>,
    key: i64,
    map: &mut A,
) -> Result<(), A::Error> {
    if field.is_some() {
        return Err(A::Error::custom(format_args!("key {key} occurs twice")));
    }
    *field = Some(map.next_value()?);
    Ok(())
}

/// A peer id as a byte string.
pub(crate) struct ReadPeer(pub(crate) PeerId);

impl<'de> Deserialize<'de> for ReadPeer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = ByteBuf::deserialize(deserializer)?;
        PeerId::from_bytes(&bytes)
            .map(Self)
            .map_err(D::Error::custom)
    }
}

/// An array of which `MAX` items are kept, and one more to tell that there were too many.
pub(crate) struct UpTo<T, const MAX: usize>(pub(crate) Vec<T>);

impl<T, const MAX: usize> Default for UpTo<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for UpTo<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(UpToVisitor(PhantomData))
    }
}

struct UpToVisitor<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for UpToVisitor<T, MAX> {
    type Value = UpTo<T, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of at most {MAX} items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut kept = Vec::new();
        while kept.len() <= MAX {
            match items.next_element()? {
                Some(item) => kept.push(item),
                None => return Ok(UpTo(kept)),
            }
        }
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(UpTo(kept))
    }
}
