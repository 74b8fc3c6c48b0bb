//! What `stop` does with calls that run.

use std::time::{Duration, Instant};

use o_core::{CallError, Node as _, NodeState, StopError};
use o_node::{CallerExt as _, Node};

use crate::{
    support::{Ask as _, address, connect, only_address, quiet, soon, start, stop},
    worker::Worker,
};

const WORKER: &str = "o://far/worker";

async fn pair(drain: Duration) -> (Worker, Node, Node) {
    let worker = Worker::new();
    let server = quiet()
        .host(worker.at(WORKER))
        .configure(|config| config.node.drain = drain);
    let (server, client) = (start(server).await, start(quiet().client()).await);
    connect(&client, &server).await;
    (worker, server, client)
}

#[tokio::test]
async fn a_running_call_finishes_and_new_ones_are_refused() {
    let (worker, server, client) = pair(Duration::from_secs(20)).await;
    let calling = client.clone();
    let running = tokio::spawn(async move { calling.ask::<String>(WORKER, "gate", "done").await });
    soon(worker.wait_running(1)).await;

    let stopping = server.clone();
    let stopped = tokio::spawn(async move { stopping.stop().await });
    // The goodbye reaches the client, whose next call is refused on the spot, or there.
    let refused = soon(async {
        loop {
            match client
                .peer(server.peer_id())
                .ask::<String>(WORKER, "echo", "")
                .await
            {
                Ok(_) => tokio::task::yield_now().await,
                Err(error) => return error,
            }
        }
    })
    .await;
    assert!(
        matches!(
            refused,
            CallError::ShuttingDown | CallError::Unreachable { .. }
        ),
        "{refused:?}"
    );
    assert_eq!(server.state(), NodeState::Stopping);
    assert!(!stopped.is_finished() && !running.is_finished());

    worker.open();
    assert_eq!(soon(running).await.unwrap().as_deref(), Ok("done"));
    soon(stopped).await.unwrap().unwrap();
    assert_eq!(
        (server.state(), server.task_count()),
        (NodeState::Stopped, 0)
    );
    stop([client]).await;
}

#[tokio::test]
async fn a_stopping_node_takes_no_call_from_a_new_connection() {
    let (worker, server, client) = pair(Duration::from_secs(20)).await;
    let caller = client.clone();
    let running = caller.ask::<String>(WORKER, "gate", "done");
    let mut running = std::pin::pin!(running);
    soon(async {
        tokio::select! {
            end = &mut running => panic!("{end:?}"),
            () = worker.wait_running(1) => {}
        }
    })
    .await;
    let there = only_address(&server);
    let stopping = server.clone();
    let stopped = tokio::spawn(async move { stopping.stop().await });
    crate::support::until("stopping", || server.state() == NodeState::Stopping).await;

    let late = start(quiet().client()).await;
    let outcome = match soon(late.connect(&there)).await {
        Err(error) => format!("{error:?}"),
        Ok(_) => {
            let there = late.peer(server.peer_id());
            let echo = there.ask::<String>(WORKER, "echo", "");
            format!(
                "{:?}",
                soon(echo)
                    .await
                    .expect_err("a stopping node took a new call")
            )
        }
    };
    assert!(!outcome.is_empty());
    worker.open();
    assert_eq!(soon(running).await.as_deref(), Ok("done"));
    soon(stopped).await.unwrap().unwrap();
    stop([late, client]).await;
}

