//! The answering end of a session.

use std::{
    fmt,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use futures::{
    Stream, StreamExt,
    future::{Either, select},
};
use o_core::{Agent, Body, CallContext, CallError, IncomingCall, Reply};

use super::shared::Shared;
use crate::{
    header::CallHeader,
    session::{CallId, SendError},
};

/// Takes the calls of the other side. Called inside the driver: hand the call on and return.
pub trait Serve: Send + Sync + 'static {
    /// Takes one call. At most twice the session's limit of calls are handed out at once: those that
    /// are open, and cancelled ones that have not been dropped yet.
    fn serve(&self, call: ServedCall);
}

/// A call of the other side's that wants its answer. Dropping it answers `internal`.
#[derive(Debug)]
pub struct ServedCall {
    /// In a box, so that the futures that pass it on stay small: they are copied several times.
    incoming: Box<IncomingCall>,
    responder: Responder,
}

impl ServedCall {
    pub(super) fn new(shared: Arc<Shared>, id: CallId, header: CallHeader, body: Body) -> Self {
        let context = CallContext::new(header.target, shared.peer, header.terms);
        let input = header.shape.streams_in().then(|| {
            let input = Input {
                shared: shared.clone(),
                id,
                over: false,
            };
            input.boxed()
        });
        let incoming = IncomingCall::new(context, header.method, header.shape, body, input);
        Self {
            incoming: Box::new(incoming),
            responder: Responder {
                shared,
                id,
                over: false,
            },
        }
    }

    /// What was called, by whom, with what.
    pub fn incoming(&self) -> &IncomingCall {
        &self.incoming
    }

    /// Its id on its connection: with the peer it names the call in the logs of both sides.
    pub fn id(&self) -> CallId {
        self.responder.id
    }

    /// Answers with an error.
    pub fn refuse(mut self, error: &CallError) {
        self.responder.fail(error);
    }

    /// Lets `agent` answer, and drops its work when the caller cancels, the deadline passes or the
    /// connection is lost.
    ///
    /// # Cancel safety
    /// Dropping the future answers `internal`.
    pub async fn answer(self, agent: &dyn Agent) {
        let Self {
            incoming,
            mut responder,
        } = self;
        // The handler goes first, so that a quick answer costs no look at the session.
        let reply = match select(
            agent.call(*incoming),
            pin!(gone(responder.shared.clone(), responder.id)),
        )
        .await
        {
            Either::Left((reply, _)) => reply,
            Either::Right(_) => {
                responder.over = true;
                return;
            }
        };
        match reply {
            Ok(Reply::One(body)) => responder.send(body, true).await,
            Ok(Reply::Stream(items)) => responder.stream(items).await,
            Err(error) => responder.fail(&error),
        }
    }
}

struct Responder {
    shared: Arc<Shared>,
    id: CallId,
    over: bool,
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Responder({})", self.id.0)
    }
}

impl Responder {
    fn fail(&mut self, error: &CallError) {
        self.over = true;
        self.shared.with(|session| session.fail(self.id, error));
    }

    async fn send(&mut self, mut body: Body, last: bool) {
        let (shared, id, length) = (&self.shared, self.id, body.len());
        let sent = std::future::poll_fn(|cx| {
            let sent =
                shared.poll_write(id, cx, |session| session.send_or_wait(id, &mut body, last));
            sent.map_or(Poll::Pending, Poll::Ready)
        });
        match sent.await {
            Ok(()) => self.over |= last,
            Err(SendError::TooLarge) => {
                let what = format!("an answer of {length} bytes");
                self.fail(&CallError::TooLarge { what });
            }
            Err(_) => self.over = true,
        }
    }

    async fn stream(&mut self, mut items: o_core::BodyStream) {
        while !self.over {
            let item = match select(items.next(), pin!(gone(self.shared.clone(), self.id))).await {
                Either::Left((item, _)) => item,
                Either::Right(_) => {
                    self.over = true;
                    return;
                }
            };
            match item {
                Some(Ok(body)) => self.send(body, false).await,
                Some(Err(error)) => self.fail(&error),
                None => {
                    self.over = true;
                    // A call that is over needs no end.
                    let _ = self.shared.with(|session| session.finish(self.id));
                }
            }
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        let over = self.over;
        self.shared.served(|session| {
            if !over {
                let message = "the handler ended without an answer".into();
                session.fail(self.id, &CallError::Internal { message });
            }
        });
    }
}

/// Waits until nobody wants the answer any more.
fn gone(shared: Arc<Shared>, id: CallId) -> impl Future<Output = ()> + Send {
    std::future::poll_fn(move |cx| {
        let gone = shared.poll_write(id, cx, |session| (!session.is_live(id)).then_some(()));
        if gone.is_some() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
}

/// The caller's stream, as the handler reads it.
struct Input {
    shared: Arc<Shared>,
    id: CallId,
    over: bool,
}

impl Stream for Input {
    type Item = Result<Body, CallError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        this.shared.poll_item(this.id, cx, &mut this.over)
    }
}
