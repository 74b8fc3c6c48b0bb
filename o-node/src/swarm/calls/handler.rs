//! The call substream of one connection, driven in the connection's own task.

use std::{
    collections::VecDeque,
    convert::Infallible,
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use futures::{FutureExt, future::BoxFuture};
use libp2p::{
    Multiaddr, StreamProtocol,
    core::upgrade::ReadyUpgrade,
    multiaddr::Protocol,
    swarm::{
        ConnectionHandler, ConnectionHandlerEvent, Stream, StreamUpgradeError, SubstreamProtocol,
        handler::ConnectionEvent,
    },
};
use o_address::PeerId;
use o_core::{DenyReason, Direction, ErrorCode};
use o_protocol::{Driver, Goodbye, Serve, SessionEnd, SessionHandle, Side, connect, refuse};
use o_transport::from_multiaddr;

use super::Shared;
use crate::{dialed::Dialed, parting::Parting};

/// The one protocol that calls need.
const PROTOCOL: StreamProtocol = StreamProtocol::new("/o-call/1");

/// What a connection is for.
#[derive(Debug)]
pub(crate) enum Mode {
    /// We dialed: open the call substream.
    Open,
    /// They dialed: wait for it.
    Accept,
    /// A policy does not want them: say so on it, and close.
    Refuse(DenyReason),
}

/// What the behaviour learns from a connection.
#[derive(Debug)]
pub(crate) enum HandlerEvent {
    Opened {
        session: SessionHandle,
        remote: Multiaddr,
        direction: Direction,
    },
    Ended(SessionEnd),
    Unsupported,
    Refused,
}

enum Talk {
    /// Nothing yet; in refusal mode for a limited time only.
    Waiting(Option<BoxFuture<'static, ()>>),
    Session(Box<Driver<Parting<Stream>>>),
    Refusing(BoxFuture<'static, ()>),
    Over,
}

/// Opens or accepts the call substream and drives its session.
pub(crate) struct Handler {
    shared: Arc<Shared>,
    peer: PeerId,
    remote: Multiaddr,
    mode: Mode,
    request: bool,
    talk: Talk,
    events: VecDeque<HandlerEvent>,
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler")
            .field("peer", &self.peer)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

impl Handler {
    pub(super) fn new(shared: Arc<Shared>, peer: PeerId, remote: Multiaddr, mode: Mode) -> Self {
        let request = matches!(mode, Mode::Open);
        let patience = matches!(mode, Mode::Refuse(_))
            .then(|| tokio::time::sleep(shared.refuse_timeout).boxed());
        let talk = Talk::Waiting(patience);
        Self {
            shared,
            peer,
            remote,
            mode,
            request,
            talk,
            events: VecDeque::new(),
        }
    }

    fn begin(&mut self, stream: Stream, side: Side) {
        if !matches!(self.talk, Talk::Waiting(_)) {
            // One call substream per connection: a second one is dropped, which resets it.
            tracing::debug!(peer = %self.peer, "second call substream dropped");
            return;
        }
        if let Mode::Refuse(reason) = &self.mode {
            let goodbye = Goodbye::new(ErrorCode::Refused, reason.to_string());
            let limit = self.shared.refuse_timeout;
            let task = async move { refuse(stream, &goodbye, limit).await };
            self.talk = Talk::Refusing(task.boxed());
            return;
        }
        let direction = match side {
            Side::Dialer => Direction::Outbound,
            Side::Listener => Direction::Inbound,
        };
        let (session, driver) = connect(
            Parting::new(stream),
            side,
            self.shared.session.clone(),
            (self.shared.hello)(),
            Some(self.peer),
            self.serve(side),
        );
        self.talk = Talk::Session(Box::new(driver));
        let remote = self.remote.clone();
        self.events.push_back(HandlerEvent::Opened {
            session,
            remote,
            direction,
        });
    }

    fn serve(&self, side: Side) -> Arc<dyn Serve> {
        let serve = self.shared.serve.clone();
        if side == Side::Listener {
            return serve;
        }
        Arc::new(Dialed {
            gater: self.shared.gater.clone(),
            peer: self.peer,
            remote: from_multiaddr(&self.remote).ok(),
            relayed: self.remote.iter().any(|part| part == Protocol::P2pCircuit),
            serve,
        })
    }

    fn poll_talk(&mut self, cx: &mut Context<'_>) -> Poll<HandlerEvent> {
        let event = match &mut self.talk {
            Talk::Session(driver) => HandlerEvent::Ended(futures::ready!(driver.poll_unpin(cx))),
            Talk::Refusing(task) | Talk::Waiting(Some(task)) => {
                futures::ready!(task.poll_unpin(cx));
                HandlerEvent::Refused
            }
            Talk::Waiting(None) | Talk::Over => return Poll::Pending,
        };
        self.talk = Talk::Over;
        Poll::Ready(event)
    }
}

type Upgrade = ReadyUpgrade<StreamProtocol>;

impl ConnectionHandler for Handler {
    type FromBehaviour = Infallible;
    type ToBehaviour = HandlerEvent;
    type InboundProtocol = Upgrade;
    type OutboundProtocol = Upgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Upgrade> {
        // The same on every connection for all its life: a change would make identify push.
        SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), ())
    }

    fn connection_keep_alive(&self) -> bool {
        match self.talk {
            Talk::Session(_) | Talk::Refusing(_) | Talk::Waiting(Some(_)) => true,
            Talk::Waiting(None) => self.request,
            Talk::Over => false,
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Upgrade, (), HandlerEvent>> {
        if std::mem::take(&mut self.request) {
            let protocol = SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), ());
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        if let Some(event) = self.events.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(event));
        }
        self.poll_talk(cx)
            .map(ConnectionHandlerEvent::NotifyBehaviour)
    }

    fn on_behaviour_event(&mut self, event: Infallible) {
        match event {}
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Upgrade, Upgrade, (), ()>) {
        match event {
            ConnectionEvent::FullyNegotiatedOutbound(opened) => {
                self.begin(opened.protocol, Side::Dialer);
            }
            ConnectionEvent::FullyNegotiatedInbound(opened) => {
                if matches!(self.mode, Mode::Open) {
                    tracing::debug!(peer = %self.peer, "only the dialer opens the call substream");
                } else {
                    self.begin(opened.protocol, Side::Listener);
                }
            }
            ConnectionEvent::DialUpgradeError(failed) => {
                tracing::debug!(peer = %self.peer, error = %failed.error, "no call substream");
                if matches!(failed.error, StreamUpgradeError::NegotiationFailed) {
                    self.events.push_back(HandlerEvent::Unsupported);
                } else {
                    let reason = failed.error.to_string();
                    self.events
                        .push_back(HandlerEvent::Ended(SessionEnd::Lost { reason }));
                }
                self.talk = Talk::Over;
            }
            _ => {}
        }
    }
}
