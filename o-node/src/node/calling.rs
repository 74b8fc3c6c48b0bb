//! Calling: resolve, lease, call; and calls that stay inside this process.

use std::{
    mem,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use futures::{FutureExt, StreamExt, stream};
use o_address::{Address, PeerId, TransportAddr};
use o_core::{
    Agent, BodyStream, CallContext, CallError, Caller, DialError, Direction, IncomingCall,
    OutgoingCall, Reply, Route, Shape, Source,
};
use o_protocol::Unanswered;
use tokio::time::Instant;

use super::{
    Node,
    elsewhere::{Sure, sure_of},
    running::Running,
};
use crate::{
    hosting::{Dispatcher, Running as Counted, Target},
    link::Link,
    reputation::Outcome as Seen,
    route,
    tasks::Tasks,
};

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
        let running = self.running_for_more().map_err(|_| DialError::Shutdown)?;
        let dialer = &running.dialer;
        let link = match address.peer_id() {
            None => dialer.dial_anybody(address.clone()).await?,
            Some(peer) if running.peers.has_as_good(&peer, address) => return Ok(peer),
            Some(peer) => dialer.dial_known(peer, address.clone()).await?,
        };
        let peer = link.peer;
        // From now on the pool lends it to calls, and closes it when it is idle.
        let adopted = running.pool.adopt(peer, link, Direction::Outbound);
        adopted.map_err(|full| DialError::Busy { limit: full.limit })?;
        Ok(peer)
    }

    /// What runs, if it still begins calls and connections.
    pub(super) fn running_for_more(&self) -> Result<Arc<Running>, CallError> {
        let running = self.running()?;
        if running.is_leaving() {
            Err(CallError::ShuttingDown)
        } else {
            Ok(running)
        }
    }

    /// The call begins: with a deadline of its own, or the default one where it answers one value.
    pub(super) fn begin(&self, call: &mut OutgoingCall) {
        let limited = call.terms.deadline.is_some() || call.terms.timeout.is_some();
        if !limited && !call.shape.streams_out() {
            call.terms.timeout = Some(self.inner.config.node.call_timeout);
        }
        // By the clock of those who hold the call to it.
        call.terms.begin(Instant::now().into_std());
    }

    /// Calls that all go to one connected peer, whatever their target's name.
    pub fn peer(&self, peer: PeerId) -> PeerCaller {
        PeerCaller {
            node: self.clone(),
            peer,
        }
    }

    async fn call_routes(&self, mut call: OutgoingCall) -> Result<Reply, CallError> {
        let running = self.running_for_more()?;
        self.begin(&mut call);
        if call.shape == Shape::Server {
            return Box::pin(self.call_stream(running, call)).await;
        }
        self.call_once(&running, call).await
    }

    /// Calls once whoever is connected, known, found, or reached through the tree.
    pub(super) async fn call_once(
        &self,
        running: &Running,
        mut call: OutgoingCall,
    ) -> Result<Reply, CallError> {
        // Most calls go to somebody who is connected. What else may be needed is kept out of their
        // future, which is copied on its way.
        if let Some(link) = running.connected(&call.target) {
            match running.call_link(&link, &mut call).await {
                Ok(reply) => return Ok(reply),
                Err((_, Again::Yes)) if link.session.is_parting() => {
                    // It was idle, and the peer goes on.
                    match running.call_anew(&link, &mut call).boxed().await {
                        Ok(reply) => return Ok(reply),
                        Err((_, Again::Yes)) => {}
                        Err((error, Again::No)) => return Err(error),
                    }
                }
                Err((_, Again::Yes)) => {}
                Err((error, Again::No)) => return Err(error),
            }
        }
        running.call_by_routes(call, Sure::No).boxed().await
    }
}

