//! Calling whoever has a capability: picked by what is known of each, elsewhere when one fails.

mod race;

use std::{fmt, sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use o_address::{Address, PeerId};
use o_core::{
    Attributes, Body, BodyStream, CallContext, CallError, CallTerms, Capability, Encoding,
    OutgoingCall, Reply, Shape,
};
use o_protocol::{TypedStream, decode_body, encode_body};
use serde::{Serialize, de::DeserializeOwned};

use self::race::Race;
use super::Node;
use crate::balance::Choice;

/// A call to whoever has a capability; see [`Node::any`].
///
/// What did not begin at one provider (it cannot be reached, refuses, is busy, no longer has the agent or
/// the method) is offered to the next. What may have begun is made again elsewhere only if it is
/// [`idempotent`](Self::idempotent).
#[derive(Clone)]
#[must_use = "a call is made by `call`, `stream` or one of their kin"]
pub struct AnyCall {
    node: Node,
    capability: Capability,
    method: Arc<str>,
    terms: CallTerms,
    encoding: Encoding,
    idempotent: bool,
    hedge: Option<Duration>,
    pin: Option<PeerId>,
    exclude: Vec<PeerId>,
    attributes: Option<Attributes>,
}

impl fmt::Debug for AnyCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyCall")
            .field("capability", &self.capability)
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

/// An answer, and how it was come by.
#[derive(Debug)]
#[non_exhaustive]
pub struct AnyReply {
    /// The answer, or why there is none.
    pub reply: Result<Reply, CallError>,
    /// Every provider that the call was offered to, in this order.
    pub trace: Vec<AnyAttempt>,
}

/// One provider that a call was offered to.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AnyAttempt {
    /// Whose node.
    pub peer: PeerId,
    /// Which agent.
    pub address: Address,
    /// Why this one.
    pub why: Choice,
    /// Whether it was called beside another one that took too long.
    pub hedge: bool,
    /// What became of it.
    pub outcome: AttemptOutcome,
    /// How long it took.
    pub took: Duration,
}

/// What became of a call at one provider.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttemptOutcome {
    /// It answered.
    Answered,
    /// It failed.
    Failed(CallError),
    /// It was cancelled: another provider was quicker, or the time was over.
    GivenUp,
}

impl fmt::Display for AttemptOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered => f.write_str("answered"),
            Self::Failed(error) => write!(f, "{}: {error}", error.code()),
            Self::GivenUp => f.write_str("given up"),
        }
    }
}

impl Node {
    /// Begins a call to whoever has `capability`. Its method is the last segment of it, unless
    /// [`AnyCall::method`] says another.
    ///
    /// ```no_run
    /// # async fn run(node: &o_node::Node) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// let summary: String = node
    ///     .any("text/summarize".parse()?)
    ///     .idempotent()
    ///     .hedge(Duration::from_millis(200))
    ///     .call_typed(&"a long text")
    ///     .await?;
    /// # let _ = summary;
    /// # Ok(())
    /// # }
    /// ```
    pub fn any(&self, capability: Capability) -> AnyCall {
        let method = capability.as_str().rsplit('/').next();
        AnyCall {
            node: self.clone(),
            method: method.unwrap_or_default().into(),
            capability,
            terms: CallTerms::default(),
            encoding: Encoding::default(),
            idempotent: false,
            hedge: None,
            pin: None,
            exclude: Vec::new(),
            attributes: None,
        }
    }

    /// Calls whoever has `capability`: the method of its last segment, one value in, one out.
    ///
    /// # Errors
    /// As [`AnyCall::call_typed`].
    ///
    /// # Cancel safety
    /// Dropping the future cancels the call wherever it is under way.
    pub async fn call_any<R: DeserializeOwned>(
        &self,
        capability: Capability,
        params: &(impl Serialize + Sync + ?Sized),
    ) -> Result<R, CallError> {
        self.any(capability).call_typed(params).await
    }
}

impl AnyCall {
    /// Which method.
    pub fn method(mut self, method: impl Into<Arc<str>>) -> Self {
        self.method = method.into();
        self
    }

