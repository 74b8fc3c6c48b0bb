//! The pool's state: connections, dials under way, failures. It has no clock, task or lock.

mod evict;
mod fill;
mod links;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use futures::future::AbortRegistration;
use o_address::{PeerId, TransportAddr};
use o_core::{DialError, Direction};
use tokio::time::Instant;

use crate::{
    AcquireError, Lease, Link, PoolConfig, PoolFull, PoolStats,
    backoff::{Backoffs, Verdict, distinct},
    lease::Entry,
};

/// Everything that a pool knows. `T` is what a caller waits for, one for each dial; the state only
/// keeps it for those who come later.
///
/// Nothing is closed here: links to close are given back, to be closed when the lock is free.
#[derive(Debug)]
pub(crate) struct PoolState<L, T> {
    config: PoolConfig,
    peers: HashMap<PeerId, Vec<Slot<L>>>,
    /// The number of slots in `peers`.
    connections: usize,
    dials: HashMap<PeerId, Dial<T>>,
    /// Callers that wait, also for dials that have just ended.
    waiters: usize,
    backoffs: Backoffs,
    /// Whoever is not dialed of our own accord, the oldest first.
    unwelcome: VecDeque<PeerId>,
    /// How many times each peer is protected.
    protected: HashMap<PeerId, usize>,
    /// Connections that nobody watches yet, all of them in `peers`.
    unwatched: Vec<(Arc<Entry<L>>, AbortRegistration)>,
    next_serial: u64,
    closed: bool,
    totals: PoolStats,
}

/// A connection in the pool, with what only the state needs to know.
#[derive(Debug)]
struct Slot<L> {
    entry: Arc<Entry<L>>,
    /// The link's count of calls when it was last looked at.
    calls_seen: u64,
}

#[derive(Debug)]
struct Dial<T> {
    serial: u64,
    ticket: T,
    waiters: usize,
    /// Where to dial, until the dial begins.
    addresses: Option<Vec<TransportAddr>>,
}

/// A connection that has left the pool and is to be closed.
#[derive(Debug)]
pub(crate) struct Closing<L> {
    pub(crate) link: L,
    pub(crate) reason: &'static str,
    /// Whether it was never taken in.
    pub(crate) refused: bool,
}

/// What a caller gets who asks for a connection.
#[derive(Debug)]
pub(crate) enum Begin<L, T> {
    /// A connection.
    Ready(Lease<L>),
    /// A dial to wait for, of this serial number. [`PoolState::leave`] must follow.
    Wait { serial: u64, ticket: T },
}

/// What a dial does when its turn has come.
#[derive(Debug)]
pub(crate) enum Turn<L> {
    /// It dials.
    Dial(Vec<TransportAddr>),
    /// It need not: a connection has come up meanwhile.
    Ready(Lease<L>),
    /// It must not: it is no longer wanted.
    Cancelled,
}

impl<L: Link, T: Clone> PoolState<L, T> {
    pub(crate) fn new(config: PoolConfig) -> Self {
        Self {
            peers: HashMap::new(),
            connections: 0,
            dials: HashMap::new(),
            waiters: 0,
            backoffs: Backoffs::new(&config),
            unwelcome: VecDeque::new(),
            protected: HashMap::new(),
            unwatched: Vec::new(),
            next_serial: 0,
            closed: false,
            totals: PoolStats::default(),
            config,
        }
    }

    /// A connection that is there, or the dial to wait for; `ticket` makes it if there is none.
    pub(crate) fn begin(
        &mut self,
        peer: PeerId,
        addresses: &[TransportAddr],
        now: Instant,
        ticket: impl FnOnce(u64) -> T,
    ) -> Result<Begin<L, T>, AcquireError> {
        if let Some(lease) = self.lease(&peer) {
            return Ok(Begin::Ready(lease));
        }
        let begun = self.wait(peer, addresses, now, ticket);
        if begun.is_err() {
            self.totals.refused_total += 1;
        }
        begun
    }

