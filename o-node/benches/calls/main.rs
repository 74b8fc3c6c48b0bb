//! A call over the memory transport and over TCP, beside rust-libp2p's own request-response.
//!
//! Both ends live in this process on a runtime with two workers, encrypted with Noise, 100-byte
//! bodies. The request-response rows are the yardstick: the same transport, the same machine, the
//! same run.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "benchmark")]

mod request_response;

use bytes::Bytes;
use criterion::{
    BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime,
};
use o_address::Address;
use o_core::{Body, CallError, Caller, IncomingCall, MethodSpec, OutgoingCall, Reply, Shape};
use o_node::{Hosting, Keypair, Methods, Node, Preset};
use tokio::runtime::Runtime;

const BODY: &[u8] = &[7; 100];
const IN_FLIGHT: u64 = 64;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// A connected pair: who calls, and who must be kept alive.
async fn pair(preset: Preset) -> (Node, Node) {
    let echo = Methods::new().raw(
        MethodSpec::new("echo", Shape::Unary),
        |call: IncomingCall| std::future::ready(Ok::<_, CallError>(Reply::One(call.body))),
    );
    let hosting = Hosting::new("o://bench/echo".parse().unwrap(), echo);
    let server = Node::builder(Keypair::generate(), preset)
        .host(hosting)
        .start()
        .await
        .unwrap();
    let client = Node::builder(Keypair::generate(), preset)
        .client()
        .start()
        .await
        .unwrap();
    let address = server
        .listen_addresses()
        .first()
        .cloned()
        .expect("a listener");
    client.connect(&address).await.unwrap();
    (client, server)
}

async fn echo(node: &Node, target: &Address) -> Reply {
    let body = Body::raw(Bytes::from_static(BODY));
    node.call(OutgoingCall::unary(target.clone(), "echo", body))
        .await
        .unwrap()
}

fn node(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, preset: Preset, in_flight: u64) {
    let runtime = runtime();
    let (client, server) = runtime.block_on(pair(preset));
    let target: Address = "o://bench/echo".parse().unwrap();
    group.bench_function(name, |bencher| {
        bencher
            .to_async(&runtime)
            .iter(|| futures::future::join_all((0..in_flight).map(|_| echo(&client, &target))));
    });
    runtime.block_on(async {
        o_core::Node::stop(&client).await.unwrap();
        o_core::Node::stop(&server).await.unwrap();
    });
}

fn yardstick(group: &mut BenchmarkGroup<'_, WallTime>, in_flight: u64) {
    let runtime = runtime();
    let client = runtime.block_on(request_response::pair());
    group.bench_function("libp2p request-response, TCP", |bencher| {
        bencher
            .to_async(&runtime)
            .iter(|| futures::future::join_all((0..in_flight).map(|_| client.echo(BODY))));
    });
}

fn calls(criterion: &mut Criterion) {
    for in_flight in [1, IN_FLIGHT] {
        let mut group = criterion.benchmark_group(format!("{in_flight} in flight, 100 B"));
        group.throughput(Throughput::Elements(in_flight));
        node(&mut group, "o, memory", Preset::Memory, in_flight);
        node(&mut group, "o, TCP", Preset::Local, in_flight);
        yardstick(&mut group, in_flight);
        group.finish();
    }
}

criterion_group!(benches, calls);
criterion_main!(benches);