    /// Ends the call after `timeout` at the latest, all attempts together.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.with_terms(|call| call.timeout(timeout))
    }

    /// Makes the call on behalf of one that is being served: its terms carry over and only narrow.
    pub fn on_behalf_of(self, context: &CallContext) -> Self {
        self.with_terms(|call| call.on_behalf_of(context))
    }

    /// Replaces all terms that were set so far.
    pub fn terms(mut self, terms: CallTerms) -> Self {
        self.terms = terms;
        self
    }

    /// How parameters are encoded by [`call_typed`](Self::call_typed); the answer follows. Default: CBOR.
    pub fn encoding(mut self, encoding: Encoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// Says that to run the method twice is as good as once: what was lost on its way, timed out there,
    /// or failed and may be tried again, is tried with the next provider.
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// Calls a second provider if the first has not answered after this time; the first answer wins,
    /// and the other call is cancelled. So the method may run twice.
    pub fn hedge(mut self, after: Duration) -> Self {
        self.hedge = Some(after);
        self
    }

    /// Takes only this provider.
    pub fn pin(mut self, peer: PeerId) -> Self {
        self.pin = Some(peer);
        self
    }

    /// Does not take this provider.
    pub fn exclude(mut self, peer: PeerId) -> Self {
        self.exclude.push(peer);
        self
    }

    /// Takes only providers whose record has these attributes.
    pub fn attributes(mut self, attributes: Attributes) -> Self {
        self.attributes = Some(attributes);
        self
    }

    /// Makes the call: one value in, one out.
    ///
    /// # Errors
    /// [`CallError::NoProviders`] if nobody has the capability; else what the last provider said.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the call wherever it is under way.
    pub async fn call(self, body: Body) -> Result<Body, CallError> {
        one(self.traced(body).await.reply?)
    }

    /// Makes the call with a parameter and a result of one's own types.
    ///
    /// # Errors
    /// As [`call`](Self::call), and for parameters or a result that cannot be converted.
    ///
    /// # Cancel safety
    /// As [`call`](Self::call).
    pub async fn call_typed<R: DeserializeOwned>(
        self,
        params: &(impl Serialize + Sync + ?Sized),
    ) -> Result<R, CallError> {
        let body = self.encoded(params)?;
        let invalid = |error: o_protocol::DecodeError| CallError::InvalidReply {
            message: error.to_string(),
        };
        decode_body(&self.call(body).await?).map_err(invalid)
    }

    /// Makes the call: one value in, a stream out. Once the first item is there, nobody else is asked.
    ///
    /// # Errors
    /// As [`call`](Self::call); what goes wrong later is the last item of the stream.
    ///
    /// # Cancel safety
    /// Dropping the future or the stream cancels the call.
    pub async fn stream(self, body: Body) -> Result<BodyStream, CallError> {
        match self.traced_stream(body).await.reply? {
            Reply::Stream(items) => Ok(items),
            Reply::One(body) => Ok(stream::iter([Ok(body)]).boxed()),
        }
    }

    /// Makes the call with a parameter of one's own type: one value in, a stream out.
    ///
    /// # Errors
    /// As [`stream`](Self::stream), and for parameters that cannot be converted.
    ///
    /// # Cancel safety
    /// As [`stream`](Self::stream).
    pub async fn stream_typed<R: DeserializeOwned>(
        self,
        params: &(impl Serialize + Sync + ?Sized),
    ) -> Result<TypedStream<R>, CallError> {
        let body = self.encoded(params)?;
        Ok(TypedStream::of_reply(self.stream(body).await?))
    }

    /// Makes the call as [`call`](Self::call) does, and tells how it went.
    ///
    /// # Cancel safety
    /// As [`call`](Self::call).
    pub async fn traced(self, body: Body) -> AnyReply {
        self.run(Shape::Unary, body).await
    }

    /// Makes the call as [`stream`](Self::stream) does, and tells how it went.
    ///
    /// # Cancel safety
    /// As [`stream`](Self::stream).
    pub async fn traced_stream(self, body: Body) -> AnyReply {
        self.run(Shape::Server, body).await
    }

    async fn run(mut self, shape: Shape, body: Body) -> AnyReply {
        let running = match self.node.running_for_more() {
            Ok(running) => running,
            Err(error) => {
                return AnyReply {
                    reply: Err(error),
                    trace: Vec::new(),
                };
            }
        };
        let method = self.method.clone();
        let mut call = OutgoingCall {
            shape,
            ..OutgoingCall::unary(Address::node(), method, body)
        };
        call.terms = std::mem::take(&mut self.terms);
        self.node.begin(&mut call);
        Race::new(&self, running, call).run().await
    }

    fn encoded(&self, params: &(impl Serialize + ?Sized)) -> Result<Body, CallError> {
        encode_body(self.encoding, params).map_err(|error| CallError::InvalidParams {
            message: error.to_string(),
        })
    }

    fn with_terms(mut self, change: impl FnOnce(OutgoingCall) -> OutgoingCall) -> Self {
        let mut call = OutgoingCall::unary(Address::node(), "", Body::default());
        call.terms = self.terms;
        self.terms = change(call).terms;
        self
    }
}

fn one(reply: Reply) -> Result<Body, CallError> {
    match reply {
        Reply::One(body) => Ok(body),
        Reply::Stream(_) => Err(CallError::InvalidReply {
            message: "a stream where one value was expected".into(),
        }),
    }
}
