//! Typed agents, called through a caller that hands calls over as they are.

use std::{
    fmt,
    sync::{Arc, Mutex},
    task::Poll,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures::{
    FutureExt as _, StreamExt as _,
    stream::{self, Stream},
};
use o_address::Address;
use o_core::{
    Agent, Body, CallContext, CallTerms, Caller, Encoding, IncomingCall, MethodSpec, OutgoingCall,
    Priority, Reply, SchemaHash, Shape,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::*;
use crate::cbor::{Blob, decode_body};

/// Two numbers.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Add {
    /// The first.
    a: i64,
    b: i64,
    #[serde(default)]
    note: Option<String>,
}

const ADD: Add = Add {
    a: 2,
    b: 3,
    note: None,
};

/// An error of the user's own.
enum MyError {
    Odd(u32),
}

impl From<MyError> for CallError {
    fn from(MyError::Odd(number): MyError) -> Self {
        Self::Failed {
            message: format!("{number} is odd"),
            retryable: true,
            data: "x".into(),
        }
    }
}

async fn add(_: CallContext, p: Add) -> Result<i64, MyError> {
    Ok(p.a + p.b)
}

async fn count(
    _: CallContext,
    up_to: u32,
) -> Result<impl Stream<Item = Result<u32, MyError>> + Send, CallError> {
    if up_to > 100 {
        return Err(CallError::failed("too far"));
    }
    Ok(stream::iter(0..up_to).map(|n| if n == 7 { Err(MyError::Odd(n)) } else { Ok(n) }))
}

async fn sum(_: CallContext, mut numbers: TypedStream<u32>) -> Result<u32, CallError> {
    let mut sum = 0;
    while let Some(number) = numbers.next().await {
        sum += number?;
    }
    Ok(sum)
}

async fn upper(
    _: CallContext,
    texts: TypedStream<String>,
) -> Result<impl Stream<Item = Result<String, CallError>> + Send, CallError> {
    Ok(texts.map(|text| text.map(|text| text.to_uppercase())))
}

fn methods() -> Methods {
    Methods::new()
        .unary("add", add)
        .server("count", count)
        .client("sum", sum)
        .bidirectional("upper", upper)
        .unary("parse", async |_, text: String| {
            text.parse::<i64>().or_failed()
        })
        .unary("nothing", async |_, ()| Ok::<_, CallError>(()))
        .unary("root", async |_, number: f64| {
            Ok::<_, CallError>(number.sqrt())
        })
        .unary("reverse", async |_, bytes: Blob| {
            Ok::<_, CallError>(Blob::from(bytes.iter().rev().copied().collect::<Vec<_>>()))
        })
}

/// Calls an agent in this process, and keeps the terms of the last call.
#[derive(Debug)]
struct Local<A>(A, Mutex<CallTerms>);

fn local<A>(agent: A) -> Local<A> {
    Local(agent, Mutex::default())
}

#[async_trait]
impl<A: Agent + fmt::Debug> Caller for Local<A> {
    async fn call(&self, call: OutgoingCall) -> Result<Reply, CallError> {
        *self.1.lock().unwrap() = call.terms.clone();
        let context = CallContext::new(call.target, None, call.terms);
        let call = IncomingCall::new(context, call.method, call.shape, call.body, call.input);
        self.0.call(call).await
    }
}

/// Answers everything with the same.
#[derive(Debug)]
struct Answers(Body);

#[async_trait]
impl Caller for Answers {
    async fn call(&self, _: OutgoingCall) -> Result<Reply, CallError> {
        Ok(Reply::One(self.0.clone()))
    }
}

fn target() -> Address {
    "o://test".parse().unwrap()
}

fn call(method: &str) -> Call {
    Call::to(target(), method)
}

async fn all<T: serde::de::DeserializeOwned>(stream: TypedStream<T>) -> Vec<Result<T, CallError>> {
    stream.collect().await
}

/// Runs a test's future to its end; none of them waits for anything outside.
fn now<T>(future: impl Future<Output = T> + Send) -> T {
    future.now_or_never().unwrap()
}

fn message(error: CallError) -> String {
    match error {
        CallError::InvalidParams { message } => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_shape_works_in_cbor_and_json() {
    let caller = local(methods());
    for encoding in [Encoding::Cbor, Encoding::Json] {
        let call = |method| call(method).encoding(encoding);
        assert_eq!(now(call("add").params(ADD).send(&caller)), Ok(5));
        let numbers = now(call("count").params(3).stream::<u32>(&caller)).unwrap();
        assert_eq!(now(all(numbers)), [Ok(0), Ok(1), Ok(2)]);
        assert_eq!(
            now(call("sum").client(&caller, stream::iter([1, 2, 3]))),
            Ok(6)
        );
        let texts = stream::iter(["a", "b"]);
        let texts = now(call("upper").bidirectional::<String>(&caller, texts)).unwrap();
        assert_eq!(now(all(texts)), [Ok("A".to_owned()), Ok("B".to_owned())]);
        assert_eq!(now(call("nothing").send(&caller)), Ok(()));
        assert_eq!(now(call("nothing").params(()).send(&caller)), Ok(()));
        let blob = Blob::from(&b"ab"[..]);
        assert_eq!(
            now(call("reverse").params(blob).send(&caller)),
            Ok(Blob::from(&b"ba"[..]))
        );
    }
}

#[test]
fn the_short_forms_work_on_any_caller() {
    let caller: Arc<dyn Caller> = Arc::new(local(methods()));
    let (caller, target): (&dyn Caller, _) = (&*caller, &target());
    assert_eq!(now(caller.call_typed::<i64>(target, "add", &ADD)), Ok(5));
    assert_eq!(now(caller.call_typed::<i64>(target, "parse", "12")), Ok(12));
    let numbers = now(caller.stream_typed::<u8>(target, "count", &2)).unwrap();
    assert_eq!(now(all(numbers)), [Ok(0), Ok(1)]);
    assert_eq!(
        now(caller.client_typed(target, "sum", stream::iter([4, 5]))),
        Ok(9)
    );
    let texts = stream::iter(["x"]);
    let texts = now(caller.bidi_typed::<String>(target, "upper", texts)).unwrap();
    assert_eq!(now(all(texts)), [Ok("X".to_owned())]);
}

#[test]
fn the_answer_has_the_encoding_of_the_request() {
    let caller = local(methods());
    let answer = |method: &str, body: &Body| {
        let call = OutgoingCall::unary(target(), method, body.clone());
        match now(caller.call(call)).unwrap() {
            Reply::One(body) => body,
            Reply::Stream(_) => panic!("a stream"),
        }
    };
    let json = Body::json(r#"{"a":1,"b":2,"unknown":[]}"#);
    assert_eq!(answer("add", &json), Body::json("3"));
    assert_eq!(
        answer("reverse", &Body::json(r#"{"$bytes":"YWI="}"#)),
        Body::json(r#"{"$bytes":"YmE="}"#)
    );
    assert_eq!(
        answer("reverse", &Body::cbor(&b"\x42ab"[..])),
        Body::cbor(&b"\x42ba"[..])
    );
    assert_eq!(answer("reverse", &Body::raw("ab")), Body::raw("ba"));
    assert_eq!(answer("nothing", &Body::raw("")), Body::raw(""));
    assert_eq!(answer("parse", &Body::raw("12")), Body::cbor(&b"\x0c"[..]));
}

#[test]
fn parameters_that_do_not_fit_never_reach_the_method() {
    let caller = local(methods());
    for encoding in [Encoding::Cbor, Encoding::Json] {
        let call = |method| call(method).encoding(encoding);
        let send =
            |params| message(now(call("add").params(params).send::<i64>(&caller)).unwrap_err());
        assert!(send(json!({"a": 1})).starts_with("missing field `b`"));
        assert!(send(json!({"a": "x", "b": 1})).starts_with("at a: invalid type: string"));
        assert!(send(json!(5)).starts_with("invalid type: integer `5`"));
        let error = now(call("add").send::<i64>(&caller)).unwrap_err();
        assert!(message(error).starts_with("the body is empty"));

        let items = stream::iter([json!(1), json!("x"), json!(2)]);
        let error = now(call("sum").client::<u32>(&caller, items)).unwrap_err();
        assert!(message(error).starts_with("invalid type: string"));
    }
    let garbage = OutgoingCall::unary(target(), "add", Body::cbor(&b"\xff"[..]));
    assert!(message(now(caller.call(garbage)).unwrap_err()).starts_with("malformed"));
}

#[test]
fn unknown_methods_and_wrong_shapes_are_told_apart() {
    let caller = local(methods());
    let error = now(call("sub").send::<()>(&caller)).unwrap_err();
    assert_eq!(
        error,
        CallError::UnknownMethod {
            method: "sub".to_owned()
        }
    );

    let wrong = |method, call| CallError::WrongShape { method, call };
    let error = now(call("count").params(1).send::<()>(&caller)).unwrap_err();
    assert_eq!(error, wrong(Shape::Server, Shape::Unary));
    let error = now(call("sum").send::<()>(&caller)).unwrap_err();
    assert_eq!(error, wrong(Shape::Client, Shape::Unary));
    let error = now(call("add").client::<()>(&caller, stream::iter([1]))).unwrap_err();
    assert_eq!(error, wrong(Shape::Unary, Shape::Client));

    let one = now(call("add").params(ADD).stream::<i64>(&caller)).unwrap();
    assert_eq!(now(all(one)), [Ok(5)]);
    let one = call("sum").bidirectional::<u32>(&caller, stream::iter([1, 2]));
    assert_eq!(now(all(now(one).unwrap())), [Ok(3)]);
}

#[test]
fn errors_of_a_method_keep_what_they_say() {
    let caller = local(methods());
    let error = now(call("parse").params("x").send::<i64>(&caller)).unwrap_err();
    assert_eq!(error, CallError::failed("invalid digit found in string"));
    let error = now(call("count").params(101).stream::<u32>(&caller)).unwrap_err();
    assert_eq!(error, CallError::failed("too far"));
}

#[test]
fn an_error_is_the_last_item() {
    let caller = local(methods());
    let numbers = now(call("count").params(10).stream::<u32>(&caller)).unwrap();
    let mut items = now(all(numbers));
    let last = items.pop().unwrap().unwrap_err();
    assert_eq!(last, MyError::Odd(7).into());
    assert_eq!(items, (0..7).map(Ok).collect::<Vec<_>>());
}

/// Counts those that are alive.
#[derive(Clone)]
struct Guard(Arc<()>);

impl Guard {
    fn alive(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}

#[test]
fn a_stream_is_dropped_with_its_first_error_and_not_polled_again() {
    let guard = Guard(Arc::new(()));
    let held = guard.clone();
    let methods = Methods::new().server("fail", move |_, fails: bool| {
        let held = held.clone();
        let mut polled = 0;
        let items = stream::poll_fn(move |_| {
            let _ = &held;
            polled += 1;
            match polled {
                1 => Poll::Ready(Some(Ok(1))),
                2 if fails => Poll::Ready(Some(Err(CallError::failed("f")))),
                // A stream that stops making items; the one that failed must not get here.
                _ => Poll::Pending,
            }
        });
        async move { Ok::<_, CallError>(items) }
    });
    let caller = local(methods);
    let before = guard.alive();

    let mut items = now(call("fail").params(true).stream::<u8>(&caller)).unwrap();
    assert_eq!(guard.alive(), before + 1);
    assert_eq!(now(items.next()), Some(Ok(1)));
    assert_eq!(now(items.next()), Some(Err(CallError::failed("f"))));
    assert_eq!(guard.alive(), before);
    assert_eq!(now(items.next()), None);
    assert_eq!(now(items.next()), None);

    let body = Body::json("true");
    let raw = OutgoingCall::server_streaming(target(), "fail", body);
    let Ok(Reply::Stream(mut bodies)) = now(caller.call(raw)) else {
        panic!("no stream");
    };
    assert_eq!(now(bodies.next()), Some(Ok(Body::json("1"))));
    assert_eq!(now(bodies.next()), Some(Err(CallError::failed("f"))));
    assert_eq!(guard.alive(), before);
    assert_eq!(now(bodies.next()), None);

    let mut items = now(call("fail").params(false).stream::<u8>(&caller)).unwrap();
    assert_eq!(now(items.next()), Some(Ok(1)));
    assert!(items.next().now_or_never().is_none());
    assert_eq!(guard.alive(), before + 1);
    drop(items);
    assert_eq!(guard.alive(), before);
}

#[test]
fn an_answer_of_another_type_is_an_invalid_reply() {
    let invalid = |error| matches!(error, CallError::InvalidReply { .. });
    let caller = local(methods());
    assert!(invalid(
        now(call("add").params(ADD).send::<String>(&caller)).unwrap_err()
    ));
    let mut items = now(call("count").params(3).stream::<String>(&caller)).unwrap();
    assert!(invalid(now(items.next()).unwrap().unwrap_err()));
    assert_eq!(now(items.next()), None);

    let garbage = Answers(Body::json("{"));
    assert!(invalid(now(call("any").send::<u8>(&garbage)).unwrap_err()));

    #[derive(Debug)]
    struct Streams;

    #[async_trait]
    impl Caller for Streams {
        async fn call(&self, _: OutgoingCall) -> Result<Reply, CallError> {
            Ok(Reply::Stream(stream::empty().boxed()))
        }
    }
    assert!(invalid(now(call("any").send::<u8>(&Streams)).unwrap_err()));
}

#[test]
fn what_cannot_be_encoded_is_said_where_it_is() {
    let caller = local(methods());
    let json = |method| call(method).encoding(Encoding::Json);
    let error = now(json("root").params(f64::NAN).send::<f64>(&caller)).unwrap_err();
    assert!(message(error).contains("not finite"));
    let error = now(json("root").params(-1).send::<f64>(&caller)).unwrap_err();
    assert!(matches!(error, CallError::Internal { message } if message.contains("not finite")));
    assert!(
        now(call("root").params(-1).send::<f64>(&caller))
            .unwrap()
            .is_nan()
    );
}

#[test]
fn terms_travel_with_the_call() {
    let caller = local(methods());
    let deadline = Instant::now() + Duration::from_secs(5);
    let terms = CallTerms {
        deadline: Some(deadline),
        hops_left: Some(3),
        ..CallTerms::default()
    };
    let context = CallContext::new(target(), None, terms);
    let sent = call("nothing")
        .on_behalf_of(&context)
        .timeout(Duration::from_secs(60))
        .priority(Priority::Bulk)
        .idempotency_key("key")
        .trace_parent("00-1")
        .schema(SchemaHash([1; 32]));
    now(sent.send::<()>(&caller)).unwrap();
    let terms = caller.1.lock().unwrap().clone();
    assert_eq!(terms.deadline, Some(deadline));
    assert_eq!(terms.hops_left, Some(2));
    assert_eq!(terms.priority, Priority::Bulk);
    assert_eq!(terms.idempotency_key.as_deref(), Some("key"));
    assert_eq!(terms.trace_parent.as_deref(), Some("00-1"));
    assert_eq!(terms.schema, Some(SchemaHash([1; 32])));
}

#[test]
fn the_specification_says_what_the_closures_take_and_answer() {
    let methods = Methods::new()
        .describe("of no method")
        .unary("add", add)
        .describe("Adds.")
        .idempotent()
        .client("sum", sum);
    let specs = methods.methods();
    let names: Vec<_> = specs.iter().map(|spec| &*spec.name).collect();
    assert_eq!(names, ["add", "sum"]);
    assert_eq!(
        (&*specs[0].description, specs[0].idempotent),
        ("Adds.", true)
    );
    assert_eq!((&*specs[1].description, specs[1].idempotent), ("", false));
    assert_eq!(specs[0].params, Some(params_schema::<Add>()));
    assert_eq!(specs[0].result, Some(result_schema::<i64>()));
    assert_eq!(
        (specs[1].shape, &specs[1].params),
        (Shape::Client, &Some(params_schema::<u32>()))
    );
}

#[test]
fn a_name_that_is_added_again_replaces_the_method() {
    let methods = Methods::new()
        .server("m", count)
        .describe("old")
        .unary("m", async |_, ()| Ok::<_, CallError>("new"));
    assert_eq!(methods.methods().len(), 1);
    assert_eq!(&*methods.methods()[0].description, "");
    let caller = local(methods);
    assert_eq!(now(call("m").send(&caller)), Ok("new".to_owned()));
}

#[test]
fn a_raw_method_gets_the_call_as_it_came() {
    let spec = MethodSpec::new("raw", Shape::Bidirectional);
    let methods = Methods::new().raw(spec, async |call: IncomingCall| {
        assert_eq!(call.body, Body::new(Encoding::Json, ""));
        let input = call.input.ok_or(CallError::Cancelled)?;
        Ok::<_, CallError>(Reply::Stream(input))
    });
    let caller = local(methods);
    let sent = call("raw").encoding(Encoding::Json);
    let items = now(sent.bidirectional::<u8>(&caller, stream::iter([1, 2]))).unwrap();
    assert_eq!(now(all(items)), [Ok(1), Ok(2)]);
    assert!(matches!(
        now(call("raw").send::<()>(&caller)),
        Err(CallError::WrongShape { .. })
    ));
}

#[test]
fn the_schema_is_that_of_schemars_with_sorted_keys() {
    fn keys_are_sorted(value: &serde_json::Value) -> bool {
        match value {
            serde_json::Value::Object(map) => {
                map.keys().is_sorted() && map.values().all(keys_are_sorted)
            }
            serde_json::Value::Array(items) => items.iter().all(keys_are_sorted),
            _ => true,
        }
    }
    let schema = params_schema::<Add>();
    let read: serde_json::Value = serde_json::from_str(schema.json()).unwrap();
    assert_eq!(&read, schemars::schema_for!(Add).as_value());
    assert!(keys_are_sorted(&read));
    assert!(!schema.json().contains('\n'));
    // `note` may be left out of what is read, and is always written.
    assert_ne!(result_schema::<Add>(), schema);
}

#[test]
fn the_golden_hash_of_a_schema_stays() {
    let schema = params_schema::<Add>();
    let text = concat!(
        r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","description":"Tw"#,
        r#"o numbers.","properties":{"a":{"description":"The first.","format":"int64","#,
        r#""type":"integer"},"b":{"format":"int64","type":"integer"},"note":{"default""#,
        r#":null,"type":["string","null"]}},"required":["a","b"],"title":"Add","type":"#,
        r#""object"}"#,
    );
    assert_eq!(schema.json(), text);
    let hash = schema.hash().to_string();
    assert_eq!(
        hash,
        "1afdbee5a663d5721803a97f28c6a3c3c139cb134ebccabe241373b6e928a89d"
    );
}

#[test]
fn a_blob_has_the_schema_of_its_json() {
    let schema: serde_json::Value = serde_json::from_str(params_schema::<Blob>().json()).unwrap();
    assert_eq!(schema["required"], json!(["$bytes"]));
    let body = Body::json(r#"{"$bytes":"YQ=="}"#);
    assert_eq!(decode_body(&body), Ok(Blob::from("a")));
}

#[test]
fn futures_can_be_spawned() {
    fn spawns<T: Send + 'static>(_: T) {}
    let caller = Arc::new(local(methods()));
    spawns(async move {
        let numbers = call("count").params(3).stream::<u32>(&caller).await?;
        let sum: u32 = call("sum")
            .client(&caller, numbers.filter_map(async |n| n.ok()))
            .await?;
        let texts: TypedStream<String> = caller
            .bidi_typed(&target(), "upper", stream::iter(["a"]))
            .await?;
        drop(texts);
        caller.call_typed::<i64>(&target(), "add", &sum).await
    });
}
