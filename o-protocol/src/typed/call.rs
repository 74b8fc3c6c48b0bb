//! Calls with typed parameters and results.

use std::{borrow::Borrow, fmt, future::Future, sync::Arc, time::Duration};

use futures::stream::{self, Stream, StreamExt as _};
use o_address::Address;
use o_core::{
    Body, BodyStream, CallContext, CallError, CallTerms, Caller, Encoding, OutgoingCall, Priority,
    Reply, SchemaHash, Shape,
};
use serde::{Serialize, de::DeserializeOwned};

use super::{TypedStream, stream::UntilError};
use crate::cbor::{DecodeError, decode_body, encode_body};

/// A call in the making: where to, what, and under which terms.
///
/// ```no_run
/// # async fn f(node: &impl o_core::Caller) -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use o_core::Priority;
/// use o_protocol::Call;
///
/// let clock: o_address::Address = "o://office/clock".parse()?;
/// let time: String = Call::to(&clock, "now")
///     .params("Europe/Berlin")
///     .timeout(Duration::from_secs(2))
///     .priority(Priority::Interactive)
///     .send(node)
///     .await?;
/// # let _ = time;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a call is made by `send`, `stream`, `client`, `bidirectional` or one of their kin"]
pub struct Call<P = ()> {
    target: Address,
    method: Arc<str>,
    params: Option<P>,
    encoding: Encoding,
    terms: CallTerms,
}

impl Call {
    /// A call of `method` at `target`, without parameters, in CBOR and without a deadline.
    pub fn to(target: impl Borrow<Address>, method: impl Into<Arc<str>>) -> Self {
        Self {
            target: target.borrow().clone(),
            method: method.into(),
            params: None,
            encoding: Encoding::default(),
            terms: CallTerms::default(),
        }
    }
}

impl<P> Call<P> {
    /// Sets the parameters, by value or by reference.
    pub fn params<Q: Serialize>(self, params: Q) -> Call<Q> {
        let Self {
            target,
            method,
            encoding,
            terms,
            ..
        } = self;
        let params = Some(params);
        Call {
            target,
            method,
            params,
            encoding,
            terms,
        }
    }

    /// How parameters and items are encoded; the answer follows. Default: CBOR.
    pub fn encoding(mut self, encoding: Encoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// Ends the call after `timeout` at the latest; an earlier deadline stays.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.with_terms(|call| call.timeout(timeout))
    }

    /// Makes the call on behalf of one that is being served: its terms carry over and only narrow.
    pub fn on_behalf_of(self, context: &CallContext) -> Self {
        self.with_terms(|call| call.on_behalf_of(context))
    }

    /// Which calls go first on a full connection.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.terms.priority = priority;
        self
    }

    /// Marks this and other calls with the key as one request: to run it twice must be as good as
    /// once, for a node makes it again when its connection is lost. At most 64 bytes.
    pub fn idempotency_key(mut self, key: impl Into<Arc<str>>) -> Self {
        self.terms.idempotency_key = Some(key.into());
        self
    }

    /// Carries a W3C `traceparent`. At most 128 bytes.
    pub fn trace_parent(mut self, trace_parent: impl Into<Arc<str>>) -> Self {
        self.terms.trace_parent = Some(trace_parent.into());
        self
    }

    /// The [`MethodSpec::hash`](o_core::MethodSpec::hash) that the caller was written against.
    pub fn schema(mut self, schema: SchemaHash) -> Self {
        self.terms.schema = Some(schema);
        self
    }

    /// Replaces all terms that were set so far.
    pub fn terms(mut self, terms: CallTerms) -> Self {
        self.terms = terms;
        self
    }

    fn with_terms(mut self, change: impl FnOnce(OutgoingCall) -> OutgoingCall) -> Self {
        let mut call =
            OutgoingCall::unary(self.target.clone(), self.method.clone(), Body::default());
        call.terms = self.terms;
        self.terms = change(call).terms;
        self
    }
}

impl<P: Serialize> Call<P> {
    /// Makes the call: one value in, one out.
    ///
    /// # Errors
    /// Whatever keeps the call from being answered, [`CallError::InvalidParams`] for parameters that
    /// cannot be encoded, and [`CallError::InvalidReply`] for an answer that is no `R`.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the call at the other end.
    pub fn send<R: DeserializeOwned>(
        self,
        caller: &(impl Caller + ?Sized),
    ) -> impl Future<Output = Result<R, CallError>> + Send {
        let call = self.into_call(Shape::Unary, None);
        async move { one(caller.call(call?).await?) }
    }

