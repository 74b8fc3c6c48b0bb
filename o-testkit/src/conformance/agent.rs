//! The suite of `Agent`.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, stream};
use o_address::Address;
use o_core::{
    Agent, Body, CallContext, CallError, CallTerms, IncomingCall, MethodSpec, Reply, Shape,
};

use super::check::Suite;
use crate::test_peer;

const SUITE: Suite = Suite("Agent");
/// How long a method may think about parameters that make no sense before it is cancelled.
const BRIEFLY: Duration = Duration::from_millis(50);
const UNKNOWN: &str = "o-conformance-no-such-method";

/// Checks an agent's list of methods, that it answers unknown methods and wrong shapes with their
/// errors, and that it survives parameters that make no sense, and calls that are dropped.
///
/// Every method is called with a body that is no parameter of anything. Do not run it against an
/// agent whose methods do harm then.
///
/// # Panics
/// When the agent does not conform.
///
/// # Cancel safety
/// Dropping the future ends the suite.
pub async fn agent(agent: &dyn Agent) {
    let methods = agent.methods();
    names(&methods);
    SUITE.equal("asked twice for its methods", &agent.methods(), &methods);

    for shape in [
        Shape::Unary,
        Shape::Server,
        Shape::Client,
        Shape::Bidirectional,
    ] {
        unknown(agent, shape).await;
        for method in methods
            .iter()
            .filter(|method| !shape.can_call(method.shape))
        {
            wrong_shape(agent, method, shape).await;
        }
    }
    for method in &methods {
        let step = format!("`{}`, dropped after it has begun", method.name);
        let begun = agent.call(incoming(&method.name, method.shape));
        SUITE.check(
            &step,
            quiet(begun.now_or_never()),
            "it answered `UnknownMethod`",
        );
        let step = format!("`{}` with parameters that make no sense", method.name);
        let call = agent.call(incoming(&method.name, method.shape));
        // Waiting is allowed, and so is any answer but this one.
        let answer = tokio::time::timeout(BRIEFLY, call).await.ok();
        SUITE.check(&step, quiet(answer), "it answered `UnknownMethod`");
    }
    unknown(agent, Shape::Unary).await;
}

fn names(methods: &[MethodSpec]) {
    let mut seen = BTreeSet::new();
    for method in methods {
        let step = format!("the name `{}`", method.name);
        let length = method.name.len();
        let good = (1..=MethodSpec::MAX_NAME).contains(&length);
        SUITE.check(
            &step,
            good,
            &format!("{length} bytes, not 1 to {}", MethodSpec::MAX_NAME),
        );
        SUITE.check(&step, seen.insert(&method.name), "two methods have it");
    }
}

fn quiet(answer: Option<Result<Reply, CallError>>) -> bool {
    !matches!(answer, Some(Err(CallError::UnknownMethod { .. })))
}

async fn unknown(agent: &dyn Agent, shape: Shape) {
    let step = format!("a {shape} call of a method that it does not have");
    match SUITE
        .within(&step, agent.call(incoming(UNKNOWN, shape)))
        .await
    {
        Err(CallError::UnknownMethod { method }) => SUITE.equal(&step, &method.as_str(), &UNKNOWN),
        other => SUITE.fail(&step, &format!("expected `UnknownMethod`, found {other:?}")),
    }
}

async fn wrong_shape(agent: &dyn Agent, method: &MethodSpec, shape: Shape) {
    let step = format!(
        "a {shape} call of the {} method `{}`",
        method.shape, method.name
    );
    match SUITE
        .within(&step, agent.call(incoming(&method.name, shape)))
        .await
    {
        Err(CallError::WrongShape { method: own, call }) => {
            SUITE.equal(&step, &(own, call), &(method.shape, shape));
        }
        other => SUITE.fail(&step, &format!("expected `WrongShape`, found {other:?}")),
    }
}

fn incoming(method: &str, shape: Shape) -> IncomingCall {
    let target: Address = SUITE.ok("an address", "o://conformance/agent".parse());
    let context = CallContext::new(target, Some(test_peer(u64::MAX)), CallTerms::default());
    // No CBOR item begins with this byte.
    let nonsense = Body::cbor(&b"\xff\xff"[..]);
    let input = shape
        .streams_in()
        .then(|| stream::iter([Ok(nonsense.clone())]).boxed());
    IncomingCall::new(context, Arc::from(method), shape, nonsense, input)
}
