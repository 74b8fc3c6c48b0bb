//! What calls see of a network that breaks.

use std::time::Duration;

use futures::StreamExt;
use o_core::{Body, CallError, Caller, OutgoingCall, Reply};
use o_testkit::{MemoryConfig, MemoryNetwork, conformance::Probe, test_peer};
use tokio::time::Instant;

use crate::support::{Two, address, within};

const PROBE: &str = "o://bob/probe";

async fn with_probe(network: MemoryNetwork) -> (Two, Probe) {
    let two = Two::start_in(network).await;
    let probe = Probe::new();
    two.bob.host(&address(PROBE), probe.clone()).unwrap();
    (two, probe)
}

fn call(method: &str) -> OutgoingCall {
    OutgoingCall::unary(address(PROBE), method, Body::raw("hello"))
}

async fn echo(two: &Two) -> Result<Body, CallError> {
    match within(two.alice.call(call("echo"))).await? {
        Reply::One(body) => Ok(body),
        Reply::Stream(_) => panic!("a stream"),
    }
}

fn is_lost<T: std::fmt::Debug>(result: Result<T, CallError>) {
    assert!(
        matches!(result, Err(CallError::ConnectionLost { .. })),
        "{result:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_cut_in_the_middle_of_a_call_is_seen_at_both_ends() {
    let (two, probe) = with_probe(MemoryNetwork::new()).await;
    let stream = OutgoingCall::server_streaming(address(PROBE), "drip", Body::default());
    let Ok(Reply::Stream(mut items)) = two.alice.call(stream).await else {
        panic!("no stream")
    };
    assert!(within(items.next()).await.unwrap().is_ok());
    let hang = two.alice.call(call("hang"));
    let cut = async {
        probe.wait_hanging(2).await;
        assert_eq!(two.network.cut(two.alice.peer(), two.bob.peer()), 1);
    };
    let before = Instant::now();
    is_lost(within(async { tokio::join!(hang, cut).0 }).await);
    is_lost(within(items.next()).await.unwrap());
    within(probe.wait_dropped(2)).await;
    assert_eq!(before.elapsed(), Duration::ZERO, "a cut is noticed at once");

    assert_eq!(two.network.connections(), 0);
    assert_eq!(
        echo(&two).await,
        Ok(Body::raw("hello")),
        "the next call dials again"
    );
    assert_eq!(two.network.cut(two.alice.peer(), test_peer(9)), 0);
    two.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_partition_is_noticed_by_silence_and_heals() {
    let (two, probe) = with_probe(MemoryNetwork::new()).await;
    echo(&two).await.unwrap();
    let (alice, bob) = (two.alice.peer(), two.bob.peer());

    // A short one is only a delay.
    let before = Instant::now();
    two.network.partition(alice, bob);
    let heal = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        two.network.heal(alice, bob);
    };
    assert_eq!(tokio::join!(echo(&two), heal).0, Ok(Body::raw("hello")));
    assert_eq!(before.elapsed(), Duration::from_secs(5));

    // A long one costs the connection, at both ends.
    let hang = two.alice.call(call("hang"));
    let apart = async {
        probe.wait_hanging(1).await;
        two.network.partition(alice, bob);
    };
    is_lost(within(async { tokio::join!(hang, apart).0 }).await);
    within(probe.wait_dropped(1)).await;

    // While it lasts, nobody can be dialed.
    let error = echo(&two).await.unwrap_err();
    assert!(matches!(error, CallError::Unreachable { .. }), "{error:?}");
    two.network.heal(alice, bob);
    assert_eq!(echo(&two).await, Ok(Body::raw("hello")));
    two.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_dial_waits_for_a_partition_to_heal() {
    let (two, _) = with_probe(MemoryNetwork::new()).await;
    let (alice, bob) = (two.alice.peer(), two.bob.peer());
    two.network.partition(bob, alice);
    let heal = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        two.network.heal(alice, bob);
    };
    assert_eq!(tokio::join!(echo(&two), heal).0, Ok(Body::raw("hello")));
    two.stop().await;
}

#[tokio::test(start_paused = true)]
async fn every_byte_is_under_way_for_the_latency() {
    let mut config = MemoryConfig::default();
    config.latency = Duration::from_millis(100);
    let (two, _) = with_probe(MemoryNetwork::with_config(config)).await;
    let before = Instant::now();
    echo(&two).await.unwrap();
    // A round trip to connect; the call does not wait for the other side's HELLO.
    assert_eq!(before.elapsed().as_millis() / 10, 40);
    let before = Instant::now();
    echo(&two).await.unwrap();
    assert_eq!(before.elapsed().as_millis() / 10, 20);
    two.stop().await;
}

#[tokio::test(start_paused = true)]
async fn many_callers_wait_for_one_dial() {
    let mut config = MemoryConfig::default();
    config.latency = Duration::from_millis(50);
    let (two, _) = with_probe(MemoryNetwork::with_config(config)).await;
    let calls = futures::future::join_all((0..20).map(|_| echo(&two)));
    assert!(within(calls).await.iter().all(Result::is_ok));
    assert_eq!(two.network.connections(), 1);
    two.stop().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_was_dialed_calls_over_the_same_connection() {
    let (two, _) = with_probe(MemoryNetwork::new()).await;
    echo(&two).await.unwrap();
    two.alice
        .host(&address("o://alice/probe"), Probe::new())
        .unwrap();
    let back = OutgoingCall::unary(address("o://alice/probe"), "who", Body::default());
    let Reply::One(who) = two.bob.call(back).await.unwrap() else {
        panic!("a stream")
    };
    assert_eq!(who.bytes, two.bob.peer().to_string());
    assert_eq!(two.network.connections(), 1);
    two.stop().await;
}
