//! The call model: shapes, priorities, what travels with a call, and both of its ends.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use o_address::{Address, PeerId};

use crate::{Body, BodyStream, SchemaHash};

/// How many values go each way. The numbers are those of the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Shape {
    /// One value in, one out.
    #[default]
    Unary = 1,
    /// One value in, a stream out.
    Server = 2,
    /// A stream in, one value out.
    Client = 3,
    /// A stream in, a stream out, independent of each other.
    Bidirectional = 4,
}

impl Shape {
    /// The shape with this wire number, if there is one.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Unary),
            2 => Some(Self::Server),
            3 => Some(Self::Client),
            4 => Some(Self::Bidirectional),
            _ => None,
        }
    }

    /// The number that stands for it on the wire.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// Whether the caller sends a stream.
    pub fn streams_in(self) -> bool {
        matches!(self, Self::Client | Self::Bidirectional)
    }

    /// Whether the callee answers with a stream.
    pub fn streams_out(self) -> bool {
        matches!(self, Self::Server | Self::Bidirectional)
    }

    /// Whether a call of this shape may be answered by a method of shape `method`.
    ///
    /// A caller that takes a stream can take one value; a caller that sends one value cannot feed
    /// a method that reads a stream, and the reverse.
    pub fn can_call(self, method: Self) -> bool {
        self.streams_in() == method.streams_in() && (self.streams_out() || !method.streams_out())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unary => "unary",
            Self::Server => "server",
            Self::Client => "client",
            Self::Bidirectional => "bidirectional",
        })
    }
}

/// Which calls go first when a connection cannot carry all at once. Control frames precede all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Priority {
    /// Somebody waits for it: weight 4.
    Interactive = 1,
    /// The default: weight 2.
    #[default]
    Normal = 2,
    /// Large and patient: weight 1.
    Bulk = 3,
}

impl Priority {
    /// The priority with this wire number, if there is one.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Interactive),
            2 => Some(Self::Normal),
            3 => Some(Self::Bulk),
            _ => None,
        }
    }

    /// The number that stands for it on the wire.
    pub fn number(self) -> u8 {
        self as u8
    }
}

/// What travels with a call beside its target, method and body.
///
/// The last five fields are carried for the protocols that later build on them; nothing in this
/// crate reads them.
#[derive(Clone, Debug, Default)]
pub struct CallTerms {
    /// When the call ends at the latest, by this machine's clock. The wire carries what remains.
    pub deadline: Option<Instant>,
    /// How long the call may take from when it is made. Whoever makes it turns this into a deadline,
    /// by the clock that it will be held to: see [`begin`](Self::begin).
    pub timeout: Option<Duration>,
    /// Which calls go first on a full connection.
    pub priority: Priority,
    /// Chosen by the caller; two calls with one key are the same request, which may run twice: a
    /// node makes such a call again when its connection is lost, and no other. At most 64 bytes.
    pub idempotency_key: Option<Arc<str>>,
    /// W3C `traceparent`, at most 128 bytes.
    pub trace_parent: Option<Arc<str>>,
    /// SHA-256 of the schema that the caller was written against.
    pub schema: Option<SchemaHash>,
    /// How many further calls may be made on behalf of this one.
    pub hops_left: Option<u8>,
    /// Which agent calls: a claim, never proof.
    pub origin: Option<Address>,
    /// A signed call context, opaque here.
    pub signed_context: Option<Bytes>,
    /// Capability tokens, opaque here.
    pub tokens: Option<Bytes>,
}

impl CallTerms {
    /// Time until the call ends at the latest, if it is made now; `None` without a limit, zero when
    /// the deadline has passed.
    pub fn remaining(&self, now: Instant) -> Option<Duration> {
        let left = |deadline: Instant| deadline.saturating_duration_since(now);
        earlier(self.deadline.map(left), self.timeout)
    }

    /// The call is made now: what it may take counts from here, and the earlier deadline holds.
    pub fn begin(&mut self, now: Instant) {
        // Beyond what this clock can hold it is no deadline.
        let wanted = self.timeout.take().and_then(|after| now.checked_add(after));
        self.deadline = earlier(self.deadline, wanted);
    }

    /// The terms for a call made on behalf of a call with these: never wider.
    ///
    /// Deadline, time-out, priority, trace, hops, origin, context and tokens carry over; the idempotency key
    /// and the schema belong to the one method that was called, and do not.
    pub fn inherited(&self) -> Self {
        Self {
            deadline: self.deadline,
            timeout: self.timeout,
            priority: self.priority,
            idempotency_key: None,
            trace_parent: self.trace_parent.clone(),
            schema: None,
            hops_left: self.hops_left.map(|hops| hops.saturating_sub(1)),
            origin: self.origin.clone(),
            signed_context: self.signed_context.clone(),
            tokens: self.tokens.clone(),
        }
    }
}