impl Running {
    /// Calls whoever is known or found.
    pub(super) async fn call_found(
        &self,
        call: &mut OutgoingCall,
        until: Until,
        sure: Sure,
    ) -> Outcome {
        let ended = |error| (error, Again::No);
        let told = self.told(&call.target, until).await;
        if let Some(told) = told.map_err(ended)? {
            // Nobody else is asked, but who was lost may be back.
            return match self.try_routes(told.clone(), call, until, sure).await {
                Err((error, Again::Yes)) if is_lost(&error) => {
                    self.try_routes(told, call, until, sure).await
                }
                ended => ended,
            };
        }
        let known = self.resolver.known(&call.target);
        if known.is_empty() {
            let found = self.search(&call.target, until).await.map_err(ended)?;
            return self.try_routes(found, call, until, sure).await;
        }
        let failed = match self.try_routes(known, call, until, sure).await {
            Ok(reply) => return Ok(reply),
            // Only one node could have it, and has just said no.
            Err((failed @ CallError::NotFound { .. }, Again::Yes))
                if call.target.pin().is_some() =>
            {
                return Err(ended(failed));
            }
            Err((failed, Again::Yes)) => failed,
            Err(failed) => return Err(failed),
        };
        // What was known no longer holds: the agent may have moved.
        match self.search(&call.target, until).await {
            Ok(found) => self.try_routes(found, call, until, sure).await,
            Err(error @ (CallError::TimedOut { .. } | CallError::ShuttingDown)) => {
                Err(ended(error))
            }
            Err(_) => Err(ended(failed)),
        }
    }
}

/// Until when a call may take, and since when it does.
#[derive(Clone, Copy)]
pub(super) struct Until {
    deadline: Option<Instant>,
    begun: Instant,
}

impl Until {
    pub(super) fn of(call: &OutgoingCall) -> Self {
        let deadline = call.terms.deadline.map(Instant::from_std);
        Self {
            deadline,
            begun: Instant::now(),
        }
    }

    /// So much time from now.
    pub(super) fn within(limit: Duration) -> Self {
        let begun = Instant::now();
        Self {
            deadline: begun.checked_add(limit),
            begun,
        }
    }

    /// The same, and no later than `limit` from now where there is no deadline.
    fn or_within(self, limit: Duration) -> Self {
        let limit = Instant::now().checked_add(limit);
        Self {
            deadline: self.deadline.or(limit),
            ..self
        }
    }

    fn timed_out(self) -> CallError {
        CallError::TimedOut {
            after: self.begun.elapsed(),
        }
    }

    /// Waits for something at most until then.
    async fn wait<T>(
        self,
        work: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        match self.deadline {
            Some(deadline) => tokio::time::timeout_at(deadline, work)
                .await
                .unwrap_or_else(|_| Err(self.timed_out())),
            None => work.await,
        }
    }
}

/// Whether a call that came to nothing can be made once more: nothing ran, or twice is as good as
/// once, and it is still whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    Yes,
    No,
}

/// How often a call is offered to a peer again, each time because the connection was just being closed
/// for idleness.
pub(super) const REDIALS: usize = 3;

/// Whether the connection of a call went, before the call or in the middle of it.
fn is_lost(error: &CallError) -> bool {
    matches!(
        error,
        CallError::ConnectionLost { .. } | CallError::Refused { certain: false, .. }
    )
}

/// A call's answer, or why there is none.
pub(super) type Outcome = Result<Reply, (CallError, Again)>;

impl Running {
    /// The connection to whoever has `target`, if there is one already and nobody need be asked.
    fn connected(&self, target: &Address) -> Option<Link> {
        let peer = self.resolver.first_known(target)?;
        self.pool.existing(&peer).map(|lease| (*lease).clone())
    }

    /// Something of a call, at most until its deadline or until the node stops.
    pub(super) async fn wait<T>(
        &self,
        until: Until,
        work: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let waiting = self.tasks.unless_stopped(until.wait(work)).await;
        waiting.unwrap_or(Err(CallError::ShuttingDown))
    }

    /// Whoever answers to `target`: as the user's resolvers say, as is known, or as is found.
    pub(super) async fn routes(
        &self,
        target: &Address,
        until: Until,
    ) -> Result<Vec<Route>, CallError> {
        if let Some(told) = self.told(target, until).await? {
            return Ok(told);
        }
        let known = self.resolver.known(target);
        if known.is_empty() {
            return self.search(target, until).await;
        }
        Ok(known)
    }

    /// What the user's resolvers say.
    async fn told(&self, target: &Address, until: Until) -> Result<Option<Vec<Route>>, CallError> {
        if self.resolver.first.is_empty() {
            return Ok(None);
        }
        let until = until.or_within(self.search_timeout);
        let told = async {
            let told = self.resolver.told(target).await;
            told.map_err(|error| route::resolve_error(error, target))
        };
        self.wait(until, told).await
    }

    async fn search(&self, target: &Address, until: Until) -> Result<Vec<Route>, CallError> {
        // A stream may run for ever; looking for who gives it may not.
        let until = until.or_within(self.search_timeout);
        self.wait(until, self.resolver.routes(target)).await
    }

