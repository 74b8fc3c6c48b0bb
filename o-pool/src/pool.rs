//! The pool as its users hold it: the state under a lock, and the dials.

mod run;

use std::{
    fmt,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use o_address::{PeerId, TransportAddr};
use o_core::Direction;
use tokio::{
    sync::{Notify, Semaphore, watch},
    time::Instant,
};
use tracing::debug;

use crate::{
    AcquireError, Dialer, Lease, Link, PoolConfig, PoolConfigError, PoolFull, PoolStats,
    state::{Begin, Closing, PoolState, Turn},
};

/// Connections to peers, shared by all who call them. A clone is another handle of the same pool.
///
/// When the last handle is dropped the pool lets go of its connections without closing them; use
/// [`close_all`](Self::close_all) to close them.
pub struct Pool<D: Dialer> {
    inner: Arc<Inner<D>>,
}

/// A dial that any number of callers wait for. Whoever polls it drives it.
type Ticket<L> = Shared<BoxFuture<'static, Outcome<L>>>;

/// How a dial ended, for everybody who waits for it.
#[derive(Clone, Debug)]
struct Outcome<L> {
    result: Result<Lease<L>, AcquireError>,
    tried: Arc<[TransportAddr]>,
}

struct Inner<D: Dialer> {
    state: Mutex<PoolState<D::Link, Ticket<D::Link>>>,
    dialer: D,
    /// The places for dials.
    places: Semaphore,
    /// Wakes `run` for what has changed.
    wake: Arc<Notify>,
    closed: watch::Sender<bool>,
}

impl<D: Dialer> Pool<D> {
    /// A pool without connections, and the future that evicts idle connections and notices dead
    /// ones. It must be run beside the pool; it ends when the pool is closed or its last handle
    /// is dropped. Dropping it only stops the eviction.
    ///
    /// # Errors
    /// When [`PoolConfig::validate`] refuses the configuration.
    ///
    /// ```
    /// # use futures::future::BoxFuture;
    /// # use o_address::{PeerId, TransportAddr};
    /// # use o_core::DialError;
    /// use o_pool::{Dialer, Link, Pool, PoolConfig};
    ///
    /// #[derive(Clone, Debug)]
    /// struct Wire;
    ///
    /// impl Link for Wire {
    ///     // …
    /// #   fn id(&self) -> u64 { 1 }
    /// #   fn is_alive(&self) -> bool { true }
    /// #   fn active_calls(&self) -> usize { 0 }
    /// #   fn close(&self, _: &'static str) {}
    /// #   fn closed(&self) -> BoxFuture<'static, ()> { Box::pin(std::future::pending()) }
    /// }
    ///
    /// #[derive(Debug)]
    /// struct Network;
    ///
    /// #[async_trait::async_trait]
    /// impl Dialer for Network {
    ///     type Link = Wire;
    ///
    ///     async fn dial(&self, _: PeerId, _: Vec<TransportAddr>) -> Result<Wire, DialError> {
    ///         Ok(Wire)
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (pool, run) = Pool::new(PoolConfig::default(), Network)?;
    /// let running = tokio::spawn(run);
    ///
    /// let peer: PeerId = "12D3KooWQA9eZ7s8E7KvNJGG7AXRioyASFicECjdKL1DS2C1Duoo".parse()?;
    /// let dialed = pool.acquire(peer, &["/memory/7".parse()?]).await?;
    /// let reused = pool.acquire(peer, &[]).await?;
    /// assert_eq!(pool.stats().dials_total, 1);
    ///
    /// drop((dialed, reused));
    /// pool.close_all();
    /// running.await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(
        config: PoolConfig,
        dialer: D,
    ) -> Result<(Self, impl Future<Output = ()> + Send + 'static), PoolConfigError> {
        config.validate()?;
        let period = config.poll_interval;
        let (closed, closing) = watch::channel(false);
        let wake = Arc::new(Notify::new());
        let inner = Arc::new(Inner {
            places: Semaphore::new(config.max_dialing),
            state: Mutex::new(PoolState::new(config)),
            dialer,
            wake: Arc::clone(&wake),
            closed,
        });
        let run = run::run(Arc::downgrade(&inner), wake, closing, period);
        Ok((Self { inner }, run))
    }

    /// A lease on a connection to `peer`: at once on one that is alive, else on one that is
    /// dialed, by this caller or by another one who is already at it.
    ///
    /// Who joins a dial that has begun and knows an address that it did not try, and the dial
    /// fails, has it tried in a second one. `addresses` may be empty if a connection is thought
    /// to be there or the dialer to know where the peer is.
    ///
    /// # Errors
    /// When the dial fails or the last failure is too recent, when a limit is reached, or when
    /// the pool is closed.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the wait. The dial goes on for the others that wait for it
    /// and is dropped with the last. The callers drive the dial: one that keeps the future
    /// without polling it keeps a place among `max_dialing`.
    pub async fn acquire(
        &self,
        peer: PeerId,
        addresses: &[TransportAddr],
    ) -> Result<Lease<D::Link>, AcquireError> {
        let mut again = true;
        loop {
            let (waiter, ticket) = match self.begin(peer, addresses)? {
                Begin::Ready(lease) => return Ok(lease),
                Begin::Wait { serial, ticket } => {
                    let inner = Arc::clone(&self.inner);
                    (
                        Waiter {
                            inner,
                            peer,
                            serial,
                        },
                        ticket,
                    )
                }
            };
            let outcome = ticket.await;
            drop(waiter);
            let failed = matches!(outcome.result, Err(AcquireError::Dial(_)));
            let untried = |address| !outcome.tried.contains(address);
            if !(failed && again && addresses.iter().any(untried)) {
                return outcome.result;
            }
            again = false;
        }
    }

    /// A lease on a live connection to `peer`, if there is one. Nothing is dialed.
    pub fn existing(&self, peer: &PeerId) -> Option<Lease<D::Link>> {
        self.inner.lock().lease(peer)
    }

    /// Takes in a connection that the pool did not dial: one from the other side, or one that was
    /// made otherwise. It counts and is lent like all others. A link that is there already, by
    /// its id, is not taken in twice.
    ///
    /// # Errors
    /// When a limit is reached and no other connection may go for it. The link is then closed.
    pub fn adopt(&self, peer: PeerId, link: D::Link, direction: Direction) -> Result<(), PoolFull> {
        let now = Instant::now();
        let (result, closing) = self.inner.lock().adopt(peer, link, direction, now);
        self.inner.wake.notify_one();
        close(closing);
        result
    }

    /// Lends this connection no longer and does not close it. Leases on it stay what they are.
    /// Says whether it was in the pool.
    pub fn forget(&self, peer: &PeerId, link: &D::Link) -> bool {
        self.inner.lock().forget(peer, link)
    }

    /// Closes all connections to `peer`, also those in use, and says how many there were. A dial
    /// that is under way goes on.
    pub fn disconnect(&self, peer: &PeerId, reason: &'static str) -> usize {
        let closing = self.inner.lock().remove_peer(peer, reason);
        let count = closing.len();
        close(closing);
        count
    }

    /// Spares the connections to `peer` from eviction until [`unprotect`](Self::unprotect) has
    /// been called as many times as this: a parent's, say, or a bootstrap peer's. Of several
    /// connections to it only the one of highest rank is sure to stay.
    ///
    /// # Errors
    /// When `max_protected` peers are protected already.
    pub fn protect(&self, peer: PeerId) -> Result<(), PoolFull> {
        self.inner.lock().protect(peer)
    }

    /// Takes back one [`protect`](Self::protect).
    pub fn unprotect(&self, peer: &PeerId) {
        self.inner.lock().unprotect(peer);
    }

    /// Forgets the failures of `peer`, or of all peers, so that the next caller dials: because
    /// the network has changed, or a person insists.
    pub fn clear_backoff(&self, peer: Option<&PeerId>) {
        self.inner.lock().clear_backoff(peer);
    }

    /// Closes the pool for good: every connection, also those in use, is closed, every dial is
    /// dropped, who waits gets [`AcquireError::Closed`], and so does who comes later.
    pub fn close_all(&self) {
        let (links, tickets) = self.inner.lock().close();
        self.inner.closed.send_replace(true);
        close(links);
        drop(tickets);
    }

    /// What the pool has and has done. Takes time in proportion to the connections.
    pub fn stats(&self) -> PoolStats {
        self.inner.lock().stats()
    }

    fn begin(
        &self,
        peer: PeerId,
        addresses: &[TransportAddr],
    ) -> Result<Begin<D::Link, Ticket<D::Link>>, AcquireError> {
        let mut state = self.inner.lock();
        if let Some(lease) = state.lease(&peer) {
            return Ok(Begin::Ready(lease));
        }
        state.begin(peer, addresses, Instant::now(), |serial| {
            drive(Arc::clone(&self.inner), peer, serial)
                .boxed()
                .shared()
        })
    }
}

