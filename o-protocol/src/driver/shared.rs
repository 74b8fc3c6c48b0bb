//! The session and who waits for it, shared by the driver, callers and handlers.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Instant,
};

use o_address::PeerId;
use o_core::{Body, CallError};
use rustc_hash::FxHashMap;
use tokio::sync::watch;

use super::served::{Serve, ServedCall};
use crate::{
    header::{CallHeader, Hello},
    session::{CallId, Notice, Received, Session, SessionEnd},
};

/// Where a session is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SessionStatus {
    /// The other side has not said HELLO yet.
    Opening,
    /// Calls run.
    Ready(Arc<Hello>),
    /// The other side has said goodbye: running calls end, new ones are not taken.
    Leaving,
    /// It is over.
    Closed(SessionEnd),
}

/// Who waits for a call: its reader, and its writer.
#[derive(Debug, Default)]
struct Waiting {
    read: Option<Waker>,
    write: Option<Waker>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) session: Session,
    driver: Option<Waker>,
    waiting: FxHashMap<CallId, Waiting>,
    /// Calls that were handed out and whose [`ServedCall`] is not dropped yet.
    serving: usize,
}

pub(super) struct Shared {
    state: Mutex<State>,
    status: watch::Sender<SessionStatus>,
    pub(super) peer: Option<PeerId>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

fn set(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *slot = Some(cx.waker().clone()),
    }
}

fn wake_all(wakers: Vec<Waker>) {
    // Most of what callers and handlers do wakes nobody.
    for waker in wakers {
        waker.wake();
    }
}