    /// Calls over the first route that leads to somebody who takes the call.
    pub(super) async fn try_routes(
        &self,
        routes: Vec<Route>,
        call: &mut OutgoingCall,
        until: Until,
        sure: Sure,
    ) -> Outcome {
        let target = call.target.clone();
        let mut failed = CallError::NotFound {
            address: target.clone(),
        };
        for route in routes {
            if route.peer == self.resolver.local {
                return self
                    .call_here(call, until)
                    .await
                    .map_err(|error| (error, Again::No));
            }
            for _ in 0..=REDIALS {
                let link = match self.wait(until, self.lease(&route, &target)).await {
                    Ok(link) => link,
                    Err(error @ (CallError::TimedOut { .. } | CallError::ShuttingDown)) => {
                        if matches!(error, CallError::TimedOut { .. }) {
                            self.peers.known(route.peer).unreached(Seen::TimedOut);
                        }
                        return Err((error, Again::No));
                    }
                    Err(error) => {
                        self.resolver.cache.forget(&target);
                        failed = error;
                        break;
                    }
                };
                let called = match sure {
                    Sure::Yes => {
                        let outcome = self.call_link(&link, call).await;
                        sure_of(call.shape, outcome).await
                    }
                    Sure::No => self.call_link(&link, call).await,
                };
                match called {
                    Ok(reply) => return Ok(reply),
                    Err((error, Again::Yes)) => failed = error,
                    Err(ended) => return Err(ended),
                }
                if !link.session.is_parting() {
                    break;
                }
            }
        }
        Err((failed, Again::Yes))
    }

    /// Calls the peer of a connection that was closed because it was idle, over another one.
    async fn call_anew(&self, link: &Link, call: &mut OutgoingCall) -> Outcome {
        let until = Until::of(call);
        let route = Route {
            peer: link.peer,
            addresses: link.addresses(),
            source: Source::Connected,
            age: Duration::ZERO,
        };
        self.try_routes(vec![route], call, until, Sure::No).await
    }

    pub(super) async fn lease(&self, route: &Route, target: &Address) -> Result<Link, CallError> {
        // The lease may go at once: a connection with a call on it is never evicted.
        match self.pool.acquire(route.peer, &route.addresses).await {
            Ok(lease) => Ok((*lease).clone()),
            // One that has just come up is known here a moment before it is in the pool.
            Err(error) => match self.peers.get(&route.peer) {
                Some(link) => Ok(link),
                None => {
                    if let Some(outcome) = Seen::of_dial(&error) {
                        self.peers.known(route.peer).unreached(outcome);
                    }
                    Err(route::call_error(&error, target))
                }
            },
        }
    }

