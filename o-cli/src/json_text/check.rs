//! Whether a text is one JSON value that can travel: finite numbers, limited nesting, and byte
//! strings that are byte strings.

use std::fmt;

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD},
};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

/// The only key of an object that stands for a byte string.
const BYTES: &str = "$bytes";

/// Checks that `text` is one JSON value that can be sent. Its nesting may be 127 levels deep.
///
/// # Errors
/// What is wrong, and at which line and column.
pub(crate) fn check(text: &[u8]) -> Result<(), String> {
    // Before the parser, which does not look at the characters of a string that nobody reads.
    let text = std::str::from_utf8(text).map_err(|error| format!("not UTF-8: {error}"))?;
    serde_json::from_str::<Value>(text)
        .map(|Value| ())
        .map_err(|error| error.to_string())
}

/// The bytes of standard base64, with all of its padding or without any.
///
/// # Errors
/// Anything else.
pub(crate) fn decode_base64(text: &str) -> Result<Vec<u8>, String> {
    let decoded = BASE64_STANDARD.decode(text);
    decoded.or_else(|error| match BASE64_STANDARD_NO_PAD.decode(text) {
        Ok(bytes) => Ok(bytes),
        Err(_) => Err(error.to_string()),
    })
}

/// Any value that can travel.
struct Value;

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Walk)
    }
}

struct Walk;

impl<'de> Visitor<'de> for Walk {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
        Ok(Value)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value)
    }

    fn visit_str<E>(self, _: &str) -> Result<Value, E> {
        Ok(Value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        while let Some(Value) = items.next_element()? {}
        Ok(Value)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let (mut bytes, mut count) = (false, 0_usize);
        while let Some(key) = entries.next_key::<String>()? {
            count = count.saturating_add(1);
            if key == BYTES {
                bytes = true;
                let Bytes = entries.next_value()?;
            } else {
                let Value = entries.next_value()?;
            }
            if bytes && count > 1 {
                return Err(A::Error::custom(
                    "an object with $bytes is a byte string and has no other key",
                ));
            }
        }
        Ok(Value)
    }
}

/// The value of `$bytes`.
struct Bytes;

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Base64)
    }
}

struct Base64;

impl Visitor<'_> for Base64 {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string of base64 as the value of $bytes")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Bytes, E> {
        match decode_base64(text) {
            Ok(_) => Ok(Bytes),
            Err(error) => Err(E::custom(format_args!(
                "the value of $bytes is not standard base64: {error}"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        check(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn values_that_can_travel_pass() {
        let deep = format!("{}1{}", "[".repeat(127), "]".repeat(127));
        for text in [
            "null",
            " [1, -2.5, 1e300, 123456789012345678901234567890] ",
            r#"{"a": {"$bytes": "AP8="}, "b": {"$bytes": "AP8"}, "c": {"$bytes": ""}}"#,
            r#"{"bytes": "!!!", "a": 1, "a": 2}"#,
            deep.as_str(),
        ] {
            assert_eq!(check(text.as_bytes()), Ok(()), "{text}");
        }
    }

    #[test]
    fn a_byte_string_is_base64_and_nothing_else() {
        // Letters that are none, padding that is cut or too much, the URL's alphabet, loose bits.
        for bad in ["!!!", "AP8==", "YQ=", "_w==", "A", "AP9=", "AP 8="] {
            let error = error(&format!(r#"[{{"$bytes":"{bad}"}}]"#));
            assert!(error.contains("$bytes is not standard base64"), "{error}");
            assert!(error.contains("line 1 column"), "{error}");
        }
        for bad in ["1", "null", "[\"\"]", "{}"] {
            let error = error(&format!(r#"{{"$bytes":{bad}}}"#));
            assert!(error.contains("a string of base64"), "{error}");
        }
        for bad in [
            r#"{"$bytes":"","a":1}"#,
            r#"{"a":1,"$bytes":""}"#,
            r#"{"$bytes":"","$bytes":""}"#,
            r#"{"a":1,"\u0024bytes":""}"#,
        ] {
            assert!(error(bad).contains("no other key"), "{bad}");
        }
    }

    #[test]
    fn numbers_are_finite_and_nesting_has_an_end() {
        assert!(error("1e999").contains("out of range"));
        let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(error(&deep(128)).contains("recursion limit"));
        assert!(error(&deep(1_000_000)).contains("recursion limit"));
        assert!(check(b"\"\xff\"").unwrap_err().contains("UTF-8"));
    }
}
