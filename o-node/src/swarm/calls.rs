//! Call substreams on libp2p connections: our own behaviour, and the gate.
//!
//! It asks the gater at every stage. A peer that a policy refuses once it is proved is admitted to a
//! handler that says GOODBYE and closes within a second; what a limit refuses is cut at once.

mod handler;
mod open;

use std::{
    collections::{HashSet, VecDeque},
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler,
        THandlerInEvent, THandlerOutEvent, ToSwarm,
    },
};
use o_core::{Attempt, ConnectionGater, DenyReason, Direction, Stage};
use o_protocol::{Hello, Serve, SessionConfig, SessionEnd, SessionHandle};
use o_transport::{from_multiaddr, from_peer_id};

use self::{
    handler::{Handler, HandlerEvent, Mode},
    open::Open,
};

/// What every connection's handler needs.
pub(crate) struct Shared {
    pub(crate) serve: Arc<dyn Serve>,
    pub(crate) hello: Arc<dyn Fn() -> Hello + Send + Sync>,
    pub(crate) session: SessionConfig,
    pub(crate) gater: Arc<dyn ConnectionGater>,
    /// How long a refused peer may take to read why.
    pub(crate) refuse_timeout: Duration,
    /// Most peers that are being told so at once; more are cut without a word.
    pub(crate) max_refusing: usize,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("gater", &self.gater)
            .finish_non_exhaustive()
    }
}

/// Carried inside libp2p's `ConnectionDenied`, so that the Swarm task can tell why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Denied(pub(crate) DenyReason);

pub(super) fn denied(reason: DenyReason) -> ConnectionDenied {
    ConnectionDenied::new(Denied(reason))
}

/// What the Swarm task learns.
#[derive(Debug)]
pub(crate) enum Event {
    /// A call session has begun; the HELLO of the other side may still be on its way.
    Opened {
        connection: ConnectionId,
        peer: PeerId,
        session: SessionHandle,
        remote: Multiaddr,
        direction: Direction,
    },
    /// It is over.
    Ended {
        connection: ConnectionId,
        end: SessionEnd,
    },
    /// The peer does not speak the call protocol.
    Unsupported {
        connection: ConnectionId,
        peer: PeerId,
    },
    /// A policy refused the peer, which is being told.
    Refused { peer: PeerId, reason: DenyReason },
}

/// The behaviour. One struct for gate and calls, since the gate decides which handler a peer gets.
#[derive(Debug)]
pub(crate) struct Behaviour {
    shared: Arc<Shared>,
    refusing: HashSet<ConnectionId>,
    open: Open,
    events: VecDeque<ToSwarm<Event, THandlerInEvent<Self>>>,
}

impl Behaviour {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            refusing: HashSet::new(),
            open: Open::default(),
            events: VecDeque::new(),
        }
    }

    fn ask(
        &self,
        stage: Stage,
        direction: Direction,
        peer: Option<&PeerId>,
        remote: Option<&Multiaddr>,
    ) -> Result<(), DenyReason> {
        let unreadable = || DenyReason::Policy {
            reason: "unreadable peer id or address".into(),
        };
        let peer = peer
            .map(from_peer_id)
            .transpose()
            .map_err(|_| unreadable())?;
        // An address that we cannot express is simply not known to the policy.
        let address = remote.and_then(|remote| from_multiaddr(remote).ok());
        let mut attempt = Attempt::new(stage, direction);
        attempt.peer = peer.as_ref();
        attempt.remote = address.as_ref();
        attempt.relayed = remote.is_some_and(|remote| remote.to_string().contains("/p2p-circuit"));
        self.shared.gater.allow(&attempt)
    }

    fn handler(
        &self,
        peer: &PeerId,
        remote: &Multiaddr,
        mode: Mode,
    ) -> Result<Handler, ConnectionDenied> {
        let peer = from_peer_id(peer).map_err(ConnectionDenied::new)?;
        Ok(Handler::new(
            self.shared.clone(),
            peer,
            remote.clone(),
            mode,
        ))
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Event;

    fn handle_pending_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.ask(Stage::Pending, Direction::Inbound, None, Some(remote))
            .map_err(denied)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let asked = self.ask(
            Stage::Established,
            Direction::Inbound,
            Some(&peer),
            Some(remote),
        );
        let Err(reason) = asked else {
            return self.handler(&peer, remote, Mode::Accept);
        };
        if reason.is_limit() || self.refusing.len() >= self.shared.max_refusing {
            return Err(denied(reason));
        }
        let handler = self.handler(&peer, remote, Mode::Refuse(reason.clone()))?;
        self.refusing.insert(connection);
        self.events
            .push_back(ToSwarm::GenerateEvent(Event::Refused { peer, reason }));
        Ok(handler)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.ask(Stage::Pending, Direction::Outbound, peer.as_ref(), None)
            .map_err(denied)?;
        self.open.dial(connection);
        Ok(Vec::new())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        remote: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.ask(
            Stage::Established,
            Direction::Outbound,
            Some(&peer),
            Some(remote),
        )
        .map_err(denied)?;
        self.handler(&peer, remote, Mode::Open)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.open.on_swarm_event(&event);
        if let FromSwarm::ConnectionClosed(closed) = event {
            self.refusing.remove(&closed.connection_id);
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        let close = ToSwarm::CloseConnection {
            peer_id: peer,
            connection: CloseConnection::One(connection),
        };
        match event {
            HandlerEvent::Opened {
                session,
                remote,
                direction,
            } => {
                let event = Event::Opened {
                    connection,
                    peer,
                    session,
                    remote,
                    direction,
                };
                self.events.push_back(ToSwarm::GenerateEvent(event));
            }
            HandlerEvent::Unsupported => {
                let event = Event::Unsupported { connection, peer };
                self.events.push_back(ToSwarm::GenerateEvent(event));
            }
            HandlerEvent::Ended(end) => {
                let event = Event::Ended { connection, end };
                self.events.push_back(ToSwarm::GenerateEvent(event));
                self.events.push_back(close);
            }
            HandlerEvent::Refused => self.events.push_back(close),
        }
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Event, THandlerInEvent<Self>>> {
        while let Some(event) = self.events.pop_front() {
            // How, depends on what else has opened and closed meanwhile.
            if let ToSwarm::CloseConnection {
                peer_id,
                connection: CloseConnection::One(connection),
            } = event
            {
                if let Some(connection) = self.open.close(&peer_id, connection) {
                    return Poll::Ready(ToSwarm::CloseConnection {
                        peer_id,
                        connection,
                    });
                }
                continue;
            }
            return Poll::Ready(event);
        }
        Poll::Pending
    }
}
