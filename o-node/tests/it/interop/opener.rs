//! A libp2p node that has one protocol and leaves its substreams to the test, byte by byte.

use std::{
    collections::VecDeque,
    task::{Context, Poll},
};

use futures::StreamExt as _;
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder,
    core::{Endpoint, transport::PortUse, upgrade::ReadyUpgrade},
    noise,
    swarm::{
        ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
        NetworkBehaviour, NotifyHandler, Stream, SubstreamProtocol, SwarmEvent, THandler,
        THandlerInEvent, THandlerOutEvent, ToSwarm, handler::ConnectionEvent,
    },
    tcp, yamux,
};

use crate::support::{from_new_port, soon};

type Upgrade = ReadyUpgrade<StreamProtocol>;

/// Opens a substream when it is told to, and takes those of the other side.
#[derive(Debug)]
pub(crate) struct Handler {
    protocol: StreamProtocol,
    wanted: usize,
    ready: VecDeque<Stream>,
}

impl ConnectionHandler for Handler {
    type FromBehaviour = ();
    type ToBehaviour = Stream;
    type InboundProtocol = Upgrade;
    type OutboundProtocol = Upgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Upgrade> {
        SubstreamProtocol::new(ReadyUpgrade::new(self.protocol.clone()), ())
    }

    fn connection_keep_alive(&self) -> bool {
        true
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Upgrade, (), Stream>> {
        if let Some(stream) = self.ready.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(stream));
        }
        if self.wanted > 0 {
            self.wanted -= 1;
            let protocol = self.listen_protocol();
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, (): ()) {
        self.wanted += 1;
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Upgrade, Upgrade, (), ()>) {
        match event {
            ConnectionEvent::FullyNegotiatedOutbound(opened) => {
                self.ready.push_back(opened.protocol);
            }
            ConnectionEvent::FullyNegotiatedInbound(opened) => {
                self.ready.push_back(opened.protocol);
            }
            ConnectionEvent::DialUpgradeError(failed) => panic!("{}", failed.error),
            _ => {}
        }
    }
}

#[derive(Debug)]
pub(crate) struct Behaviour {
    protocol: StreamProtocol,
    events: VecDeque<ToSwarm<Stream, ()>>,
}

impl Behaviour {
    fn handler(&self) -> Handler {
        Handler {
            protocol: self.protocol.clone(),
            wanted: 0,
            ready: VecDeque::new(),
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Stream;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler())
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        stream: THandlerOutEvent<Self>,
    ) {
        self.events.push_back(ToSwarm::GenerateEvent(stream));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Stream, THandlerInEvent<Self>>> {
        self.events.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

/// The node, over TCP. It runs only while one of its methods is awaited, except that each connection
/// has a task of its own: a substream goes on without it.
pub(crate) struct Opener {
    swarm: Swarm<Behaviour>,
    pub(crate) address: Multiaddr,
}

impl Opener {
    /// One that speaks only this protocol.
    pub(crate) async fn speaking(protocol: &'static str) -> Self {
        let behaviour = Behaviour {
            protocol: StreamProtocol::new(protocol),
            events: VecDeque::new(),
        };
        let mut swarm = SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(
                tcp::Config::default(),
                noise::Config::new,
                yamux::Config::default,
            )
            .unwrap()
            .with_behaviour(|_| behaviour)
            .unwrap()
            .build();
        let listen = "/ip4/127.0.0.1/tcp/0".parse().unwrap();
        swarm.listen_on(listen).unwrap();
        let address = soon(async {
            loop {
                if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                    return address;
                }
            }
        })
        .await;
        let peer = *swarm.local_peer_id();
        let address = address.with_p2p(peer).unwrap();
        Self { swarm, address }
    }

    /// Dials and opens a substream.
    pub(crate) async fn open(&mut self, there: Multiaddr) -> Stream {
        self.swarm.dial(from_new_port(there)).unwrap();
        self.next(true).await
    }

    /// The next substream that the other side opens.
    pub(crate) async fn accept(&mut self) -> Stream {
        self.next(false).await
    }

    async fn next(&mut self, ask: bool) -> Stream {
        soon(async {
            loop {
                match self.swarm.select_next_some().await {
                    SwarmEvent::Behaviour(stream) => return stream,
                    SwarmEvent::ConnectionEstablished { peer_id, .. } if ask => {
                        let events = &mut self.swarm.behaviour_mut().events;
                        events.push_back(ToSwarm::NotifyHandler {
                            peer_id,
                            handler: NotifyHandler::Any,
                            event: (),
                        });
                    }
                    SwarmEvent::OutgoingConnectionError { error, .. } => panic!("{error}"),
                    _ => {}
                }
            }
        })
        .await
    }
}
