//! The calling end of a session.

use std::{
    fmt, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use async_trait::async_trait;
use futures::{Stream, StreamExt};
use o_address::PeerId;
use o_core::{Body, BodyStream, CallError, Caller, OutgoingCall, Reply};

use super::{
    now,
    shared::{SessionStatus, Shared},
};
use crate::{
    header::{CallHeader, Goodbye, Hello},
    session::{CallId, SendError, Session, SessionEnd},
};

/// Calls over one connection. Cheap to clone; the connection lives as long as its driver.
#[derive(Clone)]
pub struct SessionHandle {
    shared: Arc<Shared>,
}

impl fmt::Debug for SessionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}

impl SessionHandle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Who is at the other end, as the transport proved.
    pub fn peer(&self) -> Option<PeerId> {
        self.shared.peer
    }

    /// Where the session is now.
    pub fn status(&self) -> SessionStatus {
        self.shared.status().borrow().clone()
    }

    /// Whether new calls are taken, as far as is known here: neither side has said goodbye.
    pub fn is_open(&self) -> bool {
        self.shared.look(Session::is_open)
    }

    /// Whether the connection ends, or has ended, because nobody needed it: its peer goes on.
    pub fn is_parting(&self) -> bool {
        self.shared.look(Session::is_parting)
    }

    /// What the other side said of itself, once it has; also when the session is over.
    pub fn hello(&self) -> Option<Arc<Hello>> {
        self.shared.look(|session| session.peer_hello().cloned())
    }

    /// Calls that are open, in both directions.
    pub fn active_calls(&self) -> usize {
        self.shared.look(Session::active_calls)
    }

    /// Calls that have begun so far, in both directions.
    pub fn calls_started(&self) -> u64 {
        self.shared.look(Session::calls_started)
    }

    /// Waits for the other side's HELLO.
    ///
    /// # Errors
    /// How the session ended instead.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn ready(&self) -> Result<Arc<Hello>, SessionEnd> {
        let mut status = self.shared.status();
        loop {
            match &*status.borrow_and_update() {
                SessionStatus::Ready(hello) => return Ok(hello.clone()),
                SessionStatus::Leaving => return Err(SessionEnd::ShuttingDown),
                SessionStatus::Closed(end) => return Err(end.clone()),
                SessionStatus::Opening => {}
            }
            if status.changed().await.is_err() {
                return Err(SessionEnd::Finished);
            }
        }
    }

    /// Waits for the end of the session.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn closed(&self) -> SessionEnd {
        let mut status = self.shared.status();
        loop {
            if let SessionStatus::Closed(end) = &*status.borrow_and_update() {
                return end.clone();
            }
            if status.changed().await.is_err() {
                return SessionEnd::Finished;
            }
        }
    }

    /// Takes no new calls and says why; the session ends when the running ones have.
    pub fn goodbye(&self, goodbye: &Goodbye) {
        self.shared.with(|session| session.goodbye(goodbye));
    }

    /// Opens no calls from now on because nobody needs the connection, and ends the session once the
    /// other side has agreed. Its calls that are on their way are served.
    pub fn part(&self, reason: &str) {
        self.shared.with(|session| session.part(reason, now()));
    }

    /// Calls as [`Caller::call`] does, and leaves the call, all but its stream, with whoever makes it: so
    /// that it can be made again elsewhere, if this came to nothing, without a copy. Where the session
    /// takes no more calls nothing has been sent, and the stream is left, too.
    ///
    /// # Errors
    /// Those of a call, and whether it is untouched.
    ///
    /// # Cancel safety
    /// Dropping the future, or the stream that it answered with, cancels the call.
    pub async fn request(&self, call: &mut OutgoingCall) -> Result<Reply, Unanswered> {
        let answer = self.open(call)?;
        let reply = answer.reply(call.shape.streams_out()).await;
        reply.map_err(Unanswered::from)
    }

    /// Ends the session now; calls that are open fail.
    pub fn close(&self, end: SessionEnd) {
        self.shared.close(end);
    }

    /// Ends the calls whose deadline has passed at `now`, in both directions. The driver does the
    /// same in time; this is for when whoever drives it does not come round to polling it.
    pub fn expire(&self, now: Instant) {
        if self.is_due(now) {
            self.shared.with(|session| session.expire(now));
        }
    }

    /// Whether the deadline of some call has passed at `now`, so that [`expire`](Self::expire) has
    /// something to do.
    pub fn is_due(&self, now: Instant) -> bool {
        let passed = |session: &Session| session.next_deadline().is_some_and(|at| at <= now);
        self.shared.look(passed)
    }

    /// How many calls somebody waits for, and how many are being served.
    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize) {
        self.shared.counts()
    }

    /// How many bytes of answers to control frames wait to be sent.
    #[cfg(test)]
    pub(super) fn control_len(&self) -> usize {
        self.shared.with(|session| session.control_len())
    }

    /// How many bytes wait to be sent, over all calls.
    #[cfg(test)]
    pub(super) fn outgoing(&self) -> usize {
        self.shared.with(|session| session.outgoing_len())
    }

    fn open(&self, call: &mut OutgoingCall) -> Result<Answer, Unanswered> {
        // A caller's stream is somebody's code: it is never dropped under the lock.
        if !call.shape.streams_in() {
            drop(call.input.take());
        }
        // Under one lock, so that no goodbye comes between looking and opening.
        let opened = self.shared.with(|session| {
            if !session.is_open() {
                let ended = session.end().map(SessionEnd::as_call_error);
                return Err(Unanswered {
                    error: ended.unwrap_or(CallError::ShuttingDown),
                    untouched: true,
                });
            }
            let header = CallHeader {
                target: call.target.clone(),
                method: call.method.clone(),
                shape: call.shape,
                encoding: call.body.encoding,
                terms: mem::take(&mut call.terms),
            };
            let ended = call.input.is_none();
            let opened = session.open(&header, call.body.bytes.clone(), ended, now());
            call.terms = header.terms;
            Ok(opened?)
        });
        let id = opened?;
        let input = call.input.take();
        Ok(Answer {
            shared: self.shared.clone(),
            id,
            input,
            waiting: None,
            over: false,
        })
    }
}

