//! One direction of a substream: bounded, with latency, and with the faults that a network has.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Buf, Bytes};
use tokio::time::{Instant, Sleep};

#[derive(Debug)]
pub(super) struct Pipe {
    capacity: usize,
    latency: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Chunk>,
    queued: usize,
    /// The writer is done; the reader learns it at this moment.
    finished: Option<Instant>,
    /// The reader is gone.
    abandoned: bool,
    /// Nothing gets through, either way, and neither end can tell.
    stalled: bool,
    reset: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Debug)]
struct Chunk {
    arrives: Instant,
    bytes: Bytes,
}

/// What is left to do with wakers when the lock is released: either may run code that wants it.
#[derive(Default)]
struct Wakers {
    woken: [Option<Waker>; 2],
    /// Replaced by a newer one: only dropped.
    _replaced: Option<Waker>,
}

impl Wakers {
    fn woken(waker: Option<Waker>) -> Self {
        Self {
            woken: [waker, None],
            _replaced: None,
        }
    }

    fn replaced(_replaced: Option<Waker>) -> Self {
        Self {
            woken: [None, None],
            _replaced,
        }
    }

    fn wake(self) {
        self.woken.into_iter().flatten().for_each(Waker::wake);
    }
}

impl State {
    fn wakers(&mut self) -> Wakers {
        Wakers {
            woken: [self.reader.take(), self.writer.take()],
            _replaced: None,
        }
    }

    /// Moves what has arrived into `buffer`, or registers the reader.
    fn take(&mut self, cx: &Context<'_>, buffer: &mut [u8]) -> (Taken, Wakers) {
        if self.reset {
            return (Taken::Done(Err(reset())), Wakers::default());
        }
        if self.abandoned {
            return (
                Taken::Done(Err(io::ErrorKind::NotConnected.into())),
                Wakers::default(),
            );
        }
        let now = Instant::now();
        let nothing = match (self.chunks.front_mut(), self.finished) {
            _ if self.stalled => Taken::Nothing,
            (Some(chunk), _) if chunk.arrives > now => Taken::NotBefore(chunk.arrives),
            (Some(chunk), _) => {
                let count = chunk.bytes.len().min(buffer.len());
                chunk
                    .bytes
                    .split_to(count)
                    .copy_to_slice(&mut buffer[..count]);
                if chunk.bytes.is_empty() {
                    self.chunks.pop_front();
                }
                self.queued -= count;
                return (Taken::Done(Ok(count)), Wakers::woken(self.writer.take()));
            }
            (None, None) => Taken::Nothing,
            (None, Some(at)) if at > now => Taken::NotBefore(at),
            (None, Some(_)) => return (Taken::Done(Ok(0)), Wakers::default()),
        };
        (
            nothing,
            Wakers::replaced(self.reader.replace(cx.waker().clone())),
        )
    }

    /// Takes as much of `bytes` as there is room for, or registers the writer.
    fn put(
        &mut self,
        cx: &Context<'_>,
        bytes: &[u8],
        capacity: usize,
        arrives: Instant,
    ) -> (Poll<io::Result<usize>>, Wakers) {
        let done = |result| (Poll::Ready(result), Wakers::default());
        if self.reset {
            return done(Err(reset()));
        }
        if self.finished.is_some() || (self.abandoned && !self.stalled) {
            return done(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if bytes.is_empty() {
            return done(Ok(0));
        }
        let count = bytes.len().min(capacity.saturating_sub(self.queued));
        if count == 0 {
            return (
                Poll::Pending,
                Wakers::replaced(self.writer.replace(cx.waker().clone())),
            );
        }
        let bytes = Bytes::copy_from_slice(&bytes[..count]);
        self.chunks.push_back(Chunk { arrives, bytes });
        self.queued += count;
        (Poll::Ready(Ok(count)), Wakers::woken(self.reader.take()))
    }
}

fn reset() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "the connection was cut")
}

impl Pipe {
    pub(super) fn new(capacity: usize, latency: Duration, stalled: bool) -> Self {
        Self {
            capacity,
            latency,
            state: Mutex::new(State {
                stalled,
                ..State::default()
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let wakers = {
            let state = &mut *self.lock();
            change(state);
            state.wakers()
        };
        wakers.wake();
    }

    /// The writer sends nothing more; what it has sent still arrives.
    pub(super) fn finish(&self) {
        let at = Instant::now() + self.latency;
        self.change(|state| {
            state.finished.get_or_insert(at);
        });
    }

    /// The reader takes nothing more.
    pub(super) fn abandon(&self) {
        self.change(|state| {
            state.abandoned = true;
            state.chunks.clear();
            state.queued = 0;
        });
    }

    /// Ends both directions with an error; what is under way is lost.
    pub(super) fn reset(&self) {
        self.change(|state| {
            state.reset = true;
            state.chunks.clear();
            state.queued = 0;
        });
    }

    pub(super) fn stall(&self, stalled: bool) {
        self.change(|state| state.stalled = stalled);
    }

    /// Reads what has arrived. `timer` is the reader's own and says when the next bytes will have.
    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        timer: &mut Option<Pin<Box<Sleep>>>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let arrives = match self.take(cx, buffer) {
                Taken::Done(result) => return Poll::Ready(result),
                Taken::Nothing => return Poll::Pending,
                Taken::NotBefore(at) => at,
            };
            let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(arrives)));
            if timer.deadline() != arrives {
                timer.as_mut().reset(arrives);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn take(&self, cx: &Context<'_>, buffer: &mut [u8]) -> Taken {
        let (taken, wakers) = self.lock().take(cx, buffer);
        wakers.wake();
        taken
    }

    pub(super) fn poll_write(&self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let arrives = Instant::now() + self.latency;
        let (written, wakers) = self.lock().put(cx, bytes, self.capacity, arrives);
        wakers.wake();
        written
    }

    pub(super) fn poll_flush(&self) -> Poll<io::Result<()>> {
        Poll::Ready(if self.lock().reset {
            Err(reset())
        } else {
            Ok(())
        })
    }
}

enum Taken {
    Done(io::Result<usize>),
    /// Whoever reads is woken when something comes.
    Nothing,
    NotBefore(Instant),
}
