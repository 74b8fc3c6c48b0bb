//! What the session costs by itself: two state machines, and two drivers over a pipe in memory.
#![expect(clippy::unwrap_used, reason = "benchmark")]

use std::{hint::black_box, sync::Arc, time::Instant};

use async_trait::async_trait;
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use o_address::Address;
use o_core::{
    Agent, Body, CallError, CallTerms, Caller, Encoding, IncomingCall, MethodSpec, NetworkId,
    OutgoingCall, Reply, Shape,
};
use o_protocol::{
    CallHeader, Hello, Notice, Serve, ServedCall, Session, SessionConfig, SessionHandle, Side,
    connect, frame,
};
use tokio_util::compat::TokioAsyncReadCompatExt;

const BODY: &[u8] = &[7; 100];

fn session(side: Side) -> Session {
    let hello = Hello::new(NetworkId::default());
    Session::new(side, SessionConfig::default(), hello, Instant::now())
}

/// Hands everything that one side wants to send to the other.
fn deliver(from: &mut Session, to: &mut Session, wire: &mut Vec<u8>, now: Instant) {
    wire.clear();
    from.transmit(wire, usize::MAX);
    let mut rest = wire.as_slice();
    while let Some((frame, length)) = frame::decode(rest, 1 << 20).unwrap() {
        to.receive(&frame, now);
        rest = &rest[length..];
    }
}

fn state_machines(criterion: &mut Criterion) {
    let now = Instant::now();
    let (mut client, mut server) = (session(Side::Dialer), session(Side::Listener));
    let mut wire = Vec::new();
    deliver(&mut client, &mut server, &mut wire, now);
    deliver(&mut server, &mut client, &mut wire, now);
    let header = CallHeader {
        target: "o://bench/echo".parse().unwrap(),
        method: "echo".into(),
        shape: Shape::Unary,
        encoding: Encoding::Raw,
        terms: CallTerms::default(),
    };
    let params = Bytes::from_static(BODY);
    let mut group = criterion.benchmark_group("session");
    group.throughput(Throughput::Elements(1));
    group.bench_function("unary echo 100 B, both ends", |bencher| {
        bencher.iter(|| {
            let id = client.open(&header, params.clone(), true, now).unwrap();
            deliver(&mut client, &mut server, &mut wire, now);
            while let Some(notice) = server.poll_notice() {
                if let Notice::Incoming(id) = notice {
                    let (_, body) = server.accept(id).unwrap();
                    server.send(id, body, true).unwrap();
                }
            }
            deliver(&mut server, &mut client, &mut wire, now);
            while client.poll_notice().is_some() {}
            black_box(client.take(id).unwrap())
        });
    });
    group.finish();
}

struct Echo;

#[async_trait]
impl Agent for Echo {
    fn methods(&self) -> Vec<MethodSpec> {
        Vec::new()
    }

    async fn call(&self, call: IncomingCall) -> Result<Reply, CallError> {
        Ok(Reply::One(call.body))
    }
}

impl Serve for Echo {
    fn serve(&self, call: ServedCall) {
        tokio::spawn(async move { call.answer(&Echo).await });
    }
}

fn pair() -> SessionHandle {
    let (left, right) = tokio::io::duplex(1 << 20);
    let hello = || Hello::new(NetworkId::default());
    let config = SessionConfig::default;
    let (client, driver) = connect(
        left.compat(),
        Side::Dialer,
        config(),
        hello(),
        None,
        Arc::new(Echo),
    );
    tokio::spawn(driver);
    let (_, driver) = connect(
        right.compat(),
        Side::Listener,
        config(),
        hello(),
        None,
        Arc::new(Echo),
    );
    tokio::spawn(driver);
    client
}

async fn echo(session: &SessionHandle, target: &Address) -> Reply {
    let body = Body::raw(Bytes::from_static(BODY));
    session
        .call(OutgoingCall::unary(target.clone(), "echo", body))
        .await
        .unwrap()
}

fn drivers(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let target: Address = "o://bench/echo".parse().unwrap();
    let session = runtime.block_on(async {
        let session = pair();
        session.ready().await.unwrap();
        session
    });
    let mut group = criterion.benchmark_group("driver over a pipe");
    group.throughput(Throughput::Elements(1));
    group.bench_function("one at a time", |bencher| {
        bencher.to_async(&runtime).iter(|| echo(&session, &target));
    });
    for in_flight in [64, 512] {
        group.throughput(Throughput::Elements(in_flight));
        group.bench_function(format!("{in_flight} in flight"), |bencher| {
            bencher.to_async(&runtime).iter(|| {
                futures::future::join_all((0..in_flight).map(|_| echo(&session, &target)))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, state_machines, drivers);
criterion_main!(benches);