#[tokio::test]
async fn an_endless_call_is_cancelled_after_the_drain_time() {
    let drain = Duration::from_millis(300);
    let (worker, server, client) = pair(drain).await;
    let hang = tokio::spawn({
        let client = client.clone();
        async move { client.call_typed::<()>(&address(WORKER), "hang", &()).await }
    });
    let mut endless = soon(client.stream_typed::<u64>(&address(WORKER), "drip", &()))
        .await
        .unwrap();
    assert_eq!(soon(endless.next()).await, Some(Ok(0)));
    soon(worker.wait_running(2)).await;

    let begun = Instant::now();
    let Err(StopError::Cancelled { calls, after }) = soon(server.stop()).await else {
        panic!("nothing was cancelled")
    };
    assert_eq!((calls, after), (2, drain));
    assert!(
        (drain..Duration::from_secs(10)).contains(&begun.elapsed()),
        "{:?}",
        begun.elapsed()
    );
    // Their handlers are gone when stop returns, not some time later.
    assert_eq!((worker.running(), server.task_count()), (0, 0));
    assert_eq!(server.state(), NodeState::Stopped);

    let lost = soon(hang).await.unwrap();
    assert!(
        matches!(lost, Err(CallError::ConnectionLost { .. })),
        "{lost:?}"
    );
    let lost = soon(endless.next()).await;
    assert!(
        matches!(lost, Some(Err(CallError::ConnectionLost { .. }))),
        "{lost:?}"
    );
    stop([client]).await;
}

#[tokio::test]
async fn calls_of_the_stopping_node_itself_are_waited_for_too() {
    let (worker, server, client) = pair(Duration::from_secs(20)).await;
    let calling = client.clone();
    let running = tokio::spawn(async move { calling.ask::<String>(WORKER, "gate", "done").await });
    soon(worker.wait_running(1)).await;
    let stopping = client.clone();
    let stopped = tokio::spawn(async move { stopping.stop().await });
    crate::support::until("stopping", || client.state() == NodeState::Stopping).await;
    let refused = soon(client.ask::<String>(WORKER, "echo", "")).await;
    assert_eq!(refused, Err(CallError::ShuttingDown));
    worker.open();
    assert_eq!(soon(running).await.unwrap().as_deref(), Ok("done"));
    soon(stopped).await.unwrap().unwrap();
    stop([server]).await;
}

#[tokio::test]
async fn a_call_inside_the_process_is_waited_for_and_ended_too() {
    let worker = Worker::new();
    let drain = Duration::from_millis(300);
    let node = quiet()
        .host(worker.at(WORKER))
        .configure(|config| config.node.drain = drain);
    let node = start(node).await;
    let call = |method: &'static str| {
        let node = node.clone();
        tokio::spawn(async move { node.ask::<serde_json::Value>(WORKER, method, "x").await })
    };
    let gate = call("gate");
    soon(worker.wait_running(1)).await;
    let hang = tokio::spawn({
        let node = node.clone();
        async move { node.call_typed::<()>(&address(WORKER), "hang", &()).await }
    });
    soon(worker.wait_running(2)).await;
    worker.open();
    assert_eq!(soon(gate).await.unwrap(), Ok("x".into()));
    let outcome = soon(node.stop()).await;
    assert!(
        matches!(outcome, Err(StopError::Cancelled { calls: 1, .. })),
        "{outcome:?}"
    );
    assert_eq!(worker.running(), 0, "the handler is gone");
    let ended = soon(hang).await.unwrap();
    assert_eq!(ended, Err(CallError::ShuttingDown));
}

#[tokio::test]
async fn stop_is_quick_where_nothing_runs() {
    let (_, server, client) = pair(Duration::from_secs(20)).await;
    let begun = Instant::now();
    stop([server, client]).await;
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn several_stops_at_once_all_wait_for_the_end() {
    let (worker, server, client) = pair(Duration::from_millis(300)).await;
    let hang = tokio::spawn({
        let client = client.clone();
        async move { client.call_typed::<()>(&address(WORKER), "hang", &()).await }
    });
    soon(worker.wait_running(1)).await;
    let stops = futures::future::join_all((0..4).map(|_| server.stop()));
    let outcomes = soon(stops).await;
    assert_eq!(
        outcomes.iter().filter(|outcome| outcome.is_err()).count(),
        1,
        "{outcomes:?}"
    );
    assert_eq!(
        (server.state(), server.task_count()),
        (NodeState::Stopped, 0)
    );
    soon(hang).await.unwrap().unwrap_err();
    stop([client]).await;
}
