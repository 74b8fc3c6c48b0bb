//! Sessions over streams in memory, with time that is paused.

mod calls;
mod deadlines;
mod ending;
mod hostile;
mod streams;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures::{StreamExt, channel::oneshot, stream};
use o_core::{
    Agent, Body, BodyStream, CallError, Caller, ErrorCode, IncomingCall, MethodSpec, NetworkId,
    OutgoingCall, Reply,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::compat::TokioAsyncReadCompatExt;

use super::*;
use crate::{
    frame::{FLAG_END, Frame, Kind},
    header::{CallHeader, Goodbye},
};

/// Longer than any time-out of a session, and none at all in paused time.
const LIMIT: Duration = Duration::from_secs(600);

/// What may take time in a test, with a limit.
async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(LIMIT, work).await.expect("it never ends")
}

/// Gives an agent to every call that arrives, each in a task of its own.
struct Tasks(Arc<TestAgent>);

impl Serve for Tasks {
    fn serve(&self, call: ServedCall) {
        let agent = self.0.clone();
        tokio::spawn(async move { call.answer(&*agent).await });
    }
}

/// An agent whose methods do one thing each that a test looks at.
#[derive(Default)]
struct TestAgent {
    /// Dropped with the handler of `hang` or `endless`.
    held: Mutex<Option<oneshot::Sender<()>>>,
    /// Told how a stream of the caller's ended that somebody else went on reading.
    read_on: Mutex<Option<oneshot::Sender<Option<CallError>>>>,
}

impl TestAgent {
    /// Resolves when the next handler that holds it is dropped.
    fn watch(&self) -> oneshot::Receiver<()> {
        let (held, dropped) = oneshot::channel();
        *self.held.lock().unwrap() = Some(held);
        dropped
    }

    fn hold(&self) -> Option<oneshot::Sender<()>> {
        self.held.lock().unwrap().take()
    }
}

/// The whole of a stream: how many items, how many bytes.
async fn drain(mut items: BodyStream) -> Result<(usize, usize), CallError> {
    let (mut count, mut bytes) = (0, 0);
    while let Some(item) = items.next().await {
        count += 1;
        bytes += item?.len();
    }
    Ok((count, bytes))
}

#[async_trait]
impl Agent for TestAgent {
    fn methods(&self) -> Vec<MethodSpec> {
        Vec::new()
    }

    async fn call(&self, call: IncomingCall) -> Result<Reply, CallError> {
        match &*call.method {
            "echo" => Ok(call.body.into()),
            "echo after two seconds" => {
                tokio::time::sleep(Duration::from_secs(2)).await;
                Ok(call.body.into())
            }
            "panic" => panic!("as asked"),
            "fail" => Err(CallError::failed("as asked")),
            "hang" => {
                let _held = self.hold();
                std::future::pending().await
            }
            // Items of as many bytes as the parameters have, without end.
            "endless" => {
                let (held, body) = (self.hold(), call.body);
                let produced = stream::repeat_with(move || {
                    let _held = &held;
                    Ok(body.clone())
                });
                Ok(Reply::Stream(produced.take(1_000_000).boxed()))
            }
            // One item of as many bytes as the parameters have.
            "once" => Ok(Reply::Stream(stream::iter([Ok(call.body)]).boxed())),
            "sum" => {
                let (count, bytes) = drain(call.input.expect("a stream")).await?;
                Ok(Body::raw(format!("{count} {bytes}")).into())
            }
            "mirror" => Ok(Reply::Stream(call.input.expect("a stream"))),
            "read on" => {
                let tell = self
                    .read_on
                    .lock()
                    .unwrap()
                    .take()
                    .expect("a test that listens");
                let mut input = call.input.expect("a stream");
                tokio::spawn(async move {
                    let mut last = None;
                    while let Some(item) = input.next().await {
                        last = item.err();
                    }
                    let _ = tell.send(last);
                });
                Ok(Body::default().into())
            }
            other => Err(CallError::UnknownMethod {
                method: other.to_owned(),
            }),
        }
    }
}

/// One end of a connection whose driver runs in a task.
struct End {
    handle: SessionHandle,
    agent: Arc<TestAgent>,
    driver: JoinHandle<SessionEnd>,
}