impl<D: Dialer> Clone for Pool<D> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<D: Dialer> fmt::Debug for Pool<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("dialer", &self.inner.dialer)
            .field("stats", &self.stats())
            .finish()
    }
}

impl<D: Dialer> Inner<D> {
    fn lock(&self) -> MutexGuard<'_, PoolState<D::Link, Ticket<D::Link>>> {
        // A panic under the lock is a link's; the state is whole between any two calls of one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn dial(&self, peer: PeerId, serial: u64) -> Outcome<D::Link> {
        let mut tried: Arc<[TransportAddr]> = Arc::new([]);
        // The semaphore is never closed.
        let turn = match self.places.acquire().await {
            Ok(place) => (place, self.lock().turn(&peer, serial)),
            Err(_) => return Outcome::closed(),
        };
        let (_place, addresses) = match turn {
            (place, Turn::Dial(addresses)) => (place, addresses),
            (_, Turn::Ready(lease)) => {
                let result = Ok(lease);
                return Outcome { result, tried };
            }
            (_, Turn::Cancelled) => return Outcome::closed(),
        };
        tried = addresses.as_slice().into();
        let begun = Instant::now();
        let dialed = self.dialer.dial(peer, addresses).await;
        let now = Instant::now();
        match &dialed {
            Ok(link) => debug!(%peer, ?link, took = ?now - begun, "dialed"),
            Err(error) => debug!(%peer, %error, took = ?now - begun, "dial failed"),
        }
        let (result, closing) = self.lock().finish(peer, serial, &tried, dialed, now);
        self.wake.notify_one();
        close(closing);
        Outcome { result, tried }
    }
}

