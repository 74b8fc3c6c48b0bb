//! Many calls, many connections, many streams at once.

use std::time::Duration;

use futures::future::join_all;
use o_core::CallError;
use o_node::CallerExt as _;
use o_protocol::Call;

use crate::{
    support::{
        Ask as _, Watch, adder, address, connect, memory, only_address, quiet, soon, start, stop,
        until, within,
    },
    worker::Worker,
};

const WORKER: &str = "o://far/worker";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_calls_at_once_over_one_connection() {
    let worker = Worker::new();
    let server = start(quiet().host(worker.at(WORKER))).await;
    let client = start(quiet().client()).await;
    connect(&client, &server).await;
    let calls: Vec<_> = (0..500)
        .map(|n| {
            let client = client.clone();
            tokio::spawn(async move {
                let text = n.to_string();
                let echo: String = client.call_typed(&address(WORKER), "gate", &text).await?;
                assert_eq!(echo, text);
                Ok::<_, CallError>(())
            })
        })
        .collect();
    // They really run at the same time.
    soon(worker.wait_running(500)).await;
    worker.open();
    for call in calls {
        soon(call).await.unwrap().unwrap();
    }
    assert_eq!(client.pool_stats().unwrap().connections, 1);
    assert_eq!(server.pool_stats().unwrap().connections, 1);
    stop([client, server]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_nobody_reads_delays_nobody() {
    let server = start(quiet().host(Worker::new().at(WORKER))).await;
    let client = start(quiet().client()).await;
    connect(&client, &server).await;
    let mut idle = Vec::new();
    for _ in 0..8 {
        let mut stream = soon(client.stream_typed::<u64>(&address(WORKER), "endless", &()))
            .await
            .unwrap();
        assert_eq!(soon(stream.next()).await, Some(Ok(0)));
        idle.push(stream);
    }
    for _ in 0..20 {
        let echo = client.ask::<String>(WORKER, "echo", "x");
        assert_eq!(
            within(Duration::from_secs(5), echo).await.as_deref(),
            Ok("x")
        );
    }
    // And it goes on where it was.
    for stream in &mut idle {
        assert_eq!(soon(stream.next()).await, Some(Ok(1)));
    }
    drop(idle);
    stop([client, server]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_nodes_call_one_over_memory() {
    let server = start(memory().host(adder("o://math/adder"))).await;
    let there = only_address(&server);
    let clients = join_all((0..50).map(|_| start(memory().client()))).await;
    let calls = clients.iter().zip(0..).map(|(client, n): (_, i64)| {
        let there = there.clone();
        async move {
            client.connect(&there).await.unwrap();
            for m in 0..10 {
                let sum = client.ask::<i64>("o://math/adder", "add", (n, m));
                assert_eq!(sum.await, Ok(n + m));
            }
        }
    });
    soon(join_all(calls)).await;
    assert_eq!(server.pool_stats().unwrap().connections, 50);
    let mut watch = Watch::new(&server);
    stop(clients).await;
    for _ in 0..50 {
        watch
            .until("gone", |event| {
                matches!(event, o_core::Event::Disconnected { .. })
            })
            .await;
    }
    until("the pool is empty", || {
        server.pool_stats().unwrap().connections == 0
    })
    .await;
    stop([server]).await;
}

#[tokio::test]
async fn more_calls_than_a_connection_takes_are_busy() {
    let worker = Worker::new();
    let server = quiet()
        .host(worker.at(WORKER))
        .configure(|config| config.session.max_calls = 4);
    let (server, client) = (start(server).await, start(quiet().client()).await);
    connect(&client, &server).await;
    let calls: Vec<_> = (0..4)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.ask::<String>(WORKER, "gate", "").await })
        })
        .collect();
    soon(worker.wait_running(4)).await;
    let error = soon(client.ask::<String>(WORKER, "echo", "")).await;
    assert!(matches!(error, Err(CallError::Busy { .. })), "{error:?}");
    worker.open();
    for call in calls {
        soon(call).await.unwrap().unwrap();
    }
    assert!(soon(client.ask::<String>(WORKER, "echo", "")).await.is_ok());
    stop([client, server]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_are_cancelled_by_the_thousand_leave_nothing() {
    let worker = Worker::new();
    let server = start(quiet().host(worker.at(WORKER))).await;
    let client = start(quiet().client()).await;
    connect(&client, &server).await;
    let resting = server.task_count();
    for _ in 0..20 {
        let calls = (0..100).map(|n| {
            let call = Call::to(address(WORKER), "hang").params(());
            let limit = Duration::from_millis(n % 7);
            let client = &client;
            async move { tokio::time::timeout(limit, call.send::<()>(client)).await }
        });
        for outcome in soon(join_all(calls)).await {
            match outcome {
                Err(_) | Ok(Err(CallError::Busy { .. })) => {}
                Ok(other) => panic!("{other:?}"),
            }
        }
    }
    until("no handler runs", || worker.running() == 0).await;
    until("no task is left", || server.task_count() <= resting).await;
    assert!(soon(client.ask::<String>(WORKER, "echo", "")).await.is_ok());
    stop([client, server]).await;
}
