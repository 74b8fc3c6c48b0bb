//! Kademlia's behaviour, dialing only addresses that are worth it.

use std::{
    collections::VecDeque,
    fmt, io,
    ops::{Deref, DerefMut},
    sync::Arc,
    task::{Context, Poll, ready},
};

use libp2p::{
    Multiaddr, PeerId, StreamProtocol,
    core::{Endpoint, transport::PortUse},
    kad::{self, BucketInserts, Caching, K_VALUE, KadPeer, Mode, QueryId, RecordKey, StoreInserts},
    swarm::{
        ConnectionDenied, ConnectionId, DialError, FromSwarm, NetworkBehaviour, THandler,
        THandlerInEvent, THandlerOutEvent, ToSwarm, behaviour::DialFailure,
    },
};
use o_core::NetworkId;
use o_transport::io_error_kind;
use tracing::debug;

use super::{
    DhtConfig, DhtMode, ProviderStore,
    farewell::{Farewells, Waiter},
    table_addresses,
};
use crate::swarm::addresses::{filtered, usable};

/// Largest message, in bytes: twenty providers and twenty closer peers with eight addresses of 160
/// bytes each fit in it. All nodes of a network must agree.
const MAX_PACKET: usize = 64 * 1024;

/// The behaviour of the table: libp2p's Kademlia, to which it dereferences.
///
/// It changes four things. Of the addresses that other nodes give for a peer, only those are dialed
/// that [`DhtConfig`] allows, and at most `max_addresses` of them: otherwise anybody who answers a
/// query could have us knock at addresses of their choice, in our own network too. A peer that
/// cannot be reached at any of its addresses leaves the routing table, where Kademlia keeps it for
/// others to run into. An announcement can be taken back from those who were told. And the providers
/// that a peer tells of are no stations of the query, as they are in Kademlia: a search for many
/// would dial every one of them, also those that answer no questions.
pub struct Behaviour {
    kad: kad::Behaviour<ProviderStore>,
    farewells: Farewells,
    /// What peers have told of providers, an answer each; emptied whenever this is polled.
    told: VecDeque<Told>,
    allow_private: bool,
    max_addresses: usize,
    local: PeerId,
    /// Whether it is still to be seen that others can reach this node.
    auto: bool,
}

/// Something for [`State::on_event`](super::State::on_event).
#[derive(Debug)]
pub struct Event(pub(super) Kind);

#[derive(Debug)]
pub(super) enum Kind {
    Kad(Box<kad::Event>),
    Told(Told),
}

/// A peer's answer to the question who provides a key.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) query: QueryId,
    /// Nothing here has been checked.
    pub(super) providers: Vec<(PeerId, Vec<Multiaddr>)>,
}

/// The protocol id of a network's table: `/o-kad/1/<network>`.
#[expect(
    clippy::expect_used,
    reason = "a text that begins with a slash is a protocol id"
)]
pub fn protocol(network: &NetworkId) -> StreamProtocol {
    StreamProtocol::try_from_owned(format!("/o-kad/1/{network}")).expect("it begins with a slash")
}

/// A behaviour for the node `peer`.
pub fn behaviour(peer: PeerId, network: &NetworkId, config: &DhtConfig) -> Behaviour {
    let mut settings = kad::Config::new(protocol(network));
    settings
        .set_record_filtering(StoreInserts::FilterBoth)
        .set_kbucket_inserts(BucketInserts::Manual)
        .set_caching(Caching::Disabled)
        .disjoint_query_paths(true)
        .set_parallelism(config.parallelism)
        .set_query_timeout(config.query_timeout)
        .set_substreams_timeout(config.answer_timeout)
        .set_max_packet_size(MAX_PACKET)
        .set_provider_record_ttl(Some(config.provider_ttl))
        // `State` announces again, so that it can bound how much is under way.
        .set_provider_publication_interval(None)
        .set_replication_interval(None)
        .set_publication_interval(None)
        // `State` refreshes the routing table.
        .set_periodic_bootstrap_interval(None);
    let store = ProviderStore::new(peer, config);
    let mut kad = kad::Behaviour::with_config(peer, store, settings);
    match config.mode {
        DhtMode::Auto => {}
        DhtMode::Client => kad.set_mode(Some(Mode::Client)),
        DhtMode::Server => kad.set_mode(Some(Mode::Server)),
    }
    Behaviour {
        kad,
        farewells: Farewells::new(peer, config.max_withdraw_dials),
        told: VecDeque::new(),
        allow_private: config.allow_private,
        max_addresses: config.max_addresses,
        local: peer,
        auto: config.mode == DhtMode::Auto,
    }
}

