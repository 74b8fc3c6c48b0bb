//! Programs called as an agent is, without a network.

use std::time::Duration;

use futures::TryStreamExt;
use o_core::{Body, CallTerms, Encoding};

use super::*;

fn agent(script: &str, limits: ExecLimits) -> (CommandAgent, Children) {
    let words = ["sh", "-c", script].map(str::to_owned);
    let program = Program::find(&words).unwrap();
    let children = Children::default();
    let programs = BTreeMap::from([("m".to_owned(), program)]);
    (
        CommandAgent::new(programs, limits, children.clone()),
        children,
    )
}

fn incoming(shape: Shape, body: Body) -> IncomingCall {
    let context = CallContext::new("o://a".parse().unwrap(), None, CallTerms::default());
    IncomingCall::new(context, "m".into(), shape, body, None)
}

async fn unary(script: &str, body: Body) -> Result<Body, CallError> {
    let (agent, _) = agent(script, ExecLimits::default());
    match agent.call(incoming(Shape::Unary, body)).await? {
        Reply::One(body) => Ok(body),
        Reply::Stream(_) => panic!("a stream for a unary call"),
    }
}

fn message(error: CallError) -> String {
    match error {
        CallError::Failed { message, .. } => message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_unary_caller_gets_exactly_one_value() {
    let null = || Body::json("null");
    assert_eq!(
        unary("echo '[1, 2]'", null()).await,
        Ok(Body::json("[1,2]"))
    );
    let none = message(unary("true", null()).await.unwrap_err());
    assert!(none.contains("none"), "{none}");
    let many = message(unary("echo 1 2; sleep 1000", null()).await.unwrap_err());
    assert!(many.contains("more than one"), "{many}");
    let failed = message(
        unary("echo 1; echo why >&2; exit 9", null())
            .await
            .unwrap_err(),
    );
    assert_eq!(failed, "`m`: the program exited with status 9: why");
    let killed = message(unary("kill -9 $$", null()).await.unwrap_err());
    assert_eq!(killed, "`m`: the program was ended by signal 9");
}

#[tokio::test]
async fn the_answer_has_the_encoding_of_the_parameters() {
    let one_two = Body::cbor(&b"\x82\x01\x02"[..]);
    assert_eq!(unary("cat", one_two.clone()).await, Ok(one_two));
    assert_eq!(
        unary("cat", Body::raw("bytes")).await,
        Ok(Body::raw("bytes"))
    );
    let bad = unary("cat", Body::json("{")).await;
    assert!(matches!(bad, Err(CallError::InvalidParams { .. })));
}

#[tokio::test]
async fn the_values_of_a_stream_come_before_its_error() {
    let (agent, children) = agent(
        "echo 1; echo 2; echo '{'; sleep 1000",
        ExecLimits::default(),
    );
    let Reply::Stream(mut bodies) = agent
        .call(incoming(Shape::Server, Body::json("null")))
        .await
        .unwrap()
    else {
        panic!("no stream");
    };
    assert_eq!(bodies.try_next().await, Ok(Some(Body::json("1"))));
    assert_eq!(bodies.try_next().await, Ok(Some(Body::json("2"))));
    drop(bodies);
    tokio::time::timeout(Duration::from_secs(30), children.settle())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_group_that_does_not_listen_is_killed_in_time() {
    let limits = ExecLimits {
        kill_after: Duration::from_millis(100),
        ..ExecLimits::default()
    };
    // Neither the program nor what it started minds SIGTERM; the program even ends first.
    let script = "(trap '' TERM; echo 1; while true; do sleep 0.01; done) & wait";
    let (agent, children) = agent(script, limits);
    let Reply::Stream(mut bodies) = agent
        .call(incoming(Shape::Server, Body::json("null")))
        .await
        .unwrap()
    else {
        panic!("no stream");
    };
    assert_eq!(bodies.try_next().await, Ok(Some(Body::json("1"))));
    drop(bodies);
    tokio::time::timeout(Duration::from_secs(30), children.settle())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_method_that_takes_a_stream_is_another_shape() {
    let (agent, _) = agent("cat", ExecLimits::default());
    for shape in [Shape::Client, Shape::Bidirectional] {
        let error = agent
            .call(incoming(shape, Body::default()))
            .await
            .unwrap_err();
        assert!(matches!(error, CallError::WrongShape { .. }));
    }
    let mut call = incoming(Shape::Unary, Body::default());
    call.method = "other".into();
    let error = agent.call(call).await.unwrap_err();
    assert!(matches!(error, CallError::UnknownMethod { .. }));
    assert_eq!(
        Answer::to(&Body::default())
            .body("1".into())
            .unwrap()
            .encoding,
        Encoding::Cbor
    );
}
