//! Who listens where in a network in memory, who is connected, and who is kept apart.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use o_address::{PeerId, TransportAddr};
use o_core::{ConnectionGater, DialError, ListenError};
use tokio::sync::{mpsc, watch};

use super::{MemoryConfig, connection::MemoryConnection, link::Link, refusals::Refusals};

/// Numbers that the network gives out begin here, so that small ones stay for those who choose.
const FIRST_GIVEN: u64 = 1 << 32;

#[derive(Debug)]
pub(super) struct Registry {
    pub(super) config: MemoryConfig,
    state: Mutex<State>,
    /// Counts changes of `State::partitions`.
    partitions: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    listeners: BTreeMap<u64, Listening>,
    next: u64,
    links: Vec<Weak<Link>>,
    partitions: BTreeSet<(PeerId, PeerId)>,
}

/// What a dialer needs to know of a listener.
#[derive(Clone, Debug)]
pub(super) struct Listening {
    /// Who listens: the registry vouches for it.
    pub(super) peer: PeerId,
    pub(super) gater: Option<Arc<dyn ConnectionGater>>,
    pub(super) accepted: mpsc::Sender<Arc<MemoryConnection>>,
    pub(super) refusals: Arc<Refusals>,
}

fn pair(a: PeerId, b: PeerId) -> (PeerId, PeerId) {
    if a <= b { (a, b) } else { (b, a) }
}

/// The number in `/memory/<number>`, with or without a peer id behind it.
pub(super) fn number(address: &TransportAddr) -> Option<u64> {
    let place = address.without_peer()?;
    let digits = place.as_str().strip_prefix("/memory/")?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

#[expect(
    clippy::expect_used,
    reason = "a slash, a word, a slash and a number are an address"
)]
pub(super) fn address(number: u64) -> TransportAddr {
    format!("/memory/{number}")
        .parse()
        .expect("the shape of an address")
}

impl Registry {
    pub(super) fn new(config: MemoryConfig) -> Self {
        let state = State {
            listeners: BTreeMap::new(),
            next: FIRST_GIVEN,
            links: Vec::new(),
            partitions: BTreeSet::new(),
        };
        Self {
            config,
            state: Mutex::new(state),
            partitions: watch::Sender::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that nobody has had.
    pub(super) fn fresh(&self) -> u64 {
        let state = &mut *self.lock();
        state.next += 1;
        state.next
    }

    pub(super) fn listen(&self, number: u64, listening: Listening) -> Result<u64, ListenError> {
        let number = if number == 0 { self.fresh() } else { number };
        let state = &mut *self.lock();
        if state.listeners.contains_key(&number) {
            return Err(ListenError::InUse);
        }
        state.listeners.insert(number, listening);
        Ok(number)
    }

    pub(super) fn unlisten(&self, number: u64) {
        let gone = self.lock().listeners.remove(&number);
        drop(gone);
    }

    pub(super) fn listener(&self, number: u64) -> Option<Listening> {
        self.lock().listeners.get(&number).cloned()
    }

    /// Takes a new connection into the books.
    pub(super) fn connected(&self, link: &Arc<Link>) -> Result<(), DialError> {
        let state = &mut *self.lock();
        state
            .links
            .retain(|link| link.upgrade().is_some_and(|link| !link.is_over()));
        if state.links.len() >= self.config.max_connections {
            return Err(DialError::Busy {
                limit: "max_connections",
            });
        }
        state.links.push(Arc::downgrade(link));
        Ok(())
    }

    pub(super) fn links(&self) -> Vec<Arc<Link>> {
        let state = self.lock();
        state
            .links
            .iter()
            .filter_map(Weak::upgrade)
            .filter(|link| link.is_open())
            .collect()
    }

    /// The links between two peers, closed ones too: the other end may not know yet.
    pub(super) fn links_between(&self, a: PeerId, b: PeerId) -> Vec<Arc<Link>> {
        let state = self.lock();
        state
            .links
            .iter()
            .filter_map(Weak::upgrade)
            .filter(|link| link.joins(a, b))
            .collect()
    }

    pub(super) fn set_partition(&self, a: PeerId, b: PeerId, apart: bool) {
        {
            let partitions = &mut self.lock().partitions;
            if apart {
                partitions.insert(pair(a, b));
            } else {
                partitions.remove(&pair(a, b));
            }
        }
        self.partitions.send_modify(|version| *version += 1);
    }

    /// Waits until nothing keeps two peers apart.
    pub(super) async fn reachable(&self, a: PeerId, b: PeerId) {
        let mut changes = self.partitions.subscribe();
        while self.lock().partitions.contains(&pair(a, b)) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}