    /// Has a connection soon, or says why not: for a call that can go to somebody else.
    pub(super) async fn reach(
        &self,
        route: &Route,
        target: &Address,
    ) -> Result<(), (CallError, Again)> {
        if self.pool.existing(&route.peer).is_some() {
            return Ok(());
        }
        let patience = self.providers.config.connect_patience;
        let failed = match tokio::time::timeout(patience, self.lease(route, target)).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => error,
            Err(_) => {
                self.peers.known(route.peer).unreached(Seen::Unreachable);
                CallError::Unreachable {
                    address: target.clone(),
                    reason: format!("not connected after {patience:?}"),
                }
            }
        };
        Err((failed, Again::Yes))
    }

    /// Calls over one connection. The call stays with the caller of this, all but its stream: it can be
    /// made again after an error that came before anything ran there, or whatever came of a lost
    /// connection where a key says that twice is as good as once.
    pub(super) async fn call_link(&self, link: &Link, call: &mut OutgoingCall) -> Outcome {
        let whole = call.input.is_none();
        let asked = link.request(call).await;
        asked.map_err(|unanswered| self.unanswered(link, call, whole, unanswered))
    }

    /// The same by way of a peer that passes the call on: how it ends says nothing about that peer.
    pub(super) async fn call_through(&self, link: &Link, call: &mut OutgoingCall) -> Outcome {
        let whole = call.input.is_none();
        let asked = link.session.request(call).await;
        asked.map_err(|unanswered| self.unanswered(link, call, whole, unanswered))
    }

    fn unanswered(
        &self,
        link: &Link,
        call: &OutgoingCall,
        whole: bool,
        unanswered: Unanswered,
    ) -> (CallError, Again) {
        let error = unanswered.error;
        if unanswered.untouched {
            // A peer whose connection was idle has not moved.
            if !link.session.is_parting() {
                self.resolver.cache.forget(&call.target);
            }
            return (error, Again::Yes);
        }
        let elsewhere = match error {
            // The peer no longer hosts the name: another may answer to it.
            CallError::NotFound { .. } => true,
            // It answers only its family: a call that comes through the tree it may take. Whoever
            // refuses has done nothing.
            CallError::Refused { certain: true, .. } => true,
            // It was leaving before it took the call. A method's own error of this kind, on a
            // session that goes on, is an answer.
            CallError::ShuttingDown => !link.session.is_open(),
            ref error => call.terms.idempotency_key.is_some() && is_lost(error),
        };
        if elsewhere {
            self.resolver.cache.forget(&call.target);
        }
        let again = if elsewhere && whole {
            Again::Yes
        } else {
            Again::No
        };
        (error, again)
    }

    /// A call to an agent of this node: within its deadline, the node's limit and the node's life.
    async fn call_here(&self, call: &mut OutgoingCall, until: Until) -> Result<Reply, CallError> {
        let agent = self.dispatcher.target(&call.target)?;
        let here = Here::begin(&self.dispatcher, &agent)?;
        let shape = call.shape;
        let context = CallContext::new(call.target.clone(), None, mem::take(&mut call.terms));
        let (method, body) = (call.method.clone(), mem::take(&mut call.body));
        let incoming = IncomingCall::new(context, method, shape, body, call.input.take());
        match self.wait(until, agent.call(incoming)).await? {
            Reply::Stream(items) if shape.streams_out() => Ok(Reply::Stream(items_here(
                items,
                until,
                self.tasks.clone(),
                here,
            ))),
            Reply::One(body) if shape.streams_out() => {
                Ok(Reply::Stream(stream::iter([Ok(body)]).boxed()))
            }
            Reply::Stream(_) => Err(CallError::InvalidReply {
                message: "one value was expected and a stream came".into(),
            }),
            one => Ok(one),
        }
    }
}

/// A call inside this process, counted as long as it lives.
struct Here {
    dispatcher: Arc<Dispatcher>,
    _running: Counted,
}

impl Here {
    fn begin(dispatcher: &Arc<Dispatcher>, target: &Target) -> Result<Self, CallError> {
        let running = dispatcher.begin(target.hosted.clone())?;
        dispatcher.local_calls.fetch_add(1, Ordering::Relaxed);
        Ok(Self {
            dispatcher: dispatcher.clone(),
            _running: running,
        })
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        self.dispatcher.local_calls.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The same stream, ended by an error when the deadline passes or the node stops.
fn items_here(items: BodyStream, until: Until, tasks: Tasks, here: Here) -> BodyStream {
    stream::unfold(Some((items, here)), move |state| {
        let tasks = tasks.clone();
        async move {
            let (mut items, here) = state?;
            let next = until.wait(async { Ok(items.next().await) });
            match tasks.unless_stopped(next).await {
                Some(Ok(Some(item))) => Some((item, Some((items, here)))),
                Some(Ok(None)) => None,
                Some(Err(error)) => Some((Err(error), None)),
                None => Some((Err(CallError::ShuttingDown), None)),
            }
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
        let running = self.node.running_for_more()?;
        self.node.begin(&mut call);
        let until = Until::of(&call);
        if self.peer == self.node.peer_id() {
            return running.call_here(&mut call, until).await;
        }
        let pooled = running.pool.existing(&self.peer);
        let pooled = pooled.map(|lease| (*lease).clone());
        // One that has just come up is known to the node a moment before it is in the pool.
        let link = match pooled.or_else(|| running.peers.get(&self.peer)) {
            Some(link) => link,
            None => {
                let source = Source::Connected;
                let (peer, addresses, age) = (self.peer, Vec::new(), Duration::ZERO);
                let route = Route {
                    peer,
                    addresses,
                    source,
                    age,
                };
                running
                    .wait(until, running.lease(&route, &call.target))
                    .await?
            }
        };
        match link.request(&mut call).await {
            Ok(reply) => Ok(reply),
            Err(unanswered) if unanswered.untouched && link.session.is_parting() => {
                let anew = running.call_anew(&link, &mut call);
                anew.await.map_err(|(error, _)| error)
            }
            Err(unanswered) => Err(unanswered.error),
        }
    }
}
