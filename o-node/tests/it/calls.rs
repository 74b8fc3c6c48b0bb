//! Calls between two nodes.

use o_core::{CallError, Node as _};
use o_node::CallerExt;

use crate::support::{Ask as _, adder, address, local, soon};

#[tokio::test]
async fn a_node_calls_an_agent_on_another_node() {
    let server = soon(local().host(adder("o://math/adder")).start())
        .await
        .unwrap();
    let client = soon(local().client().start()).await.unwrap();

    let peer = soon(client.connect(&server.listen_addresses()[0]))
        .await
        .unwrap();
    assert_eq!(peer, server.peer_id());

    let sum: i64 = soon(client.call_typed(&address("o://math/adder"), "add", &(2, 3)))
        .await
        .unwrap();
    assert_eq!(sum, 5);

    let error = soon(client.ask::<i64>("o://math/adder", "add", (i64::MAX, 1))).await;
    assert!(matches!(error, Err(CallError::Failed { .. })), "{error:?}");

    soon(client.stop()).await.unwrap();
    soon(server.stop()).await.unwrap();
    assert_eq!((client.task_count(), server.task_count()), (0, 0));
}

#[tokio::test]
async fn an_agent_is_found_by_name_and_by_capability_through_the_table() {
    use futures::StreamExt;
    let hub = soon(local().start()).await.unwrap();
    let bootstrap = hub.listen_addresses();
    let with = |config: &mut o_node::NodeConfig| config.bootstrap.clone_from(&bootstrap);
    let server = soon(
        local()
            .configure(with)
            .host(adder("o://math/adder"))
            .start(),
    )
    .await
    .unwrap();
    let client = soon(local().configure(with).client().start())
        .await
        .unwrap();

    let query = o_core::Query::Capability("math/add".parse().unwrap());
    let found = soon(async {
        loop {
            let mut providers = client.find(query.clone());
            if let Some(Ok(provider)) = providers.next().await {
                return provider;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(found.peer, server.peer_id());
    assert!(found.confirmed);
    assert_eq!(found.sources, [o_core::Source::Dht]);

    let sum: i64 = soon(client.call_typed(&address("o://math/adder"), "add", &(2, 3)))
        .await
        .unwrap();
    assert_eq!(sum, 5);
    for node in [client, server, hub] {
        soon(node.stop()).await.unwrap();
    }
}