fn end(stream: DuplexStream, side: Side, config: SessionConfig) -> End {
    let agent = Arc::new(TestAgent::default());
    let hello = Hello::new(NetworkId::default());
    let serve = Arc::new(Tasks(agent.clone()));
    let (handle, driver) = connect(stream.compat(), side, config, hello, None, serve);
    End {
        handle,
        agent,
        driver: tokio::spawn(driver),
    }
}

/// Two ends over a stream that holds `capacity` bytes each way; both have said HELLO.
async fn linked(capacity: usize) -> (End, End) {
    let (here, there) = duplex(capacity);
    let dialer = end(here, Side::Dialer, SessionConfig::default());
    let listener = end(there, Side::Listener, SessionConfig::default());
    within(dialer.handle.ready()).await.unwrap();
    within(listener.handle.ready()).await.unwrap();
    (dialer, listener)
}

fn target() -> o_address::Address {
    "o://leader/echo".parse().unwrap()
}

fn unary(method: &'static str, body: Body) -> OutgoingCall {
    OutgoingCall::unary(target(), method, body)
}

fn zeros(length: usize) -> Body {
    Body::raw(vec![0; length])
}

async fn one(handle: &SessionHandle, call: OutgoingCall) -> Result<Body, CallError> {
    match within(handle.call(call)).await? {
        Reply::One(body) => Ok(body),
        Reply::Stream(_) => panic!("a stream was not asked for"),
    }
}

async fn stream_of(handle: &SessionHandle, call: OutgoingCall) -> BodyStream {
    match within(handle.call(call)).await.unwrap() {
        Reply::Stream(items) => items,
        Reply::One(_) => panic!("a stream was asked for"),
    }
}

/// The other end of a connection, made by hand.
struct Raw {
    stream: DuplexStream,
    input: Vec<u8>,
}

impl Raw {
    /// One end with a driver, as `side`, and the other by hand, which has said HELLO.
    async fn greeted(side: Side, capacity: usize) -> (End, Self) {
        let (driven, mut raw) = Self::silent(side, capacity);
        raw.hello().await;
        within(driven.handle.ready()).await.unwrap();
        (driven, raw)
    }

    fn silent(side: Side, capacity: usize) -> (End, Self) {
        let (here, there) = duplex(capacity);
        let driven = end(here, side, SessionConfig::default());
        (
            driven,
            Self {
                stream: there,
                input: Vec::new(),
            },
        )
    }

    async fn hello(&mut self) {
        let header = Hello::new(NetworkId::default()).encode();
        self.say(Kind::Hello, 0, 0, &header, &[]).await;
    }

    async fn say(&mut self, kind: Kind, flags: u8, id: u64, header: &[u8], body: &[u8]) {
        let mut bytes = Vec::new();
        frame::encode(&mut bytes, kind, flags, id, header, body).unwrap();
        within(self.stream.write_all(&bytes)).await.unwrap();
    }

    /// Reads until a frame of this kind; its id.
    async fn hear(&mut self, kind: Kind) -> (u64, Vec<u8>) {
        loop {
            if let Some((frame, length)) = frame::decode(&self.input, 1 << 20).unwrap() {
                let Frame {
                    kind: found,
                    id,
                    header,
                    ..
                } = frame;
                let header = header.to_vec();
                self.input.drain(..length);
                if found == kind as u8 {
                    return (id, header);
                }
                continue;
            }
            let read = within(self.stream.read_buf(&mut self.input)).await.unwrap();
            assert!(read > 0, "the stream ended without {kind:?}");
        }
    }
}

fn call_header(method: &str) -> Vec<u8> {
    let header = CallHeader {
        target: target(),
        method: method.into(),
        shape: o_core::Shape::default(),
        encoding: o_core::Encoding::default(),
        terms: o_core::CallTerms::default(),
    };
    header.encode(now())
}

#[track_caller]
fn assert_idle(ends: &[&End]) {
    for end in ends {
        assert_eq!(end.handle.active_calls(), 0);
        assert_eq!(end.handle.counts(), (0, 0), "waiters, served calls");
    }
}

/// Lets every task run until none can go on without time passing.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}
