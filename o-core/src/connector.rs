//! Connections that somebody asks for by name, to run many calls over.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use o_address::{Address, PeerId, TransportAddr};

use crate::{CallError, Caller, ErrorCode};

/// Whom a connection leads to first, on its way to a target.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NextHop {
    /// Whoever answers to this address, found as for a call.
    Named(Address),
    /// This peer.
    Peer {
        /// Who.
        peer: PeerId,
        /// Where it may be dialed; every one is tried. None if it is connected or known otherwise.
        addresses: Vec<TransportAddr>,
    },
}

/// Gets connections to targets by way of a next hop, on behalf of a caller.
#[async_trait]
pub trait Connector: fmt::Debug + Send + Sync + 'static {
    /// A connection to `next_hop` for calls to `target` that `caller` makes: the one that is there, or
    /// one that is dialed at every known address of the hop, once for all who ask meanwhile.
    ///
    /// The gater is asked with caller and target, also where a connection is there already. Who the
    /// caller is is this node's word; the hop is told it as the origin of each call.
    ///
    /// # Errors
    /// Each cause has a variant of its own: see [`ConnectError`].
    ///
    /// # Cancel safety
    /// Dropping the future may leave a connection, which is closed when it has been idle.
    async fn connect(
        &self,
        next_hop: &NextHop,
        target: &Address,
        caller: &Address,
    ) -> Result<Arc<dyn Channel>, ConnectError>;
}

#[async_trait]
impl<T: Connector + ?Sized> Connector for Arc<T> {
    async fn connect(
        &self,
        next_hop: &NextHop,
        target: &Address,
        caller: &Address,
    ) -> Result<Arc<dyn Channel>, ConnectError> {
        (**self).connect(next_hop, target, caller).await
    }
}

/// A connection that is held for a caller. Any number of calls run over it at once, and it is not closed
/// for idleness until it is dropped; calls that run then go on.
///
/// A call goes to the next hop with its own target in its header, as a rule [`target`](Self::target).
pub trait Channel: Caller {
    /// Who is at the other end: the next hop, proved by its key.
    fn peer(&self) -> PeerId;

    /// Where the other end is.
    fn remote(&self) -> TransportAddr;

    /// Whether it runs through a relay. A better connection to the peer takes its place for calls that
    /// begin after it has come up.
    fn is_relayed(&self) -> bool;

    /// What it was asked for.
    fn target(&self) -> &Address;

    /// On whose behalf.
    fn caller(&self) -> &Address;
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nobody answers to the next hop's address.
    #[error("nobody found at {address}")]
    NotFound {
        /// The address.
        address: Address,
    },
    /// It is known who the next hop is, but not reached.
    #[error("{target} cannot be reached: {reason}")]
    Unreachable {
        /// What the connection was for.
        target: Address,
        /// What was tried, in words.
        reason: String,
    },
    /// The other side, or our own policy, does not want it.
    #[error("refused: {reason}")]
    Refused {
        /// Who refused, if known; this node itself if the policy is ours.
        peer: Option<PeerId>,
        /// The reason that was given.
        reason: String,
        /// `false` when the connection was closed without a word.
        certain: bool,
    },
    /// It took too long.
    #[error("not connected after {after:?}")]
    TimedOut {
        /// How long was waited.
        after: Duration,
    },
    /// A limit here or there is reached.
    #[error("busy: {reason}")]
    Busy {
        /// Which.
        reason: String,
    },
    /// This node is stopping, or not running.
    #[error("the node has shut down")]
    Shutdown,
}

impl ConnectError {
    /// Whether the same may succeed later.
    pub fn is_retryable(&self) -> bool {
        CallError::from(self.clone()).is_retryable()
    }

    /// The code that a call would fail with.
    pub fn code(&self) -> ErrorCode {
        CallError::from(self.clone()).code()
    }
}

impl From<ConnectError> for CallError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::NotFound { address } => Self::NotFound { address },
            ConnectError::Unreachable { target, reason } => Self::Unreachable {
                address: target,
                reason,
            },
            ConnectError::Refused {
                peer,
                reason,
                certain,
            } => Self::Refused {
                peer,
                reason,
                certain,
            },
            ConnectError::TimedOut { after } => Self::TimedOut { after },
            ConnectError::Busy { reason } => Self::Busy { reason },
            ConnectError::Shutdown => Self::ShuttingDown,
        }
    }
}
