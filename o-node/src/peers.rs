//! Who is connected now, by peer and by the names that they say they host.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use o_address::{Address, PeerId, TransportAddr};
use o_core::Direction;
use o_pool::Link as _;
use o_protocol::Hello;
use tokio::sync::Notify;

use crate::{
    link::{Link, worth},
    reputation::{Entry, Ledger},
};

/// The connections of a node. The Swarm's limits bound their number, and a HELLO the names of each.
#[derive(Debug)]
pub(crate) struct Peers {
    tables: Mutex<Tables>,
    max_met: usize,
    ledger: Arc<Ledger>,
    added: Notify,
}

/// How long the first call of a connection waits for the node to note the connection.
const NOTING: Duration = Duration::from_secs(1);

/// Most addresses that are remembered of a peer that was met.
const MAX_MET_AT: usize = 8;

#[derive(Debug, Default)]
struct Tables {
    by_peer: HashMap<PeerId, Vec<Link>>,
    /// By name, for every call asks: a look through all connections would be paid by each.
    by_name: HashMap<Box<str>, Vec<Link>>,
    /// Those whose HELLO has not been looked at.
    opening: Vec<Link>,
    /// Peers that can be dialed again, the latest first.
    met: VecDeque<(PeerId, Vec<TransportAddr>)>,
}

