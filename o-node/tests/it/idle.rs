//! Connections that are closed because nobody needs them, while somebody comes to need them.

use std::time::{Duration, Instant};

use futures::stream;
use o_core::CallError;
use o_discovery::MemoryDiscovery;
use o_node::Node;
use o_protocol::Call;

use crate::{
    support::{address, in_directory, quiet, soon, stop},
    worker::Worker,
};

/// About what a dial takes here, so that every state of an ending session meets calls.
const IDLE: Duration = Duration::from_millis(5);
/// How long they call.
const LENGTH: Duration = Duration::from_secs(4);

/// One call of the shape with this number, and whether its answer is right.
async fn call(node: &Node, target: &str, shape: usize) -> Result<bool, CallError> {
    let call = |method: &'static str| Call::to(address(target), method);
    Ok(match shape {
        0 => call("echo").params("hi").send::<String>(node).await? == "hi",
        1 => {
            let mut items = call("count").params(3_u64).stream::<u64>(node).await?;
            let mut seen = Vec::new();
            while let Some(item) = items.next().await {
                seen.push(item?);
            }
            seen == [0, 1, 2]
        }
        2 => {
            let numbers = stream::iter([1_i64, 2, 3]);
            call("sum").client::<i64>(node, numbers).await? == 6
        }
        _ => {
            let texts = stream::iter(["a", "b"].map(str::to_owned));
            let mut items = call("upper").bidirectional::<String>(node, texts).await?;
            let mut seen = Vec::new();
            while let Some(item) = items.next().await {
                seen.push(item?);
            }
            seen == ["A", "B"]
        }
    })
}

/// Calls again and again, with pauses around the idle time. Says how often.
async fn calls(node: &Node, target: &str, shape: usize) -> usize {
    let (begun, mut made) = (Instant::now(), 0);
    while begun.elapsed() < LENGTH {
        match soon(call(node, target, shape)).await {
            Ok(true) => made += 1,
            other => panic!("{target}, shape {shape}, call {made}: {other:?}"),
        }
        let pause = (made * 7 + shape * 13) % 47;
        tokio::time::sleep(Duration::from_millis(pause as u64)).await;
    }
    made
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_of_any_shape_fails_because_its_connection_was_idle() {
    let (directory, names) = (
        MemoryDiscovery::default(),
        ["o://near/worker", "o://far/worker"],
    );
    let node = async |name| {
        let builder = quiet().host(Worker::new().at(name)).pool(|pool| {
            pool.idle_timeout = IDLE;
            pool.poll_interval = Duration::from_millis(1);
        });
        in_directory(&directory, builder).await
    };
    let (near, far) = (node(names[0]).await, node(names[1]).await);
    let both = (0..8).map(|number| {
        let (node, target) = if number % 2 == 0 {
            (&near, names[1])
        } else {
            (&far, names[0])
        };
        calls(node, target, number / 2)
    });
    let made: usize = futures::future::join_all(both).await.into_iter().sum();
    let closed = [&near, &far].map(|node| node.pool_stats().unwrap().evicted_idle);
    assert!(closed.iter().sum::<u64>() >= 20, "{made} calls, {closed:?}");
    stop([near, far]).await;
}
