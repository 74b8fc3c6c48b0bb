//! Streams of bodies as streams of values, and the reverse.

use std::{
    fmt,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::stream::{Stream, StreamExt as _};
use o_core::{Body, BodyStream, CallError};
use serde::de::DeserializeOwned;

use crate::cbor::{DecodeError, decode_body};

/// Values that arrive one by one. It ends after its first error; dropping it cancels the call, or
/// tells the caller that no more is read.
pub struct TypedStream<T> {
    bodies: UntilError,
    side: Side,
    of: PhantomData<fn() -> T>,
}

/// Whose values they are, which decides what a bad one is called.
#[derive(Clone, Copy, Debug)]
enum Side {
    Params,
    Reply,
}

impl<T> TypedStream<T> {
    pub(super) fn of_params(bodies: BodyStream) -> Self {
        Self::new(bodies, Side::Params)
    }

    /// The values of an answer.
    pub fn of_reply(bodies: BodyStream) -> Self {
        Self::new(bodies, Side::Reply)
    }

    fn new(bodies: BodyStream, side: Side) -> Self {
        let (bodies, of) = (UntilError(Some(bodies)), PhantomData);
        Self { bodies, side, of }
    }
}

impl<T: DeserializeOwned> TypedStream<T> {
    /// The next value, or nothing at the end.
    ///
    /// # Cancel safety
    /// No value is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Result<T, CallError>> {
        futures::stream::StreamExt::next(self).await
    }

    fn read(&self, body: &Body) -> Result<T, CallError> {
        let convert = match self.side {
            Side::Params => DecodeError::into_invalid_params,
            Side::Reply => DecodeError::into_invalid_reply,
        };
        decode_body(body).map_err(convert)
    }
}

impl<T: DeserializeOwned> Stream for TypedStream<T> {
    type Item = Result<T, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(self.bodies.poll_next_unpin(cx));
        let item = item.map(|body| self.read(&body?));
        if let Some(Err(_)) = item {
            self.bodies.0 = None;
        }
        Poll::Ready(item)
    }
}

impl<T> fmt::Debug for TypedStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedStream")
            .field("side", &self.side)
            .field("ended", &self.bodies.0.is_none())
            .finish_non_exhaustive()
    }
}

/// Bodies up to the first error; what makes them is dropped there and at its end.
pub(super) struct UntilError(Option<BodyStream>);

impl UntilError {
    pub(super) fn boxed<S>(bodies: S) -> BodyStream
    where
        S: Stream<Item = Result<Body, CallError>> + Send + 'static,
    {
        Self(Some(bodies.boxed())).boxed()
    }
}

impl Stream for UntilError {
    type Item = Result<Body, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(bodies) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let item = ready!(bodies.poll_next_unpin(cx));
        if !matches!(item, Some(Ok(_))) {
            self.0 = None;
        }
        Poll::Ready(item)
    }
}
