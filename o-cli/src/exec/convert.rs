//! Bodies as the JSON that programs read and write.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use o_core::{Body, CallError, Encoding};
use o_node::transcode;
use serde::Deserialize;

use crate::json_text;

/// The one JSON value that a program reads.
///
/// # Errors
/// Parameters that are not what their encoding says.
pub(super) fn input(body: &Body) -> Result<Bytes, CallError> {
    let invalid = |message: String| CallError::InvalidParams { message };
    if body.is_empty() {
        return Ok(Bytes::from_static(b"null"));
    }
    if body.encoding == Encoding::Raw {
        return Ok(bytes_as_json(&body.bytes).into());
    }
    let json = transcode(body, Encoding::Json).map_err(|error| invalid(error.to_string()))?;
    json_text::compact(&json.bytes)
        .map(Bytes::from)
        .map_err(invalid)
}

/// A byte string, as it stands in JSON.
pub(crate) fn bytes_as_json(bytes: &[u8]) -> String {
    // Base64 has no character that JSON would escape.
    format!("{{\"$bytes\":\"{}\"}}", BASE64_STANDARD.encode(bytes))
}

/// How the caller wants its answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer(Encoding);

/// A value that stands for bytes.
#[derive(Deserialize)]
#[serde(untagged)]
enum AsBytes {
    Bytes {
        #[serde(rename = "$bytes")]
        base64: String,
    },
    Text(String),
}

impl Answer {
    /// Answers in the encoding of the parameters.
    pub(super) fn to(body: &Body) -> Self {
        Self(body.encoding)
    }

    /// One value of a program as a body. Where raw bytes are wanted, text and byte strings are
    /// given as they are, and anything else as JSON.
    ///
    /// # Errors
    /// A value that the encoding does not have.
    pub(super) fn body(self, json: String) -> Result<Body, CallError> {
        if self.0 == Encoding::Raw {
            return Ok(raw(&json).unwrap_or_else(|| Body::json(json)));
        }
        transcode(&Body::json(json), self.0).map_err(|error| {
            CallError::failed(format!(
                "the program wrote a value that this encoding does not have: {error}"
            ))
        })
    }
}

fn raw(json: &str) -> Option<Body> {
    match serde_json::from_str(json).ok()? {
        AsBytes::Bytes { base64 } => json_text::decode_base64(&base64).ok().map(Body::raw),
        AsBytes::Text(text) => Some(Body::raw(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_always_reads_one_json_value() {
        let read = |body: Body| String::from_utf8(input(&body).unwrap().to_vec()).unwrap();
        assert_eq!(read(Body::json("")), "null");
        assert_eq!(read(Body::json("{ \"a\" : 1 }")), "{\"a\":1}");
        assert_eq!(read(Body::raw(&b"\x00\xff"[..])), "{\"$bytes\":\"AP8=\"}");
        // The CBOR of [1, "x", h'ff'].
        let cbor = Body::cbor(&b"\x83\x01\x61x\x41\xff"[..]);
        assert_eq!(read(cbor), "[1,\"x\",{\"$bytes\":\"/w==\"}]");
        for bad in [Body::json("{"), Body::json("1 2"), Body::cbor(&b"\x83"[..])] {
            assert!(matches!(input(&bad), Err(CallError::InvalidParams { .. })));
        }
    }

    #[test]
    fn the_answer_has_the_encoding_of_the_question() {
        let answer = |encoding, json: &str| Answer(encoding).body(json.to_owned()).unwrap();
        assert_eq!(answer(Encoding::Json, "[1]"), Body::json("[1]"));
        assert_eq!(answer(Encoding::Cbor, "[1]"), Body::cbor(&b"\x81\x01"[..]));
        assert_eq!(answer(Encoding::Raw, "\"a\""), Body::raw("a"));
        assert_eq!(
            answer(Encoding::Raw, "{\"$bytes\":\"/w==\"}"),
            Body::raw(&b"\xff"[..])
        );
        assert_eq!(answer(Encoding::Raw, "[1]"), Body::json("[1]"));
    }
}