impl<L> Outcome<L> {
    fn closed() -> Self {
        Self {
            result: Err(AcquireError::Closed),
            tried: Arc::new([]),
        }
    }
}

/// A dial from the queue to its end, or until the pool is closed.
async fn drive<D: Dialer>(inner: Arc<Inner<D>>, peer: PeerId, serial: u64) -> Outcome<D::Link> {
    let mut closed = inner.closed.subscribe();
    tokio::select! {
        biased;
        () = run::closed(&mut closed) => Outcome::closed(),
        outcome = inner.dial(peer, serial) => outcome,
    }
}

/// One caller who waits for a dial.
struct Waiter<D: Dialer> {
    inner: Arc<Inner<D>>,
    peer: PeerId,
    serial: u64,
}

impl<D: Dialer> Drop for Waiter<D> {
    fn drop(&mut self) {
        let abandoned = self.inner.lock().leave(&self.peer, self.serial);
        // The dialer's future is dropped here, after the lock.
        drop(abandoned);
    }
}

fn close<L: Link>(closing: impl IntoIterator<Item = Closing<L>>) {
    for Closing {
        link,
        reason,
        refused,
    } in closing
    {
        debug!(?link, reason, "closing connection");
        if refused {
            link.refuse(reason);
        } else {
            link.close(reason);
        }
    }
}
