//! Measuring a peer, over real sockets, and what that may cost it.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt as _, stream};
use o_address::Address;
use o_core::{Body, CallError, Caller as _, OutgoingCall, Reply};
use o_node::{
    AgentDescription, Bench, BenchConfig, BenchError, CallerExt as _, HostError, Hosting, Load,
    Methods, Node, NodeConfig, Preset, Samples, Stats,
};

use crate::support::{adder, address, connect, quiet, soon, start, stop, until};

/// A server whose measuring is configured so, and a client that is connected to it.
async fn two(change: impl FnOnce(&mut BenchConfig)) -> (Node, Node) {
    let server = quiet()
        .host(adder("o://math/adder"))
        .configure(|config| change(&mut config.bench));
    let (server, client) = (start(server).await, start(quiet().client()).await);
    connect(&client, &server).await;
    (server, client)
}

fn bench(client: &Node, server: &Node) -> Bench {
    Bench::new(
        Arc::new(client.peer(server.peer_id())),
        address("o://math/adder"),
    )
}

/// One call of a load.
async fn once(bench: &Bench, load: Load) -> Result<Samples, BenchError> {
    let mut samples = Samples::new();
    soon(bench.run(&load.calls(1), &mut samples)).await?;
    Ok(samples)
}

/// An upload that never ends: it is counted when its first item has been taken.
async fn endless(
    client: &Node,
    server: &Node,
) -> tokio::task::JoinHandle<Result<Reply, CallError>> {
    let item = stream::iter([Ok(Body::raw("x"))]);
    let input = item.chain(stream::pending()).boxed();
    let target = address("o://math/adder");
    let call = OutgoingCall::client_streaming(target, "bench.upload", Body::default(), input);
    let there = client.peer(server.peer_id());
    let before = running(client, server).await;
    let call = tokio::spawn(async move { there.call(call).await });
    soon(async {
        while running(client, server).await == before {
            tokio::task::yield_now().await;
        }
    })
    .await;
    call
}

async fn running(client: &Node, server: &Node) -> usize {
    let there = client.peer(server.peer_id());
    let stats: Stats = soon(there.call_typed(&Address::node(), "stats", &()))
        .await
        .unwrap();
    stats.running
}

#[tokio::test]
async fn latency_is_measured_over_tcp() {
    let (server, client) = two(|_| {}).await;
    let latency = soon(client.measure_latency(server.peer_id(), 50))
        .await
        .unwrap();
    assert_eq!(latency.rounds, 50);
    assert!(latency.least > Duration::ZERO);
    assert!(latency.least <= latency.p50 && latency.p50 <= latency.p99);
    assert!(latency.p99 <= latency.most && latency.most < Duration::from_secs(30));
    let none = soon(client.measure_latency(server.peer_id(), 0)).await;
    assert!(matches!(none, Err(BenchError::BadLoad { .. })), "{none:?}");
    stop([client, server]).await;
}

#[tokio::test]
async fn throughput_counts_every_byte_once() {
    let (server, client) = two(|_| {}).await;
    for bytes in [1, 65_536, 3_000_001] {
        let throughput = soon(client.measure_throughput(server.peer_id(), bytes))
            .await
            .unwrap();
        assert_eq!(throughput.bytes, bytes);
        assert!(throughput.elapsed > Duration::ZERO && throughput.mb_per_second() > 0.0);
    }
    let none = soon(client.measure_throughput(server.peer_id(), 0)).await;
    assert!(matches!(none, Err(BenchError::BadLoad { .. })), "{none:?}");
    stop([client, server]).await;
}

#[tokio::test]
async fn every_load_moves_what_it_says() {
    let (server, client) = two(|_| {}).await;
    let bench = bench(&client, &server);
    let mut samples = Samples::new();
    let load = Load::echo(1000).in_flight(64).calls(500);
    soon(bench.run(&load, &mut samples)).await.unwrap();
    assert_eq!((samples.count(), samples.bytes()), (500, 500_000));
    for bytes in [1, 65_537, 2_000_000] {
        let upload = once(&bench, Load::upload(bytes)).await.unwrap();
        let download = once(&bench, Load::download(bytes)).await.unwrap();
        assert_eq!((upload.bytes(), download.bytes()), (bytes, bytes));
    }
    // The largest body that a session takes by default.
    let large = once(&bench, Load::echo(16 * 1024 * 1024)).await.unwrap();
    assert_eq!(large.bytes(), 16 * 1024 * 1024);
    // Whoever measures gets a figure, however short the time is.
    let mut shortest = Samples::new();
    let load = Load::echo(1).duration(Duration::ZERO);
    soon(bench.run(&load, &mut shortest)).await.unwrap();
    assert_eq!(shortest.count(), 1);
    // An upload ends with its time; what was sent until then is counted.
    let load = Load::upload(u64::MAX).calls(1);
    let load = load.duration(Duration::from_millis(50));
    let mut cut = Samples::new();
    soon(bench.run(&load, &mut cut)).await.unwrap();
    assert_eq!(cut.count(), 1);
    assert!(cut.bytes() > 0 && cut.elapsed() >= Duration::from_millis(50));
    stop([client, server]).await;
}

