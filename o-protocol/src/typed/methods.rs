//! An agent made of closures.

use std::{collections::BTreeMap, fmt, future::Future, sync::Arc};

use futures::{
    future::{BoxFuture, FutureExt as _, ready},
    stream::{Stream, StreamExt as _},
};
use o_core::{
    Agent, Body, BodyStream, CallContext, CallError, Encoding, IncomingCall, MethodSpec, Reply,
    Shape,
};
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};

use super::{TypedStream, params_schema, result_schema, stream::UntilError};
use crate::cbor::{DecodeError, EncodeError, decode_body, encode_body};

type Handler =
    Arc<dyn Fn(IncomingCall) -> BoxFuture<'static, Result<Reply, CallError>> + Send + Sync>;

/// Methods made of closures: an [`Agent`].
///
/// A method is added by its shape, and [`describe`](Self::describe) and
/// [`idempotent`](Self::idempotent) speak about the one added last. Adding a name again replaces the
/// method. A handler takes the context and the parameters, or a stream of them, and answers a value
/// or a stream of results.
///
/// ```
/// use futures::stream;
/// use o_core::CallError;
/// use o_protocol::{Methods, OrFailed as _, TypedStream};
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct Add {
///     a: i64,
///     b: i64,
/// }
///
/// let agent = Methods::new()
///     .unary("add", async |_, p: Add| Ok::<_, CallError>(p.a + p.b))
///     .describe("Adds two numbers.")
///     .idempotent()
///     .unary("parse", async |_, text: String| text.parse::<i64>().or_failed())
///     .server("count", async |_, up_to: u32| {
///         Ok::<_, CallError>(stream::iter((0..up_to).map(Ok::<_, CallError>)))
///     })
///     .client("sum", async |_, mut numbers: TypedStream<i64>| {
///         let mut sum = 0;
///         while let Some(number) = numbers.next().await {
///             sum += number?;
///         }
///         Ok::<_, CallError>(sum)
///     })
///     .bidirectional("echo", async |_, input: TypedStream<String>| Ok::<_, CallError>(input));
/// # let _ = agent;
/// ```
#[derive(Clone, Default)]
pub struct Methods {
    methods: BTreeMap<Arc<str>, Method>,
    last: Option<Arc<str>>,
}

#[derive(Clone)]
struct Method {
    spec: MethodSpec,
    handler: Handler,
}

impl Methods {
    /// No methods yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a method that takes one value and answers one.
    #[must_use]
    pub fn unary<P, R, E, F, Fut>(self, name: impl Into<Arc<str>>, handler: F) -> Self
    where
        P: DeserializeOwned + JsonSchema,
        R: Serialize + JsonSchema,
        E: Into<CallError>,
        F: Fn(CallContext, P) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
    {
        self.add(spec::<P, R>(name, Shape::Unary), move |call| {
            let encoding = call.body.encoding;
            let answer = params(&call.body).map(|params| handler(call.context, params));
            async move { one(encoding, answer?.await) }.boxed()
        })
    }

    /// Adds a method that takes one value and answers a stream, which ends after its first error.
    #[must_use]
    pub fn server<P, R, E, I, S, F, Fut>(self, name: impl Into<Arc<str>>, handler: F) -> Self
    where
        P: DeserializeOwned + JsonSchema,
        R: Serialize + JsonSchema,
        E: Into<CallError>,
        I: Into<CallError>,
        S: Stream<Item = Result<R, I>> + Send + 'static,
        F: Fn(CallContext, P) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<S, E>> + Send + 'static,
    {
        self.add(spec::<P, R>(name, Shape::Server), move |call| {
            let encoding = call.body.encoding;
            let answer = params(&call.body).map(|params| handler(call.context, params));
            async move { many(encoding, answer?.await) }.boxed()
        })
    }

    /// Adds a method that takes a stream and answers one value.
    #[must_use]
    pub fn client<P, R, E, F, Fut>(self, name: impl Into<Arc<str>>, handler: F) -> Self
    where
        P: DeserializeOwned + JsonSchema,
        R: Serialize + JsonSchema,
        E: Into<CallError>,
        F: Fn(CallContext, TypedStream<P>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
    {
        self.add(spec::<P, R>(name, Shape::Client), move |call| {
            let encoding = call.body.encoding;
            let answer = items(call.input).map(|items| handler(call.context, items));
            async move { one(encoding, answer?.await) }.boxed()
        })
    }

    /// Adds a method that takes a stream and answers a stream, which ends after its first error.
    #[must_use]
    pub fn bidirectional<P, R, E, I, S, F, Fut>(self, name: impl Into<Arc<str>>, handler: F) -> Self
    where
        P: DeserializeOwned + JsonSchema,
        R: Serialize + JsonSchema,
        E: Into<CallError>,
        I: Into<CallError>,
        S: Stream<Item = Result<R, I>> + Send + 'static,
        F: Fn(CallContext, TypedStream<P>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<S, E>> + Send + 'static,
    {
        self.add(spec::<P, R>(name, Shape::Bidirectional), move |call| {
            let encoding = call.body.encoding;
            let answer = items(call.input).map(|items| handler(call.context, items));
            async move { many(encoding, answer?.await) }.boxed()
        })
    }

    /// Adds a method that gets the call as it came. Its shape is still checked, by `spec`.
    #[must_use]
    pub fn raw<E, F, Fut>(self, spec: MethodSpec, handler: F) -> Self
    where
        E: Into<CallError>,
        F: Fn(IncomingCall) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply, E>> + Send + 'static,
    {
        self.add(spec, move |call| {
            handler(call)
                .map(|answer| answer.map_err(Into::into))
                .boxed()
        })
    }

    /// Says what the method added last does, for people and models.
    #[must_use]
    pub fn describe(self, description: impl Into<Arc<str>>) -> Self {
        self.change_last(|spec| spec.description = description.into())
    }

    /// Says that calling the method added last twice does what calling it once does.
    #[must_use]
    pub fn idempotent(self) -> Self {
        self.change_last(|spec| spec.idempotent = true)
    }

    fn add<F>(mut self, spec: MethodSpec, handler: F) -> Self
    where
        F: Fn(IncomingCall) -> BoxFuture<'static, Result<Reply, CallError>> + Send + Sync + 'static,
    {
        let (name, handler) = (spec.name.clone(), Arc::new(handler));
        self.last = Some(name.clone());
        self.methods.insert(name, Method { spec, handler });
        self
    }

    fn change_last(mut self, change: impl FnOnce(&mut MethodSpec)) -> Self {
        if let Some(method) = self
            .last
            .as_ref()
            .and_then(|name| self.methods.get_mut(name))
        {
            change(&mut method.spec);
        }
        self
    }
}

// Written out: the handler's future is the answer's, and holds the call alone.
impl Agent for Methods {
    /// In the order of their names.
    fn methods(&self) -> Vec<MethodSpec> {
        self.methods
            .values()
            .map(|method| method.spec.clone())
            .collect()
    }

    fn call<'a, 'b>(&'a self, call: IncomingCall) -> BoxFuture<'b, Result<Reply, CallError>>
    where
        'a: 'b,
        Self: 'b,
    {
        let Some(Method { spec, handler }) = self.methods.get(&call.method) else {
            let method = call.method.to_string();
            return ready(Err(CallError::UnknownMethod { method })).boxed();
        };
        let (method, shape) = (spec.shape, call.shape);
        if !shape.can_call(method) {
            return ready(Err(CallError::WrongShape {
                method,
                call: shape,
            }))
            .boxed();
        }
        handler(call)
    }
}

impl fmt::Debug for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = |method: &Method| method.spec.shape;
        f.debug_map()
            .entries(
                self.methods
                    .iter()
                    .map(|(name, method)| (name, shape(method))),
            )
            .finish()
    }
}

fn spec<P: JsonSchema, R: JsonSchema>(name: impl Into<Arc<str>>, shape: Shape) -> MethodSpec {
    let mut spec = MethodSpec::new(name, shape);
    spec.params = Some(params_schema::<P>());
    spec.result = Some(result_schema::<R>());
    spec
}

fn params<P: DeserializeOwned>(body: &Body) -> Result<P, CallError> {
    decode_body(body).map_err(DecodeError::into_invalid_params)
}

fn items<P>(input: Option<BodyStream>) -> Result<TypedStream<P>, CallError> {
    // The shape was checked, so that this is a fault of whoever made the call out of frames.
    let message = "a call with a stream came without it";
    input
        .map(TypedStream::of_params)
        .ok_or_else(|| CallError::Internal {
            message: message.to_owned(),
        })
}

fn one<R, E>(encoding: Encoding, answer: Result<R, E>) -> Result<Reply, CallError>
where
    R: Serialize,
    E: Into<CallError>,
{
    encode(encoding, answer).map(Reply::One)
}

fn many<R, I, S, E>(encoding: Encoding, answer: Result<S, E>) -> Result<Reply, CallError>
where
    R: Serialize,
    I: Into<CallError>,
    S: Stream<Item = Result<R, I>> + Send + 'static,
    E: Into<CallError>,
{
    let items = answer.map_err(Into::into)?;
    let bodies = items.map(move |item| encode(encoding, item));
    Ok(Reply::Stream(UntilError::boxed(bodies)))
}

fn encode<R, E>(encoding: Encoding, result: Result<R, E>) -> Result<Body, CallError>
where
    R: Serialize,
    E: Into<CallError>,
{
    let value = result.map_err(Into::into)?;
    match encode_body(encoding, &value) {
        Err(EncodeError::NotBytes) => encode_body(Encoding::Cbor, &value),
        body => body,
    }
    .map_err(|error| CallError::Internal {
        message: format!("the result: {error}"),
    })
}
