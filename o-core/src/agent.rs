//! What lives at an address: methods, and how they are called.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use futures::future::BoxFuture;

use crate::{Body, BodyStream, CallContext, CallError, MethodSpec, Reply, Shape};

/// Something with methods that others call.
///
/// `o_protocol::Methods` implements it from closures with typed parameters.
#[async_trait]
pub trait Agent: Send + Sync + 'static {
    /// The methods it has. Asked once when it is hosted and again for each description.
    fn methods(&self) -> Vec<MethodSpec>;

    /// Serves one call.
    ///
    /// Up to where the future first waits it may be polled by whoever reads the connection: what
    /// blocks a thread there holds up the other calls of that connection, and a call of its own over
    /// the same connection must be awaited, not waited for with the thread blocked.
    ///
    /// # Errors
    /// What it returns travels to the caller with its code; [`CallError::UnknownMethod`] for a
    /// method that it does not have.
    ///
    /// # Cancel safety
    /// The future, and the stream that it may answer with, are dropped when the caller cancels,
    /// when the deadline passes and when the connection is lost: that drop is how an agent learns
    /// of it.
    async fn call(&self, call: IncomingCall) -> Result<Reply, CallError>;
}

// Written out: a future around the future would hold and copy the call once more.
impl<T: Agent + ?Sized> Agent for Arc<T> {
    fn methods(&self) -> Vec<MethodSpec> {
        (**self).methods()
    }

    fn call<'a, 'b>(&'a self, call: IncomingCall) -> BoxFuture<'b, Result<Reply, CallError>>
    where
        'a: 'b,
        Self: 'b,
    {
        (**self).call(call)
    }
}

/// A call that arrived.
#[non_exhaustive]
pub struct IncomingCall {
    /// Who calls, what was called, and until when.
    pub context: CallContext,
    /// The method's name.
    pub method: Arc<str>,
    /// How many values go each way, as the caller sees it.
    pub shape: Shape,
    /// The parameters.
    pub body: Body,
    /// The caller's stream, for the shapes that have one.
    pub input: Option<BodyStream>,
}

impl IncomingCall {
    /// A call as it arrived.
    pub fn new(
        context: CallContext,
        method: Arc<str>,
        shape: Shape,
        body: Body,
        input: Option<BodyStream>,
    ) -> Self {
        Self {
            context,
            method,
            shape,
            body,
            input,
        }
    }
}

impl fmt::Debug for IncomingCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IncomingCall")
            .field("context", &self.context)
            .field("method", &self.method)
            .field("shape", &self.shape)
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}
