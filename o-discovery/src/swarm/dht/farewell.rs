//! Whom this node told what it provides, and telling them that it no longer does.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use libp2p::{
    Multiaddr, PeerId,
    kad::{self, ConnectionType, K_VALUE, KadPeer, QueryId, RecordKey},
    multiaddr::Protocol,
    swarm::{
        DialError, FromSwarm, NotifyHandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
        dial_opts::{DialOpts, PeerCondition},
    },
};

use super::{ProviderStore, handle::Reply};

type ToHandler = THandlerInEvent<kad::Behaviour<ProviderStore>>;
type FromHandler = THandlerOutEvent<kad::Behaviour<ProviderStore>>;
pub(super) type Outgoing = ToSwarm<kad::Event, ToHandler>;

/// Most peers that are remembered for a key: those of the last announcement and as many before. How
/// many an announcement goes to is Kademlia's k, which is the same for the whole network: nobody needs
/// another bound.
const MAX_TOLD: usize = 2 * K_VALUE.get();

/// The address that takes an announcement back: nothing but the provider itself, which leads
/// nowhere. No address at all would not do, since a node that knows none of its own has none to
/// announce.
pub(super) fn withdrawn(provider: &PeerId) -> Multiaddr {
    Multiaddr::empty().with(Protocol::P2p(*provider))
}

/// Whether these addresses take the announcement of `provider` back.
pub(super) fn is_withdrawal(addresses: &[Multiaddr], provider: &PeerId) -> bool {
    let marker = withdrawn(provider);
    !addresses.is_empty() && addresses.iter().all(|address| *address == marker)
}

/// Somebody who waits until everybody has been told. Answers when the last clone is dropped.
#[derive(Debug, Default)]
pub(super) struct Waiter(pub(super) Option<Reply>);

impl Drop for Waiter {
    fn drop(&mut self) {
        if let Some(reply) = self.0.take() {
            let _ = reply.send(Ok(())); // Whoever asked may have gone.
        }
    }
}

/// Watches the announcements that go out, so that each can be taken back where it went.
///
/// A withdrawal is ADD_PROVIDER once more, with the address that leads nowhere. As ADD_PROVIDER has
/// no answer, a question follows on its heels: whoever answers that has the withdrawal too. Both go
/// past Kademlia's queries, which would begin with a search.
pub(super) struct Farewells {
    local: PeerId,
    /// Most peers that are dialed at once.
    max_dials: usize,
    told: HashMap<RecordKey, Told>,
    connected: HashSet<PeerId>,
    /// For peers that are being dialed.
    owed: HashMap<PeerId, Vec<Farewell>>,
    /// Those whose question was not answered yet.
    sent: HashMap<(PeerId, QueryId), Arc<Waiter>>,
    ready: VecDeque<Outgoing>,
}

#[derive(Debug)]
struct Told {
    /// The announcement, of this key only. A question that borrows its id is told from its own by
    /// its kind.
    query: QueryId,
    peers: Vec<PeerId>,
}

#[derive(Debug)]
struct Farewell {
    key: RecordKey,
    query: QueryId,
    waiter: Arc<Waiter>,
}

impl Farewells {
    pub(super) fn new(local: PeerId, max_dials: usize) -> Self {
        Self {
            local,
            max_dials,
            told: HashMap::new(),
            connected: HashSet::new(),
            owed: HashMap::new(),
            sent: HashMap::new(),
            ready: VecDeque::new(),
        }
    }

    /// What is to be done next.
    pub(super) fn next(&mut self) -> Option<Outgoing> {
        self.ready.pop_front()
    }

    /// Takes `key` back from everybody who was told.
    pub(super) fn withdraw(&mut self, key: &RecordKey, waiter: &Arc<Waiter>) {
        let Some(Told { query, peers }) = self.told.remove(key) else {
            return;
        };
        for peer in peers {
            let farewell = Farewell {
                key: key.clone(),
                query,
                waiter: waiter.clone(),
            };
            if self.connected.contains(&peer) {
                self.send(peer, farewell);
            } else if let Some(owed) = self.owed.get_mut(&peer) {
                owed.push(farewell);
            } else if self.owed.len() < self.max_dials {
                self.owed.insert(peer, vec![farewell]);
                self.dial(peer);
            }
        }
    }

