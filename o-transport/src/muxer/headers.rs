//! The headers of yamux frames in a stream of bytes that come in any pieces.

/// The size of a header: version, type, two bytes of flags, four of the substream, four of length.
const SIZE: usize = 12;

/// The flag of the first frame of a substream.
const SYN: u8 = 1;
/// The flag of an answer.
const ACK: u8 = 2;
/// The flag of a frame that resets a substream.
const RST: u8 = 8;

/// The type of a frame with a body.
pub(super) const DATA: u8 = 0;
/// The type of a frame that allows more bytes.
pub(super) const WINDOW: u8 = 1;
/// The type of a ping and of its answer.
pub(super) const PING: u8 = 2;
/// The type of the frame that ends a connection; its length is the reason.
pub(super) const GO_AWAY: u8 = 3;

/// What is of interest in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The type of the frame.
    pub(super) kind: u8,
    /// Whether it answers one.
    pub(super) ack: bool,
    /// Whether it opens a substream.
    pub(super) syn: bool,
    /// Whether it resets one: yamux then looks at nothing else in it.
    pub(super) rst: bool,
    /// The substream; 0 for the connection.
    pub(super) stream: u32,
    /// Of a data frame the bytes of its body; the meaning differs by type.
    pub(super) length: u32,
}

/// Finds the headers.
#[derive(Debug, Default)]
pub(super) struct Headers {
    header: [u8; SIZE],
    filled: usize,
    /// What is left of a body.
    body: usize,
}

impl Headers {
    /// Takes the next bytes of the stream, up to the end of the next header in them. Says how many
    /// it took.
    fn take(&mut self, bytes: &[u8]) -> (usize, Option<Header>) {
        let skipped = self.body.min(bytes.len());
        self.body -= skipped;
        let mut taken = skipped;
        for (place, byte) in self
            .header
            .iter_mut()
            .skip(self.filled)
            .zip(bytes.iter().skip(skipped))
        {
            *place = *byte;
            self.filled += 1;
            taken += 1;
        }
        if self.filled < SIZE {
            return (taken, None);
        }
        self.filled = 0;
        let [_, kind, _, flags, e, f, g, h, a, b, c, d] = self.header;
        let length = u32::from_be_bytes([a, b, c, d]);
        if kind == DATA {
            self.body = length as usize;
        }
        let header = Header {
            kind,
            ack: flags & ACK != 0,
            syn: flags & SYN != 0,
            rst: flags & RST != 0,
            stream: u32::from_be_bytes([e, f, g, h]),
            length,
        };
        (taken, Some(header))
    }

    /// Passes `bytes`, and gives every header that ends in them to `see`.
    pub(super) fn pass(&mut self, mut bytes: &[u8], mut see: impl FnMut(Header)) {
        while !bytes.is_empty() {
            let (taken, header) = self.take(bytes);
            bytes = bytes.get(taken..).unwrap_or_default();
            if let Some(header) = header {
                see(header);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, length: u32) -> Vec<u8> {
        let mut frame = vec![0, kind, 0, 1, 0, 0, 0, 9];
        frame.extend(length.to_be_bytes());
        if kind == DATA {
            // A body that looks like headers.
            frame.extend((0..length).map(|at| if at % 12 == 1 { GO_AWAY } else { 0 }));
        }
        frame
    }

    proptest! {
        #[test]
        fn headers_are_found_however_the_bytes_come(
            frames in prop::collection::vec((0_u8..4, 0_u32..40), 0..20),
            pieces in prop::collection::vec(1_usize..30, 1..20),
        ) {
            let bytes: Vec<u8> = frames.iter().flat_map(|(kind, length)| frame(*kind, *length)).collect();
            let (mut headers, mut found, mut rest) = (Headers::default(), Vec::new(), &bytes[..]);
            for piece in pieces.iter().cycle() {
                let (now, later) = rest.split_at((*piece).min(rest.len()));
                headers.pass(now, |header| found.push((header.kind, header.length)));
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(found, frames);
        }
    }
}