#[async_trait]
impl Caller for SessionHandle {
    async fn call(&self, mut call: OutgoingCall) -> Result<Reply, CallError> {
        let answer = self.request(&mut call).await;
        answer.map_err(|unanswered| unanswered.error)
    }
}

/// Why a call has no answer.
#[derive(Debug)]
pub struct Unanswered {
    /// The error, as it is told.
    pub error: CallError,
    /// Nothing was sent, and nothing taken from the caller's stream: only the session was at fault.
    pub untouched: bool,
}

impl From<CallError> for Unanswered {
    fn from(error: CallError) -> Self {
        Self {
            error,
            untouched: false,
        }
    }
}

fn not_one(count: &str) -> CallError {
    CallError::InvalidReply {
        message: format!("one value was expected and {count} came"),
    }
}

/// The items of an answer. While it is polled it also sends the caller's stream.
struct Answer {
    shared: Arc<Shared>,
    id: CallId,
    input: Option<BodyStream>,
    /// An item of the caller's that did not fit yet.
    waiting: Option<Body>,
    over: bool,
}

impl Answer {
    /// All of it as a stream, or the one value.
    async fn reply(mut self, streams_out: bool) -> Result<Reply, CallError> {
        if streams_out {
            return Ok(Reply::Stream(self.boxed()));
        }
        let body = match self.next().await {
            Some(item) => item?,
            None => return Err(not_one("none")),
        };
        match self.next().await {
            None => Ok(Reply::One(body)),
            Some(Ok(_)) => Err(not_one("several")),
            Some(Err(error)) => Err(error),
        }
    }

    fn poll_input(&mut self, cx: &mut Context<'_>) {
        while let Some(input) = &mut self.input {
            let body = match self.waiting.take() {
                Some(body) => Some(body),
                None => match input.poll_next_unpin(cx) {
                    Poll::Pending => return,
                    Poll::Ready(None) => None,
                    Poll::Ready(Some(Ok(body))) => Some(body),
                    Poll::Ready(Some(Err(error))) => {
                        tracing::debug!(%error, "the caller's stream failed: call cancelled");
                        self.input = None;
                        self.shared.with(|session| session.abandon(self.id, error));
                        return;
                    }
                },
            };
            let Some(mut body) = body else {
                self.input = None;
                // A call that is over needs no end of its input.
                let _ = self.shared.with(|session| session.finish(self.id));
                return;
            };
            let sent = self.shared.poll_write(self.id, cx, |session| {
                session.send_or_wait(self.id, &mut body, false)
            });
            match sent {
                Some(Ok(())) => {}
                Some(Err(SendError::TooLarge)) => {
                    self.input = None;
                    let what = "an item of the caller's stream".to_owned();
                    let error = CallError::TooLarge { what };
                    self.shared.with(|session| session.abandon(self.id, error));
                }
                Some(Err(_)) => self.input = None,
                None => {
                    self.waiting = Some(body);
                    return;
                }
            }
        }
    }
}

impl Stream for Answer {
    type Item = Result<Body, CallError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.over {
            return Poll::Ready(None);
        }
        this.poll_input(cx);
        let item = this.shared.poll_item(this.id, cx, &mut this.over);
        item.map_err(|error| with_peer(error, this.shared.peer))
    }
}

/// A refusal names who refused.
fn with_peer(error: CallError, peer: Option<PeerId>) -> CallError {
    match error {
        CallError::Refused {
            peer: None,
            reason,
            certain,
        } => CallError::Refused {
            peer,
            reason,
            certain,
        },
        other => other,
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let over = self.over;
        self.shared.forget(self.id, |session| {
            if !over {
                session.cancel(self.id);
            }
        });
    }
}