impl Peers {
    /// No connections yet; of those to come `max_met` peers are remembered.
    pub(crate) fn new(max_met: usize, ledger: Arc<Ledger>) -> Self {
        Self {
            tables: Mutex::default(),
            max_met,
            ledger,
            added: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a peer, connected or not.
    pub(crate) fn known(&self, peer: PeerId) -> Arc<Entry> {
        self.ledger.entry(peer)
    }

    pub(crate) fn add(&self, link: Link) {
        let mut tables = self.lock();
        // Also where nobody ever asks for a name: whoever goes is looked for among these.
        tables.index();
        tables.opening.push(link.clone());
        if link.direction == Direction::Outbound {
            tables.meet(self.max_met, link.peer, &[(*link.remote).clone()]);
        }
        tables.by_peer.entry(link.peer).or_default().push(link);
        drop(tables);
        self.added.notify_waiters();
    }

    /// Waits until a connection to `peer` is here, for a second at most.
    pub(crate) async fn noted(&self, peer: &PeerId) {
        let here = async {
            loop {
                let added = self.added.notified();
                if self.get(peer).is_some() {
                    return;
                }
                added.await;
            }
        };
        if tokio::time::timeout(NOTING, here).await.is_err() {
            tracing::debug!(%peer, "a call came over a connection that is not noted");
        }
    }

    pub(crate) fn remove(&self, link: &Link) {
        let mut tables = self.lock();
        tables.opening.retain(|other| other.id() != link.id());
        take_out(&mut tables.by_peer, &link.peer, link);
        if let Some(hello) = link.hello() {
            for name in hello.hosted.iter().map(Address::name) {
                take_out(&mut tables.by_name, name, link);
            }
        }
    }

    /// Those that say they host `address`.
    pub(crate) fn hosting(&self, address: &Address) -> Vec<Link> {
        let mut tables = self.lock();
        tables.index();
        let links = tables.by_name.get(address.name());
        let alive = links.into_iter().flatten().filter(|link| link.is_alive());
        alive.cloned().collect()
    }

    /// The first of them that a call goes to: whom we dialed before who came to us.
    pub(crate) fn first_hosting(&self, address: &Address) -> Option<PeerId> {
        let mut tables = self.lock();
        tables.index();
        let links = tables.by_name.get(address.name())?;
        let wanted = |peer| address.pin().is_none_or(|pin| pin == peer);
        let alive = links
            .iter()
            .filter(|link| wanted(link.peer) && link.is_alive());
        let first = alive.min_by_key(|link| link.direction == Direction::Inbound);
        first.map(|link| link.peer)
    }

    pub(crate) fn get(&self, peer: &PeerId) -> Option<Link> {
        self.lock()
            .by_peer
            .get(peer)?
            .iter()
            .find(|link| link.is_alive())
            .cloned()
    }

    /// Whether there is a live connection to `peer` that is no worse than one at `address` would be.
    pub(crate) fn has_as_good(&self, peer: &PeerId, address: &TransportAddr) -> bool {
        let tables = self.lock();
        let links = tables.by_peer.get(peer).into_iter().flatten();
        let mut alive = links.filter(|link| link.is_alive());
        alive.any(|link| worth(&link.remote) >= worth(address))
    }

    /// Whether this node has dialed another live connection to the same peer, and one that is no worse.
    ///
    /// One that the peer dialed does not count: where both dial at once and each closed its own, none
    /// would be left.
    pub(crate) fn has_dialed_as_good(&self, link: &Link) -> bool {
        let tables = self.lock();
        let links = tables.by_peer.get(&link.peer).into_iter().flatten();
        let mut others = links.filter(|other| other.id() != link.id() && other.is_alive());
        others.any(|other| {
            other.direction == Direction::Outbound && worth(&other.remote) >= worth(&link.remote)
        })
    }

    /// Peers that were reached or found lately, and where, the latest first.
    pub(crate) fn met(&self) -> Vec<(PeerId, Vec<TransportAddr>)> {
        self.lock().met.iter().cloned().collect()
    }

    /// Where `peer` was reached or found lately.
    pub(crate) fn met_at(&self, peer: &PeerId) -> Vec<TransportAddr> {
        let tables = self.lock();
        let met = tables.met.iter().find(|(other, _)| other == peer);
        met.map(|(_, addresses)| addresses.clone())
            .unwrap_or_default()
    }

    /// Remembers where a peer can be reached; of too many peers the one that was met the longest ago is
    /// forgotten.
    pub(crate) fn meet(&self, peer: PeerId, addresses: &[TransportAddr]) {
        self.lock().meet(self.max_met, peer, addresses);
    }

    pub(crate) fn all(&self) -> Vec<Link> {
        self.lock().by_peer.values().flatten().cloned().collect()
    }

    /// Connections whose bytes are in the clear.
    pub(crate) fn plaintext(&self) -> usize {
        let tables = self.lock();
        let links = tables.by_peer.values().flatten();
        links.filter(|link| link.plaintext).count()
    }

    /// Those on which the deadline of a call has passed at `now`. The others are not cloned: this is
    /// asked a few times a second, and most of many connections have no call.
    pub(crate) fn due(&self, now: Instant) -> Vec<Link> {
        let tables = self.lock();
        let links = tables.by_peer.values().flatten();
        links
            .filter(|link| link.session.is_due(now))
            .cloned()
            .collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.lock().by_peer.len()
    }
}

impl Tables {
    fn meet(&mut self, max: usize, peer: PeerId, addresses: &[TransportAddr]) {
        let at = self.met.iter().position(|(other, _)| *other == peer);
        let known = at.and_then(|at| self.met.remove(at));
        let known = known.map(|(_, addresses)| addresses).unwrap_or_default();
        let mut all: Vec<TransportAddr> = Vec::new();
        for address in addresses.iter().chain(&known) {
            if !all.contains(address) && all.len() < MAX_MET_AT {
                all.push(address.clone());
            }
        }
        if !all.is_empty() {
            self.met.push_front((peer, all));
        }
        self.met.truncate(max);
    }

    /// Enters the names of those whose HELLO has come since.
    fn index(&mut self) {
        let said = |link: &mut Link| link.hello().is_some();
        for link in self.opening.extract_if(.., said) {
            let hello: Option<Arc<Hello>> = link.hello();
            for name in hello.iter().flat_map(|hello| &hello.hosted) {
                let links = self.by_name.entry(name.name().into()).or_default();
                // A HELLO may have a name twice.
                if links.iter().all(|other| other.id() != link.id()) {
                    links.push(link.clone());
                }
            }
        }
    }
}

/// Takes a link out of a table, and its row with it if it was the last.
fn take_out<K, Q>(table: &mut HashMap<K, Vec<Link>>, key: &Q, link: &Link)
where
    K: std::borrow::Borrow<Q> + std::hash::Hash + Eq,
    Q: std::hash::Hash + Eq + ?Sized,
{
    if let Some(links) = table.get_mut(key) {
        links.retain(|other| other.id() != link.id());
        if links.is_empty() {
            table.remove(key);
        }
    }
}
