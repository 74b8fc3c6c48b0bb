//! The header of the last call, so that the same one is not read again for each.

use std::time::{Duration, Instant};

use crate::header::{CallHeader, HeaderError};

/// Longest header that is kept, in bytes.
const LONGEST: usize = 256;

/// A header as it came and as it was read. Whoever calls one method again and again, with the same
/// time-out, sends the same bytes.
#[derive(Debug)]
pub(super) struct Recent {
    bytes: Vec<u8>,
    header: CallHeader,
    /// What remained until the deadline when it came.
    left: Option<Duration>,
}

impl Recent {
    /// Reads a header that came at `now`, and remembers it in `slot`.
    pub(super) fn decode(
        slot: &mut Option<Self>,
        bytes: &[u8],
        now: Instant,
    ) -> Result<CallHeader, HeaderError> {
        if let Some(recent) = slot.as_ref().filter(|recent| recent.bytes == bytes) {
            let mut header = recent.header.clone();
            // Beyond what this clock can hold it is no deadline.
            header.terms.deadline = recent.left.and_then(|left| now.checked_add(left));
            return Ok(header);
        }
        let recent = slot.as_ref().map(|recent| &recent.header);
        let header = CallHeader::decode_after(bytes, now, recent)?;
        if bytes.len() <= LONGEST {
            let left = header.terms.remaining(now);
            *slot = Some(Self {
                bytes: bytes.to_vec(),
                header: header.clone(),
                left,
            });
        }
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use o_core::{CallTerms, Encoding, Shape};

    use super::*;

    fn header(method: &str, terms: CallTerms) -> CallHeader {
        CallHeader {
            target: "o://math/adder".parse().unwrap(),
            method: method.into(),
            shape: Shape::Unary,
            encoding: Encoding::default(),
            terms,
        }
    }

    #[test]
    fn the_same_bytes_later_are_the_same_call_with_a_later_deadline() {
        let (mut slot, now) = (None, Instant::now());
        let second = Duration::from_secs(1);
        let terms = CallTerms {
            timeout: Some(second),
            hops_left: Some(3),
            ..Default::default()
        };
        let bytes = header("add", terms).encode(now);

        let first = Recent::decode(&mut slot, &bytes, now).unwrap();
        let again = Recent::decode(&mut slot, &bytes, now + second).unwrap();

        assert_eq!(first.terms.deadline, Some(now + second));
        assert_eq!(again.terms.deadline, Some(now + second * 2));
        assert_eq!((&*again.method, again.terms.hops_left), ("add", Some(3)));
        assert_eq!(again.target, first.target);
    }

    #[test]
    fn other_bytes_are_another_call() {
        let (mut slot, now) = (None, Instant::now());
        for method in ["add", "sub", "add"] {
            let bytes = header(method, CallTerms::default()).encode(now);
            let read = Recent::decode(&mut slot, &bytes, now).unwrap();
            assert_eq!((&*read.method, read.terms.deadline), (method, None));
        }
        // What cannot be read leaves what was.
        assert!(Recent::decode(&mut slot, b"\xff", now).is_err());
        let long = header(&"m".repeat(120), CallTerms::default());
        let long = CallHeader {
            target: format!(
                "o://{}",
                ["a".repeat(60), "b".repeat(60), "c".repeat(60)].join("/")
            )
            .parse()
            .unwrap(),
            ..long
        };
        let bytes = long.encode(now);
        assert!(bytes.len() > LONGEST);
        let read = Recent::decode(&mut slot, &bytes, now).unwrap();
        assert_eq!(read.method, long.method);
        assert!(slot.is_some_and(|recent| &*recent.header.method == "add"));
    }
}
