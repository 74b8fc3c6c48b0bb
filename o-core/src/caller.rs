//! Calling an address.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use futures::future::BoxFuture;

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

// Written out: a future around the future would hold and copy the call once more.
impl<T: Caller + ?Sized> Caller for Arc<T> {
    fn call<'a, 'b>(&'a self, call: OutgoingCall) -> BoxFuture<'b, Result<Reply, CallError>>
    where
        'a: 'b,
        Self: 'b,
    {
        (**self).call(call)
    }
}
