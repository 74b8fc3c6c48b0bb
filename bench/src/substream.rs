//! A bare libp2p substream that lives as long as its connection, with frames on it.

use std::{
    collections::VecDeque,
    task::{Context, Poll},
};

use anyhow::bail;
use bytes::Bytes;
use futures::StreamExt as _;
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm,
    core::{Endpoint, transport::PortUse, upgrade::ReadyUpgrade},
    swarm::{
        ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
        NetworkBehaviour, NotifyHandler, Stream, SubstreamProtocol, SwarmEvent, THandler,
        THandlerInEvent, THandlerOutEvent, ToSwarm, handler::ConnectionEvent,
    },
};
use tokio::task::AbortHandle;
use tokio_util::compat::FuturesAsyncReadCompatExt as _;

use crate::{
    contender::{Client, Op},
    libp2p_node,
    mux::{self, Mux},
};

const PROTOCOL: StreamProtocol = StreamProtocol::new("/bench/stream/1");

type Upgrade = ReadyUpgrade<StreamProtocol>;

/// Opens a substream when it is told to, and hands out those of both sides.
#[derive(Debug, Default)]
pub(crate) struct Handler {
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
        SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), ())
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
                self.ready.push_back(opened.protocol)
            }
            ConnectionEvent::FullyNegotiatedInbound(opened) => {
                self.ready.push_back(opened.protocol)
            }
            _ => {}
        }
    }
}

/// One [`Handler`] for each connection; with `open`, each dialed connection gets a substream at once.
#[derive(Debug, Default)]
pub(crate) struct Behaviour {
    open: bool,
    events: VecDeque<ToSwarm<Stream, ()>>,
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
        Ok(Handler::default())
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer_id: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if self.open {
            self.events.push_back(ToSwarm::NotifyHandler {
                peer_id,
                handler: NotifyHandler::One(connection),
                event: (),
            });
        }
        Ok(Handler::default())
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

/// Serves and says where.
pub(crate) async fn serve() -> anyhow::Result<String> {
    let mut swarm = libp2p_node::swarm(Behaviour::default())?;
    let address = libp2p_node::listen(&mut swarm).await?;
    tokio::spawn(async move {
        loop {
            if let SwarmEvent::Behaviour(stream) = swarm.select_next_some().await {
                let (reader, writer) = tokio::io::split(stream.compat());
                tokio::spawn(mux::answer(reader, writer, mux::READ_LESS));
            }
        }
    });
    Ok(address.to_string())
}

/// Calls over the substream; the swarm runs in a task of its own.
#[derive(Clone, Debug)]
pub(crate) struct Substream {
    mux: Mux,
    swarm: AbortHandle,
}

impl Client for Substream {
    type Prepared = Swarm<Behaviour>;

    async fn prepare() -> anyhow::Result<Swarm<Behaviour>> {
        libp2p_node::swarm(Behaviour {
            open: true,
            ..Behaviour::default()
        })
    }

    async fn connect(mut swarm: Swarm<Behaviour>, address: &str) -> anyhow::Result<Self> {
        swarm.dial(address.parse::<Multiaddr>()?)?;
        let stream = loop {
            match swarm.select_next_some().await {
                SwarmEvent::Behaviour(stream) => break stream,
                SwarmEvent::OutgoingConnectionError { error, .. } => bail!("{error}"),
                _ => {}
            }
        };
        let run = async move { while swarm.next().await.is_some() {} };
        let swarm = tokio::spawn(run).abort_handle();
        let (reader, writer) = tokio::io::split(stream.compat());
        let mux = Mux::start(reader, writer, mux::READ_LESS);
        Ok(Self { mux, swarm })
    }

    async fn call(&self, op: Op, body: Bytes) -> anyhow::Result<Bytes> {
        self.mux.call(op, body).await
    }

    async fn close(self) {
        self.mux.close();
        self.swarm.abort();
    }
}
