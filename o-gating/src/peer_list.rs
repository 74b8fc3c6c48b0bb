//! The handle that the lists of peers share.

use std::{fmt, marker::PhantomData};

use o_address::PeerId;
use o_core::{Attempt, ConnectionGater, DenyReason};

use crate::peer_set::{ListFull, PeerSet};

/// What being on a list of peers means.
pub trait ListRule: 'static {
    /// What the list is called.
    const NAME: &'static str;

    /// Whether the connection may exist. `listed`: its peer is known and on the list.
    ///
    /// # Errors
    /// Why not.
    fn decide(attempt: &Attempt<'_>, listed: bool) -> Result<(), DenyReason>;
}

/// A list of peers that decides who may connect: [`AllowList`](crate::AllowList) or
/// [`BlockList`](crate::BlockList).
///
/// A handle: clones share one list, and an edit through any of them counts from the next attempt
/// on. It does not close connections that exist.
pub struct PeerList<R> {
    peers: PeerSet,
    rule: PhantomData<fn() -> R>,
}

impl<R: ListRule> PeerList<R> {
    /// How many peers a list may hold unless told otherwise. A full one takes about 6 MB.
    pub const DEFAULT_LIMIT: usize = 65_536;

    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(Self::DEFAULT_LIMIT)
    }

    /// An empty list that may hold at most `limit` peers; none are allocated yet.
    #[must_use]
    pub fn with_capacity(limit: usize) -> Self {
        Self::of(PeerSet::with_capacity(limit))
    }

    /// A list of these peers, with the default limit.
    ///
    /// # Errors
    /// If there are more different ones than [`DEFAULT_LIMIT`](Self::DEFAULT_LIMIT).
    pub fn from_peers(peers: impl IntoIterator<Item = PeerId>) -> Result<Self, ListFull> {
        PeerSet::from_peers(Self::DEFAULT_LIMIT, peers).map(Self::of)
    }

    fn of(peers: PeerSet) -> Self {
        let rule = PhantomData;
        Self { peers, rule }
    }

    /// Puts `peer` on the list; says whether it was not there before.
    ///
    /// # Errors
    /// If the list is full. It is then unchanged.
    pub fn insert(&self, peer: PeerId) -> Result<bool, ListFull> {
        self.peers.insert(peer)
    }

    /// Takes `peer` off the list; says whether it was there.
    pub fn remove(&self, peer: &PeerId) -> bool {
        self.peers.remove(peer)
    }

    /// Makes these the peers of the list, at once: no attempt sees a part of them.
    ///
    /// # Errors
    /// If there are more different ones than the limit. The list is then unchanged.
    pub fn replace(&self, peers: impl IntoIterator<Item = PeerId>) -> Result<(), ListFull> {
        self.peers.replace(peers)
    }

    /// Whether `peer` is on the list.
    #[must_use]
    pub fn contains(&self, peer: &PeerId) -> bool {
        self.peers.contains(peer)
    }

    /// How many peers are on the list.
    #[must_use]
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether nobody is on the list.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many peers the list may hold.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.peers.limit()
    }

    /// A copy of the peers on the list, in the order of their bytes.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerId> {
        self.peers.peers()
    }
}

impl<R: ListRule> ConnectionGater for PeerList<R> {
    fn allow(&self, attempt: &Attempt<'_>) -> Result<(), DenyReason> {
        let listed = attempt.peer.is_some_and(|peer| self.contains(peer));
        R::decide(attempt, listed)
    }
}

impl<R: ListRule> Default for PeerList<R> {
    fn default() -> Self {
        Self::new()
    }
}

// Not derived: the rule need not be `Clone`.
impl<R> Clone for PeerList<R> {
    fn clone(&self) -> Self {
        let (peers, rule) = (self.peers.clone(), PhantomData);
        Self { peers, rule }
    }
}

impl<R: ListRule> fmt::Debug for PeerList<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.peers.debug(R::NAME, f)
    }
}
