//! Providers that are gone: what is left of them in the table, and how long it costs a search.

use std::time::Duration;

use o_core::CallError;
use o_node::{CallerExt as _, Hosting, Methods, Node, NodeBuilder, NodeConfig};

use crate::{
    child::Plan,
    support::{address, by_capability, by_name, found, knowing, local, soon, start, stop, within},
};

const ONE: &str = "o://gone/one";
const TWO: &str = "o://gone/two";
const CAPABILITY: &str = "test/gone";
/// A dead QUIC address refuses nothing, so that each would cost a time-out: 5 s for a search before
/// there were withdrawals and shorter time-outs next door, 10 s for a call.
const BEFORE: Duration = Duration::from_millis(4500);

/// TCP and QUIC on 127.0.0.1.
fn with_quic(config: &mut NodeConfig) {
    config.transport.quic.enabled = true;
    config
        .listen
        .push("/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap());
}

fn both() -> NodeBuilder {
    local().configure(with_quic)
}

fn agent(at: &str) -> Hosting {
    let methods = Methods::new().unary("echo", async |_, text: String| Ok::<_, CallError>(text));
    Hosting::new(address(at), methods).capability(CAPABILITY.parse().unwrap())
}

async fn echo(node: &Node, at: &str) -> Result<String, CallError> {
    node.call_typed(&address(at), "echo", "hello").await
}

/// Searches until there is somebody.
async fn until_found(node: &Node, at: &str) {
    soon(async {
        while found(node, by_name(at)).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// A client that has met nobody but the hub: what it learns, it learns from there.
async fn newcomer(hub: &Node) -> Node {
    let client = local().client().configure(|config| {
        config.transport.quic.enabled = true;
        config.bootstrap = hub.listen_addresses();
    });
    start(client).await
}

fn not_found(at: &str) -> CallError {
    let address = address(at);
    CallError::NotFound { address }
}

#[tokio::test]
async fn a_node_that_stopped_is_not_found_and_holds_up_no_search() {
    let hub = start(both()).await;
    let server = start(knowing(both().host(agent(ONE)), &hub)).await;
    let first = newcomer(&hub).await;
    until_found(&first, ONE).await;
    assert_eq!(echo(&first, ONE).await.as_deref(), Ok("hello"));
    stop([first, server]).await;

    let client = newcomer(&hub).await;
    let searches = async {
        assert_eq!(found(&client, by_capability(CAPABILITY)).await, []);
        assert_eq!(echo(&client, ONE).await, Err(not_found(ONE)));
        // Nor does it for those who look for something else.
        assert_eq!(echo(&client, TWO).await, Err(not_found(TWO)));
    };
    within(BEFORE, searches).await;
    stop([client, hub]).await;
}

#[tokio::test]
async fn a_node_that_was_killed_is_unreachable_and_soon_known_to_be() {
    let hub = start(both()).await;
    let mut plan = Plan::worker(ONE);
    with_quic(&mut plan.config);
    plan.config.bootstrap = hub.listen_addresses();
    let child = plan.start().await;
    let first = newcomer(&hub).await;
    until_found(&first, ONE).await;
    stop([first]).await;
    child.kill().await;

    let client = newcomer(&hub).await;
    let searching = within(BEFORE, found(&client, by_capability("test/work")));
    assert_eq!(searching.await, []);
    stop([client]).await;
    let client = newcomer(&hub).await;
    let called = within(BEFORE, echo(&client, ONE)).await;
    assert!(
        matches!(called, Err(CallError::Unreachable { .. })),
        "{called:?}"
    );
    stop([client, hub]).await;
}

#[tokio::test]
async fn an_agent_that_is_no_longer_hosted_takes_nothing_from_the_other() {
    let hub = start(both()).await;
    let server = start(knowing(both().host(agent(ONE)).host(agent(TWO)), &hub)).await;
    let client = newcomer(&hub).await;
    for at in [ONE, TWO] {
        until_found(&client, at).await;
    }
    assert!(server.unhost(&address(ONE)));
    // The hub itself has forgotten: nobody is sent to the server to ask.
    soon(async {
        while !matches!(echo(&client, ONE).await, Err(CallError::NotFound { .. })) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let newcomer = newcomer(&hub).await;
    for client in [&client, &newcomer] {
        assert_eq!(found(client, by_name(ONE)).await, []);
        assert_eq!(found(client, by_name(TWO)).await, [server.peer_id()]);
        let able = found(client, by_capability(CAPABILITY)).await;
        assert_eq!(able, [server.peer_id()]);
        assert_eq!(echo(client, TWO).await.as_deref(), Ok("hello"));
    }
    stop([newcomer, client, server, hub]).await;
}