impl Behaviour {
    /// Takes back from everybody who was told that this node provides `key`, which it has stopped.
    /// `waiter` is held until they have answered or are gone.
    pub(super) fn withdraw(&mut self, key: &RecordKey, waiter: &Arc<Waiter>) {
        self.farewells.withdraw(key, waiter);
    }

    /// Dials a peer of the routing table that may be gone; it leaves the table if it is.
    pub(super) fn look_after(&mut self, peer: PeerId) {
        if !table_addresses(self, &peer).is_empty() {
            self.farewells.dial(peer);
        }
    }

    /// Keeps what an answer tells of providers from Kademlia, and no more peers than an answer may
    /// hold.
    fn on_answer(&mut self, event: &mut THandlerOutEvent<kad::Behaviour<ProviderStore>>) {
        type FromHandler = THandlerOutEvent<kad::Behaviour<ProviderStore>>;
        match event {
            FromHandler::FindNodeRes { closer_peers, .. } => closer_peers.truncate(K_VALUE.get()),
            FromHandler::GetProvidersRes {
                closer_peers,
                provider_peers,
                query_id,
            } => {
                closer_peers.truncate(K_VALUE.get());
                // Nobody honest tells of more, and one liar should not fill a search.
                provider_peers.truncate(K_VALUE.get());
                let query = *query_id;
                let providers = std::mem::take(provider_peers).into_iter();
                if providers.len() > 0 && self.kad.query(&query).is_some() {
                    let of = |peer: KadPeer| (peer.node_id, peer.multiaddrs);
                    let providers = providers.map(of).collect();
                    self.told.push_back(Told { query, providers });
                }
            }
            _ => {}
        }
    }

    /// After Kademlia, which forgets each address that failed but the last.
    fn on_dial_failure(&mut self, failure: &DialFailure<'_>) {
        let (Some(peer), DialError::Transport(errors)) = (failure.peer_id, failure.error) else {
            return;
        };
        // Where our own network is down nobody can be reached, and everybody may still be there.
        let ours = errors.iter().any(|(_, error)| {
            matches!(
                io_error_kind(error),
                Some(io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown)
            )
        });
        let held = table_addresses(self, &peer);
        let tried = |address| errors.iter().any(|(failed, _)| failed == address);
        let gone = !ours && held.iter().all(tried) && !self.farewells.is_connected(&peer);
        if gone && self.kad.remove_peer(&peer).is_some() {
            debug!(%peer, "peer left the routing table: it cannot be reached");
        }
    }
}

impl Deref for Behaviour {
    type Target = kad::Behaviour<ProviderStore>;

    fn deref(&self) -> &Self::Target {
        &self.kad
    }
}

impl DerefMut for Behaviour {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.kad
    }
}

impl fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Behaviour")
            .field("allow_private", &self.allow_private)
            .finish_non_exhaustive()
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = THandler<kad::Behaviour<ProviderStore>>;
    type ToSwarm = Event;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.kad
            .handle_pending_inbound_connection(id, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.kad
            .handle_established_inbound_connection(id, peer, local, remote)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let known = self
            .kad
            .handle_pending_outbound_connection(id, peer, addresses, role)?;
        let Some(peer) = peer else {
            return Ok(Vec::new());
        };
        Ok(filtered(
            &known,
            &peer,
            self.allow_private,
            self.max_addresses,
        ))
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.kad
            .handle_established_outbound_connection(id, peer, address, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.farewells.on_swarm_event(&event);
        self.kad.on_swarm_event(event);
        match &event {
            FromSwarm::DialFailure(failure) => self.on_dial_failure(failure),
            // Kademlia itself waits for an external address, of which nobody tells a server that has a
            // public address of its own.
            FromSwarm::NewListenAddr(listen)
                if self.auto && usable(listen.addr, &self.local, self.allow_private).is_some() =>
            {
                self.auto = false;
                self.kad.set_mode(Some(Mode::Server));
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        mut event: THandlerOutEvent<Self>,
    ) {
        if !self.farewells.on_answer(peer, &event) {
            self.on_answer(&mut event);
            self.kad.on_connection_handler_event(peer, id, event);
        }
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        let of_kad = |event| Event(Kind::Kad(Box::new(event)));
        loop {
            if let Some(event) = self.farewells.next() {
                return Poll::Ready(event.map_out(of_kad));
            }
            // Before Kademlia says that the query is over.
            if let Some(told) = self.told.pop_front() {
                return Poll::Ready(ToSwarm::GenerateEvent(Event(Kind::Told(told))));
            }
            let event = ready!(self.kad.poll(context));
            let Self { kad, farewells, .. } = self;
            let provided = |key: &RecordKey| kad.store_mut().provides(key);
            if let Some(event) = farewells.on_outgoing(event, provided) {
                return Poll::Ready(event.map_out(of_kad));
            }
        }
    }
}
