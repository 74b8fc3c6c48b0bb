//! Bodies as CBOR and JSON: limits hold, what was read is written and read again, and both encodings say the same.

use std::collections::BTreeMap;

use ciborium::Value;
use o_core::{Body, Encoding};
use o_protocol::{
    Blob, DecodeError, Limits, TranscodeError, decode_body, encode_body, from_slice, to_vec,
    transcode,
};
use serde::{Deserialize, Serialize, de::IgnoredAny};

use crate::{Seed, input::Input};

/// A type with a bit of everything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Order {
    id: u64,
    change: i32,
    price: f64,
    text: String,
    note: Option<String>,
    data: Blob,
    kind: Kind,
    parts: Vec<Order>,
    by_name: BTreeMap<String, (bool, u8)>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Plain,
    Sized(u16),
    Named {
        name: String,
    },
}

impl Default for Order {
    fn default() -> Self {
        Self {
            id: 0,
            change: 0,
            price: 0.0,
            text: String::new(),
            note: None,
            data: Blob::default(),
            kind: Kind::Plain,
            parts: Vec::new(),
            by_name: BTreeMap::new(),
        }
    }
}

/// Two bytes choose the depth and the size that are allowed, the rest is CBOR and JSON.
///
/// # Panics
/// When something does not hold.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let (Some(depth), Some(size)) = (input.byte(), input.byte()) else {
        return;
    };
    let bytes = input.0;
    let mut limits = Limits::default();
    limits.max_depth = 1 + usize::from(depth % 100);
    limits.max_bytes = 16 * (1 + usize::from(size));
    untyped(bytes, limits);
    for encoding in [Encoding::Cbor, Encoding::Json] {
        let body = Body::new(encoding, bytes.to_vec());
        typed(&body);
        carried_over(&body);
    }
}

fn untyped(bytes: &[u8], limits: Limits) {
    let value: Value = match from_slice(bytes, limits) {
        Ok(value) => value,
        Err(error) => {
            if bytes.len() > limits.max_bytes {
                let (length, limit) = (bytes.len(), limits.max_bytes);
                assert_eq!(error, DecodeError::TooLarge { length, limit });
            }
            return;
        }
    };
    assert!(bytes.len() <= limits.max_bytes);
    assert!(depth(&value) <= limits.max_depth, "{value:?}");
    assert!(count(&value) <= bytes.len(), "{value:?}");
    assert_eq!(from_slice(bytes, limits).map(|_: IgnoredAny| ()), Ok(()));
    let Ok(written) = to_vec(&value) else {
        panic!("{value:?} cannot be written");
    };
    let again: Result<Value, _> = from_slice(&written, Limits::default());
    // As bytes, because NaN is not NaN.
    assert_eq!(again.map(|again| to_vec(&again)), Ok(Ok(written.clone())));
    let mut trailing = written;
    trailing.push(0);
    let trailing: Result<Value, _> = from_slice(&trailing, Limits::default());
    assert!(
        matches!(trailing, Err(DecodeError::Trailing { .. })),
        "{trailing:?}"
    );
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) if !items.is_empty() => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Map(entries) if !entries.is_empty() => {
            let parts = entries.iter().flat_map(|(key, value)| [key, value]);
            1 + parts.map(depth).max().unwrap_or(0)
        }
        _ => 0,
    }
}

fn count(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Map(entries) => {
            let parts = entries.iter().flat_map(|(key, value)| [key, value]);
            1 + parts.map(count).sum::<usize>()
        }
        Value::Bytes(bytes) => 1 + bytes.len(),
        Value::Text(text) => 1 + text.len(),
        _ => 1,
    }
}

fn typed(body: &Body) {
    let Ok(order) = decode_body::<Order>(body) else {
        return;
    };
    for encoding in [Encoding::Cbor, Encoding::Json] {
        match encode_body(encoding, &order) {
            Ok(written) => {
                let again = decode_body::<Order>(&written).and_then(|order| {
                    encode_body(encoding, &order).map_err(|error| panic!("{error}: {order:?}"))
                });
                assert_eq!(again, Ok(written));
            }
            // Numbers that JSON does not have.
            Err(error) => assert_eq!(encoding, Encoding::Json, "{error}: {order:?}"),
        }
    }
}