#[tokio::test]
async fn dropping_a_measurement_cancels_it_and_keeps_the_samples() {
    let (server, client) = two(|_| {}).await;
    let bench = bench(&client, &server);
    let mut samples = Samples::new();
    let load = Load::echo(100).in_flight(16).duration(Load::MAX_DURATION);
    let limit = Duration::from_millis(200);
    let measuring = tokio::time::timeout(limit, bench.run(&load, &mut samples));
    assert!(measuring.await.is_err());
    assert!(samples.count() > 0 && samples.elapsed() <= limit * 10);
    // Nothing of it goes on there but the question itself.
    soon(async { while running(&client, &server).await > 1 {} }).await;
    stop([client, server]).await;
}

#[tokio::test]
async fn limits_are_held_to_and_named() {
    let (server, client) = two(|limits| {
        limits.max_echo = 1000;
        limits.max_bytes = 100_000;
        limits.max_time = Duration::from_millis(300);
    })
    .await;
    let bench = bench(&client, &server);
    once(&bench, Load::echo(1000)).await.unwrap();
    once(&bench, Load::upload(100_000)).await.unwrap();
    once(&bench, Load::download(100_000)).await.unwrap();
    for load in [
        Load::echo(1001),
        Load::upload(100_001),
        Load::download(100_001),
    ] {
        let error = once(&bench, load.clone()).await.unwrap_err();
        let too_large = matches!(&error, BenchError::Call(CallError::TooLarge { .. }));
        assert!(too_large && !error.is_retryable(), "{load:?}: {error:?}");
    }
    let late = soon(endless(&client, &server).await).await.unwrap();
    assert!(matches!(late, Err(CallError::TimedOut { .. })), "{late:?}");
    for load in [
        Load::echo(1).in_flight(0),
        Load::echo(1).in_flight(Load::MAX_IN_FLIGHT + 1),
        Load::echo(u64::MAX),
        Load::download(0),
        Load::echo(1).duration(Duration::MAX),
    ] {
        let error = once(&bench, load).await.unwrap_err();
        assert!(matches!(error, BenchError::BadLoad { .. }), "{error:?}");
    }
    stop([client, server]).await;
}

#[tokio::test]
async fn streams_are_counted_by_peer_and_in_all() {
    let (server, client) = two(|limits| {
        limits.max_streams = 3;
        limits.max_streams_per_peer = 2;
    })
    .await;
    let other = start(quiet().client()).await;
    connect(&other, &server).await;
    let first = endless(&client, &server).await;
    let second = endless(&client, &server).await;
    let busy = |error: BenchError, whose: &str| match &error {
        BenchError::Call(CallError::Busy { reason }) => {
            assert!(reason.ends_with(whose) && error.is_retryable(), "{reason}");
        }
        other => panic!("{other:?}"),
    };
    let error = once(&bench(&client, &server), Load::upload(1)).await;
    busy(error.unwrap_err(), "by this peer");
    let third = endless(&other, &server).await;
    let error = once(&bench(&other, &server), Load::download(1)).await;
    busy(error.unwrap_err(), "on this node");
    // Echoes are bounded by the session, as every call is.
    once(&bench(&other, &server), Load::echo(1)).await.unwrap();
    for call in [first, second, third] {
        call.abort();
        let _ = soon(call).await;
    }
    // What was cancelled makes room.
    soon(async {
        while once(&bench(&client, &server), Load::upload(1))
            .await
            .is_err()
        {}
    })
    .await;
    stop([client, other, server]).await;
}

