//! What may arrive, and what comes of it.

use std::{borrow::Cow, cell::Cell, collections::BTreeMap, net::IpAddr};

use o_core::{Body, Encoding};
use proptest::prelude::*;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, IgnoredAny, SeqAccess, Visitor},
};
use serde_bytes::ByteBuf;
use serde_json::{Value as Json, json};

use super::*;

fn cbor<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    from_slice(bytes, Limits::default())
}

fn json<T: DeserializeOwned>(text: &str) -> Result<T, DecodeError> {
    decode_body(&Body::json(text.to_owned()))
}

fn encoded<T: Serialize + ?Sized>(value: &T) -> String {
    let body = encode_body(Encoding::Json, value).unwrap();
    String::from_utf8(body.bytes.to_vec()).unwrap()
}

fn is_malformed<T: std::fmt::Debug>(result: Result<T, DecodeError>) -> bool {
    matches!(result, Err(DecodeError::Malformed { .. }))
}

fn mismatch_path<T: std::fmt::Debug>(result: Result<T, DecodeError>) -> String {
    match result {
        Err(DecodeError::Mismatch { path, .. }) => path,
        other => panic!("{other:?}"),
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Item {
    name: String,
    weight: f64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    items: Vec<Item>,
    kind: Kind,
    note: Option<String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Plain,
    Tuple(u8, u8),
    Struct { by: String },
    New(Box<Kind>),
}

fn order(kind: Kind) -> Order {
    let items = ["a", "b"].map(|name| Item {
        name: name.to_owned(),
        weight: 0.5,
    });
    let note = Some("n".repeat(5000));
    Order {
        items: items.into(),
        kind,
        note,
    }
}

/// Fails the test when a decoder gets to it.
#[derive(Debug)]
struct Unreached;

impl<'de> Deserialize<'de> for Unreached {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("the input was decoded");
    }
}

#[test]
fn a_value_reads_back_in_both_encodings() {
    let kinds = [
        Kind::Plain,
        Kind::Tuple(1, 2),
        Kind::Struct { by: "x".to_owned() },
        Kind::New(Box::new(Kind::New(Box::new(Kind::Plain)))),
    ];
    for order in kinds.map(order) {
        for encoding in [Encoding::Cbor, Encoding::Json] {
            let body = encode_body(encoding, &order).unwrap();
            assert_eq!(
                decode_body::<Order>(&body).as_ref(),
                Ok(&order),
                "{encoding:?}"
            );
        }
    }
}

#[test]
fn a_length_that_cannot_be_there_is_refused_before_anything_is_decoded() {
    for major in [0x40, 0x60, 0x80, 0xa0] {
        for length in [
            &[0x1b, 255, 255, 255, 255, 255, 255, 255, 255][..],
            &[0x1a, 0, 0, 1, 0],
            &[2],
        ] {
            let mut bytes = vec![major | length[0]];
            bytes.extend(&length[1..]);
            bytes.push(0);
            assert!(is_malformed(cbor::<Unreached>(&bytes)), "{bytes:02x?}");
            let nested = [&[0x81][..], &bytes].concat();
            assert!(is_malformed(cbor::<Unreached>(&nested)), "{nested:02x?}");
        }
    }
}

#[test]
fn a_size_hint_is_never_more_than_the_input() {
    thread_local!(static HINT: Cell<usize> = const { Cell::new(0) });

    struct Hints;

    impl<'de> Deserialize<'de> for Hints {
        fn deserialize<D: Deserializer<'de>>(decoder: D) -> Result<Self, D::Error> {
            decoder.deserialize_seq(Self)
        }
    }

    impl<'de> Visitor<'de> for Hints {
        type Value = Self;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self, A::Error> {
            HINT.set(access.size_hint().unwrap_or_default());
            while access.next_element::<IgnoredAny>()?.is_some() {}
            Ok(self)
        }
    }

    assert!(cbor::<Hints>(&[0x84, 1, 2, 3, 4]).is_ok());
    assert_eq!(HINT.get(), 4);
    assert!(is_malformed(
        cbor::<Hints>(&[0x9a, 0x7f, 0xff, 0xff, 0xff, 1]).map(drop)
    ));
    assert_eq!(HINT.get(), 4);
}