impl Shared {
    pub(super) fn new(session: Session, peer: Option<PeerId>) -> Self {
        let state = State {
            session,
            driver: None,
            waiting: FxHashMap::default(),
            serving: 0,
        };
        Self {
            state: Mutex::new(state),
            status: watch::Sender::new(SessionStatus::Opening),
            peer,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the session as consistent as a lost connection does.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn status(&self) -> watch::Receiver<SessionStatus> {
        self.status.subscribe()
    }

    pub(super) fn register_driver(&self, cx: &Context<'_>) {
        set(&mut self.lock().driver, cx);
    }

    /// Something that the driver does to the session, and everything that follows from it.
    pub(super) fn drive<R>(
        self: &Arc<Self>,
        serve: &dyn Serve,
        action: impl FnOnce(&mut Session) -> R,
    ) -> R {
        let mut wake = Vec::new();
        let mut calls = Vec::new();
        let result = {
            let state = &mut *self.lock();
            let result = action(&mut state.session);
            while let Some(notice) = state.session.poll_notice() {
                if let Notice::Incoming(id) = notice {
                    if let Some((header, body)) = state.accept(id) {
                        calls.push(ServedCall::new(self.clone(), id, header, body));
                    }
                } else {
                    state.wake_for(notice, &self.status, &mut wake);
                }
            }
            result
        };
        wake_all(wake);
        calls.into_iter().for_each(|call| serve.serve(call));
        result
    }

    /// Looks at the session and changes nothing.
    pub(super) fn look<R>(&self, look: impl FnOnce(&Session) -> R) -> R {
        look(&self.lock().session)
    }

    /// Something that a caller or handler does to the session. The driver is woken if there is
    /// something to send.
    pub(super) fn with<R>(&self, action: impl FnOnce(&mut Session) -> R) -> R {
        self.act(|state| action(&mut state.session))
    }

    /// What was done may concern others, such as producers that waited for room.
    fn act<R>(&self, action: impl FnOnce(&mut State) -> R) -> R {
        let mut wake = Vec::new();
        let (result, driver) = {
            let state = &mut *self.lock();
            let result = action(state);
            while let Some(notice) = state.session.poll_notice() {
                state.wake_for(notice, &self.status, &mut wake);
            }
            (result, state.wake_driver())
        };
        wake_all(wake);
        if let Some(driver) = driver {
            driver.wake();
        }
        result
    }

    /// The same for something that may have to wait: `None` registers the reader.
    pub(super) fn poll_read<R>(
        &self,
        id: CallId,
        cx: &Context<'_>,
        action: impl FnOnce(&mut Session) -> Option<R>,
    ) -> Option<R> {
        self.poll(id, cx, action, |waiting| &mut waiting.read)
    }

    /// The next item of a call, for the stream that reads it; `over` once nothing comes after it.
    pub(super) fn poll_item(
        &self,
        id: CallId,
        cx: &Context<'_>,
        over: &mut bool,
    ) -> Poll<Option<Result<Body, CallError>>> {
        if *over {
            return Poll::Ready(None);
        }
        let Some(received) = self.poll_read(id, cx, |session| session.take(id)) else {
            return Poll::Pending;
        };
        Poll::Ready(match received {
            Received::Item { body, last } => {
                *over = last;
                Some(Ok(body))
            }
            Received::End => {
                *over = true;
                None
            }
            Received::Failed(error) => {
                *over = true;
                Some(Err(error))
            }
        })
    }

    /// The same for a writer.
    pub(super) fn poll_write<R>(
        &self,
        id: CallId,
        cx: &Context<'_>,
        action: impl FnOnce(&mut Session) -> Option<R>,
    ) -> Option<R> {
        self.poll(id, cx, action, |waiting| &mut waiting.write)
    }

    fn poll<R>(
        &self,
        id: CallId,
        cx: &Context<'_>,
        action: impl FnOnce(&mut Session) -> Option<R>,
        slot: impl FnOnce(&mut Waiting) -> &mut Option<Waker>,
    ) -> Option<R> {
        self.act(|state| {
            let result = action(&mut state.session);
            if result.is_none() {
                set(slot(state.waiting.entry(id).or_default()), cx);
            }
            result
        })
    }

    /// The caller does not wait for this call any more.
    pub(super) fn forget(&self, id: CallId, action: impl FnOnce(&mut Session)) {
        self.act(|state| {
            state.waiting.remove(&id);
            action(&mut state.session);
        });
    }

    /// The handler of this call has ended. Whoever still reads its input is told by
    /// [`Notice::Gone`] once the answer is out.
    pub(super) fn served(&self, action: impl FnOnce(&mut Session)) {
        self.act(|state| {
            state.serving = state.serving.saturating_sub(1);
            action(&mut state.session);
        });
    }

    /// Ends the session from this side; the driver then sends its last bytes.
    pub(super) fn close(&self, end: SessionEnd) {
        let mut wake = Vec::new();
        {
            let state = &mut *self.lock();
            state.session.close(end);
            while let Some(notice) = state.session.poll_notice() {
                state.wake_for(notice, &self.status, &mut wake);
            }
            wake.extend(state.driver.take());
        }
        wake_all(wake);
    }

    pub(super) fn wants_input(&self) -> bool {
        self.lock().session.wants_input()
    }

    /// How many calls somebody waits for, and how many are being served.
    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize) {
        let state = self.lock();
        (state.waiting.len(), state.serving)
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.lock().session.next_timeout()
    }

    /// Ends a drained session, once what the driver took from it is `written`. Tells how a session
    /// that is over ended, and whether it still has something to send.
    pub(super) fn end_if_over(
        self: &Arc<Self>,
        serve: &dyn Serve,
        written: bool,
    ) -> Option<(SessionEnd, bool)> {
        let (end, has_output, drained) = {
            let session = &self.lock().session;
            (
                session.end().cloned(),
                session.has_output(),
                session.is_drained(),
            )
        };
        if end.is_none() && drained && written && !has_output {
            self.drive(serve, |session| session.close(SessionEnd::Finished));
            return Some((SessionEnd::Finished, false));
        }
        end.map(|end| (end, has_output))
    }
}

impl State {
    /// Tells those whom a notice concerns.
    fn wake_for(
        &mut self,
        notice: Notice,
        status: &watch::Sender<SessionStatus>,
        wake: &mut Vec<Waker>,
    ) {
        match notice {
            Notice::Hello => {
                let opening = matches!(*status.borrow(), SessionStatus::Opening);
                if let Some(hello) = self.session.peer_hello().filter(|_| opening) {
                    status.send_replace(SessionStatus::Ready(hello.clone()));
                }
            }
            Notice::Goodbye => {
                status.send_replace(SessionStatus::Leaving);
            }
            Notice::Closed => {
                if let Some(end) = self.session.end() {
                    status.send_replace(SessionStatus::Closed(end.clone()));
                }
            }
            Notice::Readable(id) => {
                wake.extend(
                    self.waiting
                        .get_mut(&id)
                        .and_then(|waiting| waiting.read.take()),
                );
            }
            Notice::Writable(id) => {
                wake.extend(
                    self.waiting
                        .get_mut(&id)
                        .and_then(|waiting| waiting.write.take()),
                );
            }
            Notice::Gone(id) => {
                if let Some(waiting) = self.waiting.remove(&id) {
                    wake.extend(waiting.read);
                    wake.extend(waiting.write);
                }
            }
            // Only the driver hands calls out.
            Notice::Incoming(_) => {}
        }
    }

    /// Takes a call, unless too many are still being worked on: a caller that cancels and calls
    /// again must not make more work than one that waits.
    fn accept(&mut self, id: CallId) -> Option<(CallHeader, Body)> {
        let call = self.session.accept(id)?;
        let limit = self.session.config().max_calls as usize;
        if self.serving >= limit.saturating_mul(2) {
            let reason = "cancelled calls are still ending".into();
            self.session.fail(id, &CallError::Busy { reason });
            return None;
        }
        self.serving += 1;
        Some(call)
    }

    fn wake_driver(&mut self) -> Option<Waker> {
        let session = &self.session;
        let due = session.has_output() || session.end().is_some() || session.is_drained();
        if due { self.driver.take() } else { None }
    }
}
