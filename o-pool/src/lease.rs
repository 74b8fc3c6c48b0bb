//! The right to use a connection, which keeps the connection from being evicted.

use std::{
    fmt,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::AbortHandle;
use o_address::PeerId;
use o_core::Direction;
use tokio::time::Instant;

/// A connection in use. While it is held the pool does not evict the connection, which may still
/// die of other causes. Dropping it returns it; a clone is a lease of its own.
pub struct Lease<L> {
    entry: Arc<Entry<L>>,
}

impl<L> Lease<L> {
    /// Who is at the other end.
    pub fn peer(&self) -> &PeerId {
        &self.entry.peer
    }

    /// Who dialed.
    pub fn direction(&self) -> Direction {
        self.entry.direction
    }
}

impl<L> Deref for Lease<L> {
    type Target = L;

    fn deref(&self) -> &L {
        &self.entry.link
    }
}

impl<L> Clone for Lease<L> {
    fn clone(&self) -> Self {
        self.entry.lease()
    }
}

impl<L> Drop for Lease<L> {
    fn drop(&mut self) {
        // In this order: who sees no lease must see this moment as the last use.
        self.entry.touch(Instant::now());
        self.entry.leases.fetch_sub(1, Ordering::Release);
    }
}

impl<L: fmt::Debug> fmt::Debug for Lease<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("peer", &self.entry.peer)
            .field("direction", &self.entry.direction)
            .field("link", &self.entry.link)
            .finish()
    }
}

/// One connection of the pool, shared by the pool and the leases on it.
///
/// The pool adds the first lease while it is locked; further ones are clones of that one. So a
/// connection that has none while the pool is locked gets none before it is unlocked.
#[derive(Debug)]
pub(crate) struct Entry<L> {
    pub(crate) link: L,
    pub(crate) peer: PeerId,
    pub(crate) direction: Direction,
    /// Tells entries apart and orders them by age.
    pub(crate) serial: u64,
    pub(crate) created: Instant,
    /// Ends the watching of the connection when it has left the pool.
    pub(crate) watch: AbortHandle,
    leases: AtomicUsize,
    /// Nanoseconds from `created` to the last moment at which it was seen in use.
    last_used: AtomicU64,
}

impl<L> Entry<L> {
    pub(crate) fn new(
        link: L,
        peer: PeerId,
        direction: Direction,
        serial: u64,
        created: Instant,
        watch: AbortHandle,
    ) -> Self {
        Self {
            link,
            peer,
            direction,
            serial,
            created,
            watch,
            leases: AtomicUsize::new(0),
            last_used: AtomicU64::new(0),
        }
    }

    pub(crate) fn lease(self: &Arc<Self>) -> Lease<L> {
        self.leases.fetch_add(1, Ordering::Relaxed);
        Lease {
            entry: Arc::clone(self),
        }
    }

    pub(crate) fn leases(&self) -> usize {
        self.leases.load(Ordering::Acquire)
    }

    /// Notes that it is in use now.
    pub(crate) fn touch(&self, now: Instant) {
        let nanos = now.saturating_duration_since(self.created).as_nanos();
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
        self.last_used.fetch_max(nanos, Ordering::Relaxed);
    }

    pub(crate) fn last_used(&self) -> Instant {
        self.created + Duration::from_nanos(self.last_used.load(Ordering::Relaxed))
    }
}
