//! A body in another encoding, for whoever does not know its type.

use ciborium::Value as Cbor;
use o_core::{Body, Encoding};
use serde_json::{Map, Number, Value as Json};

use super::{DecodeError, Limits, TranscodeError, blob, read_cbor, scan, to_vec};

/// Most values in a body, each of which takes some 32 bytes in memory however short it is.
const MAX_VALUES: usize = 4 * 1024 * 1024;

/// The same value in `encoding`: between CBOR and JSON, by the rules of this module's description.
///
/// A body that is in `encoding` already, and one without bytes, is returned without a look at it.
/// The default [`Limits`] hold, and at most 4 Mi values are taken apart.
///
/// # Errors
/// A body that cannot be read, or a value that the other encoding does not have; raw bytes in
/// either direction.
pub fn transcode(body: &Body, encoding: Encoding) -> Result<Body, TranscodeError> {
    match (body.encoding, encoding) {
        (from, to) if from == to => Ok(body.clone()),
        (Encoding::Cbor | Encoding::Json, Encoding::Cbor | Encoding::Json) if body.is_empty() => {
            Ok(Body::new(encoding, body.bytes.clone()))
        }
        (Encoding::Cbor, Encoding::Json) => {
            let json = to_json(read_value(&body.bytes)?)?;
            // A `Value` of serde_json has no form that its writer refuses.
            Ok(Body::json(json.to_string()))
        }
        (Encoding::Json, Encoding::Cbor) => {
            let cbor = to_cbor(read_json(&body.bytes)?)?;
            Ok(Body::cbor(to_vec(&cbor)?))
        }
        _ => Err(TranscodeError::Raw),
    }
}

fn read_value(bytes: &[u8]) -> Result<Cbor, DecodeError> {
    let limits = Limits::default();
    limits.check_size(bytes.len())?;
    check_values(scan::check_cbor(bytes, limits.max_depth)?)?;
    read_cbor(bytes, limits)
}

fn read_json(text: &[u8]) -> Result<Json, TranscodeError> {
    let limits = Limits::default();
    limits.check_size(text.len())?;
    check_values(scan::check_json_depth(text, limits.max_depth)?)?;
    scan::check_json_integers(text)?;
    let json = serde_json::from_slice(text).map_err(|error| DecodeError::Malformed {
        reason: error.to_string(),
    })?;
    Ok(json)
}

fn check_values(values: usize) -> Result<(), DecodeError> {
    let limit = MAX_VALUES;
    if values > limit {
        return Err(DecodeError::TooManyValues { limit });
    }
    Ok(())
}

/// Recursion is bounded by the depth to which the value was read.
fn to_json(value: Cbor) -> Result<Json, TranscodeError> {
    Ok(match value {
        Cbor::Null => Json::Null,
        Cbor::Bool(value) => Json::Bool(value),
        Cbor::Integer(value) => Json::Number(integer(value.into())?),
        Cbor::Float(value) => {
            Json::Number(Number::from_f64(value).ok_or(TranscodeError::NotFinite)?)
        }
        Cbor::Text(text) => Json::String(text),
        Cbor::Bytes(bytes) => {
            let text = blob::to_base64(&bytes);
            Json::Object(Map::from_iter([(blob::KEY.to_owned(), Json::String(text))]))
        }
        Cbor::Array(items) => {
            Json::Array(items.into_iter().map(to_json).collect::<Result<_, _>>()?)
        }
        Cbor::Map(entries) => Json::Object(object(entries)?),
        // The scan refuses tags; big integers are tags.
        _ => return Err(TranscodeError::Decode(DecodeError::UnknownEncoding)),
    })
}

fn integer(value: i128) -> Result<Number, TranscodeError> {
    Number::from_i128(value).ok_or_else(|| TranscodeError::IntegerRange {
        number: value.to_string(),
    })
}

fn object(entries: Vec<(Cbor, Cbor)>) -> Result<Map<String, Json>, TranscodeError> {
    let mut object = Map::new();
    for (key, value) in entries {
        let Cbor::Text(key) = key else {
            return Err(TranscodeError::KeyNotText);
        };
        if object.contains_key(&key) {
            return Err(TranscodeError::DuplicateKey { key });
        }
        object.insert(key, to_json(value)?);
    }
    if object.len() == 1 && object.contains_key(blob::KEY) {
        return Err(TranscodeError::ReservedKey);
    }
    Ok(object)
}

/// Recursion is bounded by the depth to which the value was read.
fn to_cbor(value: Json) -> Result<Cbor, TranscodeError> {
    Ok(match value {
        Json::Null => Cbor::Null,
        Json::Bool(value) => Cbor::Bool(value),
        Json::Number(number) => to_number(&number)?,
        Json::String(text) => Cbor::Text(text),
        Json::Array(items) => {
            Cbor::Array(items.into_iter().map(to_cbor).collect::<Result<_, _>>()?)
        }
        Json::Object(object) => match object.get(blob::KEY) {
            Some(value) if object.len() == 1 => {
                let bytes = value.as_str().and_then(blob::from_base64);
                Cbor::Bytes(bytes.ok_or(TranscodeError::BadBytes)?)
            }
            _ => {
                let entry = |(key, value)| Ok((Cbor::Text(key), to_cbor(value)?));
                Cbor::Map(
                    object
                        .into_iter()
                        .map(entry)
                        .collect::<Result<_, TranscodeError>>()?,
                )
            }
        },
    })
}

fn to_number(number: &Number) -> Result<Cbor, TranscodeError> {
    if let Some(value) = number.as_u64() {
        Ok(Cbor::from(value))
    } else if let Some(value) = number.as_i64() {
        Ok(Cbor::from(value))
    } else {
        number
            .as_f64()
            .map(Cbor::from)
            .ok_or(TranscodeError::NotFinite)
    }
}
