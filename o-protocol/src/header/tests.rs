//! Headers against the golden vectors of testdata/ and against hostile maps.

use std::{collections::BTreeSet, path::Path};

use ciborium::Value as Cbor;
use proptest::prelude::*;

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
fn header_of(name: &str) -> Vec<u8> {
    let bytes = vector(name);
    let (frame, _) = frame::decode(&bytes, 1 << 20).unwrap().unwrap();
    frame.header.to_vec()
}

fn call(target: &str, method: &str) -> CallHeader {
    CallHeader {
        target: target.parse().unwrap(),
        method: method.into(),
        shape: Shape::default(),
        encoding: Encoding::default(),
        terms: CallTerms::default(),
    }
}

fn full_call(now: Instant) -> CallHeader {
    let mut call = call("o://leader/echo", "echo");
    call.shape = Shape::Bidirectional;
    call.encoding = Encoding::Json;
    call.terms = CallTerms {
        deadline: Some(now + Duration::from_millis(1500)),
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

fn encoded(entries: Vec<(Cbor, Cbor)>) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(&Cbor::Map(entries), &mut bytes).unwrap();
    bytes
}

/// A map of integers to values.
fn map(entries: Vec<(i64, Cbor)>) -> Vec<u8> {
    encoded(
        entries
            .into_iter()
            .map(|(key, value)| (key.into(), value))
            .collect(),
    )
}

fn minimal() -> Vec<(i64, Cbor)> {
    vec![(1, "o://a".into()), (2, "m".into())]
}

fn with(key: i64, value: impl Into<Cbor>) -> Vec<u8> {
    let mut entries = minimal();
    entries.push((key, value.into()));
    map(entries)
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
    assert!(encode_item(Encoding::Cbor, Encoding::Cbor).is_empty());
    let header = encode_item(Encoding::Raw, Encoding::Cbor);
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

fn decoded(header: &[u8], data: &[u8]) -> Result<CallError, HeaderError> {
    let target = "o://leader/echo".parse().unwrap();
    let context = ErrorContext {
        target: &target,
        method: "ecko",
        shape: Shape::Unary,
        elapsed: Duration::from_millis(1500),
    };
    decode_error(header, Bytes::copy_from_slice(data), &context)
}

#[test]
fn golden_errors() {
    for (name, error) in errors() {
        let (header, data) = encode_error(&error);
        golden(name, Kind::Error, 0, 1, &header, &data);
        assert_eq!(decoded(&header_of(name), &data), Ok(error), "{name}");
    }
}

#[test]
fn every_vector_is_in_a_test_and_in_the_specification() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = include_str!("tests.rs");
    let specification = std::fs::read_to_string(directory.join("../docs/wire.md")).unwrap();
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(directory.join("testdata")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "hex") {
            names.insert(path.file_stem().unwrap().to_str().unwrap().to_owned());
        }
    }
    assert!(names.len() >= 20, "{names:?}");
    for name in names {
        assert!(
            source.contains(&format!("\"{name}\"")),
            "{name}.hex is in no test"
        );
        assert!(
            specification.contains(&format!("`{name}.hex`")),
            "docs/wire.md does not name {name}.hex"
        );
    }
}

#[test]
fn every_error_code_survives_the_wire() {
    for code in ErrorCode::ALL {
        let mut map = MapWriter::new();
        map.uint(1, code.number().into());
        map.text(2, "why");
        map.bool(3, true);
        let error = decoded(&map.finish(), &[]).unwrap();
        assert_eq!(error.number(), code.number());
    }
}

#[test]
fn the_remaining_time_is_rounded_up_and_never_an_instant() {
    let now = Instant::now();
    let mut header = call("o://a", "m");
    for (left, millis) in [(1, 1), (999_999, 1), (1_000_000, 1), (1_000_001, 2)] {
        header.terms.deadline = Some(now + Duration::from_nanos(left));
        let there = Instant::now() + Duration::from_secs(3600);
        let read = CallHeader::decode(&header.encode(now), there).unwrap();
        assert_eq!(
            read.terms.deadline,
            Some(there + Duration::from_millis(millis))
        );
    }
}

#[test]
fn a_deadline_beyond_the_clock_is_none_or_far() {
    let now = Instant::now();
    let header = CallHeader::decode(&with(5, u64::MAX), now).unwrap();
    assert!(header.terms.deadline.is_none_or(|deadline| deadline > now));
}

