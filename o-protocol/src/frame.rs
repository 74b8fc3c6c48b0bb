//! Frames: length, kind, flags, call id, a CBOR header and a raw body.
//!
//! The layout is specified in docs/wire.md, "Frames": 16 bytes of prefix, all integers big-endian.

/// Length of the prefix, in bytes: length (4), kind (1), flags (1), header length (2), call id (8).
pub const PREFIX: usize = 16;

/// Bytes of the prefix that the length field counts.
const COUNTED: usize = PREFIX - 4;

/// The sender has no further items; on a callee's frame, the call is over.
pub const FLAG_END: u8 = 0x01;
/// The body goes on in the next frame of this call and direction.
pub const FLAG_MORE: u8 = 0x02;
/// There is no item in this frame, only its flags.
pub const FLAG_EMPTY: u8 = 0x04;
/// The frame answers a ping.
pub const FLAG_PONG: u8 = 0x08;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The first frame of each side: limits, network, hosted addresses.
    Hello = 1,
    /// Opens a call; its body is the parameters.
    Call = 2,
    /// One item, in either direction.
    Item = 3,
    /// Ends a call with an error. Sent by the callee only.
    Error = 4,
    /// Ends a call. Sent by the caller only.
    Cancel = 5,
    /// Allows the other side to send more bytes of this call's bodies.
    Credit = 6,
    /// Asks for a pong, or is one.
    Ping = 7,
    /// No new calls, and why.
    Goodbye = 8,
}

impl Kind {
    /// The kind with this number, if there is one.
    pub fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Hello,
            2 => Self::Call,
            3 => Self::Item,
            4 => Self::Error,
            5 => Self::Cancel,
            6 => Self::Credit,
            7 => Self::Ping,
            8 => Self::Goodbye,
            _ => return None,
        })
    }
}

/// A frame in the buffer in which it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The kind's number; one that this version does not know is skipped.
    pub kind: u8,
    /// `FLAG_*`; unknown flags are ignored.
    pub flags: u8,
    /// The call; in a ping its nonce; otherwise 0.
    pub id: u64,
    /// A CBOR map with integer keys, or nothing.
    pub header: &'a [u8],
    /// Raw bytes.
    pub body: &'a [u8],
}

impl Frame<'_> {
    /// Whether `flag` is set.
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Why bytes are no frame. The stream cannot be read on after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The length field is over the limit that was announced.
    #[error("a frame of {length} bytes is over the limit of {limit}")]
    TooLarge {
        /// The whole frame, in bytes.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// The length field is too small for the prefix.
    #[error("a frame of {length} bytes is shorter than its prefix")]
    TooShort {
        /// The whole frame, in bytes.
        length: usize,
    },
    /// The header would end behind the frame.
    #[error("a header of {header} bytes does not fit into the frame")]
    BadHeaderLength {
        /// The header's length, in bytes.
        header: usize,
    },
}

/// Reads one frame from the start of `input`: the frame and its whole length, or `None` when there
/// are not enough bytes yet. The limit is checked before the bytes are there.
///
/// # Errors
/// A length that is impossible or over `max_frame`.
pub fn decode(input: &[u8], max_frame: usize) -> Result<Option<(Frame<'_>, usize)>, FrameError> {
    let Some((length, rest)) = input.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    let whole = length.saturating_add(4);
    if whole > max_frame {
        return Err(FrameError::TooLarge {
            length: whole,
            limit: max_frame,
        });
    }
    if length < COUNTED {
        return Err(FrameError::TooShort { length: whole });
    }
    let Some(rest) = rest.get(..length) else {
        return Ok(None);
    };
    let Some((&[kind, flags, high, low], rest)) = rest.split_first_chunk::<4>() else {
        return Err(FrameError::TooShort { length: whole });
    };
    let Some((id, rest)) = rest.split_first_chunk::<8>() else {
        return Err(FrameError::TooShort { length: whole });
    };
    let header = usize::from(u16::from_be_bytes([high, low]));
    let Some((header, body)) = rest.split_at_checked(header) else {
        return Err(FrameError::BadHeaderLength { header });
    };
    Ok(Some((
        Frame {
            kind,
            flags,
            id: u64::from_be_bytes(*id),
            header,
            body,
        },
        whole,
    )))
}

/// Appends one frame to `out`.
///
/// # Errors
/// A header over 65,535 bytes or a frame over 4 GiB; nothing is appended then.
pub fn encode(
    out: &mut Vec<u8>,
    kind: Kind,
    flags: u8,
    id: u64,
    header: &[u8],
    body: &[u8],
) -> Result<(), FrameError> {
    encode_head(out, kind, flags, id, header, body.len())?;
    out.extend_from_slice(body);
    Ok(())
}

/// Appends one frame to `out`, except its body of `length` bytes, for which there is room.
pub(crate) fn encode_head(
    out: &mut Vec<u8>,
    kind: Kind,
    flags: u8,
    id: u64,
    header: &[u8],
    length: usize,
) -> Result<(), FrameError> {
    let bad_header = FrameError::BadHeaderLength {
        header: header.len(),
    };
    let header_length = u16::try_from(header.len()).map_err(|_| bad_header)?;
    let counted = COUNTED + header.len() + length;
    let too_large = FrameError::TooLarge {
        length: counted,
        limit: u32::MAX as usize,
    };
    let whole = u32::try_from(counted).map_err(|_| too_large)?;
    out.reserve(4 + counted);
    out.extend_from_slice(&whole.to_be_bytes());
    out.extend_from_slice(&[kind as u8, flags]);
    out.extend_from_slice(&header_length.to_be_bytes());
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(header);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn golden_cancel_of_call_7() {
        let mut out = Vec::new();
        encode(&mut out, Kind::Cancel, 0, 7, &[], &[]).unwrap();
        assert_eq!(out, [0, 0, 0, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
    }

    #[test]
    fn limits_are_checked_before_the_bytes_arrive() {
        let claims_4_gib = [0xff, 0xff, 0xff, 0xff];
        assert!(matches!(
            decode(&claims_4_gib, 1 << 16),
            Err(FrameError::TooLarge { .. })
        ));
        assert_eq!(
            decode(&[0, 0, 0, 11], 1 << 16),
            Err(FrameError::TooShort { length: 15 })
        );
        let header_behind_the_end = [0, 0, 0, 12, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7];
        let error = FrameError::BadHeaderLength { header: 1 };
        assert_eq!(decode(&header_behind_the_end, 1 << 16), Err(error));
    }

    proptest! {
        #[test]
        fn frames_come_back_as_they_went(
            flags: u8, id: u64,
            header in proptest::collection::vec(any::<u8>(), 0..300),
            body in proptest::collection::vec(any::<u8>(), 0..3000),
        ) {
            let mut out = Vec::new();
            encode(&mut out, Kind::Item, flags, id, &header, &body).unwrap();
            for cut in [0, 3, 4, 15, out.len() - 1] {
                prop_assert_eq!(decode(&out[..cut], 1 << 16), Ok(None));
            }
            let (frame, length) = decode(&out, 1 << 16).unwrap().unwrap();
            prop_assert_eq!(length, out.len());
            let expected =
                Frame { kind: Kind::Item as u8, flags, id, header: &header, body: &body };
            prop_assert_eq!(frame, expected);
        }

        #[test]
        fn random_bytes_never_panic(input in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&input, 150);
        }
    }
}
