//! Counts the frames that wait to be read: yamux bounds their bytes, and keeps each one by itself.

use std::{
    collections::{HashMap, VecDeque},
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use futures::io::{AsyncRead, AsyncWrite};
use yamux::Stream;

use super::headers::{DATA, Header, WINDOW};

/// What yamux keeps for a frame beside its bytes, at the most: an allocation, and a place in a queue
/// that doubles.
pub(super) const FRAME_COST: usize = 128;

/// Frames are forgotten in groups of this many, so that remembering them costs little.
const GROUP: usize = 32;

/// The frames of one connection that have arrived and that nobody has read, by substream.
#[derive(Clone, Debug)]
pub(super) struct Unread(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// As many as yamux lets the peer open: an entry is made when a substream is opened and goes
    /// with its [`Substream`].
    streams: HashMap<u32, Waiting>,
    frames: usize,
    most: usize,
}

/// The frames of one substream.
#[derive(Debug, Default)]
struct Waiting {
    /// Bytes since the beginning.
    arrived: u64,
    read: u64,
    /// Where full groups of frames end, in bytes since the beginning.
    groups: VecDeque<u64>,
    /// Frames after the last full group.
    rest: usize,
}

impl Waiting {
    fn frames(&self) -> usize {
        self.groups.len() * GROUP + self.rest
    }

    fn arrive(&mut self, length: u32) {
        self.arrived += u64::from(length);
        self.rest += 1;
        if self.rest == GROUP {
            self.groups.push_back(self.arrived);
            self.rest = 0;
        }
    }

    fn read(&mut self, count: usize) {
        self.read += count as u64;
        if self.read >= self.arrived {
            self.groups = VecDeque::new();
            self.rest = 0;
        }
        while self.groups.front().is_some_and(|end| *end <= self.read) {
            self.groups.pop_front();
        }
    }
}

impl Unread {
    /// For a connection on which frames may cost `budget` bytes beside what they carry.
    pub(super) fn new(budget: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            streams: HashMap::new(),
            frames: 0,
            most: budget / FRAME_COST,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A header has arrived. Whether there are now more frames than may wait.
    pub(super) fn on_header(&self, header: &Header) -> bool {
        let state = &mut *self.lock();
        // What opens no substream in yamux is not remembered: nobody would drop it.
        if header.syn && !header.rst && matches!(header.kind, DATA | WINDOW) {
            state.streams.entry(header.stream).or_default();
        }
        // yamux keeps no empty frames, and none of a substream that is gone.
        if header.kind == DATA
            && !header.rst
            && header.length > 0
            && let Some(waiting) = state.streams.get_mut(&header.stream)
        {
            waiting.arrive(header.length);
            state.frames += 1;
        }
        state.frames > state.most
    }

    fn on_read(&self, stream: u32, count: usize) {
        let state = &mut *self.lock();
        if let Some(waiting) = state.streams.get_mut(&stream) {
            let before = waiting.frames();
            waiting.read(count);
            state.frames -= before - waiting.frames();
        }
    }

    fn forget(&self, stream: u32) {
        let state = &mut *self.lock();
        if let Some(waiting) = state.streams.remove(&stream) {
            state.frames -= waiting.frames();
        }
    }

    /// Frames that wait, a few too many at the most.
    #[cfg(test)]
    pub(super) fn frames(&self) -> usize {
        self.lock().frames
    }
}

/// A substream that tells when it is read and when it is gone.
#[derive(Debug)]
pub(crate) struct Substream {
    inner: Stream,
    unread: Unread,
}

impl Substream {
    pub(super) fn new(inner: Stream, unread: Unread) -> Self {
        unread.lock().streams.entry(inner.id().val()).or_default();
        Self { inner, unread }
    }
}

impl Drop for Substream {
    fn drop(&mut self) {
        self.unread.forget(self.inner.id().val());
    }
}

impl AsyncRead for Substream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        if let Poll::Ready(Ok(count @ 1..)) = read {
            self.unread.on_read(self.inner.id().val(), count);
        }
        read
    }
}

impl AsyncWrite for Substream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::muxer::headers::PING;

    fn data(stream: u32, length: u32, syn: bool) -> Header {
        Header {
            kind: DATA,
            ack: false,
            syn,
            rst: false,
            stream,
            length,
        }
    }

    #[test]
    fn frames_that_open_no_substream_are_not_remembered() {
        let unread = Unread::new(1000 * FRAME_COST);
        for stream in 1..1000 {
            for kind in [DATA, WINDOW] {
                let reset = Header {
                    kind,
                    rst: true,
                    ..data(stream, 1, true)
                };
                assert!(!unread.on_header(&reset));
            }
            let ping = Header {
                kind: PING,
                ..data(stream, 1, true)
            };
            assert!(!unread.on_header(&ping));
        }
        assert!(unread.lock().streams.is_empty());
        assert_eq!(unread.frames(), 0);
    }

    #[test]
    fn frames_are_counted_until_they_are_read() {
        let unread = Unread::new(1000 * FRAME_COST);
        assert!(!unread.on_header(&data(1, 1, true)));
        for _ in 1..100 {
            assert!(!unread.on_header(&data(1, 1, false)));
        }
        assert_eq!(unread.frames(), 100);
        // In groups of 32, and all at once when nothing is left.
        unread.on_read(1, 63);
        assert_eq!(unread.frames(), 100 - 32);
        unread.on_read(1, 1);
        assert_eq!(unread.frames(), 100 - 64);
        unread.on_read(1, 36);
        assert_eq!(unread.frames(), 0);
        unread.on_header(&data(1, 1, false));
        unread.forget(1);
        assert_eq!(unread.frames(), 0);
    }

    #[test]
    fn frames_of_substreams_that_are_not_there_cost_nothing() {
        let unread = Unread::new(FRAME_COST);
        for stream in 0..1000 {
            assert!(!unread.on_header(&data(stream, 5, false)));
        }
        assert!(unread.lock().streams.is_empty());
        assert!(!unread.on_header(&data(1, 0, true)));
        assert!(!unread.on_header(&data(1, 5, false)));
        assert!(unread.on_header(&data(1, 5, false)));
    }
}
