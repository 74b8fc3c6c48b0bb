//! Connections for a caller: to a target, by way of a next hop, held until they are dropped.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use o_address::{Address, PeerId, TransportAddr};
use o_core::{
    Attempt, CallError, Caller, Channel, ConnectError, ConnectionGater, Connector, Direction,
    NextHop, OutgoingCall, Reply, Route, Source, Stage,
};
use o_pool::{Lease, Link as _};

use super::{
    Node,
    calling::{REDIALS, Until},
    running::Running,
};
use crate::{link::Link, route};

/// Who wants to talk to whom.
#[derive(Clone, Debug)]
struct Purpose {
    target: Address,
    caller: Address,
}

impl Node {
    /// A connection to `next_hop` for calls to `target` that `caller` makes; see
    /// [`Connector::connect`]. It takes at most `node.call_timeout`.
    ///
    /// There is no routing through intermediate nodes yet: a hop that does not host the target
    /// answers a call to it with `not_found`.
    ///
    /// ```no_run
    /// # async fn run(node: &o_node::Node) -> Result<(), Box<dyn std::error::Error>> {
    /// use o_core::NextHop;
    /// use o_node::CallerExt as _;
    ///
    /// let (clock, me) = ("o://office/clock".parse()?, "o://office/desk".parse()?);
    /// let channel = node.connect_via(&NextHop::Named("o://office".parse()?), &clock, &me).await?;
    /// let time: String = channel.call_typed(&clock, "now", &"Europe/Berlin").await?;
    /// # let _ = time;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Connector::connect`].
    ///
    /// # Cancel safety
    /// Dropping the future may leave a connection, which is closed when it has been idle.
    pub async fn connect_via(
        &self,
        next_hop: &NextHop,
        target: &Address,
        caller: &Address,
    ) -> Result<NodeChannel, ConnectError> {
        let running = self.running_for_more().map_err(connect_error(target))?;
        let until = Until::within(self.inner.config.node.call_timeout);
        let purpose = Purpose {
            target: target.clone(),
            caller: caller.clone(),
        };
        let routes = running.hop_routes(next_hop, until).await;
        let mut failed = CallError::NotFound {
            address: target.clone(),
        };
        for route in routes.map_err(connect_error(target))? {
            match running.hold(&route, &purpose, until).await {
                Ok(lease) => {
                    return Ok(NodeChannel {
                        node: self.clone(),
                        purpose,
                        route,
                        lease: Mutex::new(lease),
                    });
                }
                Err(error @ (CallError::TimedOut { .. } | CallError::ShuttingDown)) => {
                    return Err(connect_error(target)(error));
                }
                Err(error) => failed = error,
            }
        }
        Err(connect_error(target)(failed))
    }
}

#[async_trait]
impl Connector for Node {
    async fn connect(
        &self,
        next_hop: &NextHop,
        target: &Address,
        caller: &Address,
    ) -> Result<Arc<dyn Channel>, ConnectError> {
        let channel = self.connect_via(next_hop, target, caller).await?;
        Ok(Arc::new(channel))
    }
}

/// What kept a connection from coming up, in the words of who asked for it.
fn connect_error(target: &Address) -> impl Fn(CallError) -> ConnectError {
    let target = target.clone();
    move |error| match error {
        CallError::NotFound { address } => ConnectError::NotFound { address },
        CallError::Refused {
            peer,
            reason,
            certain,
        } => ConnectError::Refused {
            peer,
            reason,
            certain,
        },
        CallError::TimedOut { after } => ConnectError::TimedOut { after },
        CallError::Busy { reason } => ConnectError::Busy { reason },
        CallError::ShuttingDown => ConnectError::Shutdown,
        CallError::Unreachable { reason, .. } => ConnectError::Unreachable {
            target: target.clone(),
            reason,
        },
        other => ConnectError::Unreachable {
            target: target.clone(),
            reason: other.to_string(),
        },
    }
}

impl Running {
    async fn hop_routes(&self, next_hop: &NextHop, until: Until) -> Result<Vec<Route>, CallError> {
        match next_hop {
            NextHop::Peer { peer, addresses } => Ok(vec![Route {
                peer: *peer,
                addresses: addresses.clone(),
                source: Source::Given,
                age: Duration::ZERO,
            }]),
            NextHop::Named(address) => self.routes(address, until).await,
            _ => Ok(Vec::new()),
        }
    }

