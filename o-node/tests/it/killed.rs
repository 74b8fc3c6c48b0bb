//! Peers that are killed, and come back.

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use o_core::CallError;
use o_node::{CallerExt as _, Node};
use o_protocol::Call;

use crate::{
    child::{Plan, Process},
    support::{Ask as _, Watch, address, connect, local, soon, start, stop, within},
};

const WORKER: &str = "o://far/worker";
/// A lost connection on this machine is noticed faster than any time-out.
const AT_ONCE: Duration = Duration::from_secs(3);

/// A child with a key of its own, and a node that knows where it is and may dial again soon.
async fn pair(seed: &str) -> (Plan, Process, Node) {
    let mut plan = Plan {
        seed: Some(seed.into()),
        ..Plan::worker(WORKER)
    };
    let child = plan.start().await;
    plan.config.listen = vec![child.address().without_peer().unwrap()];
    let bootstrap = vec![child.address().clone()];
    let node = local().client().configure(|config| {
        config.bootstrap = bootstrap;
        config.pool.backoff_base = Duration::from_millis(10);
        config.pool.backoff_max = Duration::from_millis(100);
    });
    let node = start(node).await;
    let echo: String = soon(node.call_typed(&address(WORKER), "echo", "first"))
        .await
        .unwrap();
    assert_eq!(echo, "first");
    (plan, child, node)
}

/// Calls until it is answered: who is down is not dialed again for a moment.
async fn call_again(node: &Node) -> String {
    soon(async {
        loop {
            match node.call_typed(&address(WORKER), "echo", "again").await {
                Ok(echo) => return echo,
                Err(error) => assert!(error.is_retryable(), "{error:?}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_call_learns_at_once_that_its_peer_was_killed() {
    let (plan, child, node) = pair("killed in a call").await;
    let (worker, peer) = (address(WORKER), child.peer);
    let mut watch = Watch::new(&node);
    let hang = node.call_typed::<()>(&worker, "hang", &());
    let kill = async {
        node.call_typed::<()>(&worker, "wait_running", &1)
            .await
            .unwrap();
        child.kill().await;
        Instant::now()
    };
    let (lost, killed) = within(AT_ONCE, futures::future::join(hang, kill)).await;
    assert!(
        matches!(lost, Err(CallError::ConnectionLost { .. })),
        "{lost:?}"
    );
    assert!(killed.elapsed() < AT_ONCE);
    watch.until_disconnected(peer).await;

    // The same key on the same port: the very next call gets through.
    let child = plan.start().await;
    assert_eq!(child.peer, peer);
    let echo: String = soon(node.call_typed(&worker, "echo", "back"))
        .await
        .unwrap();
    assert_eq!(echo, "back");
    stop([node]).await;
    child.stop().await;
}

#[tokio::test]
async fn only_a_call_with_an_idempotency_key_is_made_again_when_its_peer_was_killed() {
    for key in [None, Some("order 17")] {
        let (_, child, node) = pair("killed beside another").await;
        let other = crate::worker::Worker::new();
        other.open();
        let second = start(local().host(other.at(WORKER))).await;
        connect(&node, &second).await;
        let mut call = Call::to(address(WORKER), "gate").params("text");
        if let Some(key) = key {
            call = call.idempotency_key(key);
        }
        let gate = call.send::<String>(&node);
        let there = node.peer(child.peer);
        let kill = async {
            Call::to(address(WORKER), "wait_running")
                .params(1)
                .send::<()>(&there)
                .await
                .unwrap();
            child.kill().await;
        };
        let (answer, ()) = within(AT_ONCE, futures::future::join(gate, kill)).await;
        if key.is_some() {
            assert_eq!(answer.as_deref(), Ok("text"));
        } else {
            let lost = matches!(answer, Err(CallError::ConnectionLost { .. }));
            assert!(lost, "{answer:?}");
        }
        stop([node, second]).await;
    }
}

#[tokio::test]
async fn a_stream_ends_with_an_error_when_its_peer_is_killed() {
    let (plan, child, node) = pair("killed in a stream").await;
    let worker = address(WORKER);
    let mut drip = soon(node.stream_typed::<u64>(&worker, "drip", &()))
        .await
        .unwrap();
    assert_eq!(soon(drip.next()).await, Some(Ok(0)));
    child.kill().await;
    let end = within(AT_ONCE, drip.next()).await;
    assert!(
        matches!(end, Some(Err(CallError::ConnectionLost { .. }))),
        "{end:?}"
    );
    assert_eq!(soon(drip.next()).await, None);
    let child = plan.start().await;
    assert_eq!(call_again(&node).await, "again");
    stop([node]).await;
    child.stop().await;
}

#[tokio::test]
async fn a_stream_into_a_killed_peer_ends_too() {
    let (_, child, node) = pair("killed while it reads").await;
    let worker = address(WORKER);
    let numbers = futures::stream::iter([1_i64]).chain(futures::stream::pending());
    let sum = node.client_typed::<i64>(&worker, "sum", numbers);
    let kill = async {
        // Answered after the call above has arrived.
        node.call_typed::<String>(&worker, "echo", "")
            .await
            .unwrap();
        child.kill().await;
    };
    let (lost, ()) = within(AT_ONCE, futures::future::join(sum, kill)).await;
    assert!(
        matches!(lost, Err(CallError::ConnectionLost { .. })),
        "{lost:?}"
    );
    stop([node]).await;
}

#[tokio::test]
async fn calls_while_it_is_down_fail_fast_and_the_backoff_ends() {
    let (plan, child, node) = pair("down for a while").await;
    let peer = child.peer;
    let mut watch = Watch::new(&node);
    child.kill().await;
    watch.until_disconnected(peer).await;
    for _ in 0..5 {
        let error = node.ask::<String>(WORKER, "echo", "");
        let error = within(AT_ONCE, error).await.unwrap_err();
        assert!(matches!(error, CallError::Unreachable { .. }), "{error:?}");
    }
    let child = plan.start().await;
    assert_eq!(call_again(&node).await, "again");
    // One connection: the dead one is not kept.
    assert_eq!(node.pool_stats().unwrap().connections, 1);
    stop([node]).await;
    child.stop().await;
}