    fn wait(
        &mut self,
        peer: PeerId,
        addresses: &[TransportAddr],
        now: Instant,
        ticket: impl FnOnce(u64) -> T,
    ) -> Result<Begin<L, T>, AcquireError> {
        if self.closed {
            return Err(AcquireError::Closed);
        }
        if self.waiters >= self.config.max_waiters {
            return Err(busy("max_waiters"));
        }
        let dial = match self.dials.get_mut(&peer) {
            Some(dial) if dial.waiters >= self.config.max_waiters_per_peer => {
                return Err(busy("max_waiters_per_peer"));
            }
            Some(dial) => {
                if let Some(queued) = &mut dial.addresses {
                    let room = self.config.max_addresses.saturating_sub(queued.len());
                    let new = distinct(addresses, queued, room);
                    queued.extend(new);
                }
                dial
            }
            None => self.start(peer, addresses, now, ticket)?,
        };
        dial.waiters += 1;
        let (serial, ticket) = (dial.serial, dial.ticket.clone());
        self.waiters += 1;
        Ok(Begin::Wait { serial, ticket })
    }

    fn start(
        &mut self,
        peer: PeerId,
        addresses: &[TransportAddr],
        now: Instant,
        ticket: impl FnOnce(u64) -> T,
    ) -> Result<&mut Dial<T>, AcquireError> {
        let addresses = match self.backoffs.check(&peer, addresses, now) {
            Verdict::Dial(addresses) => addresses,
            Verdict::Wait {
                retry_in,
                reason,
                refused,
            } => {
                let error = DialError::BackingOff {
                    peer,
                    retry_in,
                    reason,
                    refused,
                };
                return Err(error.into());
            }
        };
        // Nothing is evicted yet, since the dial may fail; but something must be able to go.
        let full = self.connections >= self.config.max_connections;
        if full && self.least_recent(now, None).is_none() {
            return Err(busy("max_connections"));
        }
        let serial = self.next_serial;
        self.next_serial += 1;
        let dial = Dial {
            serial,
            ticket: ticket(serial),
            waiters: 0,
            addresses: Some(addresses),
        };
        Ok(self.dials.entry(peer).insert_entry(dial).into_mut())
    }

    /// A caller no longer waits. The dial that nobody waits for any longer is given back, to be
    /// dropped when the lock is free.
    pub(crate) fn leave(&mut self, peer: &PeerId, serial: u64) -> Option<T> {
        self.waiters = self.waiters.saturating_sub(1);
        let dial = self.dials.get_mut(peer).filter(|d| d.serial == serial)?;
        dial.waiters = dial.waiters.saturating_sub(1);
        if dial.waiters > 0 {
            return None;
        }
        self.totals.dials_cancelled += 1;
        self.dials.remove(peer).map(|dial| dial.ticket)
    }

    /// The dial has one of the places.
    pub(crate) fn turn(&mut self, peer: &PeerId, serial: u64) -> Turn<L> {
        if let Some(lease) = self.lease(peer) {
            self.end_dial(peer, serial);
            return Turn::Ready(lease);
        }
        let dial = self.dials.get_mut(peer).filter(|d| d.serial == serial);
        match dial.and_then(|dial| dial.addresses.take()) {
            Some(addresses) => {
                self.totals.dials_total += 1;
                Turn::Dial(addresses)
            }
            None => Turn::Cancelled,
        }
    }

    /// The dial has ended. A failure is covered up by a connection that has come from the peer
    /// meanwhile.
    pub(crate) fn finish(
        &mut self,
        peer: PeerId,
        serial: u64,
        tried: &[TransportAddr],
        result: Result<L, DialError>,
        now: Instant,
    ) -> (Result<Lease<L>, AcquireError>, Option<Closing<L>>) {
        self.end_dial(&peer, serial);
        let link = match result {
            Ok(link) if self.closed => {
                let reason = "the node shuts down";
                let closing = Closing::refused(link, reason);
                return (Err(AcquireError::Closed), Some(closing));
            }
            Ok(link) => link,
            Err(error) => {
                self.totals.dials_failed += 1;
                if let Some(lease) = self.lease(&peer) {
                    return (Ok(lease), None);
                }
                self.backoffs.failed(peer, tried, &error, now);
                self.remember_refusal(peer, &error);
                return (Err(error.into()), None);
            }
        };
        self.reached(&peer);
        if let Some(entry) = self.known(&peer, &link) {
            return (Ok(entry.lease()), None);
        }
        match self.insert(peer, link, Direction::Outbound, now) {
            Ok((entry, evicted)) => (Ok(entry.lease()), evicted),
            Err((limit, link)) => {
                let lease = self.lease(&peer).ok_or_else(|| busy(limit));
                let reason = "too many connections";
                (lease, Some(Closing::refused(link, reason)))
            }
        }
    }