#[test]
fn unknown_keys_are_ignored_and_negative_ones_are_not() {
    let now = Instant::now();
    let deep = Cbor::Array(vec![Cbor::Map(vec![(Cbor::Null, Cbor::Float(1.5))])]);
    for value in [
        Cbor::Null,
        deep,
        Cbor::Tag(2, Box::new(Cbor::Bytes(vec![1]))),
    ] {
        let header = CallHeader::decode(&with(15, value.clone()), now).unwrap();
        assert_eq!(&*header.method, "m");
        let error = CallHeader::decode(&with(-1, value), now).unwrap_err();
        assert_eq!(error, HeaderError::Unsupported { key: -1 });
    }
    let largest = encoded(vec![
        (1.into(), "o://a".into()),
        (2.into(), "m".into()),
        (i64::MAX.into(), Cbor::Null),
    ]);
    assert!(CallHeader::decode(&largest, now).is_ok());
    let error = CallHeader::decode(&with(i64::MIN, true), now).unwrap_err();
    assert_eq!(error, HeaderError::Unsupported { key: i64::MIN });
    // A body on another substream is reserved, and this version cannot read it.
    let error = CallHeader::decode(&with(14, 1), now).unwrap_err();
    assert_eq!(error, HeaderError::Unsupported { key: 14 });
}

#[test]
fn values_out_of_range_concern_one_call() {
    let now = Instant::now();
    let long = |length: usize| Cbor::from("x".repeat(length));
    let cases: Vec<(i64, Cbor)> = vec![
        (3, 5.into()),
        (3, 0.into()),
        (4, 9.into()),
        (7, long(65)),
        (8, Cbor::Bytes(vec![0; 31])),
        (9, long(129)),
        (10, 256.into()),
        (11, "o://".into()),
    ];
    for (key, value) in cases {
        let error = CallHeader::decode(&with(key, value), now).unwrap_err();
        assert!(
            matches!(error, HeaderError::BadValue { key: bad, .. } if bad == key),
            "{error}"
        );
    }
    for entries in [vec![(2, "m".into())], vec![(1, "o://a".into())], vec![]] {
        let error = CallHeader::decode(&map(entries), now).unwrap_err();
        assert!(matches!(error, HeaderError::BadValue { .. }), "{error}");
    }
    assert!(matches!(
        CallHeader::decode(&[], now),
        Err(HeaderError::BadValue { .. })
    ));
    let long_method = map(vec![(1, "o://a".into()), (2, long(129))]);
    let error = CallHeader::decode(&long_method, now).unwrap_err();
    assert!(
        matches!(error, HeaderError::BadValue { key: 2, .. }),
        "{error}"
    );
    // A priority of a newer version is no reason to refuse a call.
    let header = CallHeader::decode(&with(6, 77), now).unwrap();
    assert_eq!(header.terms.priority, Priority::Normal);
}