#[test]
fn ten_thousand_levels_are_an_error_and_no_overflow() {
    for open in [&[0x81][..], &[0x9f], &[0xa1, 0x00], &[0xbf, 0x00]] {
        let deep = open.repeat(10_000);
        assert_eq!(
            cbor::<IgnoredAny>(&deep).unwrap_err(),
            DecodeError::TooDeep { limit: 100 }
        );
    }
    for open in ["[", "{\"a\":", "[\"\\\"\","] {
        let deep = open.repeat(10_000);
        assert_eq!(
            json::<Json>(&deep),
            Err(DecodeError::TooDeep { limit: 100 })
        );
        let body = Body::json(deep);
        let error = transcode(&body, Encoding::Cbor).unwrap_err();
        assert_eq!(error, DecodeError::TooDeep { limit: 100 }.into());
    }
}

#[test]
fn the_deepest_allowed_value_is_read_and_one_more_is_not() {
    let cbor_of = |depth: usize| [vec![0x81; depth - 1], vec![0x80]].concat();
    let json_of = |depth| ["[".repeat(depth), "]".repeat(depth)].concat();
    let too_deep = DecodeError::TooDeep { limit: 100 };
    assert!(cbor::<Json>(&cbor_of(100)).is_ok());
    assert_eq!(cbor::<Json>(&cbor_of(101)), Err(too_deep.clone()));
    assert!(json::<Json>(&json_of(100)).is_ok());
    assert_eq!(json::<Json>(&json_of(101)), Err(too_deep));
    assert!(transcode(&Body::cbor(cbor_of(100)), Encoding::Json).is_ok());
    assert!(transcode(&Body::json(json_of(100)), Encoding::Cbor).is_ok());
}

#[test]
fn brackets_in_text_are_no_nesting() {
    let text = format!("[\"{}\"]", "[\\\"".repeat(1000));
    assert!(json::<Json>(&text).is_ok());
}

#[test]
fn size_is_looked_at_first() {
    let limits = Limits {
        max_bytes: 3,
        max_depth: 9,
    };
    let result = from_slice::<Unreached>(&[0xff; 4], limits);
    assert_eq!(
        result.unwrap_err(),
        DecodeError::TooLarge {
            length: 4,
            limit: 3
        }
    );
}

#[test]
fn a_value_of_many_small_parts_is_not_taken_apart_without_a_type() {
    let limit = 4 * 1024 * 1024;
    let zeros = [&[0x9a, 0x00, 0x40, 0x00, 0x00][..], &vec![0; limit]].concat();
    let too_many = TranscodeError::Decode(DecodeError::TooManyValues { limit });
    let body = Body::cbor(zeros);
    assert_eq!(transcode(&body, Encoding::Json), Err(too_many.clone()));
    let body = Body::json(format!("[{}0]", "0,".repeat(limit)));
    assert_eq!(transcode(&body, Encoding::Cbor), Err(too_many));
    let body = Body::json(format!("[\"{}\"]", ",".repeat(limit)));
    assert!(transcode(&body, Encoding::Cbor).is_ok());
}

#[test]
fn what_follows_the_value_is_an_error() {
    assert_eq!(
        cbor::<Unreached>(&[1, 2]).unwrap_err(),
        DecodeError::Trailing { offset: 1 }
    );
    assert!(is_malformed(json::<u8>("1 2")));
    assert_eq!(json::<u8>(" 1 \n"), Ok(1));
}

#[test]
fn what_is_no_cbor_is_refused() {
    let cases: &[&[u8]] = &[
        &[],
        &[0x1c],                   // Reserved.
        &[0x18],                   // Cut off.
        &[0x62, b'a'],             // Cut off.
        &[0x82, 1],                // Cut off.
        &[0x9f, 1],                // Without a break.
        &[0xff],                   // A break of nothing.
        &[0x81, 0xff],             // A break in a definite array.
        &[0xbf, 1, 0xff],          // A break in the middle of an entry.
        &[0x5f, 0x61, b'a', 0xff], // A text chunk in a byte string.
        &[0x5f, 0x5f, 0xff, 0xff], // Chunks in chunks.
        &[0xf8, 0x14],             // A simple value in the long form.
        &[0x1f],                   // An integer of indefinite length.
    ];
    for case in cases {
        assert!(is_malformed(cbor::<Unreached>(case)), "{case:02x?}");
    }
    assert!(is_malformed(cbor::<String>(&[0x61, 0xff])));
    assert!(is_malformed(cbor::<Json>(&[0x61, 0xff])));
}

#[test]
fn indefinite_lengths_are_read() {
    assert_eq!(cbor::<Vec<u8>>(&[0x9f, 1, 2, 0xff]), Ok(vec![1, 2]));
    assert_eq!(
        cbor::<String>(&[0x7f, 0x61, b'a', 0x61, b'b', 0xff]).as_deref(),
        Ok("ab")
    );
    assert_eq!(
        cbor::<ByteBuf>(&[0x5f, 0x41, 1, 0x40, 0xff]),
        Ok(ByteBuf::from([1]))
    );
    let map = cbor::<BTreeMap<u8, u8>>(&[0xbf, 1, 2, 0xff]);
    assert_eq!(map, Ok(BTreeMap::from([(1, 2)])));
}