/// What the callee knows about a call.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CallContext {
    /// The address that was called; several agents may live on one node.
    pub target: Address,
    /// Who is at the other end, proved by the handshake; `None` for a call inside this process.
    pub peer: Option<PeerId>,
    /// Deadline, priority and the rest. `terms.origin` is what the caller *claims* to be.
    pub terms: CallTerms,
}

impl CallContext {
    /// A context for a call to `target` from `peer`.
    pub fn new(target: Address, peer: Option<PeerId>, terms: CallTerms) -> Self {
        Self {
            target,
            peer,
            terms,
        }
    }
}

/// A call to be made.
pub struct OutgoingCall {
    /// Whom to call.
    pub target: Address,
    /// The method's name there.
    pub method: Arc<str>,
    /// How many values go each way.
    pub shape: Shape,
    /// The parameters; empty for a method that takes a stream and no parameters.
    pub body: Body,
    /// The caller's stream, for the shapes that have one.
    pub input: Option<BodyStream>,
    /// Deadline, priority and the rest.
    pub terms: CallTerms,
}

impl OutgoingCall {
    /// One value in, one out.
    pub fn unary(target: Address, method: impl Into<Arc<str>>, body: Body) -> Self {
        Self {
            target,
            method: method.into(),
            shape: Shape::Unary,
            body,
            input: None,
            terms: CallTerms::default(),
        }
    }

    /// One value in, a stream out.
    pub fn server_streaming(target: Address, method: impl Into<Arc<str>>, body: Body) -> Self {
        Self {
            shape: Shape::Server,
            ..Self::unary(target, method, body)
        }
    }

    /// A stream in, one value out.
    pub fn client_streaming(
        target: Address,
        method: impl Into<Arc<str>>,
        body: Body,
        input: BodyStream,
    ) -> Self {
        Self {
            shape: Shape::Client,
            input: Some(input),
            ..Self::unary(target, method, body)
        }
    }

    /// A stream in, a stream out.
    pub fn bidirectional(
        target: Address,
        method: impl Into<Arc<str>>,
        body: Body,
        input: BodyStream,
    ) -> Self {
        Self {
            shape: Shape::Bidirectional,
            input: Some(input),
            ..Self::unary(target, method, body)
        }
    }

    /// Ends the call at the latest `timeout` after it is made; an earlier limit stays.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.terms.timeout = earlier(self.terms.timeout, Some(timeout));
        self
    }

    /// Makes the call on behalf of one that is being served: its terms carry over and only narrow.
    #[must_use]
    pub fn on_behalf_of(mut self, context: &CallContext) -> Self {
        let own = self.terms;
        self.terms = CallTerms {
            idempotency_key: own.idempotency_key,
            schema: own.schema,
            ..context.terms.inherited()
        };
        self.terms.deadline = earlier(self.terms.deadline, own.deadline);
        self.terms.timeout = earlier(self.terms.timeout, own.timeout);
        self
    }
}

/// The lesser of two limits, where there are two.
fn earlier<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

impl fmt::Debug for OutgoingCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutgoingCall")
            .field("target", &self.target)
            .field("method", &self.method)
            .field("shape", &self.shape)
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_made_on_behalf_of_another_never_outlives_it() {
        let now = Instant::now();
        let early = now + Duration::from_secs(1);
        let terms = CallTerms {
            deadline: Some(early),
            hops_left: Some(2),
            ..Default::default()
        };
        let target: Address = "o://a".parse().unwrap();
        let context = CallContext::new(target.clone(), None, terms);

        let call = OutgoingCall::unary(target, "m", Body::default())
            .timeout(Duration::from_secs(60))
            .on_behalf_of(&context);

        assert_eq!(call.terms.deadline, Some(early));
        assert_eq!(call.terms.hops_left, Some(1));
        let mut terms = call.terms;
        terms.begin(now);
        assert_eq!(terms.deadline, Some(early));
    }

    #[test]
    fn a_timeout_counts_from_when_the_call_is_made() {
        let second = Duration::from_secs(1);
        let target: Address = "o://a".parse().unwrap();
        let call = OutgoingCall::unary(target, "m", Body::default())
            .timeout(second * 9)
            .timeout(second);
        let made = Instant::now() + second * 3600;
        assert_eq!(call.terms.remaining(made), Some(second));
        let mut terms = call.terms;
        terms.begin(made);
        assert_eq!((terms.deadline, terms.timeout), (Some(made + second), None));
        terms.timeout = Some(second * 9);
        terms.begin(made);
        assert_eq!(terms.deadline, Some(made + second));
    }

    #[test]
    fn shapes_call_what_they_can_hold() {
        assert!(Shape::Unary.can_call(Shape::Unary));
        assert!(Shape::Server.can_call(Shape::Unary));
        assert!(!Shape::Unary.can_call(Shape::Server));
        assert!(!Shape::Unary.can_call(Shape::Client));
        assert!(Shape::Bidirectional.can_call(Shape::Client));
        assert!(!Shape::Bidirectional.can_call(Shape::Server));
    }
}
