//! The suites of o-testkit against the node and what is in it.

use o_node::{Keypair, Node, Preset};
use o_testkit::{MemoryNetwork, MemoryNode, conformance};

use crate::support::{
    address, connect, knowing, local, memory, only_address, quiet, soon, start, stop, without_table,
};

const PROBE: &str = "o://suite/probe";

fn probe() -> (conformance::Probe, o_node::Hosting) {
    let probe = conformance::Probe::new();
    (probe.clone(), o_node::Hosting::new(address(PROBE), probe))
}

async fn caller(caller: &dyn o_core::Caller, probe: &conformance::Probe) {
    let (target, nobody) = (address(PROBE), address("o://suite/nobody"));
    soon(conformance::caller(caller, &target, &nobody, probe)).await;
}

#[tokio::test]
async fn a_node_is_a_caller_over_tcp() {
    let (probe, hosting) = probe();
    let server = start(local().host(hosting)).await;
    let client = start(knowing(local().client(), &server)).await;
    caller(&client, &probe).await;
    caller(&client.peer(server.peer_id()), &probe).await;
    stop([client, server]).await;
}

#[tokio::test]
async fn a_node_is_a_caller_over_memory() {
    let (probe, hosting) = probe();
    let server = start(memory().host(hosting)).await;
    let client = start(knowing(memory().client(), &server)).await;
    caller(&client, &probe).await;
    stop([client, server]).await;
}

#[tokio::test]
async fn a_node_is_a_caller_of_the_node_that_dialed_it() {
    let (probe, hosting) = probe();
    let server = start(quiet()).await;
    let client = start(quiet().client().host(hosting)).await;
    connect(&client, &server).await;
    caller(&server.peer(client.peer_id()), &probe).await;
    stop([client, server]).await;
}

#[tokio::test]
async fn a_node_is_a_caller_of_its_own_agents() {
    let (probe, hosting) = probe();
    // With somebody to ask for the name that nobody has.
    let hub = start(quiet()).await;
    let node = start(knowing(quiet().host(hosting), &hub)).await;
    caller(&node, &probe).await;
    stop([node, hub]).await;
}

#[tokio::test]
async fn a_node_is_a_caller_over_a_custom_transport_of_a_node_that_is_not_ours() {
    let network = MemoryNetwork::new();
    let (probe, _) = probe();
    let peer = o_testkit::test_peer(1);
    let server = MemoryNode::builder(peer, network.transport(peer))
        .listen("/memory/0".parse().unwrap())
        .build();
    server.host(&address(PROBE), probe.clone()).unwrap();
    soon(o_core::Node::start(&server)).await.unwrap();
    let keypair = Keypair::generate();
    let transport = network.transport(keypair.peer_id());
    let there = server.addresses();
    let client = Node::builder(keypair, Preset::Local)
        .configure(without_table)
        .client();
    let client = start(client.transport(transport)).await;
    soon(client.connect(&there[0].with_peer(&peer)))
        .await
        .unwrap();
    caller(&client.peer(peer), &probe).await;
    stop([client]).await;
    soon(o_core::Node::stop(&server)).await.unwrap();
}

#[tokio::test]
async fn the_life_of_a_node() {
    for builder in [local(), quiet(), memory(), local().client()] {
        let node = builder.build().unwrap();
        soon(conformance::node(&node)).await;
        assert_eq!(node.task_count(), 0);
    }
}

#[tokio::test]
async fn an_agent_with_the_built_in_methods_is_one() {
    soon(conformance::agent(&crate::worker::Worker::new())).await;
    let node = start(quiet()).await;
    assert!(only_address(&node).is_loopback());
    stop([node]).await;
}