    /// A lease on a connection along `route` that both policy and peer allow.
    async fn hold(
        &self,
        route: &Route,
        purpose: &Purpose,
        until: Until,
    ) -> Result<Lease<Link>, CallError> {
        if route.peer == self.resolver.local {
            return Err(CallError::Unreachable {
                address: purpose.target.clone(),
                reason: "the next hop is this node itself".into(),
            });
        }
        self.ask(Stage::Pending, &route.peer, None, purpose)?;
        let acquire = async {
            let lease = self.pool.acquire(route.peer, &route.addresses).await;
            lease.map_err(|error| route::call_error(&error, &purpose.target))
        };
        let lease = self.wait(until, acquire).await?;
        self.ask(
            Stage::Established,
            &route.peer,
            Some(&lease.remote),
            purpose,
        )?;
        Ok(lease)
    }

    /// Asks the gater about a connection that this caller wants for this target.
    fn ask(
        &self,
        stage: Stage,
        peer: &PeerId,
        remote: Option<&TransportAddr>,
        purpose: &Purpose,
    ) -> Result<(), CallError> {
        let attempt = Attempt::new(stage, Direction::Outbound).peer(peer);
        let mut attempt = attempt.on_behalf(&purpose.caller, &purpose.target);
        attempt.remote = remote;
        attempt.relayed = remote.is_some_and(|remote| remote.transport_label() == "relay");
        let asked = self.dialer.outside.gater.allow(&attempt);
        asked.map_err(|reason| CallError::Refused {
            peer: Some(self.resolver.local),
            reason: reason.to_string(),
            certain: true,
        })
    }
}

/// A connection held for a caller; see [`Node::connect_via`]. Dropping it gives its lease back.
pub struct NodeChannel {
    node: Node,
    purpose: Purpose,
    route: Route,
    lease: Mutex<Lease<Link>>,
}

impl fmt::Debug for NodeChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeChannel")
            .field("peer", &self.route.peer)
            .field("remote", &self.remote())
            .field("target", &self.purpose.target)
            .field("caller", &self.purpose.caller)
            .finish_non_exhaustive()
    }
}

impl NodeChannel {
    fn held(&self) -> std::sync::MutexGuard<'_, Lease<Link>> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The best connection to the peer at this moment, held from now on; a new one if there is none.
    async fn link(&self, running: &Running, until: Until) -> Result<Link, CallError> {
        let best = match running.pool.existing(&self.route.peer) {
            Some(lease) => lease,
            None => running.hold(&self.route, &self.purpose, until).await?,
        };
        let mut held = self.held();
        if held.id() != best.id() {
            *held = best;
        }
        Ok((**held).clone())
    }
}

impl Channel for NodeChannel {
    fn peer(&self) -> PeerId {
        self.route.peer
    }

    fn remote(&self) -> TransportAddr {
        (*self.held().remote).clone()
    }

    fn is_relayed(&self) -> bool {
        self.held().remote.transport_label() == "relay"
    }

    fn target(&self) -> &Address {
        &self.purpose.target
    }

    fn caller(&self) -> &Address {
        &self.purpose.caller
    }
}

#[async_trait]
impl Caller for NodeChannel {
    async fn call(&self, mut call: OutgoingCall) -> Result<Reply, CallError> {
        let running = self.node.running_for_more()?;
        let origin = &mut call.terms.origin;
        origin.get_or_insert_with(|| self.purpose.caller.clone());
        self.node.begin(&mut call);
        let until = Until::of(&call);
        if call.target != self.purpose.target {
            // The policy was asked about another target.
            let purpose = Purpose {
                target: call.target.clone(),
                caller: self.purpose.caller.clone(),
            };
            running.ask(Stage::Pending, &self.route.peer, None, &purpose)?;
        }
        let mut redials = 0;
        loop {
            let link = self.link(&running, until).await?;
            match link.request(&mut call).await {
                Ok(reply) => return Ok(reply),
                // It was just being closed, and nothing was sent.
                Err(unanswered)
                    if unanswered.untouched && link.session.is_parting() && redials < REDIALS =>
                {
                    redials += 1;
                }
                Err(unanswered) => return Err(unanswered.error),
            }
        }
    }
}
