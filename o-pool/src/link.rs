//! What the pool asks of a connection and of whoever makes one.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use futures::future::BoxFuture;
use o_address::{PeerId, TransportAddr};
use o_core::DialError;

/// A live connection to one peer, as the pool sees it. Clones are handles of one connection.
///
/// All methods but [`closed`](Self::closed) and [`close`](Self::close) are called while the pool
/// is locked: they answer at once, from memory, and never call the pool. Nor does dropping a
/// handle.
pub trait Link: Clone + fmt::Debug + Send + Sync + 'static {
    /// Tells this connection from every other one that the pool may hold at the same time.
    fn id(&self) -> u64;

    /// Whether calls can still be made over it. Asked each time somebody wants it.
    fn is_alive(&self) -> bool;

    /// How many calls run over it now, in both directions. A busy connection is never evicted.
    fn active_calls(&self) -> usize;

    /// Starts closing it, telling the other side `reason`, and returns at once.
    fn close(&self, reason: &'static str);

    /// The same for a connection that the pool has no room for: nothing over it is wanted.
    fn refuse(&self, reason: &'static str) {
        self.close(reason);
    }

    /// Resolves when it is dead, whoever closed it.
    fn closed(&self) -> BoxFuture<'static, ()>;

    /// How many calls have begun on it so far, in both directions. When the number has grown the
    /// connection counts as used, although no lease was taken and no call runs at the moment.
    fn calls_started(&self) -> u64 {
        0
    }

    /// Which of several connections to one peer to prefer: the greatest rank. A direct one ranks
    /// above a relayed one. Both ends should come to the same order, since each closes the
    /// connections of lower rank as soon as their calls have ended.
    fn rank(&self) -> u32 {
        0
    }
}

/// Makes connections. It decides how: which addresses first, how many at a time, how long.
#[async_trait]
pub trait Dialer: fmt::Debug + Send + Sync + 'static {
    /// What it makes.
    type Link: Link;

    /// Connects to `peer` at whichever of `addresses` answers first. They may be none, when
    /// nobody told the pool any; the dialer may know some itself. There are no duplicates and at
    /// most [`PoolConfig::max_addresses`](crate::PoolConfig::max_addresses).
    ///
    /// It must end by itself after some time, since it holds one of a bounded number of places.
    ///
    /// # Errors
    /// When there is no connection.
    ///
    /// # Cancel safety
    /// Dropping the future ends the attempt.
    async fn dial(
        &self,
        peer: PeerId,
        addresses: Vec<TransportAddr>,
    ) -> Result<Self::Link, DialError>;

    /// Peers that might be dialed when there are fewer connections than
    /// [`PoolConfig::min_connections`](crate::PoolConfig::min_connections), the best first; whether they
    /// are connected, or failed lately, does not matter. Of a long list the pool looks at the first
    /// [`PoolConfig::max_backoffs`](crate::PoolConfig::max_backoffs).
    ///
    /// # Cancel safety
    /// Dropping the future gives up the question.
    async fn known(&self) -> Vec<(PeerId, Vec<TransportAddr>)> {
        Vec::new()
    }
}

#[async_trait]
impl<T: Dialer> Dialer for Arc<T> {
    type Link = T::Link;

    async fn dial(
        &self,
        peer: PeerId,
        addresses: Vec<TransportAddr>,
    ) -> Result<Self::Link, DialError> {
        (**self).dial(peer, addresses).await
    }

    async fn known(&self) -> Vec<(PeerId, Vec<TransportAddr>)> {
        (**self).known().await
    }
}
