//! The two halves of a call: bodies on their way out, and bodies that have arrived.

use bytes::Bytes;
use o_core::{Body, CallError, Encoding};

use super::queue::Queue;
use crate::{
    frame::{FLAG_EMPTY, FLAG_END, FLAG_MORE, Frame, Kind, PREFIX},
    header,
};

/// Largest piece of a body in one frame, in bytes: what a call of higher priority may wait behind.
const CHUNK: usize = 64 * 1024;
/// What the first header of a body says of its length: something where the body goes in parts.
pub(super) fn announced_length(body: &[u8]) -> Option<usize> {
    (body.len() > CHUNK).then_some(body.len())
}

/// What each frame with an item in it costs beyond its bytes, in credit and in every buffer: so an
/// item without bytes is not free, and a flood of them is held back like any other.
pub(super) const ITEM_COST: usize = 64;

/// Something on its way out.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) kind: Kind,
    pub(super) header: Vec<u8>,
    pub(super) body: Bytes,
    /// `FLAG_END` and `FLAG_EMPTY` where they apply.
    pub(super) flags: u8,
    /// Whether its first frame has gone.
    pub(super) begun: bool,
}

impl Outgoing {
    /// Whether it needs no credit: an error, or an end without an item.
    fn is_free(&self) -> bool {
        self.kind == Kind::Error || self.flags & FLAG_EMPTY != 0
    }
}

/// A piece that may be sent now.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) kind: Kind,
    pub(super) flags: u8,
    pub(super) header: Vec<u8>,
    pub(super) body: Bytes,
}

/// What one call has to send.
#[derive(Debug)]
pub(super) struct Outbox {
    queue: Queue<Outgoing>,
    /// Bytes that wait, [`ITEM_COST`] included.
    pub(super) queued: usize,
    pub(super) credit: u64,
    /// Our last item is queued or sent.
    pub(super) ended: bool,
    /// The other side has seen something of this call.
    pub(super) begun: bool,
    pub(super) scheduled: bool,
    /// A producer was told to wait.
    pub(super) held: bool,
}

impl Outbox {
    pub(super) fn new(credit: u64) -> Self {
        Self {
            queue: Queue::default(),
            queued: 0,
            credit,
            ended: false,
            begun: false,
            scheduled: false,
            held: false,
        }
    }

    pub(super) fn push(&mut self, outgoing: Outgoing) {
        self.queued += outgoing.body.len() + ITEM_COST;
        self.ended |= outgoing.flags & FLAG_END != 0 || outgoing.kind == Kind::Error;
        self.queue.push_back(outgoing);
    }

    /// Whether a frame could be sent now.
    pub(super) fn is_ready(&self) -> bool {
        self.queue.front().is_some_and(|next| {
            let needed = ITEM_COST as u64 + u64::from(!next.body.is_empty());
            next.is_free() || self.credit >= needed
        })
    }

    /// Drops what has not been sent; returns how many bytes that frees.
    pub(super) fn clear(&mut self) -> usize {
        self.queue.clear();
        std::mem::take(&mut self.queued)
    }

    /// The next piece, as far as credit and the other side's frame limit allow.
    pub(super) fn next(&mut self, max_frame: usize) -> Option<Piece> {
        if !self.is_ready() {
            return None;
        }
        let next = self.queue.front_mut()?;
        let header = std::mem::take(&mut next.header);
        let room = max_frame.saturating_sub(PREFIX + header.len()).min(CHUNK);
        let room = if next.is_free() {
            room
        } else {
            let credit = usize::try_from(self.credit).unwrap_or(usize::MAX);
            room.min(credit.saturating_sub(ITEM_COST))
        };
        let length = next.body.len().min(room);
        let body = next.body.split_to(length);
        if !next.is_free() {
            self.credit = self.credit.saturating_sub((length + ITEM_COST) as u64);
        }
        self.queued = self.queued.saturating_sub(length);
        self.begun = true;
        // What goes on after the first frame is an item frame, whatever the first one was.
        let kind = if next.begun { Kind::Item } else { next.kind };
        next.begun = true;
        let flags = if next.body.is_empty() {
            let flags = next.flags;
            self.queue.pop_front();
            self.queued = self.queued.saturating_sub(ITEM_COST);
            flags
        } else {
            FLAG_MORE
        };
        Some(Piece {
            kind,
            flags,
            header,
            body,
        })
    }
}

/// An item that has arrived, and the credit that its reader gives back.
#[derive(Debug)]
struct Arrived {
    body: Body,
    owed: i64,
}

/// What one call has received.
#[derive(Debug)]
pub(super) struct Inbox {
    queue: Queue<Arrived>,
    partial: Option<Partial>,
    /// Bytes that the other side may still send.
    window: u64,
    /// Credit to give back, saved up to half a window. Below zero when a whole item that waits was
    /// let in on credit that had been given back for its parts.
    returning: i64,
    half: i64,
    /// What the parts of the item that is being assembled have given back.
    early: i64,
    /// Bytes held here, [`ITEM_COST`] included.
    pub(super) held: usize,
    /// The other side has sent its last item.
    pub(super) ended: bool,
    /// How the call failed; told after nothing else.
    pub(super) error: Option<CallError>,
}

/// What a chunk that arrived means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Accepted {
    /// A part of an item, or the end without one.
    Quiet,
    /// A whole item.
    Item,
    /// The other side sent what it may not: the connection ends.
    Violation(&'static str),
    /// The item is over the limit: the call ends.
    TooLarge,
}