    /// Makes the call: one value in, a stream out.
    ///
    /// # Errors
    /// As [`send`](Self::send); what goes wrong later is the last item of the stream.
    ///
    /// # Cancel safety
    /// Dropping the future or the stream cancels the call at the other end.
    pub fn stream<R: DeserializeOwned>(
        self,
        caller: &(impl Caller + ?Sized),
    ) -> impl Future<Output = Result<TypedStream<R>, CallError>> + Send {
        let call = self.into_call(Shape::Server, None);
        async move { caller.call(call?).await.map(many) }
    }

    /// Makes the call: a stream in, one value out. Where the stream may fail, see
    /// [`try_client`](Self::try_client).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    /// Dropping the future cancels the call at the other end, and drops `input`.
    pub fn client<R: DeserializeOwned>(
        self,
        caller: &(impl Caller + ?Sized),
        input: impl Stream<Item: Serialize> + Send + 'static,
    ) -> impl Future<Output = Result<R, CallError>> + Send {
        let input = bodies(self.encoding, input);
        let call = self.into_call(Shape::Client, Some(input));
        async move { one(caller.call(call?).await?) }
    }

    /// Makes the call: a stream in that may fail, one value out. An error of `input` cancels the
    /// call, and is what the caller gets.
    ///
    /// # Errors
    /// As [`send`](Self::send), and that of `input`.
    ///
    /// # Cancel safety
    /// As [`client`](Self::client).
    pub fn try_client<R: DeserializeOwned, T: Serialize, E: Into<CallError>>(
        self,
        caller: &(impl Caller + ?Sized),
        input: impl Stream<Item = Result<T, E>> + Send + 'static,
    ) -> impl Future<Output = Result<R, CallError>> + Send {
        let input = try_bodies(self.encoding, input);
        let call = self.into_call(Shape::Client, Some(input));
        async move { one(caller.call(call?).await?) }
    }

    /// Makes the call: a stream in, a stream out, independent of each other.
    ///
    /// # Errors
    /// As [`send`](Self::send); what goes wrong later is the last item of the stream.
    ///
    /// # Cancel safety
    /// Dropping the future or the stream cancels the call at the other end, and drops `input`.
    pub fn bidirectional<R: DeserializeOwned>(
        self,
        caller: &(impl Caller + ?Sized),
        input: impl Stream<Item: Serialize> + Send + 'static,
    ) -> impl Future<Output = Result<TypedStream<R>, CallError>> + Send {
        let input = bodies(self.encoding, input);
        let call = self.into_call(Shape::Bidirectional, Some(input));
        async move { caller.call(call?).await.map(many) }
    }

    /// Makes the call: a stream in that may fail, a stream out. An error of `input` cancels the
    /// call, and is the last item of the answer.
    ///
    /// # Errors
    /// As [`bidirectional`](Self::bidirectional).
    ///
    /// # Cancel safety
    /// As [`bidirectional`](Self::bidirectional).
    pub fn try_bidirectional<R: DeserializeOwned, T: Serialize, E: Into<CallError>>(
        self,
        caller: &(impl Caller + ?Sized),
        input: impl Stream<Item = Result<T, E>> + Send + 'static,
    ) -> impl Future<Output = Result<TypedStream<R>, CallError>> + Send {
        let input = try_bodies(self.encoding, input);
        let call = self.into_call(Shape::Bidirectional, Some(input));
        async move { caller.call(call?).await.map(many) }
    }

    fn into_call(self, shape: Shape, input: Option<BodyStream>) -> Result<OutgoingCall, CallError> {
        let Self {
            target,
            method,
            params,
            encoding,
            terms,
        } = self;
        let body = match params {
            Some(params) => encode(encoding, &params)?,
            None => Body::new(encoding, ""),
        };
        Ok(OutgoingCall {
            target,
            method,
            shape,
            body,
            input,
            terms,
        })
    }
}

impl<P> fmt::Debug for Call<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("target", &self.target)
            .field("method", &self.method)
            .field("encoding", &self.encoding)
            .field("terms", &self.terms)
            .finish_non_exhaustive()
    }
}

