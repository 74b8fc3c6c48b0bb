//! Calls that succeed: the four shapes, large bodies, many calls at once.

use bytes::Bytes;
use futures::{StreamExt, future::join_all, stream};
use o_core::{Body, BodyStream, Encoding, OutgoingCall};

use super::{Case, SUITE};

/// Larger than a frame may be, and more than the credit of a call.
const LARGE: usize = 600_000;
const ITEMS: u32 = 2_000;
const CALLS: usize = 32;

fn input(items: impl IntoIterator<Item = Bytes, IntoIter: Send + 'static>) -> BodyStream {
    stream::iter(items.into_iter().map(|bytes| Ok(Body::raw(bytes)))).boxed()
}

pub(super) async fn shapes(case: Case<'_>) {
    let step = "a unary call";
    SUITE.equal(
        step,
        &case.one(step, case.unary("echo", "hello")).await,
        &Body::raw("hello"),
    );
    let step = "an empty body";
    SUITE.equal(
        step,
        &case.one(step, case.unary("echo", "")).await,
        &Body::raw(""),
    );
    let step = "the encoding of a body survives";
    for encoding in [Encoding::Cbor, Encoding::Json, Encoding::Raw] {
        let body = Body::new(encoding, "1");
        let call = OutgoingCall::unary(case.target.clone(), "echo", body.clone());
        SUITE.equal(step, &case.one(step, call).await, &body);
    }

    let step = "a server stream";
    let items = case.stream(step, case.server("count", "3")).await;
    let items: Vec<_> = SUITE.within(step, items.collect()).await;
    SUITE.equal(
        step,
        &items,
        &["0", "1", "2"].map(|text| Ok(Body::raw(text))).to_vec(),
    );

    let step = "an empty server stream";
    let items = case.stream(step, case.server("count", "0")).await;
    SUITE.equal(step, &SUITE.within(step, items.count()).await, &0);

    let step = "a client stream";
    let items = input(["ab", "", "cde"].map(Bytes::from));
    let call = OutgoingCall::client_streaming(case.target.clone(), "sum", Body::raw("xy"), items);
    SUITE.equal(step, &case.one(step, call).await, &Body::raw("7"));

    let step = "a stream for a method that answers one value";
    let items = case.stream(step, case.server("echo", "only")).await;
    let items: Vec<_> = SUITE.within(step, items.collect()).await;
    SUITE.equal(step, &items, &vec![Ok(Body::raw("only"))]);

    talk(case).await;
}

/// Question, answer, question, answer: neither side waits for the end of the other's stream.
async fn talk(case: Case<'_>) {
    let step = "a conversation";
    let (questions, asked) = futures::channel::mpsc::channel(1);
    let call = OutgoingCall::bidirectional(
        case.target.clone(),
        "mirror",
        Body::default(),
        asked.map(|text: &'static str| Ok(Body::raw(text))).boxed(),
    );
    let mut answers = case.stream(step, call).await;
    let mut questions = questions;
    for text in ["one", "two", "three"] {
        SUITE.ok(step, questions.try_send(text));
        let answer = SUITE.within(step, answers.next()).await;
        SUITE.equal(step, &answer, &Some(Ok(Body::raw(text))));
    }
    drop(questions);
    SUITE.equal(
        "the end of a conversation",
        &SUITE.within(step, answers.next()).await,
        &None,
    );
}

pub(super) async fn large(case: Case<'_>) {
    let body: Bytes = (0..LARGE).map(|at| (at % 251) as u8).collect();
    let step = "a large body there and back";
    let answer = case.one(step, case.unary("echo", body.clone())).await;
    SUITE.check(step, answer.bytes == body, "other bytes came back");

    let step = "a long stream";
    let mut items = case
        .stream(step, case.server("count", ITEMS.to_string()))
        .await;
    for number in 0..ITEMS {
        let item = SUITE.within(step, items.next()).await;
        SUITE.equal(step, &item, &Some(Ok(Body::raw(number.to_string()))));
    }
    SUITE.equal(step, &SUITE.within(step, items.next()).await, &None);

    let step = "large items, both ways at once";
    let items = input((0..4).map(move |_| body.clone()).collect::<Vec<_>>());
    let call = OutgoingCall::bidirectional(case.target.clone(), "mirror", Body::default(), items);
    let answers = case.stream(step, call).await;
    let lengths: Vec<_> = SUITE
        .within(
            step,
            answers.map(|item| item.map(|body| body.len())).collect(),
        )
        .await;
    SUITE.equal(step, &lengths, &vec![Ok(LARGE); 4]);
}

pub(super) async fn many_at_once(case: Case<'_>) {
    let step = "many calls at once";
    // A reader that stops delays nobody but itself.
    let _unread = case.stream(step, case.server("count", "1000000")).await;
    let calls = (0..CALLS).map(|number| case.one(step, case.unary("echo", number.to_string())));
    for (number, answer) in join_all(calls).await.into_iter().enumerate() {
        SUITE.equal(
            "each call gets its own answer",
            &answer,
            &Body::raw(number.to_string()),
        );
    }
}
