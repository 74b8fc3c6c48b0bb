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

impl State {
    fn wake(&mut self) -> [Option<Waker>; 2] {
        [self.reader.take(), self.writer.take()]
    }
}

fn wake(wakers: [Option<Waker>; 2]) {
    wakers.into_iter().flatten().for_each(Waker::wake);
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
            state.wake()
        };
        wake(wakers);
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
        let state = &mut *self.lock();
        if state.reset {
            return Taken::Done(Err(reset()));
        }
        if state.abandoned {
            return Taken::Done(Err(io::ErrorKind::NotConnected.into()));
        }
        state.reader = Some(cx.waker().clone());
        if state.stalled {
            return Taken::Nothing;
        }
        let now = Instant::now();
        let Some(chunk) = state.chunks.front_mut() else {
            return match state.finished {
                None => Taken::Nothing,
                Some(at) if at > now => Taken::NotBefore(at),
                Some(_) => Taken::Done(Ok(0)),
            };
        };
        if chunk.arrives > now {
            return Taken::NotBefore(chunk.arrives);
        }
        let count = chunk.bytes.len().min(buffer.len());
        chunk
            .bytes
            .split_to(count)
            .copy_to_slice(&mut buffer[..count]);
        if chunk.bytes.is_empty() {
            state.chunks.pop_front();
        }
        state.queued -= count;
        let writer = state.writer.take();
        wake([None, writer]);
        Taken::Done(Ok(count))
    }

    pub(super) fn poll_write(&self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let state = &mut *self.lock();
        if state.reset {
            return Poll::Ready(Err(reset()));
        }
        if state.finished.is_some() || (state.abandoned && !state.stalled) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let count = bytes.len().min(self.capacity.saturating_sub(state.queued));
        if count == 0 {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let arrives = Instant::now() + self.latency;
        state.chunks.push_back(Chunk {
            arrives,
            bytes: Bytes::copy_from_slice(&bytes[..count]),
        });
        state.queued += count;
        let reader = state.reader.take();
        wake([reader, None]);
        Poll::Ready(Ok(count))
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