#[test]
fn malformed_maps_are_refused() {
    let now = Instant::now();
    let twice = {
        let mut entries = minimal();
        entries.push((1, "o://b".into()));
        map(entries)
    };
    let good = map(minimal());
    let mut trailing = good.clone();
    trailing.push(0);
    let mut cases: Vec<(&str, Vec<u8>)> = vec![
        ("a key twice", twice),
        ("bytes after the map", trailing),
        ("an array", vec![0x80]),
        ("an indefinite map", vec![0xbf, 0x01, 0x01, 0xff]),
        ("indefinite text", vec![0xa1, 0x01, 0x7f, 0x61, 0x61, 0xff]),
        ("a text key", vec![0xa1, 0x61, 0x61, 0x01]),
        ("not UTF-8", vec![0xa1, 0x01, 0x61, 0xff]),
        (
            "2^64 entries",
            vec![0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ),
        (
            "2^64 texts",
            vec![
                0xa1, 0x07, 0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
            ],
        ),
        (
            "a text of 2^64 bytes",
            vec![
                0xa1, 0x01, 0x7b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
            ],
        ),
        (
            "a key over i64",
            vec![
                0xa1, 0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00,
            ],
        ),
        (
            "a number as target",
            map(vec![(1, 5.into()), (2, "m".into())]),
        ),
        ("a text as schema", with(8, "x")),
        ("a negative number as time", with(5, -5)),
    ];
    for length in 0..good.len() {
        if length > 0 {
            cases.push(("truncated", good[..length].to_vec()));
        }
    }
    for (what, bytes) in cases {
        let result = CallHeader::decode(&bytes, now);
        assert!(
            matches!(result, Err(HeaderError::Malformed { .. })),
            "{what}: {result:?}"
        );
    }
    assert!(matches!(
        decode_credit(&map(vec![(1, "x".into())])),
        Err(HeaderError::Malformed { .. })
    ));
    let item = map(vec![(4, "x".into())]);
    let error = decode_item(&item, Encoding::Cbor).unwrap_err();
    assert!(matches!(error, HeaderError::Malformed { .. }));
}

#[test]
fn nesting_is_bounded() {
    let now = Instant::now();
    for (opener, inner) in [(0x81_u8, 0x00_u8), (0xc1, 0x00)] {
        let mut bytes = vec![0xa1, 0x18, 0x40];
        bytes.extend(std::iter::repeat_n(opener, 10_000));
        bytes.push(inner);
        let error = CallHeader::decode(&bytes, now).unwrap_err();
        assert!(matches!(error, HeaderError::Malformed { .. }), "{error}");
    }
    // Maps with maps as keys and as values.
    let mut bytes = vec![0xa1, 0x18, 0x40];
    bytes.extend(std::iter::repeat_n(0xa1, 10_000));
    assert!(CallHeader::decode(&bytes, now).is_err());
}

#[test]
fn a_hello_always_fits() {
    let mut hello = Hello::new(NetworkId::default());
    let segment = "x".repeat(63);
    let long = format!("o://{}", vec![segment.as_str(); 16].join("/"));
    hello.hosted = (0..200).map(|_| long.parse().unwrap()).collect();
    hello.agent = "é".repeat(5000).into();
    let header = hello.encode();
    assert!(header.len() <= MAX_HEADER, "{}", header.len());
    let read = Hello::decode(&header).unwrap();
    assert_eq!(read.hosted.len(), 7);
    assert_eq!(read.agent.len(), 128);

    hello.hosted = (0..200)
        .map(|n| format!("o://a/{n}").parse().unwrap())
        .collect();
    assert_eq!(
        Hello::decode(&hello.encode()).unwrap().hosted.len(),
        MAX_HOSTED
    );
}

#[test]
fn a_hello_names_its_network_and_may_host_names_unknown_to_us() {
    assert!(Hello::decode(&[]).is_err());
    assert!(Hello::decode(&map(vec![(6, "MAIN!".into())])).is_err());
    let hosted = Cbor::Array(vec!["o://a".into(), "x://newer".into(), "o://b".into()]);
    let hello = Hello::decode(&map(vec![(6, "main".into()), (7, hosted)])).unwrap();
    let hosted: Vec<&str> = hello.hosted.iter().map(Address::as_str).collect();
    assert_eq!(hosted, ["o://a", "o://b"]);
    assert_eq!(
        (hello.max_calls, hello.features),
        (crate::session::ASSUMED_MAX_CALLS, 0)
    );
}

#[test]
fn messages_are_cut_at_a_character() {
    let error = CallError::failed("é".repeat(4000));
    let (header, _) = encode_error(&error);
    assert!(header.len() < 4200);
    let CallError::Failed { message, .. } = decoded(&header, &[]).unwrap() else {
        panic!("not a failure");
    };
    assert_eq!(message, "é".repeat(MAX_MESSAGE / 2));
    assert_eq!(cut("aé", 2), "a");
    assert_eq!(cut("é", 0), "");
}

proptest! {
    #[test]
    fn random_bytes_never_panic(input in proptest::collection::vec(any::<u8>(), 0..300)) {
        let now = Instant::now();
        let _ = Hello::decode(&input);
        let _ = CallHeader::decode(&input, now);
        let _ = Goodbye::decode(&input);
        let _ = decode_item(&input, Encoding::Cbor);
        let _ = decode_credit(&input);
        let _ = decoded(&input, &[]);
    }

    #[test]
    fn a_changed_byte_never_panics(at in 0_usize..400, byte: u8) {
        for name in ["hello", "call-full", "error-failed", "goodbye-drain"] {
            let mut header = header_of(name);
            let length = header.len();
            header[at % length] = byte;
            let _ = Hello::decode(&header);
            let _ = CallHeader::decode(&header, Instant::now());
            let _ = Goodbye::decode(&header);
            let _ = decoded(&header, &[]);
        }
    }

    #[test]
    fn calls_come_back_as_they_went(
        segments in proptest::collection::vec("[A-Za-z0-9_~-]{1,20}", 1..5),
        method in "[ -~]{0,128}",
        shape in 1_u8..=4,
        encoding in 1_u8..=3,
        millis in proptest::option::of(1_u64..u64::from(u32::MAX)),
        priority in 1_u8..=3,
        key in proptest::option::of("[a-z]{0,64}"),
        hops: Option<u8>,
        tokens in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..500)),
    ) {
        let now = Instant::now();
        let mut header = call(&format!("o://{}", segments.join("/")), &method);
        header.shape = Shape::from_number(shape).unwrap();
        header.encoding = Encoding::from_number(encoding).unwrap();
        header.terms.deadline = millis.map(|millis| now + Duration::from_millis(millis));
        header.terms.priority = Priority::from_number(priority).unwrap();
        header.terms.idempotency_key = key.map(Into::into);
        header.terms.hops_left = hops;
        header.terms.tokens = tokens.map(Into::into);
        let read = CallHeader::decode(&header.encode(now), now).unwrap();
        prop_assert_eq!(format!("{read:?}"), format!("{header:?}"));
    }
}
