//! Passing calls on through the tree, one hop after the other.

use async_trait::async_trait;
use o_address::Address;
use o_core::{Agent, CallError, IncomingCall, MethodSpec, OutgoingCall, Reply};

use crate::link::Link;

/// The next node on the way of a call: an agent that lets that node answer.
///
/// The next node sees this one as its peer. Who called is told to it as the origin, which is a claim.
#[derive(Debug)]
pub(crate) struct Hop {
    pub(crate) link: Link,
    pub(crate) max_hops: u8,
}

impl Hop {
    /// The same call, for the next node.
    ///
    /// # Errors
    /// It has passed as many nodes as it may.
    fn onward(&self, call: IncomingCall) -> Result<OutgoingCall, CallError> {
        let context = call.context;
        let mut terms = context.terms;
        let left = terms.hops_left.unwrap_or(self.max_hops).min(self.max_hops);
        let Some(left) = left.checked_sub(1) else {
            return Err(CallError::Unreachable {
                address: context.target,
                reason: "the call has passed as many nodes as it may".into(),
            });
        };
        terms.hops_left = Some(left);
        if let (None, Some(peer)) = (&terms.origin, context.peer) {
            terms.origin = Some(Address::node().pinned(peer));
        }
        Ok(OutgoingCall {
            target: context.target,
            method: call.method,
            shape: call.shape,
            body: call.body,
            input: call.input,
            terms,
        })
    }
}

#[async_trait]
impl Agent for Hop {
    fn methods(&self) -> Vec<MethodSpec> {
        Vec::new()
    }

    async fn call(&self, call: IncomingCall) -> Result<Reply, CallError> {
        let mut call = self.onward(call)?;
        let asked = self.link.session.request(&mut call).await;
        asked.map_err(|unanswered| match unanswered.untouched {
            // Nothing has run: the caller may try another way.
            true => CallError::Unreachable {
                address: call.target,
                reason: format!(
                    "the way through {} is broken: {}",
                    self.link.peer.short(),
                    unanswered.error
                ),
            },
            false => unanswered.error,
        })
    }
}
