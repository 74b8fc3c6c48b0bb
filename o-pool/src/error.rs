//! Why the pool gives no connection, or takes none.

use std::sync::Arc;

use o_core::DialError;

/// Why there is no lease. All callers that waited for one dial get clones of one error.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcquireError {
    /// The dial failed, or is not tried yet because a failure is recent
    /// ([`DialError::BackingOff`]).
    #[error(transparent)]
    Dial(Arc<DialError>),
    /// A limit of the pool is reached. Nothing was dialed.
    #[error("the connection pool is busy: {limit} is reached")]
    Busy {
        /// The field of [`PoolConfig`](crate::PoolConfig) that holds the limit.
        limit: &'static str,
    },
    /// The pool has been closed.
    #[error("the connection pool is closed")]
    Closed,
}

impl From<DialError> for AcquireError {
    fn from(error: DialError) -> Self {
        Self::Dial(Arc::new(error))
    }
}

/// The pool does not take this connection, and has started to close it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection pool is full: {limit} is reached")]
pub struct PoolFull {
    /// The field of [`PoolConfig`](crate::PoolConfig) that holds the limit, or `closed` when the
    /// pool has been closed.
    pub limit: &'static str,
}
