//! Resolvers of the user's own, in front of the built-in one.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures::StreamExt as _;
use o_address::Address;
use o_core::{
    CallError, Discovery, DiscoveryError, ErrorCode, ProviderStream, Query, ResolveError, Resolver,
    Route, SignedRecord, SignedTombstone, Source, Text,
};
use o_discovery::MemoryDiscovery;
use o_node::Node;
use o_testkit::conformance;

use crate::{
    support::{
        Ask as _, adder, address, by_name, in_directory, knowing, only_address, quiet, soon, start,
        stop,
    },
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

/// A record of a name that its peer, which is gone, announced.
async fn of_somebody_gone(name: &'static str) -> MemoryDiscovery {
    let (directory, stale) = (MemoryDiscovery::default(), MemoryDiscovery::default());
    let gone = in_directory(&directory, quiet().host(adder(name))).await;
    let record = Discovery::find(&directory, by_name(name)).next().await;
    let record = record.unwrap().unwrap().record.unwrap();
    stop([gone]).await;
    stale.announce(&record).await.unwrap();
    stale
}

#[tokio::test]
async fn a_node_resolves_names_and_says_how_it_knows() {
    let directory = MemoryDiscovery::default();
    let server = in_directory(&directory, quiet().host(adder("o://math/adder"))).await;
    let stale = of_somebody_gone("o://math/gone").await;
    let client = quiet().client().host(adder("o://near/adder"));
    let client = start(client.discovery(directory).discovery(stale)).await;
    let known = address("o://math/adder");
    let nobody = address("o://math/nobody");
    // From afar, where it is hosted, and once more when it is known.
    for node in [&client, &server, &client] {
        conformance::resolver(node, &known, server.peer_id(), &nobody).await;
    }

    let [here] = &client.resolve(&address("o://near/adder")).await.unwrap()[..] else {
        panic!("there is one");
    };
    assert_eq!((here.peer, here.source), (client.peer_id(), Source::Local));
    let route = || async {
        let routes = soon(client.resolve(&known)).await.unwrap();
        assert_eq!(routes[0].peer, server.peer_id());
        routes[0].clone()
    };
    // From the cache it is the same, and older.
    let first = route().await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let later = route().await;
    assert_eq!(first.source, later.source);
    assert!(later.age >= first.age + Duration::from_millis(20));
    stop([client.clone(), server]).await;
    let stopped = client.resolve(&known).await;
    assert!(
        matches!(
            &stopped,
            Err(ResolveError::Discovery {
                source: DiscoveryError::Shutdown,
                ..
            })
        ),
        "{stopped:?}"
    );
}

#[tokio::test]
async fn not_found_not_reached_and_refused_are_three_things() {
    let directory = MemoryDiscovery::default();
    let closed = quiet().gater(o_node::AllowList::new());
    let closed = in_directory(&directory, closed.host(adder("o://math/closed"))).await;
    let stale = of_somebody_gone("o://math/gone").await;
    let client = start(quiet().client().discovery(directory).discovery(stale)).await;
    let why = async |name: &str| soon(client.resolve(&address(name))).await.unwrap_err();
    let call = async |name: &str| {
        soon(client.ask::<i64>(name, "add", (1, 1)))
            .await
            .unwrap_err()
    };

    let (error, called) = (why("o://math/nobody").await, call("o://math/nobody").await);
    assert!(matches!(error, ResolveError::NotFound { .. }), "{error:?}");
    assert_eq!(called.code(), ErrorCode::NotFound);

    let (error, called) = (why("o://math/gone").await, call("o://math/gone").await);
    assert!(
        matches!(error, ResolveError::Unreachable { .. }),
        "{error:?}"
    );
    assert_eq!(called.code(), ErrorCode::Unreachable);

    // Its signed record says where it is, and a call may reach it by way of those whom it takes calls from.
    let found = soon(client.resolve(&address("o://math/closed"))).await;
    assert_eq!(found.unwrap()[0].peer, closed.peer_id());
    assert_eq!(call("o://math/closed").await.code(), ErrorCode::Refused);
    // Whoever knows no more than where it listens is told nothing.
    let stranger = start(knowing(quiet().client(), &closed)).await;
    let error = soon(stranger.resolve(&address("o://math/closed"))).await;
    let refused = |error: &ResolveError| matches!(error, ResolveError::Refused { peer, .. } if *peer == Some(closed.peer_id()));
    assert!(error.as_ref().is_err_and(refused), "{error:?}");
    stop([client, stranger, closed]).await;
}

/// Knows nobody, and counts how often it is asked.
#[derive(Clone, Debug, Default)]
struct Counting(Arc<AtomicUsize>);

#[async_trait]
impl Discovery for Counting {
    async fn announce(&self, _: &SignedRecord) -> Result<(), DiscoveryError> {
        Ok(())
    }

    async fn withdraw(&self, _: &SignedTombstone) -> Result<(), DiscoveryError> {
        Ok(())
    }

    fn find(&self, _: Query) -> ProviderStream {
        self.0.fetch_add(1, Ordering::SeqCst);
        futures::stream::empty().boxed()
    }
}

#[tokio::test]
async fn that_nobody_has_a_name_is_remembered_for_a_moment() {
    let lifetime = Duration::from_secs(1);
    let counting = Counting::default();
    let client = quiet().client().discovery(counting.clone());
    let client = client.configure(|config| config.node.absent_lifetime = lifetime);
    let client = start(client).await;
    let asked = async |name: &str| {
        let nobody = soon(client.resolve(&address(name))).await;
        assert!(
            matches!(nobody, Err(ResolveError::NotFound { .. })),
            "{nobody:?}"
        );
        counting.0.load(Ordering::SeqCst)
    };
    assert_eq!(asked("o://math/nobody").await, 1);
    assert_eq!(asked("o://math/nobody").await, 1);
    assert_eq!(asked("o://math/somebody").await, 2);
    tokio::time::sleep(lifetime).await;
    assert_eq!(asked("o://math/nobody").await, 3);
    stop([client]).await;
}

#[tokio::test]
async fn the_best_of_all_sources_comes_first() {
    let [poor, rich] = [(); 2].map(|()| MemoryDiscovery::default());
    let host =
        |name: &'static str, description: &str| quiet().host(adder(name).description(description));
    let one = host(
        "o://math/one",
        "Adds the numbers of long invoices, and much else beside that",
    );
    let one = in_directory(&poor, one).await;
    let two = in_directory(&rich, host("o://math/two", "Invoices, invoices")).await;
    // How much a word is worth depends on how many have it where it is looked for.
    let three = host("o://math/three", "Nothing of that kind");
    let three = in_directory(&poor, three).await;
    let four = in_directory(&rich, host("o://math/four", "Nor of that")).await;
    for sources in [[&poor, &rich], [&rich, &poor]] {
        let client = sources
            .into_iter()
            .fold(quiet().client(), |client, source| {
                client.discovery(source.clone())
            });
        let client = start(client).await;
        let names = async |text: Text| -> Vec<String> {
            let found: Vec<_> = soon(client.find(Query::Text(text)).collect()).await;
            let records = found.into_iter().filter_map(|found| found.ok()?.record);
            records
                .map(|held| held.record().address.to_string())
                .collect()
        };
        let all = names(Text::new("invoices")).await;
        assert_eq!(all, ["o://math/two", "o://math/one"]);
        let mut best = Text::new("invoices");
        best.limit = 1;
        assert_eq!(names(best).await, ["o://math/two"]);
        stop([client]).await;
    }
    stop([one, two, three, four]).await;
}