#[test]
fn tags_are_refused() {
    let big = to_vec(&(u128::from(u64::MAX) + 1)).unwrap();
    assert_eq!(
        cbor::<u128>(&big),
        Err(DecodeError::Tag {
            number: 2,
            offset: 0
        })
    );
    assert_eq!(
        cbor::<Vec<u8>>(&[0x81, 0xc1, 0]),
        Err(DecodeError::Tag {
            number: 1,
            offset: 1
        })
    );
}

#[test]
fn a_part_that_the_type_leaves_unread_is_an_error() {
    // ciborium alone takes the 3 for the second item.
    let bytes = to_vec(&([1, 2, 3], 4)).unwrap();
    assert_eq!(mismatch_path(cbor::<((u8, u8), u8)>(&bytes)), "[0]");
    // ciborium alone takes the 5 for the second item.
    let bytes = to_vec(&(BTreeMap::from([("Plain", 5)]), 6)).unwrap();
    assert_eq!(mismatch_path(cbor::<(Kind, u8)>(&bytes)), "[0].Plain");
    let bytes = to_vec(&BTreeMap::from([("Plain", ()), ("Tuple", ())])).unwrap();
    assert_eq!(mismatch_path(cbor::<Kind>(&bytes)), "");
    assert_eq!(mismatch_path(json::<((u8, u8), u8)>("[[1,2,3],4]")), "[0]");
}

#[test]
fn a_type_gets_what_it_can_hold_however_it_asks() {
    assert_eq!(cbor::<f64>(&to_vec(&3).unwrap()), Ok(3.0));
    assert_eq!(
        cbor::<Vec<f32>>(&to_vec(&[-1, 2]).unwrap()),
        Ok(vec![-1.0, 2.0])
    );
    assert!(cbor::<u8>(&to_vec(&1.0).unwrap()).is_err());
    assert_eq!(
        json::<f32>("16777217.0000001"),
        Ok("16777217.0000001".parse::<f32>().unwrap())
    );

    /// Asks for borrowed text, as many crates' types do.
    #[derive(Debug)]
    struct Asks(usize);

    impl<'de> Deserialize<'de> for Asks {
        fn deserialize<D: Deserializer<'de>>(decoder: D) -> Result<Self, D::Error> {
            decoder.deserialize_str(Self(0))
        }
    }

    impl Visitor<'_> for Asks {
        type Value = Self;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("text")
        }

        fn visit_str<E>(self, text: &str) -> Result<Self, E> {
            Ok(Self(text.len()))
        }
    }

    let long = "x".repeat(100_000);
    assert_eq!(cbor::<Asks>(&to_vec(&long).unwrap()).unwrap().0, 100_000);
    assert_eq!(
        cbor::<Cow<'_, str>>(&to_vec(&long).unwrap()).as_deref(),
        Ok(&*long)
    );
}