    fn end_dial(&mut self, peer: &PeerId, serial: u64) {
        if self.dials.get(peer).is_some_and(|d| d.serial == serial) {
            self.dials.remove(peer);
        }
    }

    /// Takes in a connection that the pool has not dialed.
    pub(crate) fn adopt(
        &mut self,
        peer: PeerId,
        link: L,
        direction: Direction,
        now: Instant,
    ) -> (Result<(), PoolFull>, Option<Closing<L>>) {
        if self.closed {
            let reason = "the node shuts down";
            let full = PoolFull { limit: "closed" };
            return (Err(full), Some(Closing::refused(link, reason)));
        }
        self.reached(&peer);
        if self.known(&peer, &link).is_some() {
            return (Ok(()), None);
        }
        match self.insert(peer, link, direction, now) {
            Ok((_, evicted)) => {
                self.totals.adopted_total += 1;
                (Ok(()), evicted)
            }
            Err((limit, link)) => {
                let reason = "too many connections";
                (
                    Err(PoolFull { limit }),
                    Some(Closing::refused(link, reason)),
                )
            }
        }
    }

    /// Forgets the failures of `peer`, or of all.
    pub(crate) fn clear_backoff(&mut self, peer: Option<&PeerId>) {
        match peer {
            Some(peer) => self.reached(peer),
            None => {
                self.backoffs.clear_all();
                self.unwelcome.clear();
            }
        }
    }

    pub(crate) fn protect(&mut self, peer: PeerId) -> Result<(), PoolFull> {
        if self.protected.len() >= self.config.max_protected && !self.protected.contains_key(&peer)
        {
            return Err(PoolFull {
                limit: "max_protected",
            });
        }
        *self.protected.entry(peer).or_default() += 1;
        Ok(())
    }

    pub(crate) fn unprotect(&mut self, peer: &PeerId) {
        if let Some(times) = self.protected.get_mut(peer) {
            *times -= 1;
            if *times == 0 {
                self.protected.remove(peer);
            }
        }
    }

    /// Takes nothing more. The links are to be closed and the tickets dropped.
    pub(crate) fn close(&mut self) -> (Vec<Closing<L>>, Vec<T>) {
        self.closed = true;
        let peers: Vec<PeerId> = self.peers.keys().copied().collect();
        let links = peers
            .iter()
            .flat_map(|peer| self.remove_peer(peer, "the node shuts down"))
            .collect();
        self.backoffs.clear_all();
        let tickets = self.dials.drain().map(|(_, dial)| dial.ticket).collect();
        (links, tickets)
    }

    pub(crate) fn stats(&self) -> PoolStats {
        let slots = || self.peers.values().flatten();
        let inbound = |slot: &&Slot<L>| slot.entry.direction == Direction::Inbound;
        let queued = |dial: &&Dial<T>| dial.addresses.is_some();
        let queued = self.dials.values().filter(queued).count();
        PoolStats {
            connections: self.connections,
            inbound: slots().filter(inbound).count(),
            leases: slots().map(|slot| slot.entry.leases()).sum(),
            dialing: self.dials.len() - queued,
            queued,
            waiters: self.waiters,
            backing_off: self.backoffs.len(),
            ..self.totals
        }
    }
}

impl<L> Closing<L> {
    fn refused(link: L, reason: &'static str) -> Self {
        Self {
            link,
            reason,
            refused: true,
        }
    }
}

fn busy(limit: &'static str) -> AcquireError {
    AcquireError::Busy { limit }
}
