//! Makes one planned call and says how it ended.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use o_address::Address;
use o_core::{BodyStream, CallError, Caller, OutgoingCall, Reply, Shape};
use o_node::Node;
use tokio::time::timeout;

use super::{
    agent::{CHECKSUM_BEGIN, checksum, item, method, params},
    plan::CallPlan,
};

/// How long after its deadline a call may end, on a machine that is busy with other things.
pub(crate) const SLACK: Duration = Duration::from_secs(5);

/// How a call ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// With what was expected, of so many bytes.
    Replied(usize),
    /// With an error.
    Failed(CallError),
    /// Dropped by the caller, as planned.
    Cancelled,
    /// With something that must not be.
    Wrong(String),
    /// Not at all, within deadline and slack.
    Never,
}

/// What keeps a call from a right reply.
enum Trouble {
    Error(CallError),
    Wrong(String),
}

impl From<CallError> for Trouble {
    fn from(error: CallError) -> Self {
        Self::Error(error)
    }
}

/// Makes the call and waits for its end.
pub(crate) async fn make(node: Node, target: Address, plan: CallPlan) -> Ended {
    let limit = plan.deadline + SLACK;
    let cancel = plan.cancel_after;
    let work = timeout(limit, perform(&node, target, &plan));
    let ended = match cancel {
        None => work.await,
        Some(after) => match timeout(after, work).await {
            Ok(ended) => ended,
            Err(_) => return Ended::Cancelled,
        },
    };
    match ended {
        Ok(Ok(bytes)) => Ended::Replied(bytes),
        Ok(Err(Trouble::Error(error))) => Ended::Failed(error),
        Ok(Err(Trouble::Wrong(what))) => Ended::Wrong(what),
        Err(_) => Ended::Never,
    }
}

async fn perform(node: &Node, target: Address, plan: &CallPlan) -> Result<usize, Trouble> {
    let (method, body) = (method(plan.shape), params(plan));
    let call = match plan.shape {
        Shape::Unary => OutgoingCall::unary(target, method, body),
        Shape::Server => OutgoingCall::server_streaming(target, method, body),
        Shape::Client => OutgoingCall::client_streaming(target, method, body, input(plan)),
        Shape::Bidirectional => OutgoingCall::bidirectional(target, method, body, input(plan)),
    };
    let mut call = call.timeout(plan.deadline);
    call.terms.priority = plan.priority;
    match (node.call(call).await?, plan.shape) {
        (Reply::One(body), Shape::Unary) => {
            same(&body.bytes, &item(plan.seed, 0, plan.size), 0)?;
            Ok(body.len())
        }
        (Reply::One(body), Shape::Client) => {
            let sum = (0..plan.items).fold(CHECKSUM_BEGIN, |sum, index| {
                checksum(sum, &item(plan.seed, index, plan.size))
            });
            same(&body.bytes, &sum.to_be_bytes(), 0)?;
            Ok(plan.items * plan.size)
        }
        (Reply::Stream(items), Shape::Server | Shape::Bidirectional) => read(items, plan).await,
        (reply, shape) => Err(Trouble::Wrong(format!("{shape} answered by {reply:?}"))),
    }
}

/// What the caller sends.
fn input(plan: &CallPlan) -> BodyStream {
    let (seed, size) = (plan.seed, plan.size);
    stream::iter(0..plan.items)
        .map(move |index| Ok(o_core::Body::raw(item(seed, index, size))))
        .boxed()
}

async fn read(mut items: BodyStream, plan: &CallPlan) -> Result<usize, Trouble> {
    let mut bytes = 0;
    for index in 0..plan.items {
        match items.next().await {
            Some(Ok(body)) => {
                same(&body.bytes, &item(plan.seed, index, plan.size), index)?;
                bytes += body.len();
            }
            Some(Err(error)) => {
                // It ends after its first error: a second end would be one too many.
                return match items.next().await {
                    None => Err(error.into()),
                    Some(more) => Err(Trouble::Wrong(format!("{more:?} after {error}"))),
                };
            }
            None => {
                let wrong = format!("it ended after {index} of {} items", plan.items);
                return Err(Trouble::Wrong(wrong));
            }
        }
    }
    match items.next().await {
        None => Ok(bytes),
        Some(Err(error)) => Err(error.into()),
        Some(Ok(_)) => Err(Trouble::Wrong(format!("more than {} items", plan.items))),
    }
}

fn same(have: &[u8], want: &[u8], index: usize) -> Result<(), Trouble> {
    if have == want {
        return Ok(());
    }
    let sums = [have, want].map(|bytes| checksum(CHECKSUM_BEGIN, bytes));
    Err(Trouble::Wrong(format!(
        "item {index}: {} bytes with checksum {:016x} instead of {} with {:016x}",
        have.len(),
        sums[0],
        want.len(),
        sums[1],
    )))
}