    /// Has a peer dialed that is not connected.
    pub(super) fn dial(&mut self, peer: PeerId) {
        let opts = DialOpts::peer_id(peer)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .build();
        self.ready.push_back(ToSwarm::Dial { opts });
    }

    /// Whether `peer` is connected.
    pub(super) fn is_connected(&self, peer: &PeerId) -> bool {
        self.connected.contains(peer)
    }

    /// Lets an announcement pass and remembers whom it goes to; one that has been withdrawn
    /// meanwhile goes no further.
    pub(super) fn on_outgoing(
        &mut self,
        event: Outgoing,
        provided: impl FnOnce(&RecordKey) -> bool,
    ) -> Option<Outgoing> {
        if let ToSwarm::NotifyHandler {
            peer_id,
            event: ToHandler::AddProvider { key, query_id, .. },
            ..
        } = &event
        {
            if !provided(key) {
                return None;
            }
            let told = self.told.entry(key.clone()).or_insert_with(|| Told {
                query: *query_id,
                peers: Vec::new(),
            });
            told.query = *query_id;
            told.peers.retain(|peer| peer != peer_id);
            told.peers.push(*peer_id);
            if told.peers.len() > MAX_TOLD {
                told.peers.remove(0);
            }
        }
        Some(event)
    }

    /// Takes in what a peer answered; whether it was for us.
    pub(super) fn on_answer(&mut self, peer: PeerId, event: &FromHandler) -> bool {
        let query = match event {
            FromHandler::GetProvidersRes { query_id, .. }
            | FromHandler::QueryError { query_id, .. } => *query_id,
            _ => return false,
        };
        self.sent.remove(&(peer, query)).is_some()
    }

    pub(super) fn on_swarm_event(&mut self, event: &FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(established) => {
                let peer = established.peer_id;
                self.connected.insert(peer);
                for farewell in self.owed.remove(&peer).unwrap_or_default() {
                    self.send(peer, farewell);
                }
            }
            FromSwarm::ConnectionClosed(closed) if closed.remaining_established == 0 => {
                self.connected.remove(&closed.peer_id);
                self.sent.retain(|(peer, _), _| *peer != closed.peer_id);
            }
            FromSwarm::DialFailure(failure) => {
                // A dial that another one makes superfluous is followed by that one's outcome.
                if let Some(peer) = failure.peer_id
                    && !matches!(failure.error, DialError::DialPeerConditionFalse(_))
                {
                    self.owed.remove(&peer);
                }
            }
            _ => {}
        }
    }

    fn send(&mut self, peer_id: PeerId, farewell: Farewell) {
        let Farewell { key, query, waiter } = farewell;
        let provider = KadPeer {
            node_id: self.local,
            multiaddrs: vec![withdrawn(&self.local)],
            connection_ty: ConnectionType::Connected,
        };
        let withdrawal = ToHandler::AddProvider {
            key: key.clone(),
            provider,
            query_id: query,
        };
        let question = ToHandler::GetProvidersReq {
            key,
            query_id: query,
        };
        for event in [withdrawal, question] {
            self.ready.push_back(ToSwarm::NotifyHandler {
                peer_id,
                handler: NotifyHandler::Any,
                event,
            });
        }
        self.sent.insert((peer_id, query), waiter);
    }
}

#[cfg(test)]
mod tests {
    use libp2p::kad::store::MemoryStore;

    use super::*;

    #[test]
    fn no_more_peers_are_dialed_at_once_than_configured() {
        let local = PeerId::random();
        for (max_dials, expected) in [(0, 0), (2, 2), (9, 3)] {
            let mut farewells = Farewells::new(local, max_dials);
            let key = RecordKey::new(&"key");
            let mut kad = kad::Behaviour::new(local, MemoryStore::new(local));
            let told = Told {
                query: kad.get_closest_peers(local),
                peers: (0..3).map(|_| PeerId::random()).collect(),
            };
            farewells.told.insert(key.clone(), told);
            farewells.withdraw(&key, &Arc::default());
            let outgoing = std::iter::from_fn(|| farewells.next());
            let dials = outgoing.filter(|event| matches!(event, ToSwarm::Dial { .. }));
            assert_eq!(dials.count(), expected);
        }
    }
}