fn carried_over(body: &Body) {
    let encoding = match body.encoding {
        Encoding::Cbor => Encoding::Json,
        _ => Encoding::Cbor,
    };
    let Ok(there) = transcode(body, encoding) else {
        return;
    };
    let back = match transcode(&there, body.encoding) {
        Ok(back) => back,
        // In JSON a byte string is an object: one level more than it was.
        Err(TranscodeError::Decode(DecodeError::TooDeep { .. })) => return,
        Err(error) => panic!("{error}: {there:?}"),
    };
    assert_eq!(transcode(&back, encoding), Ok(there));
}

const SMALL: [(&str, &[u8]); 14] = [
    ("null", &[0xf6]),
    ("undefined", &[0xf7]),
    ("negative", &[0x3b, 255, 255, 255, 255, 255, 255, 255, 255]),
    ("half-nan", &[0xf9, 0x7e, 0]),
    ("infinity", &[0xf9, 0x7c, 0]),
    (
        "float",
        &[0xfb, 0x3f, 0xf1, 0x99, 0x99, 0x99, 0x99, 0x99, 0x9a],
    ),
    ("chunks", &[0x5f, 0x41, 1, 0x42, 2, 3, 0xff]),
    ("text-chunks", &[0x7f, 0x61, b'a', 0x61, b'b', 0xff]),
    (
        "indefinite",
        &[0x9f, 1, 0xbf, 0x61, b'a', 0x9f, 0xff, 0xff, 0xff],
    ),
    ("tag", &[0xc2, 0x41, 1]),
    ("simple", &[0xf8, 32]),
    ("huge-length", &[0x9b, 0, 0, 255, 255, 255, 255, 255, 255]),
    ("same-key-twice", &[0xa2, 0x61, b'a', 1, 0x61, b'a', 2]),
    (
        "reserved-key",
        &[0xa1, 0x66, b'$', b'b', b'y', b't', b'e', b's', 0x60],
    ),
];

const JSON: [(&str, &str); 5] = [
    ("json-bytes", r#"{"$bytes":"AP8="}"#),
    (
        "json-numbers",
        "[1,-1,1.5,1e300,18446744073709551615,-9223372036854775808,-0.0]",
    ),
    ("json-too-large", "18446744073709551616"),
    ("json-twice", r#"{"a":1,"a":{"b":[null,true,"\u00e9\n"]}}"#),
    ("json-half-pair", r#""\ud800""#),
];

/// Values of every type in both encodings, what readers must refuse, and nesting.
pub fn seeds() -> Vec<Seed> {
    let order = Order {
        id: u64::MAX,
        change: -7,
        price: 2.5,
        text: "caf\u{e9}".to_owned(),
        note: Some(String::new()),
        data: Blob::from(vec![0, 255]),
        kind: Kind::Named { name: "n".into() },
        parts: vec![Order::default()],
        by_name: BTreeMap::from([("a".to_owned(), (true, 1))]),
    };
    let sized = Order {
        kind: Kind::Sized(300),
        ..Order::default()
    };
    let mut seeds = Vec::new();
    let mut push = |name: &str, bytes: &[u8]| {
        seeds.push((name.to_owned(), [&[99, 255], bytes].concat()));
    };
    for (name, order) in [("order", order), ("sized", sized)] {
        for (suffix, encoding) in [("cbor", Encoding::Cbor), ("json", Encoding::Json)] {
            if let Ok(body) = encode_body(encoding, &order) {
                push(&format!("{name}-{suffix}"), &body.bytes);
            }
        }
    }
    for (name, bytes) in SMALL {
        push(name, bytes);
    }
    for (name, text) in JSON {
        push(name, text.as_bytes());
    }
    push("nested-99", &[vec![0x81; 99], vec![0x80]].concat());
    push("nested-101", &[vec![0x81; 101], vec![0x80]].concat());
    push("bytes-at-100", &[vec![0x81; 100], vec![0x41, 0]].concat());
    push("nested-10000", &[0x81; 10_000]);
    push("json-nested-10000", &[b'['; 10_000]);
    push(
        "json-nested",
        format!("{}1{}", "[".repeat(100), "]".repeat(100)).as_bytes(),
    );
    seeds
}