/// An item of which a part has arrived.
#[derive(Debug)]
struct Partial {
    encoding: Encoding,
    data: Vec<u8>,
    /// How long it says that it is.
    announced: Option<usize>,
}

impl Partial {
    /// Takes in a part. Grows in few steps, since each one moves what is there: to what was announced, but
    /// not beyond sixteen times what has arrived, four times that without a word, and no more than a body may have.
    fn push(&mut self, part: &[u8], max_body: usize) {
        let needed = self.data.len() + part.len();
        if self.data.capacity() < needed {
            let wanted = match self.announced.filter(|length| *length >= needed) {
                Some(length) => length.min(needed.saturating_mul(16)),
                None => needed.saturating_mul(4),
            };
            let wanted = wanted.min(max_body).max(needed);
            self.data.reserve_exact(wanted - self.data.len());
        }
        self.data.extend_from_slice(part);
    }
}

impl Inbox {
    pub(super) fn new(window: u64) -> Self {
        Self {
            queue: Queue::default(),
            partial: None,
            window,
            returning: 0,
            half: i64::try_from(window / 2).unwrap_or(i64::MAX).max(1),
            early: 0,
            held: 0,
            ended: false,
            error: None,
        }
    }

    /// Takes in the body of a frame.
    pub(super) fn accept(
        &mut self,
        frame: &Frame<'_>,
        encoding: Encoding,
        max_body: usize,
    ) -> Accepted {
        let length = frame.body.len();
        if self.ended {
            return Accepted::Violation("an item after the end");
        }
        if frame.has(FLAG_EMPTY) {
            if self.partial.is_some() || length > 0 || frame.has(FLAG_MORE) {
                return Accepted::Violation("an empty frame in the middle of an item");
            }
            self.ended = frame.has(FLAG_END);
            return Accepted::Quiet;
        }
        let owed = i64::try_from(length + ITEM_COST).unwrap_or(i64::MAX);
        let Some(window) = self.window.checked_sub(owed.unsigned_abs()) else {
            return Accepted::Violation("more bytes than credit");
        };
        self.window = window;
        let have = self
            .partial
            .as_ref()
            .map_or(0, |partial| partial.data.len());
        if have + length > max_body {
            return Accepted::TooLarge;
        }
        self.held += length;
        if frame.has(FLAG_MORE) {
            if frame.has(FLAG_END) {
                return Accepted::Violation("an end in the middle of an item");
            }
            // A body larger than the window must be able to pass: its parts give credit back as
            // they come, and take it back again when the whole item waits to be read. So a call
            // holds a window and one item at most.
            let partial = self.partial.get_or_insert_with(|| Partial {
                encoding,
                data: Vec::new(),
                announced: header::decode_length(frame.header),
            });
            partial.push(frame.body, max_body);
            self.returning += owed;
            self.early += owed;
            return Accepted::Quiet;
        }
        let body = match self.partial.take() {
            None => Body::new(encoding, Bytes::copy_from_slice(frame.body)),
            Some(mut partial) => {
                partial.push(frame.body, max_body);
                Body::new(partial.encoding, partial.data)
            }
        };
        let early = std::mem::take(&mut self.early);
        self.returning -= early;
        self.held += ITEM_COST;
        self.queue.push_back(Arrived {
            body,
            owed: early + owed,
        });
        self.ended = frame.has(FLAG_END);
        Accepted::Item
    }

    /// Whether an item is being assembled.
    pub(super) fn is_partial(&self) -> bool {
        self.partial.is_some()
    }

    /// The oldest item, and how many bytes its taking frees.
    pub(super) fn pop(&mut self) -> Option<(Body, usize)> {
        let arrived = self.queue.pop_front()?;
        let freed = arrived.body.len() + ITEM_COST;
        self.held = self.held.saturating_sub(freed);
        self.returning += arrived.owed;
        Some((arrived.body, freed))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Credit that is worth a frame now.
    pub(super) fn credit_due(&mut self) -> Option<u64> {
        if self.ended || self.error.is_some() || self.returning < self.half {
            return None;
        }
        let credit = u64::try_from(std::mem::take(&mut self.returning)).unwrap_or(0);
        self.window = self.window.saturating_add(credit);
        Some(credit)
    }

    /// Drops everything; returns how many bytes that frees.
    pub(super) fn clear(&mut self) -> usize {
        self.queue.clear();
        self.partial = None;
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partial(announced: Option<usize>) -> Partial {
        Partial {
            encoding: Encoding::default(),
            data: Vec::new(),
            announced,
        }
    }

    /// What a body costs to put together: how often it moves.
    fn moves(mut partial: Partial, length: usize) -> usize {
        let max_body = 16 << 20;
        let part = vec![7; CHUNK];
        let mut moves = 0;
        while partial.data.len() < length {
            let before = partial.data.capacity();
            partial.push(&part, max_body);
            moves += usize::from(partial.data.capacity() != before);
            let most = (16 * partial.data.len()).min(max_body);
            assert!(partial.data.capacity() <= most);
        }
        moves
    }

    #[test]
    fn a_body_in_parts_moves_seldom_and_takes_no_more_than_a_body_may() {
        let lengths = [1 << 20, 16 << 20];
        assert_eq!(lengths.map(|length| moves(partial(None), length)), [2, 4]);
        let announced = lengths.map(|length| moves(partial(Some(length)), length));
        assert_eq!(announced, [1, 2]);
        // Whoever announces too little or too much gains and breaks nothing.
        assert_eq!(moves(partial(Some(CHUNK)), 1 << 20), 3);
        assert_eq!(moves(partial(Some(usize::MAX)), 16 << 20), 2);
    }
}