/// Typed calls in CBOR without further terms; [`Call`] makes those with.
///
/// ```no_run
/// # async fn f(node: &dyn o_core::Caller) -> Result<(), Box<dyn std::error::Error>> {
/// use o_protocol::CallerExt as _;
///
/// let adder = "o://office/adder".parse()?;
/// let sum: i64 = node.call_typed(&adder, "add", &(1, 2)).await?;
/// let mut numbers = node.stream_typed::<u32>(&adder, "count", &3).await?;
/// while let Some(number) = numbers.next().await {
///     println!("{}", number?);
/// }
/// # let _ = sum;
/// # Ok(())
/// # }
/// ```
pub trait CallerExt: Caller {
    /// One value in, one out: see [`Call::send`].
    ///
    /// # Errors
    /// As [`Call::send`].
    ///
    /// # Cancel safety
    /// As [`Call::send`].
    fn call_typed<R: DeserializeOwned>(
        &self,
        target: &Address,
        method: &str,
        params: &(impl Serialize + ?Sized),
    ) -> impl Future<Output = Result<R, CallError>> + Send {
        Call::to(target, method).params(params).send(self)
    }

    /// One value in, a stream out: see [`Call::stream`].
    ///
    /// # Errors
    /// As [`Call::stream`].
    ///
    /// # Cancel safety
    /// As [`Call::stream`].
    fn stream_typed<R: DeserializeOwned>(
        &self,
        target: &Address,
        method: &str,
        params: &(impl Serialize + ?Sized),
    ) -> impl Future<Output = Result<TypedStream<R>, CallError>> + Send {
        Call::to(target, method).params(params).stream(self)
    }

    /// A stream in, one value out: see [`Call::client`].
    ///
    /// # Errors
    /// As [`Call::client`].
    ///
    /// # Cancel safety
    /// As [`Call::client`].
    fn client_typed<R: DeserializeOwned>(
        &self,
        target: &Address,
        method: &str,
        input: impl Stream<Item: Serialize> + Send + 'static,
    ) -> impl Future<Output = Result<R, CallError>> + Send {
        Call::to(target, method).client(self, input)
    }

    /// A stream in, a stream out: see [`Call::bidirectional`].
    ///
    /// # Errors
    /// As [`Call::bidirectional`].
    ///
    /// # Cancel safety
    /// As [`Call::bidirectional`].
    fn bidi_typed<R: DeserializeOwned>(
        &self,
        target: &Address,
        method: &str,
        input: impl Stream<Item: Serialize> + Send + 'static,
    ) -> impl Future<Output = Result<TypedStream<R>, CallError>> + Send {
        Call::to(target, method).bidirectional(self, input)
    }
}

impl<C: Caller + ?Sized> CallerExt for C {}

fn encode<T: Serialize + ?Sized>(encoding: Encoding, value: &T) -> Result<Body, CallError> {
    encode_body(encoding, value).map_err(|error| CallError::InvalidParams {
        message: error.to_string(),
    })
}

fn bodies<S>(encoding: Encoding, input: S) -> BodyStream
where
    S: Stream<Item: Serialize> + Send + 'static,
{
    UntilError::boxed(input.map(move |item| encode(encoding, &item)))
}

fn try_bodies<S, T, E>(encoding: Encoding, input: S) -> BodyStream
where
    S: Stream<Item = Result<T, E>> + Send + 'static,
    T: Serialize,
    E: Into<CallError>,
{
    UntilError::boxed(input.map(move |item| encode(encoding, &item.map_err(Into::into)?)))
}

fn one<R: DeserializeOwned>(reply: Reply) -> Result<R, CallError> {
    match reply {
        Reply::One(body) => decode_body(&body).map_err(DecodeError::into_invalid_reply),
        Reply::Stream(_) => Err(CallError::InvalidReply {
            message: "a stream where one value was expected".to_owned(),
        }),
    }
}

/// A method that answers one value may be called for a stream: that is one of one item.
fn many<R>(reply: Reply) -> TypedStream<R> {
    TypedStream::of_reply(match reply {
        Reply::One(body) => stream::iter([Ok(body)]).boxed(),
        Reply::Stream(bodies) => bodies,
    })
}
