//! Calls that the first way does not lead to: through the tree, and streams that fail at once.

use std::sync::Arc;

use futures::{FutureExt as _, StreamExt as _, stream};
use o_address::Address;
use o_core::{BodyStream, CallError, OutgoingCall, Reply, Shape};

use super::{
    Node,
    calling::{Again, Outcome, Until},
    running::Running,
};

/// Whether a call that answers with a stream is taken for answered only when its first item is there.
///
/// Whoever refuses such a call says so in place of the first item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sure {
    Yes,
    No,
}

impl Node {
    /// Calls a method that answers with a stream. The stream is there at once; where it begins with an
    /// error that says that nothing ran, the call is made again elsewhere, while the stream is read.
    pub(super) async fn call_stream(
        &self,
        running: Arc<Running>,
        call: OutgoingCall,
    ) -> Result<Reply, CallError> {
        let (again, node) = (copy(&call), self.clone());
        let mut items = match self.call_once(&running, call).await? {
            Reply::Stream(items) => items,
            one => return Ok(one),
        };
        // Not held while nobody reads.
        drop(running);
        let begun = async move {
            match items.next().await {
                Some(Err(error)) if is_elsewhere(&error) => node.stream_again(again, error).await,
                Some(first) => stream::iter([first]).chain(items).boxed(),
                None => stream::empty().boxed(),
            }
        };
        Ok(Reply::Stream(begun.into_stream().flatten().boxed()))
    }

    async fn stream_again(&self, call: OutgoingCall, failed: CallError) -> BodyStream {
        let Ok(running) = self.running_for_more() else {
            return stream::iter([Err(failed)]).boxed();
        };
        match running.call_by_routes(call, Sure::Yes).await {
            Ok(Reply::Stream(items)) => items,
            Ok(Reply::One(body)) => stream::iter([Ok(body)]).boxed(),
            // What was said first is to the point, unless the other way got further.
            Err(error) if is_elsewhere(&error) => stream::iter([Err(failed)]).boxed(),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }
}

impl Running {
    /// Calls whoever is known, found, or reached through the tree.
    pub(super) async fn call_by_routes(
        &self,
        mut call: OutgoingCall,
        sure: Sure,
    ) -> Result<Reply, CallError> {
        let until = Until::of(&call);
        let failed = match self.call_found(&mut call, until, sure).await {
            Ok(reply) => return Ok(reply),
            Err((error, _)) if is_elsewhere(&error) => error,
            Err((error, _)) => return Err(error),
        };
        // Who cannot be reached directly may be reached through the tree.
        match self.over_the_tree(&mut call, until).await {
            Some(Ok(reply)) => Ok(reply),
            Some(Err((error, _))) if !is_elsewhere(&error) => Err(error),
            // That others cannot go on either is no more than what was known before.
            Some(Err(_)) | None => Err(failed),
        }
    }

    /// Makes a call by way of the tree: through the next node of the own one, or through whoever has a
    /// name above the target's, the nearest first. `None` where there is no such way.
    pub(super) async fn over_the_tree(
        &self,
        call: &mut OutgoingCall,
        until: Until,
    ) -> Option<Outcome> {
        // The caller's stream may have gone the first way.
        if call.shape.streams_in() && call.input.is_none() {
            return None;
        }
        let hierarchy = self.hierarchy.as_ref();
        let hop = hierarchy.and_then(|hierarchy| hierarchy.hop(&call.target, None));
        call.terms.hops_left = call.terms.hops_left.or(Some(self.max_hops));
        if let Some(hop) = hop {
            tracing::debug!(target = %call.target, next = %hop.link.peer, "through the tree");
            let outcome = self.call_through(&hop.link, call).await;
            return Some(sure_of(call.shape, outcome).await);
        }
        let mut failed = None;
        let mut above = call.target.parent();
        while let Some(name) = above {
            match self.by_way_of(&name, call, until).await {
                Some(Err((error, _))) if is_elsewhere(&error) => {
                    failed = Some(Err((error, Again::No)))
                }
                Some(ended) => return Some(ended),
                None => {}
            }
            above = name.parent();
        }
        failed
    }

    /// Offers a call to whoever has another name.
    async fn by_way_of(
        &self,
        name: &Address,
        call: &mut OutgoingCall,
        until: Until,
    ) -> Option<Outcome> {
        let mut failed = None;
        for route in self.routes(name, until).await.ok()? {
            if route.peer == self.resolver.local {
                continue;
            }
            let Ok(link) = self.wait(until, self.lease(&route, name)).await else {
                continue;
            };
            tracing::debug!(target = %call.target, by = %name, "by way of a name above");
            let outcome = self.call_through(&link, call).await;
            match sure_of(call.shape, outcome).await {
                Err((error, _)) if is_elsewhere(&error) => failed = Some(Err((error, Again::No))),
                ended => return Some(ended),
            }
        }
        failed
    }
}

/// The outcome of a call, where it is a stream once its first item is there.
pub(super) async fn sure_of(shape: Shape, outcome: Outcome) -> Outcome {
    match outcome? {
        Reply::Stream(mut items) if shape == Shape::Server => match items.next().await {
            Some(Err(error)) if is_elsewhere(&error) => Err((error, Again::Yes)),
            first => Ok(Reply::Stream(stream::iter(first).chain(items).boxed())),
        },
        reply => Ok(reply),
    }
}

/// Whether nothing ran where a call failed, and another way may lead to somebody who takes it.
fn is_elsewhere(error: &CallError) -> bool {
    matches!(
        error,
        CallError::NotFound { .. }
            | CallError::Unreachable { .. }
            | CallError::NoNetwork { .. }
            | CallError::Refused { certain: true, .. }
    )
}

/// The same call once more; it has no stream of the caller's.
pub(super) fn copy(call: &OutgoingCall) -> OutgoingCall {
    OutgoingCall {
        target: call.target.clone(),
        method: call.method.clone(),
        shape: call.shape,
        body: call.body.clone(),
        input: None,
        terms: call.terms.clone(),
    }
}
