//! Drives a session over any byte stream: one future that reads, writes and keeps time.
//!
//! Callers and handlers share the session with the driver behind a short lock. So dropping a call
//! cancels it at once, nothing queues between a caller and its connection, and one wake-up sends
//! everything that is ready.

mod caller;
mod refuse;
mod served;
mod shared;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::{Buf as _, Bytes};
use futures::io::{AsyncRead, AsyncWrite};
use o_address::PeerId;
use tokio::time::Sleep;

use self::shared::Shared;
pub use self::{
    caller::{SessionHandle, Unanswered},
    refuse::refuse,
    served::{Serve, ServedCall},
    shared::SessionStatus,
};
use crate::{
    frame,
    header::Hello,
    session::{Session, SessionConfig, SessionEnd, Side},
};

/// First size of the read buffer, in bytes: most of many connections carry a small call now and then.
const FIRST_READ: usize = 1024;
/// Up to which size it doubles each time that a read fills it. Beyond that only a frame that does not
/// fit makes it grow, up to the frame limit.
const MOST_READ: usize = 64 * 1024;
/// Reads and writes in one poll, so that a busy connection lets others run. It bounds no memory.
const BUDGET: usize = 32;

/// Begins a session on `stream`: a handle to call over it, and the driver to be polled.
///
/// `peer` is who the transport proved to be at the other end. Calls of the other side go to `serve`.
pub fn connect<S>(
    stream: S,
    side: Side,
    config: SessionConfig,
    hello: Hello,
    peer: Option<PeerId>,
    serve: Arc<dyn Serve>,
) -> (SessionHandle, Driver<S>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let session = Session::new(side, config, hello, now());
    let config = session.config();
    let limits = Limits {
        max_frame: config.max_frame as usize,
        write_buffer: config.write_buffer.max(1),
        write_timeout: config.write_timeout,
        linger: config.linger,
    };
    let shared = Arc::new(Shared::new(session, peer));
    let driver = Driver {
        stream,
        shared: shared.clone(),
        serve,
        input: vec![0; FIRST_READ],
        filled: 0,
        backlog: false,
        limits,
        output: Vec::new(),
        written: 0,
        body: Bytes::new(),
        unflushed: false,
        stalled: None,
        ending: None,
        broken: false,
        timer: None,
    };
    (SessionHandle::new(shared), driver)
}

fn now() -> Instant {
    // tokio's clock, so that tests can pause it.
    tokio::time::Instant::now().into_std()
}

/// What the driver needs of a session's limits.
#[derive(Clone, Copy, Debug)]
struct Limits {
    max_frame: usize,
    write_buffer: usize,
    write_timeout: Duration,
    linger: Duration,
}

/// Reads, writes and keeps time for one session until it ends. It must be polled on a runtime with
/// time; dropping it ends the session.
#[must_use = "a session does nothing unless its driver is polled"]
pub struct Driver<S> {
    stream: S,
    shared: Arc<Shared>,
    serve: Arc<dyn Serve>,
    input: Vec<u8>,
    filled: usize,
    /// Whole frames in `input` wait until answers to earlier ones have been sent.
    backlog: bool,
    limits: Limits,
    output: Vec<u8>,
    written: usize,
    /// What comes behind `output`: a long body, or the rest of one.
    body: Bytes,
    unflushed: bool,
    /// Since when a write has made no progress.
    stalled: Option<Instant>,
    /// Since when the session is over and only its last bytes are being sent.
    ending: Option<Instant>,
    /// Nothing more can be read or written.
    broken: bool,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> fmt::Debug for Driver<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Future for Driver<S> {
    type Output = SessionEnd;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<SessionEnd> {
        let this = self.get_mut();
        this.shared.register_driver(cx);
        for _ in 0..BUDGET {
            let mut progress = this.poll_write(cx);
            if let Some(end) = this.poll_ended(cx) {
                return Poll::Ready(end);
            }
            progress |= this.poll_read(cx);
            progress |= this.poll_time(cx);
            if !progress {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Driver<S> {
    /// Sends what is ready; whether anything moved.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        loop {
            if self.is_written() {
                self.output.clear();
                self.written = 0;
                let (output, most) = (&mut self.output, self.limits.write_buffer);
                self.body = self
                    .shared
                    .drive(&*self.serve, |session| session.transmit_apart(output, most));
                if self.output.is_empty() {
                    return self.poll_flush(cx) || progress;
                }
            }
            let rest = self.output.get(self.written..).unwrap_or_default();
            let rest = if rest.is_empty() { &self.body } else { rest };
            match Pin::new(&mut self.stream).poll_write(cx, rest) {
                Poll::Ready(Ok(count)) if count > 0 => {
                    let head = count.min(self.output.len() - self.written);
                    self.written += head;
                    self.body.advance(count - head);
                    self.unflushed = true;
                    self.stalled = None;
                    progress = true;
                }
                Poll::Ready(Ok(_)) => {
                    self.lost("the stream takes no more bytes");
                    return true;
                }
                Poll::Ready(Err(error)) => {
                    self.lost(&error.to_string());
                    return true;
                }
                Poll::Pending => {
                    self.stalled.get_or_insert_with(now);
                    return progress;
                }
            }
        }
    }

    fn is_written(&self) -> bool {
        self.written == self.output.len() && self.body.is_empty()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.unflushed {
            return false;
        }
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Ready(Ok(())) => {
                self.unflushed = false;
                self.stalled = None;
                true
            }
            Poll::Ready(Err(error)) => {
                self.unflushed = false;
                self.lost(&error.to_string());
                true
            }
            Poll::Pending => {
                self.stalled.get_or_insert_with(now);
                false
            }
        }
    }

    /// Takes in what has arrived; whether anything did.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.shared.wants_input() {
            return false;
        }
        if self.backlog {
            self.decode();
            return true;
        }
        if self.filled == self.input.len() && self.input.len() < self.limits.max_frame {
            let size = (self.input.len() * 2).min(self.limits.max_frame);
            self.input.resize(size, 0);
        }
        let Some(room) = self.input.get_mut(self.filled..) else {
            return false;
        };
        match Pin::new(&mut self.stream).poll_read(cx, room) {
            Poll::Ready(Ok(0)) => self.shared.drive(&*self.serve, Session::receive_end),
            Poll::Ready(Ok(count)) => {
                self.filled += count;
                let full = self.filled == self.input.len();
                self.decode();
                if full && self.input.len() < MOST_READ.min(self.limits.max_frame) {
                    self.input.resize(self.input.len() * 2, 0);
                }
            }
            Poll::Ready(Err(error)) => self.lost(&error.to_string()),
            Poll::Pending => return false,
        }
        true
    }

