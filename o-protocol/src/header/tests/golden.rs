//! The golden vectors of testdata/, and that the specification shows them.

use std::{collections::BTreeSet, path::Path};

use super::*;
use crate::frame::{self, FLAG_EMPTY, FLAG_END, FLAG_MORE, FLAG_PONG, Kind};

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// The bytes of a vector: hex digits and white space, `#` begins a comment.
fn vector(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("testdata/{name}.hex"));
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().map(|line| line.split('#').next().unwrap());
    let digits: Vec<u8> = lines.flat_map(|line| line.bytes()).collect();
    let digits: Vec<u8> = digits.into_iter().filter(u8::is_ascii_hexdigit).collect();
    let pairs = digits
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).unwrap());
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).unwrap())
        .collect()
}

/// Checks that the frame encodes to the vector and decodes from it.
fn golden(name: &str, kind: Kind, flags: u8, id: u64, header: &[u8], body: &[u8]) {
    let expected = vector(name);
    let mut encoded = Vec::new();
    frame::encode(&mut encoded, kind, flags, id, header, body).unwrap();
    assert_eq!(encoded, expected, "{name} is not encoded as in testdata");
    let (frame, length) = frame::decode(&expected, 1 << 20).unwrap().unwrap();
    assert_eq!(length, expected.len());
    assert_eq!(
        (frame.kind, frame.flags, frame.id),
        (kind as u8, flags, id),
        "{name}"
    );
    assert_eq!((frame.header, frame.body), (header, body), "{name}");
}

/// The header bytes of a vector.
pub(super) fn header_of(name: &str) -> Vec<u8> {
    let bytes = vector(name);
    let (frame, _) = frame::decode(&bytes, 1 << 20).unwrap().unwrap();
    frame.header.to_vec()
}

fn full_call(now: Instant) -> CallHeader {
    let mut call = call("o://leader/echo", "echo");
    call.shape = Shape::Bidirectional;
    call.encoding = Encoding::Json;
    call.terms = CallTerms {
        deadline: Some(now + Duration::from_millis(1500)),
        timeout: None,
        priority: Priority::Interactive,
        idempotency_key: Some("order-17".into()),
        trace_parent: Some(TRACE.into()),
        schema: Some(SchemaHash(std::array::from_fn(|at| at as u8))),
        hops_left: Some(4),
        origin: Some("o://leader".parse().unwrap()),
        signed_context: Some(Bytes::from_static(&[0xd0, 0x0d])),
        tokens: Some(Bytes::from_static(&[0x70, 0xcc])),
    };
    call
}

#[test]
fn golden_hello() {
    let mut hello = Hello::new(NetworkId::default());
    hello.max_frame = 131_072;
    hello.max_calls = 1024;
    hello.initial_credit = 262_144;
    hello.hosted = vec!["o://company/sales/ai-assistant".parse().unwrap()];
    hello.agent = "o/0.1.0".into();
    golden("hello", Kind::Hello, 0, 0, &hello.encode(), &[]);
    assert_eq!(Hello::decode(&header_of("hello")), Ok(hello));
}

#[test]
fn golden_calls() {
    let now = Instant::now();
    let header = call("o://leader/echo", "echo").encode(now);
    golden("call-minimal", Kind::Call, FLAG_END, 1, &header, b"\x62hi");
    let header = full_call(now).encode(now);
    golden("call-full", Kind::Call, 0, 3, &header, b"{}");

    let minimal = CallHeader::decode(&header_of("call-minimal"), now).unwrap();
    assert_eq!(
        format!("{minimal:?}"),
        format!("{:?}", call("o://leader/echo", "echo"))
    );
    let full = CallHeader::decode(&header_of("call-full"), now).unwrap();
    assert_eq!(format!("{full:?}"), format!("{:?}", full_call(now)));
    assert_eq!(full.terms.deadline, Some(now + Duration::from_millis(1500)));
    assert_eq!(
        full.terms.signed_context.as_deref(),
        Some(&[0xd0, 0x0d][..])
    );
}

#[test]
fn golden_items() {
    golden("item", Kind::Item, 0, 1, &[], b"\x62hi");
    golden("item-end", Kind::Item, FLAG_END, 1, &[], b"\x62hi");
    golden("item-more", Kind::Item, FLAG_MORE, 1, &[], b"\x62h");
    golden(
        "item-empty-end",
        Kind::Item,
        FLAG_EMPTY | FLAG_END,
        1,
        &[],
        &[],
    );
    assert!(encode_item(Encoding::Cbor, Encoding::Cbor, None).is_empty());
    let header = encode_item(Encoding::Raw, Encoding::Cbor, None);
    golden(
        "item-raw",
        Kind::Item,
        0,
        1,
        &header,
        &[0xde, 0xad, 0xbe, 0xef],
    );
    assert_eq!(decode_item(&header, Encoding::Cbor), Ok(Encoding::Raw));
    assert_eq!(decode_item(&[], Encoding::Json), Ok(Encoding::Json));
}

