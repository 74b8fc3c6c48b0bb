//! Letting hosted agents answer: calls that arrive, and calls of this process.

use std::{pin::pin, sync::Arc};

use futures::{
    Stream, StreamExt,
    future::{Either, select},
    stream,
};
use o_core::{Agent, Body, BodyStream, CallContext, CallError, IncomingCall, OutgoingCall, Reply};
use o_protocol::{Serve, ServedCall};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{run::Run, shared::Shared};

pub(super) struct Server {
    shared: Arc<Shared>,
    run: Arc<Run>,
}

impl Server {
    pub(super) fn new(shared: Arc<Shared>, run: Arc<Run>) -> Self {
        Self { shared, run }
    }
}

impl Serve for Server {
    fn serve(&self, call: ServedCall) {
        let target = &call.incoming().context.target;
        let Some(agent) = self.shared.agent(target) else {
            let address = target.clone();
            return call.refuse(&CallError::NotFound { address });
        };
        let over = self.run.over.clone();
        // At most a session's limit of calls for each of a bounded number of sessions.
        self.run.tasks.spawn(async move {
            over.run_until_cancelled(call.answer(&*agent)).await;
        });
    }
}

/// Calls an agent of this process. Deadline and stop end the call as they would over a connection.
pub(super) async fn call_here(
    run: &Run,
    agent: Arc<dyn Agent>,
    call: OutgoingCall,
) -> Result<Reply, CallError> {
    let running = run.local.token();
    let begun = Instant::now();
    let end = End {
        begun,
        deadline: call.terms.deadline.map(Instant::from_std),
        over: run.over.clone(),
    };
    if end.deadline.is_some_and(|deadline| deadline <= begun) {
        return Err(end.timed_out());
    }
    let input = call.input.filter(|_| call.shape.streams_in());
    let context = CallContext::new(call.target, None, call.terms);
    let incoming = IncomingCall::new(context, call.method, call.shape, call.body, input);
    let reply = end.or(agent.call(incoming)).await.and_then(|reply| reply)?;
    match (reply, call.shape.streams_out()) {
        (Reply::One(body), false) => Ok(Reply::One(body)),
        (Reply::One(body), true) => Ok(Reply::Stream(stream::iter([Ok(body)]).boxed())),
        (Reply::Stream(items), true) => Ok(Reply::Stream(end.or_stream(items, running).boxed())),
        (Reply::Stream(_), false) => {
            let message = "one value was expected and a stream came".to_owned();
            Err(CallError::InvalidReply { message })
        }
    }
}

/// When a call of this process ends at the latest.
struct End {
    begun: Instant,
    deadline: Option<Instant>,
    over: CancellationToken,
}

impl End {
    fn timed_out(&self) -> CallError {
        CallError::TimedOut {
            after: self.begun.elapsed(),
        }
    }

    async fn reached(&self) -> CallError {
        let deadline = async {
            match self.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = deadline => self.timed_out(),
            () = self.over.cancelled() => CallError::ShuttingDown,
        }
    }

    async fn or<T>(&self, work: impl Future<Output = T>) -> Result<T, CallError> {
        match select(pin!(work), pin!(self.reached())).await {
            Either::Left((done, _)) => Ok(done),
            Either::Right((error, _)) => Err(error),
        }
    }

    /// The items until the end is reached, which is the last item then. `running` counts the call.
    fn or_stream(
        self,
        items: BodyStream,
        running: impl Send + 'static,
    ) -> impl Stream<Item = Result<Body, CallError>> + Send {
        stream::unfold(Some((self, items, running)), |state| async move {
            let (end, mut items, running) = state?;
            match end.or(items.next()).await {
                Ok(Some(Ok(body))) => Some((Ok(body), Some((end, items, running)))),
                Ok(Some(Err(error))) | Err(error) => Some((Err(error), None)),
                Ok(None) => None,
            }
        })
    }
}
