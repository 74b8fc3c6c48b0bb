//! Resolvers of the user's own, in front of the built-in one.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use o_address::Address;
use o_core::{CallError, DiscoveryError, ErrorCode, ResolveError, Resolver, Route, Source};
use o_node::Node;

use crate::{
    support::{Ask as _, adder, address, only_address, quiet, soon, start, stop},
    worker::Worker,
};

const WORKER: &str = "o://far/worker";

/// Names and where they live, and one name that it cannot look up.
#[derive(Clone, Debug, Default)]
struct Map {
    routes: HashMap<String, Vec<Route>>,
    broken: Option<&'static str>,
}

impl Map {
    fn with(mut self, name: &str, nodes: &[&Node]) -> Self {
        let route = |node: &&Node| Route {
            peer: node.peer_id(),
            addresses: node.listen_addresses(),
            source: Source::Given,
            age: Duration::ZERO,
        };
        let routes = nodes.iter().map(route).collect();
        self.routes.insert(name.to_owned(), routes);
        self
    }
}

#[async_trait]
impl Resolver for Map {
    async fn resolve(&self, address: &Address) -> Result<Vec<Route>, ResolveError> {
        let address = address.clone();
        if self.broken == Some(address.name()) {
            let source = DiscoveryError::Busy { limit: "the map" };
            return Err(ResolveError::Discovery { address, source });
        }
        let routes = self.routes.get(address.name());
        routes.cloned().ok_or(ResolveError::NotFound { address })
    }
}

#[tokio::test]
async fn the_first_answer_wins_and_no_answer_asks_the_next() {
    let server = start(quiet().host(Worker::new().at(WORKER))).await;
    let other = start(quiet().host(adder("o://math/adder"))).await;
    let empty = Map::default().with("o://math/adder", &[]);
    let first = Map::default().with(WORKER, &[&server]);
    // The second is wrong about the worker, and is not asked about it.
    let second = Map::default()
        .with(WORKER, &[&other])
        .with("o://math/adder", &[&other]);
    let client = quiet()
        .client()
        .host(adder("o://near/adder"))
        .resolver(empty)
        .resolver(first)
        .resolver(second);
    let client = start(client).await;
    let echo = client.ask::<String>(WORKER, "echo", "hi");
    assert_eq!(soon(echo).await.as_deref(), Ok("hi"));
    let sum = client.ask::<i64>("o://math/adder", "add", (1, 2));
    assert_eq!(soon(sum).await, Ok(3));
    // Nobody knows it but the node itself.
    let sum = client.ask::<i64>("o://near/adder", "add", (2, 2));
    assert_eq!(soon(sum).await, Ok(4));
    stop([client, server, other]).await;
}

#[tokio::test]
async fn an_answer_is_final_and_an_error_ends_the_call() {
    let server = start(quiet().host(Worker::new().at(WORKER))).await;
    let wrong = start(quiet()).await;
    let map = Map {
        broken: Some("o://near/adder"),
        ..Map::default().with(WORKER, &[&wrong])
    };
    let client = quiet().client().host(adder("o://near/adder")).resolver(map);
    let client = start(client).await;
    // The node itself would find it: the right node is connected and says that it hosts it.
    soon(client.connect(&only_address(&server))).await.unwrap();
    let error = soon(client.ask::<String>(WORKER, "echo", "hi")).await;
    assert_eq!(error.unwrap_err().code(), ErrorCode::NotFound);
    let error = soon(client.ask::<i64>("o://near/adder", "add", (1, 1))).await;
    let reason = "the map".to_owned();
    assert_eq!(error, Err(CallError::Busy { reason }));
    stop([client, server, wrong]).await;
}

#[tokio::test]
async fn a_route_to_this_node_stays_here_and_a_pin_holds() {
    let server = start(quiet().host(Worker::new().at(WORKER))).await;
    let wrong = start(quiet().host(Worker::new().at(WORKER))).await;
    let keypair = o_node::Keypair::generate();
    let here = Route {
        peer: keypair.peer_id(),
        addresses: Vec::new(),
        source: Source::Given,
        age: Duration::ZERO,
    };
    let mut map = Map::default().with(WORKER, &[&wrong, &server]);
    map.routes.insert("o://near/adder".into(), vec![here]);
    let client = Node::builder(keypair, o_node::Preset::Local)
        .configure(crate::support::without_table)
        .client()
        .host(adder("o://near/adder"))
        .resolver(map);
    let client = start(client).await;
    let sum = client.ask::<i64>("o://near/adder", "add", (2, 2));
    assert_eq!(soon(sum).await, Ok(4));
    let pinned = address(WORKER).pinned(server.peer_id()).to_string();
    let echo = client.ask::<String>(&pinned, "echo", "hi");
    assert_eq!(soon(echo).await.as_deref(), Ok("hi"));
    assert_eq!(client.pool_stats().unwrap().dials_total, 1);
    stop([client, server, wrong]).await;
}
