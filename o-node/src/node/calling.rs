//! Calling: resolve, lease, call; and calls that stay inside this process.

use std::time::Instant;

use async_trait::async_trait;
use futures::StreamExt;
use o_address::{Address, PeerId, TransportAddr};
use o_core::{
    Agent, BodyStream, CallContext, CallError, Caller, DialError, IncomingCall, OutgoingCall,
    Reply, Route, Source,
};

use super::{Node, running::Running};
use crate::{link::Link, route};

impl Node {
    /// Connects to whoever is at `address`; the peer is proved by its key. With a `/p2p/` part only
    /// that peer will do.
    ///
    /// # Errors
    /// Nobody answered, somebody else did, or one side refused.
    ///
    /// # Cancel safety
    /// Dropping the future may leave a connection, which is closed when it has been idle.
    pub async fn connect(&self, address: &TransportAddr) -> Result<PeerId, DialError> {
        let running = self.running().map_err(|_| DialError::Shutdown)?;
        let Some(peer) = address.peer_id() else {
            return running.dialer.dial_anybody(address.clone()).await.map(|link| link.peer);
        };
        if running.peers.get(&peer).is_some() {
            return Ok(peer);
        }
        running.dialer.dial_known(peer, address.clone()).await.map(|link| link.peer)
    }

    /// Calls that all go to one connected peer, whatever their target's name.
    pub fn peer(&self, peer: PeerId) -> PeerCaller {
        PeerCaller { node: self.clone(), peer }
    }

    async fn call_routes(&self, call: OutgoingCall) -> Result<Reply, CallError> {
        let running = self.running()?;
        let begun = Instant::now();
        let mut call = call;
        if !call.shape.streams_out() && call.terms.deadline.is_none() {
            call = call.timeout(self.inner.config.node.call_timeout);
        }
        let target = call.target.clone();
        let deadline = call.terms.deadline.map(tokio::time::Instant::from_std);
        let resolving = running.resolver.routes(&target);
        let routes = before(deadline, begun, resolving).await?;
        let mut failed = CallError::NotFound { address: target.clone() };
        for route in routes {
            if route.source == Source::Local {
                return running.call_here(call).await;
            }
            let leasing = running.lease(&route, &target);
            match before(deadline, begun, leasing).await {
                Ok(link) => match running.call_link(&link, call, &target).await {
                    Ok(reply) => return Ok(reply),
                    Err((error, Some(again))) => {
                        call = again;
                        failed = error;
                    }
                    Err((error, None)) => return Err(error),
                },
                Err(error) => {
                    running.resolver.cache.forget(&target);
                    failed = error;
                }
            }
        }
        Err(failed)
    }
}

/// Waits for something at most until the call's deadline.
async fn before<T>(
    deadline: Option<tokio::time::Instant>,
    begun: Instant,
    work: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline, work)
            .await
            .unwrap_or_else(|_| Err(CallError::TimedOut { after: begun.elapsed() })),
        None => work.await,
    }
}

/// A copy of a call that can be made again: one without a stream of the caller's.
fn copy(call: &OutgoingCall) -> Option<OutgoingCall> {
    call.input.is_none().then(|| OutgoingCall {
        target: call.target.clone(),
        method: call.method.clone(),
        shape: call.shape,
        body: call.body.clone(),
        input: None,
        terms: call.terms.clone(),
    })
}

impl Running {
    async fn lease(&self, route: &Route, target: &Address) -> Result<Link, CallError> {
        // The lease may go at once: a connection with a call on it is never evicted.
        let lease = self.pool.acquire(route.peer, &route.addresses).await;
        lease.map(|lease| (*lease).clone()).map_err(|error| route::call_error(&error, target))
    }

    /// Calls over one connection. With an error that came before anything ran there, gives the call
    /// back where it can be made again.
    async fn call_link(
        &self,
        link: &Link,
        call: OutgoingCall,
        target: &Address,
    ) -> Result<Reply, (CallError, Option<OutgoingCall>)> {
        let again = copy(&call);
        link.session.call(call).await.map_err(|error| match error {
            // The peer no longer hosts the name, or is leaving: another may answer to it.
            CallError::NotFound { .. } | CallError::ShuttingDown => {
                self.resolver.cache.forget(target);
                (error, again)
            }
            error => (error, None),
        })
    }

    /// A call to an agent of this node, within its deadline.
    async fn call_here(&self, call: OutgoingCall) -> Result<Reply, CallError> {
        let agent = self.dispatcher.target(&call.target)?;
        let deadline = call.terms.deadline.map(tokio::time::Instant::from_std);
        let (begun, shape) = (Instant::now(), call.shape);
        let context = CallContext::new(call.target, None, call.terms);
        let incoming = IncomingCall::new(context, call.method, shape, call.body, call.input);
        let reply = before(deadline, begun, agent.call(incoming)).await?;
        match reply {
            Reply::Stream(items) if shape.streams_out() => {
                Ok(Reply::Stream(until(items, deadline, begun)))
            }
            Reply::One(body) if shape.streams_out() => {
                Ok(Reply::Stream(futures::stream::iter([Ok(body)]).boxed()))
            }
            Reply::Stream(_) => Err(CallError::InvalidReply {
                message: "one value was expected and a stream came".into(),
            }),
            one => Ok(one),
        }
    }
}

/// The same stream, ended by an error when the deadline passes.
fn until(
    items: BodyStream,
    deadline: Option<tokio::time::Instant>,
    begun: Instant,
) -> BodyStream {
    let Some(deadline) = deadline else { return items };
    futures::stream::unfold(Some(items), move |items| async move {
        let mut items = items?;
        match tokio::time::timeout_at(deadline, items.next()).await {
            Ok(Some(item)) => Some((item, Some(items))),
            Ok(None) => None,
            Err(_) => Some((Err(CallError::TimedOut { after: begun.elapsed() }), None)),
        }
    })
    .boxed()
}

#[async_trait]
impl Caller for Node {
    async fn call(&self, call: OutgoingCall) -> Result<Reply, CallError> {
        self.call_routes(call).await
    }
}

/// Calls to one connected peer; see [`Node::peer`].
#[derive(Clone, Debug)]
pub struct PeerCaller {
    node: Node,
    peer: PeerId,
}

#[async_trait]
impl Caller for PeerCaller {
    async fn call(&self, mut call: OutgoingCall) -> Result<Reply, CallError> {
        let running = self.node.running()?;
        if !call.shape.streams_out() && call.terms.deadline.is_none() {
            call = call.timeout(self.node.inner.config.node.call_timeout);
        }
        let target = call.target.clone();
        let link = match running.peers.get(&self.peer) {
            Some(link) => link,
            None => {
                let lease = running.pool.acquire(self.peer, &[]).await;
                (*lease.map_err(|error| route::call_error(&error, &target))?).clone()
            }
        };
        link.session.call(call).await
    }
}
