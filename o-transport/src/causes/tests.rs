//! Nested errors as lines.

use libp2p::core::transport::TransportError;

use super::*;
use crate::{Keypair, WrongPeer};

#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct Level {
    text: String,
    source: Option<io::Error>,
}

fn level(text: &str, source: Option<io::Error>) -> io::Error {
    let text = text.to_owned();
    io::Error::other(Level { text, source })
}

#[test]
fn each_level_is_said_once() {
    let refused = io::Error::from_raw_os_error(111);
    let expected = refused.to_string();
    let error = level(
        "dial failed.",
        Some(io::Error::other(io::Error::other(refused))),
    );
    assert_eq!(flatten_error(&error), format!("dial failed: {expected}"));

    let quoting = level("outer: Inner one", Some(level("inner ONE", None)));
    assert_eq!(flatten_error(&quoting), "outer: Inner one");

    let vague = level(
        "Handshake failed",
        Some(level("noise handshake failed", None)),
    );
    assert_eq!(flatten_error(&vague), "noise handshake failed");
}

#[test]
fn levels_that_say_nothing_are_left_out() {
    let error = TransportError::Other(level("no route", None));
    assert_eq!(error.to_string(), "");
    assert_eq!(flatten_error(&error), "no route");
}

#[test]
fn line_is_one_line_and_has_an_end() {
    let error = level("a\n - b\u{1b}[31m\tc\0", None);
    assert_eq!(flatten_error(&error), "a - b [31m c");
    let long = flatten_error(&level(&"ß".repeat(10_000), None));
    assert_eq!(long.chars().count(), MAX_CHARS + 1);
    assert!(long.ends_with('…'));
}

#[test]
fn very_deep_errors_end() {
    let mut error = level("0", None);
    for depth in 1..5000 {
        error = level(&format!("level {depth}."), Some(error));
    }
    assert!(flatten_error(&error).starts_with("level 4999: level 4998: "));
    // Dropping it recursively is the standard library's affair, and a stack holds 5000 levels.
}

#[test]
fn causes_are_found_by_type_and_kind() {
    let wrong = WrongPeer {
        expected: Keypair::from_seed("a").peer_id(),
        found: Keypair::from_seed("b").peer_id(),
    };
    let error = TransportError::Other(io::Error::other(io::Error::other(wrong)));
    assert_eq!(find_cause::<WrongPeer>(&error), Some(&wrong));
    assert_eq!(io_error_kind(&error), None);

    let in_use = io::Error::from(io::ErrorKind::AddrInUse);
    let error = level("listening", Some(io::Error::other(in_use)));
    assert_eq!(io_error_kind(&error), Some(io::ErrorKind::AddrInUse));
    assert_eq!(find_cause::<WrongPeer>(&error), None);
}
