//! Calling an address.

use std::{fmt, sync::Arc};

use async_trait::async_trait;

use crate::{CallError, OutgoingCall, Reply};

/// Calls whoever answers to an address.
///
/// Nodes implement it; hierarchy, registry and failover are written against it.
#[async_trait]
pub trait Caller: fmt::Debug + Send + Sync + 'static {
    /// Makes one call and returns its answer.
    ///
    /// # Errors
    /// Each cause has a variant of its own: see [`CallError`].
    ///
    /// # Cancel safety
    /// Dropping the future, or the stream that it answered with, cancels the call at the other
    /// end. Whether the method ran until then is not known.
    async fn call(&self, call: OutgoingCall) -> Result<Reply, CallError>;
}

#[async_trait]
impl<T: Caller + ?Sized> Caller for Arc<T> {
    async fn call(&self, call: OutgoingCall) -> Result<Reply, CallError> {
        (**self).call(call).await
    }
}