    fn decode(&mut self) {
        let now = now();
        let (mut used, mut backlog) = (0, false);
        let arrived = self.input.get(..self.filled).unwrap_or_default();
        let max_frame = self.limits.max_frame;
        self.shared.drive(&*self.serve, |session| {
            while let Some(rest) = arrived.get(used..) {
                if !session.wants_input() {
                    backlog = true;
                    break;
                }
                match frame::decode(rest, max_frame) {
                    Ok(Some((frame, length))) => {
                        session.receive(&frame, now);
                        used += length;
                    }
                    Ok(None) => break,
                    Err(error) => {
                        session.receive_garbage(error);
                        used = arrived.len();
                        break;
                    }
                }
            }
        });
        self.backlog = backlog;
        if used > 0 {
            self.input.copy_within(used..self.filled, 0);
            self.filled -= used;
        }
    }

    /// Runs time-outs; whether one was due.
    fn poll_time(&mut self, cx: &mut Context<'_>) -> bool {
        let now = now();
        let session = self.shared.next_timeout();
        let stalled = self.stalled.map(|since| since + self.limits.write_timeout);
        let ending = self.ending.map(|since| since + self.limits.linger);
        let Some(next) = [session, stalled, ending].into_iter().flatten().min() else {
            return false;
        };
        if next <= now {
            if stalled.is_some_and(|at| at <= now) {
                let limit = self.limits.write_timeout;
                self.lost(&format!("a write made no progress for {limit:?}"));
            }
            self.shared
                .drive(&*self.serve, |session| session.on_timeout(now));
            return true;
        }
        let at = tokio::time::Instant::from_std(next);
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        // A timer that fires too early is set anew; one that would fire too late must be moved now.
        if timer.is_elapsed() || timer.deadline() > at {
            timer.as_mut().reset(at);
        }
        if timer.as_mut().poll(cx).is_ready() {
            timer.as_mut().reset(at);
            return timer.as_mut().poll(cx).is_ready();
        }
        false
    }

    /// How the session ended, once its last bytes are out or have had their time.
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Option<SessionEnd> {
        let written = self.is_written() && !self.unflushed;
        let (end, has_output) = self.shared.end_if_over(&*self.serve, written)?;
        let now = now();
        let since = *self.ending.get_or_insert(now);
        if self.broken || now >= since + self.limits.linger {
            return Some(end);
        }
        let pending = has_output || !written;
        if pending || Pin::new(&mut self.stream).poll_close(cx).is_pending() {
            return None;
        }
        Some(end)
    }

    fn lost(&mut self, reason: &str) {
        self.broken = true;
        self.output.clear();
        self.written = 0;
        self.body = Bytes::new();
        self.unflushed = false;
        self.stalled = None;
        tracing::debug!(reason, "call stream failed");
        self.shared.drive(&*self.serve, |session| {
            if session.peer_hello().is_none() {
                session.receive_end();
            }
            session.close(SessionEnd::Lost {
                reason: reason.to_owned(),
            });
        });
    }
}

impl<S> Drop for Driver<S> {
    fn drop(&mut self) {
        // Whoever waits on a call must learn that nobody will drive it any more.
        let reason = "the connection closed".into();
        self.shared.drive(&*self.serve, |session| {
            session.close(SessionEnd::Lost { reason })
        });
    }
}
