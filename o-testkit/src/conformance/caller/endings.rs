//! Calls that fail, are cancelled or run out of time.

use std::time::Duration;

use futures::{StreamExt, stream};
use o_core::{Body, CallError, OutgoingCall, Shape};
use tokio::time::Instant;

use super::{super::Probe, Case, SUITE};

const SOON: Duration = Duration::from_millis(100);

/// A deadline by tokio's clock, which a test may have paused.
fn ending_soon(mut call: OutgoingCall) -> OutgoingCall {
    call.terms.deadline = Some((Instant::now() + SOON).into_std());
    call
}

pub(super) async fn failures(case: Case<'_>) {
    for (name, expected) in Probe::failures() {
        let step = format!("the error `{}` of a method", expected.code());
        let error = case.error(&step, case.unary("fail", name)).await;
        SUITE.equal(&step, &error, &expected);
    }

    let step = "an error after two items";
    let mut items = case.stream(step, case.server("fail-late", "")).await;
    for number in ["0", "1"] {
        let item = SUITE.within(step, items.next()).await;
        SUITE.equal(step, &item, &Some(Ok(Body::raw(number))));
    }
    let item = SUITE.within(step, items.next()).await;
    SUITE.equal(step, &item, &Some(Err(CallError::failed("as asked"))));
    SUITE.equal(
        "a stream ends after its error",
        &SUITE.within(step, items.next()).await,
        &None,
    );
}

pub(super) async fn unanswered(case: Case<'_>) {
    let step = "a method that nobody has";
    let error = case.error(step, case.unary("no-such-method", "")).await;
    SUITE.equal(
        step,
        &error,
        &CallError::UnknownMethod {
            method: "no-such-method".into(),
        },
    );

    let step = "an address at which nobody answers";
    let call = OutgoingCall::unary(case.nobody.clone(), "echo", Body::raw(""));
    let error = case.error(step, call).await;
    SUITE.equal(
        step,
        &error,
        &CallError::NotFound {
            address: case.nobody.clone(),
        },
    );

    let step = "a call of another shape than the method";
    let error = case.error(step, case.unary("count", "3")).await;
    let expected = CallError::WrongShape {
        method: Shape::Server,
        call: Shape::Unary,
    };
    SUITE.equal(step, &error, &expected);
}

pub(super) async fn cancelled(case: Case<'_>) {
    let dropped = case.probe.dropped();
    let step = "dropping a call";
    {
        let call = case.caller.call(case.unary("hang", ""));
        let begun = case.probe.wait_hanging(1);
        let both = futures::future::select(call, Box::pin(begun));
        if let futures::future::Either::Left((answer, _)) = SUITE.within(step, both).await {
            SUITE.fail(step, &format!("`hang` answered {answer:?}"));
        }
    }
    SUITE
        .within(
            "the agent sees that its call was dropped",
            case.probe.wait_dropped(dropped + 1),
        )
        .await;

    let step = "dropping a stream";
    let mut items = case.stream(step, case.server("drip", "")).await;
    SUITE.equal(
        step,
        &SUITE.within(step, items.next()).await,
        &Some(Ok(Body::raw("drip"))),
    );
    drop(items);
    SUITE
        .within(
            "the agent sees that its stream was dropped",
            case.probe.wait_dropped(dropped + 2),
        )
        .await;
    SUITE
        .within("nothing runs any more", case.probe.wait_hanging(0))
        .await;

    let step = "dropping a call before anything happened";
    drop(case.caller.call(case.unary("hang", "")));
    SUITE.check(step, case.probe.hanging() == 0, "the method runs");
}

/// A caller whose own stream fails gets its own error back.
pub(super) async fn lost_input(case: Case<'_>) {
    let step = "a caller's stream that fails";
    let input = stream::iter([Ok(Body::raw("ab")), Err(CallError::failed("no more"))]).boxed();
    let call = OutgoingCall::client_streaming(case.target.clone(), "sum", Body::default(), input);
    let error = case.error(step, call).await;
    SUITE.equal(step, &error, &CallError::failed("no more"));
}

pub(super) async fn deadlines(case: Case<'_>) {
    let dropped = case.probe.dropped();
    let step = "a deadline";
    let timed_out = |step: &str, error: CallError| {
        if !matches!(error, CallError::TimedOut { .. }) {
            SUITE.fail(step, &format!("expected `TimedOut`, found {error:?}"));
        }
    };
    timed_out(
        step,
        case.error(step, ending_soon(case.unary("hang", ""))).await,
    );
    SUITE
        .within(
            "the agent sees the deadline",
            case.probe.wait_dropped(dropped + 1),
        )
        .await;

    let step = "a deadline in the middle of a stream";
    timed_out(
        step,
        case.error(step, ending_soon(case.server("drip", ""))).await,
    );
    SUITE
        .within(
            "the agent sees the deadline of a stream",
            case.probe.wait_dropped(dropped + 2),
        )
        .await;

    let step = "a deadline that has passed";
    let mut call = case.unary("hang", "");
    call.terms.deadline = Some(Instant::now().into_std());
    timed_out(step, case.error(step, call).await);
    SUITE.check(step, case.probe.hanging() == 0, "the method runs");

    let step = "a deadline that is not reached";
    let mut call = case.unary("echo", "quick");
    call.terms.deadline = Some((Instant::now() + Duration::from_secs(3600)).into_std());
    SUITE.equal(step, &case.one(step, call).await, &Body::raw("quick"));
}
