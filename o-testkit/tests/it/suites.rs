//! What is here passes the suites.

use std::{sync::Arc, time::Duration};

use o_core::{Attempt, DenyReason, Direction, Node, NodeState, Stage};
use o_protocol::{Methods, TypedStream};
use o_testkit::{
    Directory, FakeSigner, FakeVerifier, MemoryConfig, MemoryNetwork, RecordingEvents,
    RecordingGater,
    conformance::{self, DiscoveryCase, GaterCase, Probe},
    test_peer,
};

use crate::support::{Two, address, ends, node};

#[tokio::test(start_paused = true)]
async fn transport_in_memory() {
    conformance::transport(ends(&MemoryNetwork::new())).await;
}

#[tokio::test(start_paused = true)]
async fn transport_in_memory_with_latency_and_small_buffers() {
    let mut config = MemoryConfig::default();
    config.latency = Duration::from_millis(5);
    config.buffer = 1000;
    conformance::transport(ends(&MemoryNetwork::with_config(config))).await;
}

#[tokio::test]
async fn transport_in_memory_by_the_wall_clock() {
    conformance::transport(ends(&MemoryNetwork::new())).await;
}

#[tokio::test(start_paused = true)]
async fn node_in_memory() {
    let (network, directory) = (MemoryNetwork::new(), Directory::default());
    let node = node(&network, &directory, 1).build();
    conformance::node(&node).await;
    assert_eq!(node.state(), NodeState::Stopped);
}

#[tokio::test(start_paused = true)]
async fn caller_over_a_connection() {
    let two = Two::start().await;
    let (probe, target) = (Probe::new(), address("o://bob/probe"));
    two.bob.host(&target, probe.clone()).unwrap();
    conformance::caller(&two.alice, &target, &address("o://nobody"), &probe).await;
    // An address that is found at a node that does not have it.
    let stale = address("o://bob/gone");
    two.directory
        .insert(&stale, two.bob.peer(), two.bob.addresses())
        .unwrap();
    conformance::caller(&two.alice, &target, &stale, &probe).await;
    assert_eq!(two.network.connections(), 1);
    two.stop().await;
}

#[tokio::test(start_paused = true)]
async fn caller_with_latency() {
    let mut config = MemoryConfig::default();
    config.latency = Duration::from_millis(20);
    let two = Two::start_in(MemoryNetwork::with_config(config)).await;
    let (probe, target) = (Probe::new(), address("o://bob/probe"));
    two.bob.host(&target, probe.clone()).unwrap();
    conformance::caller(&two.alice, &target, &address("o://nobody"), &probe).await;
    two.stop().await;
}

#[tokio::test(start_paused = true)]
async fn caller_within_one_node() {
    let two = Two::start().await;
    let (probe, target) = (Probe::new(), address("o://alice/probe"));
    two.alice.host(&target, probe.clone()).unwrap();
    conformance::caller(&two.alice, &target, &address("o://nobody"), &probe).await;
    assert_eq!(two.network.connections(), 0);
    two.stop().await;
}

#[tokio::test(start_paused = true)]
async fn agents() {
    conformance::agent(&Probe::new()).await;
    let typed = Methods::new()
        .unary("add", async |_, (a, b): (i64, i64)| {
            Ok::<_, o_core::CallError>(a + b)
        })
        .bidirectional("echo", async |_, items: TypedStream<String>| {
            Ok::<_, o_core::CallError>(items)
        });
    conformance::agent(&typed).await;
}

#[tokio::test(start_paused = true)]
async fn directory_as_resolver() {
    let directory = Directory::default();
    let (known, peer) = (address("o://known"), test_peer(1));
    directory
        .insert(&known, peer, vec!["/memory/1".parse().unwrap()])
        .unwrap();
    directory.insert(&known, test_peer(2), Vec::new()).unwrap();
    conformance::resolver(&directory, &known, peer, &address("o://unknown")).await;
}

#[tokio::test(start_paused = true)]
async fn directory_as_discovery() {
    let directory = Directory::default();
    // Others in the directory change nothing.
    directory
        .insert(&address("o://other"), test_peer(2), Vec::new())
        .unwrap();
    let case = DiscoveryCase::one(Arc::new(directory), FakeSigner::new(test_peer(1)));
    conformance::discovery(&case).await;
}

#[tokio::test]
async fn fake_signer() {
    conformance::signer(&FakeSigner::new(test_peer(1)), &FakeVerifier).await;
}

#[tokio::test(start_paused = true)]
async fn recording_events() {
    conformance::events(&RecordingEvents::new(8), 30).await;
}

#[test]
fn recording_gater() {
    let gater = RecordingGater::default();
    let (friend, enemy) = (test_peer(1), test_peer(2));
    gater.deny(enemy, DenyReason::Blocked);
    let attempt = Attempt::new(Stage::Established, Direction::Inbound);
    let cases = [
        GaterCase::allowed("a friend", attempt.peer(&friend)),
        GaterCase::denied("an enemy", attempt.peer(&enemy)),
        GaterCase::allowed("somebody", Attempt::new(Stage::Pending, Direction::Inbound)),
    ];
    conformance::gater(&gater, &cases);
    assert!(gater.forgotten() == 0 && gater.seen().len() > cases.len());
}