#[tokio::test]
async fn a_download_that_nobody_reads_loses_its_place_when_its_time_is_over() {
    let (server, client) = two(|limits| {
        limits.max_streams = 1;
        limits.max_time = Duration::from_millis(200);
    })
    .await;
    let there = client.peer(server.peer_id());
    let wanted = o_protocol::encode_body(
        o_core::Encoding::Json,
        &serde_json::json!({"bytes": 1_000_000_000_u64}),
    )
    .unwrap();
    let call = OutgoingCall::server_streaming(address("o://math/adder"), "bench.download", wanted);
    let Reply::Stream(mut unread) = soon(there.call(call)).await.unwrap() else {
        panic!("a stream was expected")
    };
    soon(async {
        while once(&bench(&client, &server), Load::download(1))
            .await
            .is_err()
        {}
    })
    .await;
    // And it ends when somebody reads on.
    let mut end = None;
    soon(async {
        while let Some(item) = unread.next().await {
            end = item.err();
        }
    })
    .await;
    assert!(matches!(end, Some(CallError::TimedOut { .. })), "{end:?}");
    stop([client, server]).await;
}

#[tokio::test]
async fn turned_off_it_is_not_there_and_its_names_stay_reserved() {
    let (server, client) = two(|limits| limits.enabled = false).await;
    let there = client.peer(server.peer_id());
    let error = soon(client.measure_latency(server.peer_id(), 1)).await;
    let target = Address::node();
    assert_eq!(error, Err(BenchError::NotOffered { target }));
    let error = soon(client.measure_throughput(server.peer_id(), 1)).await;
    assert!(matches!(error, Err(BenchError::NotOffered { .. })));
    for load in [Load::upload(1), Load::download(1)] {
        let error = once(&bench(&client, &server), load).await;
        assert!(matches!(error, Err(BenchError::NotOffered { .. })));
    }
    assert_eq!(listed(&there).await, Vec::<String>::new());
    for name in ["bench.echo", "bench.upload", "bench.download"] {
        let methods = Methods::new().unary(name, async |_, (): ()| Ok::<_, CallError>(()));
        let error = server.host(Hosting::new(address("o://a"), methods));
        assert!(matches!(error, Err(HostError::BadMethod { .. })), "{name}");
    }
    stop([client, server]).await;

    let (server, client) = two(|_| {}).await;
    let there = client.peer(server.peer_id());
    let names = ["bench.echo", "bench.upload", "bench.download"];
    assert_eq!(listed(&there).await, names);
    // The shapes are those of the description.
    let error = stream_error(&there, "bench.upload").await;
    assert!(matches!(error, CallError::WrongShape { .. }), "{error:?}");
    let error = soon(there.call_typed::<u8>(&Address::node(), "bench.download", &"x"))
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::WrongShape { .. }), "{error:?}");
    let error = stream_error(&there, "bench.download").await;
    assert!(
        matches!(error, CallError::InvalidParams { .. }),
        "{error:?}"
    );
    stop([client, server]).await;
}

/// How a stream of answers to a text fails, at once or with its first item.
async fn stream_error(there: &o_node::PeerCaller, method: &str) -> CallError {
    let node = Address::node();
    match soon(there.stream_typed::<u8>(&node, method, &"x")).await {
        Ok(mut items) => soon(items.next()).await.unwrap().unwrap_err(),
        Err(error) => error,
    }
}

/// Methods for measuring in the description of the agent.
async fn listed(there: &o_node::PeerCaller) -> Vec<String> {
    let agent: AgentDescription =
        soon(there.call_typed(&address("o://math/adder"), "describe", &()))
            .await
            .unwrap();
    let names = agent.methods.into_iter().map(|method| method.name);
    names.filter(|name| name.starts_with("bench")).collect()
}

#[test]
fn only_the_public_preset_turns_it_off() {
    let enabled = |preset| NodeConfig::preset(preset).bench.enabled;
    assert!(enabled(Preset::Memory) && enabled(Preset::Local) && enabled(Preset::Lan));
    assert!(!enabled(Preset::Public));
}

#[tokio::test]
async fn where_a_peer_was_dialed_is_known_to_who_dialed() {
    let (server, client) = two(|_| {}).await;
    assert_eq!(
        client.dialed_addresses(server.peer_id()),
        server.listen_addresses()
    );
    until("the server knows the client", || {
        server.pool_stats().unwrap().connections == 1
    })
    .await;
    assert_eq!(server.dialed_addresses(client.peer_id()), []);
    stop([client, server]).await;
}
