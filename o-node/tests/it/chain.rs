//! Calls made on behalf of calls, over three nodes in three processes.

use std::time::{Duration, Instant};

use o_core::CallError;
use o_node::{CallerExt as _, Node};
use o_protocol::Call;

use crate::{
    child::{Plan, Process},
    support::{address, local, soon, start, stop, within},
};

const WORKER: &str = "o://far/worker";
const RELAY: &str = "o://middle/relay";
/// Far below every deadline that could end a call here.
const AT_ONCE: Duration = Duration::from_secs(3);

/// This node, one whose `pass` calls the worker on behalf of its caller, and the worker's.
async fn chain() -> (Node, Process, Process) {
    let worker = Plan::worker(WORKER).start().await;
    let mut relay = Plan::worker("o://middle/worker");
    relay.relay = Some(RELAY.to_owned());
    relay.config.bootstrap = worker.addresses.clone();
    let relay = relay.start().await;
    let node = start(local().client()).await;
    for address in [relay.address(), worker.address()] {
        soon(node.connect(address)).await.unwrap();
    }
    (node, relay, worker)
}

async fn end((node, relay, worker): (Node, Process, Process)) {
    stop([node]).await;
    relay.stop().await;
    worker.stop().await;
}

fn pass(method: &str) -> Call<(&str, &str)> {
    Call::to(address(RELAY), "pass").params((WORKER, method))
}

#[tokio::test]
async fn a_cancelled_call_is_cancelled_down_the_whole_chain() {
    let chain = chain().await;
    let (node, _, worker) = &chain;
    let worker = node.peer(worker.peer);
    let far = |method: &'static str| Call::to(address(WORKER), method).params(1);
    let hang = pass("hang").send::<()>(node);
    let running = far("wait_running").send::<()>(&worker);
    // Dropped as soon as it runs over there.
    soon(async {
        tokio::select! {
            ended = hang => panic!("it ended by itself: {ended:?}"),
            running = running => running.unwrap(),
        }
    })
    .await;
    within(AT_ONCE, far("wait_ended").send::<()>(&worker))
        .await
        .unwrap();
    end(chain).await;
}

/// The middle one.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[tokio::test]
async fn a_cancellation_goes_down_the_chain_within_one_round_trip() {
    let chain = chain().await;
    let (node, _, worker) = &chain;
    let worker = node.peer(worker.peer);
    let far = |method: &'static str, count| Call::to(address(WORKER), method).params(count);
    let (mut round_trips, mut cancellations) = (Vec::new(), Vec::new());
    // Taken in turns, so that whatever slows the machine down slows both.
    for round in 1..=60 {
        let begun = Instant::now();
        soon(pass("left").send::<Option<f64>>(node)).await.unwrap();
        round_trips.push(begun.elapsed());

        let mut hang = Box::pin(pass("hang").send::<()>(node));
        soon(async {
            tokio::select! {
                ended = &mut hang => panic!("it ended by itself: {ended:?}"),
                running = far("wait_running", 1).send::<()>(&worker) => running.unwrap(),
            }
        })
        .await;
        // It waits over there when the call is dropped here: what was asked later has been answered.
        let mut ended = Box::pin(far("wait_ended", round).send::<()>(&worker));
        soon(async {
            tokio::select! {
                ended = &mut ended => panic!("before it was dropped: {ended:?}"),
                echo = Call::to(address(WORKER), "echo").params("").send::<String>(&worker) => drop(echo.unwrap()),
            }
        })
        .await;
        let begun = Instant::now();
        drop(hang);
        soon(ended).await.unwrap();
        cancellations.push(begun.elapsed());
    }
    let (round_trip, cancellation) = (median(round_trips), median(cancellations));
    // Two steps down the chain, and one back to say so: three of the four of a round trip.
    assert!(
        cancellation <= round_trip,
        "{cancellation:?} to cancel, {round_trip:?} there and back"
    );
    end(chain).await;
}

#[tokio::test]
async fn a_deadline_shrinks_down_the_chain_and_ends_it() {
    let chain = chain().await;
    let (node, _, worker) = &chain;
    let limit = Duration::from_secs(20);
    let left = pass("left").timeout(limit).send::<Option<f64>>(node);
    let left = soon(left).await.unwrap().unwrap();
    // Without the caller's, the relay's own default would be longer.
    assert!(left > 0.0 && left < limit.as_secs_f64(), "{left}");

    let short = Duration::from_millis(300);
    let hang = within(AT_ONCE, pass("hang").timeout(short).send::<()>(node)).await;
    assert!(matches!(hang, Err(CallError::TimedOut { .. })), "{hang:?}");
    let worker = node.peer(worker.peer);
    let ended = Call::to(address(WORKER), "wait_ended").params(1);
    within(AT_ONCE, ended.send::<()>(&worker)).await.unwrap();
    let echo: String = soon(node.call_typed(&address(WORKER), "echo", "after"))
        .await
        .unwrap();
    assert_eq!(echo, "after");
    end(chain).await;
}
