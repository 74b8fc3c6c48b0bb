//! A behaviour of Kademlia whose messages are seen: to count them, or to answer otherwise.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    kad::{self, KadPeer, QueryId, RecordKey},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, THandler,
        THandlerInEvent, THandlerOutEvent, ToSwarm,
    },
};
use o_discovery::swarm::dht;

/// What comes from Kademlia's handler and goes to it.
pub(super) type FromHandler = THandlerOutEvent<dht::Behaviour>;
pub(super) type ToHandler = THandlerInEvent<dht::Behaviour>;

/// The messages that a node has received, and how far its searches went.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    received: AtomicU64,
    hops: Mutex<Hops>,
}

/// How many round trips in a row a search took: the peers of the routing table are one away, those
/// that they tell of two, and so on. Where a search has several queries, one begins where those
/// before it have come to.
#[derive(Debug, Default)]
struct Hops {
    queries: HashMap<QueryId, (u32, HashMap<PeerId, u32>)>,
    deepest: u32,
    first: Option<u32>,
}

impl Counts {
    /// Messages received since the node started, questions and answers.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// A search begins.
    pub(crate) fn begin(&self) {
        *self.hops.lock().unwrap_or_else(PoisonError::into_inner) = Hops::default();
    }

    /// Round trips until the first provider was told of since [`Counts::begin`].
    pub(crate) fn hops(&self) -> Option<u32> {
        let hops = self.hops.lock().unwrap_or_else(PoisonError::into_inner);
        hops.first
    }

    fn on_message(&self, peer: PeerId, event: &FromHandler) {
        match event {
            FromHandler::FindNodeReq { .. }
            | FromHandler::FindNodeRes { .. }
            | FromHandler::GetProvidersReq { .. }
            | FromHandler::AddProvider { .. } => {}
            FromHandler::GetProvidersRes {
                closer_peers,
                provider_peers,
                query_id,
            } => {
                let mut hops = self.hops.lock().unwrap_or_else(PoisonError::into_inner);
                hops.on_answer(*query_id, peer, closer_peers, !provider_peers.is_empty());
            }
            _ => return,
        }
        self.received.fetch_add(1, Ordering::Relaxed);
    }
}

impl Hops {
    fn on_answer(&mut self, query: QueryId, peer: PeerId, closer: &[KadPeer], provided: bool) {
        let deepest = self.deepest;
        let (before, depths) = self
            .queries
            .entry(query)
            .or_insert_with(|| (deepest, HashMap::new()));
        let depth = *depths.entry(peer).or_insert(1);
        for told in closer {
            depths.entry(told.node_id).or_insert(depth + 1);
        }
        let total = *before + depth;
        self.deepest = deepest.max(total);
        if provided {
            self.first = Some(self.first.map_or(total, |first| first.min(total)));
        }
    }
}

/// Answers questions in the place of Kademlia.
pub(crate) trait Liar: Send + 'static {
    /// The closer peers and the providers that `asker` is told; no answer at all when it is `None`.
    fn answer(&mut self, asker: PeerId) -> Option<(Vec<KadPeer>, Vec<KadPeer>)>;
}

/// The table's behaviour, watched.
pub(crate) struct Watched {
    inner: dht::Behaviour,
    counts: Arc<Counts>,
    /// Whoever answers instead, and stores nothing.
    liar: Option<Box<dyn Liar>>,
    answers: VecDeque<ToSwarm<dht::Event, ToHandler>>,
    /// In whose name announcements are made that no query has led to.
    query: Option<QueryId>,
}

impl Watched {
    pub(crate) fn new(
        inner: dht::Behaviour,
        counts: Arc<Counts>,
        liar: Option<Box<dyn Liar>>,
    ) -> Self {
        Self {
            inner,
            counts,
            liar,
            answers: VecDeque::new(),
            query: None,
        }
    }

    /// Says to a connected peer that somebody provides a key.
    pub(crate) fn announce(&mut self, to: PeerId, key: RecordKey, provider: KadPeer) {
        let inner = &mut self.inner;
        let query_id = *self
            .query
            .get_or_insert_with(|| inner.get_providers(key.clone()));
        self.answers.push_back(ToSwarm::NotifyHandler {
            peer_id: to,
            handler: NotifyHandler::Any,
            event: ToHandler::AddProvider {
                key,
                provider,
                query_id,
            },
        });
    }

    pub(super) fn table(&mut self) -> &mut dht::Behaviour {
        &mut self.inner
    }

    /// Whether the event was a question or an announcement, and has been dealt with.
    fn lie(&mut self, peer_id: PeerId, event: &FromHandler) -> bool {
        let Some(liar) = &mut self.liar else {
            return false;
        };
        let event = match event {
            FromHandler::AddProvider { .. } => return true,
            FromHandler::FindNodeReq { request_id, .. } => {
                liar.answer(peer_id).map(|(closer_peers, _)| {
                    let request_id = *request_id;
                    ToHandler::FindNodeRes {
                        closer_peers,
                        request_id,
                    }
                })
            }
            FromHandler::GetProvidersReq { request_id, .. } => {
                liar.answer(peer_id).map(|(closer_peers, provider_peers)| {
                    let request_id = *request_id;
                    ToHandler::GetProvidersRes {
                        closer_peers,
                        provider_peers,
                        request_id,
                    }
                })
            }
            _ => return false,
        };
        self.answers
            .extend(event.map(|event| ToSwarm::NotifyHandler {
                peer_id,
                handler: NotifyHandler::Any,
                event,
            }));
        true
    }
}

impl NetworkBehaviour for Watched {
    type ConnectionHandler = THandler<dht::Behaviour>;
    type ToSwarm = dht::Event;

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner
            .handle_established_inbound_connection(id, peer, local, remote)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.inner
            .handle_pending_outbound_connection(id, peer, addresses, role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner
            .handle_established_outbound_connection(id, peer, address, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, id: ConnectionId, event: FromHandler) {
        self.counts.on_message(peer, &event);
        if !self.lie(peer, &event) {
            self.inner.on_connection_handler_event(peer, id, event);
        }
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        match self.answers.pop_front() {
            Some(answer) => Poll::Ready(answer),
            None => self.inner.poll(context),
        }
    }
}

/// A peer as an answer tells of it.
pub(crate) fn told(peer: PeerId, address: Multiaddr) -> KadPeer {
    KadPeer {
        node_id: peer,
        multiaddrs: vec![address],
        connection_ty: kad::ConnectionType::NotConnected,
    }
}
