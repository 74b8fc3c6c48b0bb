//! Headers against the golden vectors and against hostile maps.

mod golden;

use ciborium::Value as Cbor;
use proptest::prelude::*;

use self::golden::header_of;
use super::*;

fn call(target: &str, method: &str) -> CallHeader {
    CallHeader {
        target: target.parse().unwrap(),
        method: method.into(),
        shape: Shape::default(),
        encoding: Encoding::default(),
        terms: CallTerms::default(),
    }
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
#[expect(clippy::too_many_lines, reason = "a table")]
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
