//! Values as the bodies of calls.

use o_core::{Body, Encoding};
use serde::{
    Deserializer, Serialize,
    de::{
        DeserializeOwned, Unexpected, Visitor,
        value::{Error, SeqDeserializer, UnitDeserializer},
    },
    forward_to_deserialize_any,
};

use super::{DecodeError, EncodeError, Limits, adapt::Decoded, from_slice, json, to_vec};

/// Encodes `value` as a body.
///
/// Raw takes byte strings and text, as they are, and nothing at all as an empty body.
///
/// # Errors
/// When the value has no form in the encoding.
pub fn encode_body<T: Serialize + ?Sized>(
    encoding: Encoding,
    value: &T,
) -> Result<Body, EncodeError> {
    let bytes = match encoding {
        Encoding::Cbor => to_vec(value)?,
        Encoding::Json => json::to_vec(value)?,
        Encoding::Raw => to_raw(value)?,
        _ => return Err(EncodeError::UnknownEncoding),
    };
    Ok(Body::new(encoding, bytes))
}

/// Decodes what a body holds, within the default [`Limits`].
///
/// An empty body, in any encoding, is no value: `()` or `None`. Raw bytes are read by types that
/// take bytes ([`Blob`](super::Blob), `Vec<u8>`) or text.
///
/// # Errors
/// Bytes that are not what the encoding says, or not a `T`.
pub fn decode_body<T: DeserializeOwned>(body: &Body) -> Result<T, DecodeError> {
    let limits = Limits::default();
    match body.encoding {
        Encoding::Raw => from_raw(&body.bytes),
        Encoding::Cbor | Encoding::Json if body.is_empty() => nothing(),
        Encoding::Cbor => from_slice(&body.bytes, limits),
        Encoding::Json => json::from_slice(&body.bytes, limits),
        _ => Err(DecodeError::UnknownEncoding),
    }
}

fn nothing<T: DeserializeOwned>() -> Result<T, DecodeError> {
    T::deserialize(UnitDeserializer::<Error>::new())
        .map_err(|error| DecodeError::mismatch(format!("the body is empty: {error}")))
}

fn to_raw<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, EncodeError> {
    use ciborium::Value;

    match Value::serialized(value) {
        Ok(Value::Bytes(bytes)) => Ok(bytes),
        Ok(Value::Text(text)) => Ok(text.into_bytes()),
        Ok(Value::Null) => Ok(Vec::new()),
        Ok(_) => Err(EncodeError::NotBytes),
        Err(error) => Err(EncodeError::Value {
            message: error.to_string(),
        }),
    }
}

fn from_raw<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    Decoded::<T>::read(Raw(bytes)).map_err(|error| DecodeError::mismatch(error.to_string()))
}

/// Bytes that are nothing but bytes.
struct Raw<'a>(&'a [u8]);

impl<'de> Deserializer<'de> for Raw<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bytes(self.0)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match std::str::from_utf8(self.0) {
            Ok(text) => visitor.visit_str(text),
            Err(_) => Err(serde::de::Error::invalid_value(
                Unexpected::Bytes(&[]),
                &"text in UTF-8",
            )),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(SeqDeserializer::new(self.0.iter().copied()))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_empty() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_empty() {
            visitor.visit_unit()
        } else {
            self.deserialize_any(visitor)
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str bytes byte_buf tuple
        tuple_struct map struct enum identifier ignored_any
    }
}
