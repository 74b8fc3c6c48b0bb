//! The suite of `Caller`.

mod endings;
mod shapes;

use o_address::Address;
use o_core::{Body, CallError, Caller, OutgoingCall, Reply};

use self::{
    endings::{cancelled, deadlines, failures, lost_input, unanswered},
    shapes::{large, many_at_once, shapes},
};
use super::{Probe, check::Suite};

const SUITE: Suite = Suite("Caller");

/// Who is called by whom.
#[derive(Clone, Copy)]
struct Case<'a> {
    caller: &'a dyn Caller,
    target: &'a Address,
    nobody: &'a Address,
    probe: &'a Probe,
}

/// Checks calls of every shape, their errors, deadlines and cancellation.
///
/// `probe` has to answer at `target`, reached in whichever way is to be tested, with no other calls
/// running; nobody may answer at `nobody`.
///
/// # Panics
/// When the caller does not conform.
///
/// # Cancel safety
/// Dropping the future ends the suite.
pub async fn caller(caller: &dyn Caller, target: &Address, nobody: &Address, probe: &Probe) {
    let case = Case {
        caller,
        target,
        nobody,
        probe,
    };
    shapes(case).await;
    large(case).await;
    many_at_once(case).await;
    failures(case).await;
    unanswered(case).await;
    cancelled(case).await;
    lost_input(case).await;
    deadlines(case).await;
    let step = "it still answers after all that";
    SUITE.equal(
        step,
        &case.one(step, case.unary("echo", "still")).await,
        &Body::raw("still"),
    );
}

impl Case<'_> {
    fn unary(&self, method: &str, body: impl Into<bytes::Bytes>) -> OutgoingCall {
        OutgoingCall::unary(self.target.clone(), method, Body::raw(body))
    }

    fn server(&self, method: &str, body: impl Into<bytes::Bytes>) -> OutgoingCall {
        OutgoingCall::server_streaming(self.target.clone(), method, Body::raw(body))
    }

    async fn call(&self, step: &str, call: OutgoingCall) -> Result<Reply, CallError> {
        SUITE.within(step, self.caller.call(call)).await
    }

    /// The one value that answers a call.
    async fn one(&self, step: &str, call: OutgoingCall) -> Body {
        match self.call(step, call).await {
            Ok(Reply::One(body)) => body,
            other => SUITE.fail(step, &format!("expected one value, found {other:?}")),
        }
    }

    /// The stream that answers a call.
    async fn stream(&self, step: &str, call: OutgoingCall) -> o_core::BodyStream {
        match self.call(step, call).await {
            Ok(Reply::Stream(items)) => items,
            other => SUITE.fail(step, &format!("expected a stream, found {other:?}")),
        }
    }

    /// How a call fails, whether at once or in its stream.
    async fn error(&self, step: &str, call: OutgoingCall) -> CallError {
        use futures::StreamExt;
        match self.call(step, call).await {
            Err(error) => error,
            Ok(Reply::One(body)) => SUITE.fail(step, &format!("answered {body:?}")),
            Ok(Reply::Stream(mut items)) => loop {
                match SUITE.within(step, items.next()).await {
                    Some(Err(error)) => return error,
                    Some(Ok(_)) => {}
                    None => SUITE.fail(step, "the stream ended without an error"),
                }
            },
        }
    }
}