#[test]
fn golden_control_frames() {
    golden("cancel", Kind::Cancel, 0, 7, &[], &[]);
    golden("credit", Kind::Credit, 0, 1, &encode_credit(131_072), &[]);
    assert_eq!(decode_credit(&header_of("credit")), Ok(131_072));
    golden("ping", Kind::Ping, 0, 0x0102_0304_0506_0708, &[], &[]);
    golden(
        "pong",
        Kind::Ping,
        FLAG_PONG,
        0x0102_0304_0506_0708,
        &[],
        &[],
    );

    let refused = Goodbye::new(ErrorCode::Refused, "not on the list");
    golden(
        "goodbye-refused",
        Kind::Goodbye,
        0,
        0,
        &refused.encode(),
        &[],
    );
    assert_eq!(Goodbye::decode(&header_of("goodbye-refused")), Ok(refused));
    let mut stopping = Goodbye::new(ErrorCode::ShuttingDown, "restarting");
    stopping.drain = Duration::from_secs(5);
    golden(
        "goodbye-drain",
        Kind::Goodbye,
        0,
        0,
        &stopping.encode(),
        &[],
    );
    assert_eq!(Goodbye::decode(&header_of("goodbye-drain")), Ok(stopping));
    let mut idle = Goodbye::new(ErrorCode::ShuttingDown, "idle");
    (idle.drain, idle.idle) = (Duration::from_secs(2), true);
    golden("goodbye-idle", Kind::Goodbye, 0, 0, &idle.encode(), &[]);
    assert_eq!(Goodbye::decode(&header_of("goodbye-idle")), Ok(idle));
}

/// The errors that the vectors hold, by the names of the files.
fn errors() -> Vec<(&'static str, CallError)> {
    let refused = |reason: &str, certain| CallError::Refused {
        peer: None,
        reason: reason.into(),
        certain,
    };
    let failed = CallError::Failed {
        message: "out of paper".into(),
        retryable: true,
        data: Bytes::from_static(&[0x18, 0x2a]),
    };
    let wrong_shape = CallError::WrongShape {
        method: Shape::Bidirectional,
        call: Shape::Unary,
    };
    let newer = CallError::UnknownCode {
        number: 900,
        message: "new".into(),
        retryable: true,
    };
    let target = "o://leader/echo".parse().unwrap();
    let after = Duration::from_millis(1500);
    let busy = CallError::Busy {
        reason: "1024 calls on this connection".into(),
    };
    vec![
        ("error-failed", failed),
        ("error-not-found", CallError::NotFound { address: target }),
        ("error-refused", refused("not on the list", true)),
        ("error-refused-uncertain", refused("closed", false)),
        ("error-timed-out", CallError::TimedOut { after }),
        ("error-busy", busy),
        (
            "error-unknown-method",
            CallError::UnknownMethod {
                method: "ecko".into(),
            },
        ),
        ("error-wrong-shape", wrong_shape),
        ("error-newer", newer),
    ]
}

#[test]
fn golden_errors() {
    for (name, error) in errors() {
        let (header, data) = encode_error(&error);
        golden(name, Kind::Error, 0, 1, &header, &data);
        assert_eq!(decoded(&header_of(name), &data), Ok(error), "{name}");
    }
}

fn names_of_vectors() -> BTreeSet<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let paths = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let vectors = paths.filter(|path| path.extension().is_some_and(|kind| kind == "hex"));
    vectors
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_vector_is_in_a_test_and_in_the_specification() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = include_str!("golden.rs");
    let specification = std::fs::read_to_string(directory.join("../docs/wire.md")).unwrap();
    let names = names_of_vectors();
    assert!(names.len() >= 20, "{names:?}");
    for name in names {
        assert!(
            source.contains(&format!("\"{name}\"")),
            "{name}.hex is in no test"
        );
        let named = specification.contains(&format!("`{name}.hex`"));
        assert!(named, "docs/wire.md does not name {name}.hex");
    }
}

/// The bytes of an example in the specification: its lines begin with hex digits.
fn example(specification: &str, name: &str) -> Option<String> {
    let begin = format!("`{name}.hex`\n\n```text\n");
    let (_, rest) = specification.split_once(&begin)?;
    let (example, _) = rest.split_once("```")?;
    let hex = |line: &str| line.split(' ').next().unwrap().to_owned();
    Some(example.lines().map(hex).collect())
}

#[test]
fn the_examples_of_the_specification_are_the_vectors() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    let specification = std::fs::read_to_string(directory.join("../docs/wire.md")).unwrap();
    for name in [
        "hello",
        "call-minimal",
        "call-full",
        "item-end",
        "item-empty-end",
    ] {
        assert!(
            example(&specification, name).is_some(),
            "{name} is no example"
        );
    }
    for name in names_of_vectors() {
        if let Some(example) = example(&specification, &name) {
            let bytes: String = vector(&name)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            assert_eq!(example, bytes, "{name}");
        }
    }
}