#[test]
fn a_mismatch_says_where() {
    let wrong =
        json!({"items": [{"name": "a", "weight": 1}, {"name": 7, "weight": 1}], "kind": "Plain"});
    let body = encode_body(Encoding::Cbor, &wrong).unwrap();
    assert_eq!(mismatch_path(decode_body::<Order>(&body)), "items[1].name");
    assert_eq!(
        mismatch_path(json::<Order>(&wrong.to_string())),
        "items[1].name"
    );
    let error = json::<Item>(r#"{"name":"a"}"#).unwrap_err().to_string();
    assert_eq!(error, "missing field `weight` at line 1 column 12");
    let error = decode_body::<Order>(&body)
        .unwrap_err()
        .into_invalid_params()
        .to_string();
    assert!(
        error.starts_with("invalid parameters: at items[1].name: invalid type: integer `7`"),
        "{error}"
    );
}

#[test]
fn byte_strings_in_json_are_base64_in_an_object() {
    let bytes = ByteBuf::from([0, 255, 7]);
    assert_eq!(encoded(&bytes), r#"{"$bytes":"AP8H"}"#);
    assert_eq!(json::<ByteBuf>(&encoded(&bytes)).as_ref(), Ok(&bytes));
    assert_eq!(json::<Vec<ByteBuf>>(&encoded(&[&bytes])), Ok(vec![bytes]));

    let blob = Blob::from(&b"ab"[..]);
    assert_eq!(encoded(&blob), r#"{"$bytes":"YWI="}"#);
    assert_eq!(json::<Blob>(&encoded(&blob)).as_ref(), Ok(&blob));
    assert_eq!(
        serde_json::from_value::<Blob>(json!({"$bytes": "YWI"})).unwrap(),
        blob
    );
    assert_eq!(to_vec(&blob).unwrap(), [0x42, b'a', b'b']);
    assert_eq!(cbor::<Blob>(&[0x42, b'a', b'b']), Ok(blob));

    assert_eq!(json::<Vec<u8>>(r#"{"$bytes":"AAE="}"#), Ok(vec![0, 1]));
    assert_eq!(json::<Vec<u8>>("[0,1]"), Ok(vec![0, 1]));
    assert_eq!(
        json::<Json>(r#"{"$bytes":"AAE="}"#),
        Ok(json!({"$bytes": "AAE="}))
    );
    for wrong in [
        r#"{"$bytes":"?"}"#,
        r#"{"$bytes":1}"#,
        r#"{"$bytes":"","a":1}"#,
        "{}",
        "true",
    ] {
        mismatch_path(json::<ByteBuf>(wrong));
        mismatch_path(json::<Blob>(wrong));
    }
}

#[test]
fn json_has_only_finite_numbers_of_64_bits() {
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert!(matches!(
            encode_body(Encoding::Json, &[number]),
            Err(EncodeError::Value { .. })
        ));
        assert!(
            encode_body(
                Encoding::Json,
                &BTreeMap::from([("a", Some(number as f32))])
            )
            .is_err()
        );
        let body = encode_body(Encoding::Cbor, &number).unwrap();
        assert_eq!(
            transcode(&body, Encoding::Json),
            Err(TranscodeError::NotFinite)
        );
    }
    assert!(encode_body(Encoding::Json, &i128::MAX).is_err());
    assert_eq!(encoded(&i128::from(i64::MIN)), i64::MIN.to_string());
    assert!(json::<u64>("18446744073709551616").is_err());
}

#[test]
fn types_are_written_for_people_in_json_only() {
    let address: IpAddr = "127.0.0.1".parse().unwrap();
    assert_eq!(encoded(&address), r#""127.0.0.1""#);
    for encoding in [Encoding::Cbor, Encoding::Json] {
        let body = encode_body(encoding, &address).unwrap();
        assert_eq!(decode_body(&body), Ok(address));
    }
}

#[test]
fn an_empty_body_is_no_value() {
    for encoding in [Encoding::Cbor, Encoding::Json, Encoding::Raw] {
        let empty = Body::new(encoding, "");
        assert_eq!(decode_body::<()>(&empty), Ok(()));
        assert_eq!(decode_body::<Option<u8>>(&empty), Ok(None));
        assert!(decode_body::<Item>(&empty).is_err());
    }
    assert_eq!(
        decode_body::<()>(&encode_body(Encoding::Cbor, &()).unwrap()),
        Ok(())
    );
}

#[test]
fn raw_bodies_are_bytes_or_text() {
    let raw = |value: &str| Body::raw(value.to_owned());
    assert_eq!(encode_body(Encoding::Raw, "a"), Ok(raw("a")));
    assert_eq!(encode_body(Encoding::Raw, &Blob::from("a")), Ok(raw("a")));
    assert_eq!(encode_body(Encoding::Raw, &()), Ok(raw("")));
    assert_eq!(encode_body(Encoding::Raw, &5), Err(EncodeError::NotBytes));
    assert_eq!(decode_body(&raw("a")), Ok("a".to_owned()));
    assert_eq!(decode_body(&raw("a")), Ok(Some(Blob::from("a"))));
    assert_eq!(decode_body(&raw("a")), Ok(vec![b'a']));
    assert!(decode_body::<String>(&Body::raw(vec![0xff])).is_err());
    assert!(decode_body::<u8>(&raw("a")).is_err());
    assert!(decode_body::<Item>(&raw("a")).is_err());
    assert!(decode_body::<()>(&raw("a")).is_err());
}

fn to_json(bytes: &[u8]) -> Result<String, TranscodeError> {
    let body = transcode(&Body::cbor(bytes.to_vec()), Encoding::Json)?;
    assert_eq!(body.encoding, Encoding::Json);
    Ok(String::from_utf8(body.bytes.to_vec()).unwrap())
}

fn to_cbor(text: &str) -> Result<Vec<u8>, TranscodeError> {
    let body = transcode(&Body::json(text.to_owned()), Encoding::Cbor)?;
    assert_eq!(body.encoding, Encoding::Cbor);
    Ok(body.bytes.to_vec())
}

#[test]
fn values_move_between_the_encodings() {
    let text = r#"{"a":[1,-2,1.5,true,null,"x"],"b":{"$bytes":"AP8="},"c":18446744073709551615}"#;
    let bytes = to_cbor(text).unwrap();
    assert_eq!(to_json(&bytes).as_deref(), Ok(text));
    assert_eq!(to_cbor(r#"{"$bytes":"AP8"}"#), Ok(vec![0x42, 0, 0xff]));
    assert_eq!(to_json(&[0xf7]).as_deref(), Ok("null"));
    assert_eq!(to_json(&[0xf9, 0x3c, 0]).as_deref(), Ok("1.0"));
    assert_eq!(to_cbor("").as_deref(), Ok(&[][..]));
    assert_eq!(
        transcode(&Body::raw("x"), Encoding::Raw),
        Ok(Body::raw("x"))
    );
}

#[test]
fn what_the_other_encoding_does_not_have_is_refused() {
    assert_eq!(to_json(&[0xa1, 1, 2]), Err(TranscodeError::KeyNotText));
    let key = "a".to_owned();
    let twice = [0xa2, 0x61, b'a', 1, 0x61, b'a', 2];
    assert_eq!(to_json(&twice), Err(TranscodeError::DuplicateKey { key }));
    let reserved = to_vec(&BTreeMap::from([("$bytes", 1)])).unwrap();
    assert_eq!(to_json(&reserved), Err(TranscodeError::ReservedKey));
    let lowest = [0x3b, 255, 255, 255, 255, 255, 255, 255, 255];
    let number = "-18446744073709551616".to_owned();
    assert_eq!(
        to_json(&lowest),
        Err(TranscodeError::IntegerRange { number })
    );
    assert!(matches!(
        to_json(&[0xc0, 0x60]),
        Err(TranscodeError::Decode(DecodeError::Tag { .. }))
    ));

    for number in ["18446744073709551616", "-9223372036854775809"] {
        let error = TranscodeError::IntegerRange {
            number: number.to_owned(),
        };
        assert_eq!(to_cbor(&format!(r#"{{"a-1":[{number}]}}"#)), Err(error));
    }
    assert!(to_cbor("1e400").is_err());
    assert!(to_cbor("18446744073709551616.0").is_ok());
    assert_eq!(to_cbor(r#"{"$bytes":"?"}"#), Err(TranscodeError::BadBytes));
    assert_eq!(to_cbor(r#"{"$bytes":1}"#), Err(TranscodeError::BadBytes));
    assert!(matches!(
        to_cbor("{"),
        Err(TranscodeError::Decode(DecodeError::Malformed { .. }))
    ));
    assert_eq!(
        transcode(&Body::raw(""), Encoding::Json),
        Err(TranscodeError::Raw)
    );
    assert_eq!(
        transcode(&Body::json("1"), Encoding::Raw),
        Err(TranscodeError::Raw)
    );
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        any::<f64>().prop_map(|n| if n.is_finite() {
            Json::from(n)
        } else {
            Json::Null
        }),
        ".*".prop_map(Json::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Json::from),
            prop::collection::btree_map("[a-z$\"\\\\\u{e9}]{0,4}", inner, 0..6)
                .prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_goes_to_cbor_and_back(value in any_json()) {
        let body = Body::json(value.to_string());
        let there = transcode(&body, Encoding::Cbor).unwrap();
        prop_assert_eq!(&cbor::<Json>(&there.bytes).unwrap(), &value);
        let back = transcode(&there, Encoding::Json).unwrap();
        prop_assert_eq!(&serde_json::from_slice::<Json>(&back.bytes).unwrap(), &value);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = cbor::<Order>(&bytes);
        let _ = cbor::<Json>(&bytes);
        let _ = cbor::<(Kind, ByteBuf)>(&bytes);
        for encoding in [Encoding::Cbor, Encoding::Json] {
            let body = Body::new(encoding, bytes.clone());
            let _ = transcode(&body, Encoding::Json);
            let _ = transcode(&body, Encoding::Cbor);
            let _ = decode_body::<Order>(&body);
        }
    }

    #[test]
    fn a_damaged_value_never_panics(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = to_vec(&order(Kind::Struct { by: "y".to_owned() })).unwrap();
        let at = at.index(60);
        bytes[at] = byte;
        let _ = cbor::<Order>(&bytes);
        let _ = cbor::<Json>(&bytes);
        let _ = transcode(&Body::cbor(bytes), Encoding::Json);
    }
}
