//! Finding agents: several of one name, dead ones, ones that moved, records that expire.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{StreamExt as _, stream};
use o_core::{
    CallError, Discovery, DiscoveryError, Event, Provider, ProviderStream, Query, SignedRecord,
    SignedTombstone, Source,
};
use o_discovery::MemoryDiscovery;
use o_node::{CallerExt as _, Hosting, Keypair, Methods, Node, Preset};

use crate::support::{
    LIMIT, Watch, adder, address, by_capability, by_name, connect, found, in_directory, knowing,
    local, only_address, quiet, soon, start, stop, within, without_table,
};

const CLOCK: &str = "o://office/clock";

/// An agent that says which of several it is.
fn named(at: &str, who: &'static str) -> Hosting {
    let methods = Methods::new().unary("who", async move |_, (): ()| {
        Ok::<_, CallError>(who.to_owned())
    });
    Hosting::new(address(at), methods).capability("time/tell".parse().unwrap())
}

async fn who(node: &Node, at: &o_address::Address) -> Result<String, CallError> {
    soon(node.call_typed::<String>(at, "who", &())).await
}

/// Waits until a node has told `directory` of this many names.
async fn announced(watch: &mut Watch) {
    watch
        .until("announced", |event| matches!(event, Event::Announced(_)))
        .await;
}

#[tokio::test]
async fn several_providers_of_a_name_are_all_found_and_a_pin_decides() {
    let directory = MemoryDiscovery::default();
    let one = in_directory(&directory, quiet().host(named(CLOCK, "one"))).await;
    let two = in_directory(&directory, quiet().host(named(CLOCK, "two"))).await;
    let client = start(quiet().client().discovery(directory.clone())).await;
    let mut peers = [one.peer_id(), two.peer_id()];
    peers.sort_unstable();
    assert_eq!(found(&client, by_name(CLOCK)).await, peers);
    assert_eq!(found(&client, by_capability("time/tell")).await, peers);

    let clock = address(CLOCK);
    for _ in 0..2 {
        assert_eq!(
            who(&client, &clock.pinned(one.peer_id())).await.as_deref(),
            Ok("one")
        );
        assert_eq!(
            who(&client, &clock.pinned(two.peer_id())).await.as_deref(),
            Ok("two")
        );
    }
    assert!(who(&client, &clock).await.is_ok());
    let pinned = Query::Name(clock.pinned(two.peer_id()));
    assert_eq!(found(&client, pinned).await, [two.peer_id()]);
    // One of them goes: the other answers.
    stop([one]).await;
    assert_eq!(who(&client, &clock).await.as_deref(), Ok("two"));
    stop([client, two]).await;
}

#[tokio::test]
async fn a_search_tells_what_the_peer_itself_signed() {
    let directory = MemoryDiscovery::default();
    let server = in_directory(&directory, quiet().host(adder("o://math/adder"))).await;
    let client = start(quiet().client().discovery(directory)).await;
    let providers: Vec<_> = soon(client.find(by_capability("math/add")).collect::<Vec<_>>()).await;
    let [Ok(provider)] = &providers[..] else {
        panic!("{providers:?}")
    };
    assert!(provider.confirmed);
    assert_eq!(
        (provider.peer, &provider.sources[..]),
        (server.peer_id(), &[Source::Memory][..])
    );
    assert_eq!(provider.addresses, server.listen_addresses());
    let record = provider.record.as_ref().unwrap().record();
    assert_eq!(
        (&record.address, record.peer),
        (&address("o://math/adder"), server.peer_id())
    );
    assert_eq!(
        record
            .methods
            .iter()
            .map(|method| &*method.name)
            .collect::<Vec<_>>(),
        ["add"]
    );
    stop([client, server]).await;
}

/// A source that tells what it is told to.
#[derive(Clone, Debug, Default)]
struct Told {
    hints: Arc<Mutex<Vec<Provider>>>,
    /// Never ends a search.
    endless: bool,
    /// Never comes to an end with an announcement.
    stuck: bool,
}

impl Told {
    fn tell(&self, peer: o_address::PeerId, addresses: Vec<o_address::TransportAddr>) {
        self.hints
            .lock()
            .unwrap()
            .push(Provider::hint(peer, addresses, Source::Memory));
    }
}

#[async_trait::async_trait]
impl Discovery for Told {
    async fn announce(&self, _: &SignedRecord) -> Result<(), DiscoveryError> {
        if self.stuck {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn withdraw(&self, _: &SignedTombstone) -> Result<(), DiscoveryError> {
        if self.stuck {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    fn find(&self, _: Query) -> ProviderStream {
        let hints = self.hints.lock().unwrap().clone();
        let hints = stream::iter(hints.into_iter().map(Ok));
        if self.endless {
            hints.chain(stream::pending()).boxed()
        } else {
            hints.boxed()
        }
    }
}

/// Accepts connections and says nothing.
async fn silent() -> (tokio::net::TcpListener, o_address::TransportAddr) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (
        listener,
        format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap(),
    )
}

#[tokio::test]
async fn dead_and_silent_providers_do_not_hold_up_the_others() {
    let told = Told {
        endless: true,
        ..Told::default()
    };
    let (_listener, silent) = silent().await;
    let gone: o_address::TransportAddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
    for index in 0..6 {
        let there = if index % 2 == 0 { &gone } else { &silent };
        told.tell(Keypair::generate().peer_id(), vec![there.clone()]);
    }
    // Nowhere to be dialed.
    told.tell(Keypair::generate().peer_id(), Vec::new());
    let one = start(quiet().host(named(CLOCK, "one"))).await;
    let two = start(quiet().host(named(CLOCK, "two"))).await;
    told.tell(one.peer_id(), one.listen_addresses());
    told.tell(two.peer_id(), two.listen_addresses());
    // Somebody who is there and is not what is sought.
    let other = start(quiet().host(adder("o://math/adder"))).await;
    told.tell(other.peer_id(), other.listen_addresses());

    let client = start(quiet().client().discovery(told)).await;
    let mut providers = client.find(by_capability("time/tell"));
    let mut peers = Vec::new();
    for _ in 0..2 {
        // Each as soon as it has confirmed: the search itself never ends.
        let provider = within(Duration::from_secs(4), providers.next())
            .await
            .unwrap()
            .unwrap();
        assert!(provider.confirmed);
        peers.push(provider.peer);
    }
    peers.sort_unstable();
    let mut expected = [one.peer_id(), two.peer_id()];
    expected.sort_unstable();
    assert_eq!(peers, expected);
    drop(providers);
    // The same for a call by name.
    let clock = address(CLOCK);
    let answer = within(
        Duration::from_secs(4),
        client.call_typed::<String>(&clock, "who", &()),
    );
    assert!(answer.await.is_ok());
    stop([client, one, two, other]).await;
}

#[tokio::test]
async fn a_hint_that_lies_is_not_believed() {
    let told = Told::default();
    let (liar, server) = (
        start(quiet()).await,
        start(quiet().host(named(CLOCK, "it"))).await,
    );
    // Another peer's addresses, and a peer that does not have what it is said to have.
    told.tell(Keypair::generate().peer_id(), server.listen_addresses());
    told.tell(liar.peer_id(), liar.listen_addresses());
    let client = start(quiet().client().discovery(told.clone())).await;
    assert_eq!(found(&client, by_capability("time/tell")).await, []);
    assert!(who(&client, &address(CLOCK)).await.is_err());
    told.tell(server.peer_id(), server.listen_addresses());
    assert_eq!(who(&client, &address(CLOCK)).await.as_deref(), Ok("it"));
    stop([client, liar, server]).await;
}

#[tokio::test]
async fn an_address_that_comes_later_is_tried_too() {
    let told = Told {
        endless: true,
        ..Told::default()
    };
    let server = start(quiet().host(named(CLOCK, "it"))).await;
    told.tell(
        server.peer_id(),
        vec!["/ip4/127.0.0.1/tcp/1".parse().unwrap()],
    );
    told.tell(server.peer_id(), server.listen_addresses());
    let client = start(quiet().client().discovery(told)).await;
    let mut providers = client.find(by_capability("time/tell"));
    let provider = within(Duration::from_secs(4), providers.next())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(provider.peer, server.peer_id());
    drop(providers);
    stop([client, server]).await;
}

#[tokio::test]
async fn a_source_that_is_stuck_holds_up_neither_the_others_nor_the_stop() {
    let stuck = Told {
        stuck: true,
        endless: true,
        ..Told::default()
    };
    let server = quiet()
        .discovery(stuck)
        .host(named(CLOCK, "it"))
        .host(adder("o://math/adder"));
    let server = start(server).await;
    let client = start(knowing(quiet().client(), &server)).await;
    connect(&client, &server).await;
    // Every agent has its record, whatever has become of the announcement of the first.
    for query in [by_capability("time/tell"), by_capability("math/add")] {
        let found = soon(async {
            loop {
                if let Some(Ok(provider)) = client.find(query.clone()).next().await {
                    return provider.peer;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        assert_eq!(found.await, server.peer_id());
    }
    let begun = std::time::Instant::now();
    stop([client, server]).await;
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn what_is_no_longer_hosted_is_withdrawn_and_what_is_new_is_announced() {
    let directory = MemoryDiscovery::default();
    let server = in_directory(&directory, quiet().host(named(CLOCK, "it"))).await;
    assert_eq!(directory.len(), 1);
    let mut watch = Watch::new(&server);
    server.host(adder("o://math/adder")).unwrap();
    let second = |event: &Event| *event == Event::Announced(address("o://math/adder"));
    watch.until("the second is announced", second).await;
    assert_eq!(directory.len(), 2);

    server.unhost(&address(CLOCK));
    let client = start(quiet().client().discovery(directory.clone())).await;
    soon(async {
        while directory.find(by_name(CLOCK)).next().await.is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(found(&client, by_capability("time/tell")).await, []);
    assert_eq!(
        found(&client, by_capability("math/add")).await,
        [server.peer_id()]
    );
    // A node that stops withdraws everything.
    stop([server]).await;
    assert!(
        directory
            .find(by_capability("math/add"))
            .next()
            .await
            .is_none()
    );
    stop([client]).await;
}

#[tokio::test]
async fn records_are_announced_again_before_they_expire() {
    let directory = MemoryDiscovery::default();
    // The shortest there is; announced again after half of it.
    let short = |config: &mut o_node::NodeConfig| {
        config.node.record_lifetime = Duration::from_secs(10);
    };
    let server = in_directory(
        &directory,
        quiet().configure(short).host(named(CLOCK, "it")),
    )
    .await;
    let sequence = || async {
        let provider = directory
            .find(by_name(CLOCK))
            .next()
            .await
            .unwrap()
            .unwrap();
        provider.record.unwrap().record().sequence
    };
    let first = sequence().await;
    let mut watch = Watch::new(&server);
    within(Duration::from_secs(9), announced(&mut watch)).await;
    assert!(sequence().await > first);
    stop([server]).await;
}

#[tokio::test]
async fn a_name_is_not_taken_over_by_connecting() {
    let directory = MemoryDiscovery::default();
    let server = in_directory(&directory, quiet().host(named(CLOCK, "it"))).await;
    let client = start(quiet().discovery(directory.clone())).await;
    assert_eq!(who(&client, &address(CLOCK)).await.as_deref(), Ok("it"));
    // Another key, the same name: said in its HELLO, announced nowhere.
    let mut watch = Watch::new(&client);
    let impostor = start(knowing(quiet().host(named(CLOCK, "impostor")), &client)).await;
    let peer = impostor.peer_id();
    let came = |event: &Event| matches!(event, Event::Connected { peer: p, .. } if *p == peer);
    watch.until("the impostor connects", came).await;
    connect(&impostor, &client).await;
    for _ in 0..5 {
        assert_eq!(who(&client, &address(CLOCK)).await.as_deref(), Ok("it"));
    }
    // Who wants that one says so.
    let pinned = address(CLOCK).pinned(peer);
    assert_eq!(who(&client, &pinned).await.as_deref(), Ok("impostor"));
    stop([impostor, client, server]).await;
}

#[tokio::test]
async fn a_bootstrap_peer_that_comes_back_is_connected_to_again() {
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let fixed = format!("/ip4/127.0.0.1/tcp/{free}").parse().unwrap();
    let server = start(quiet().configure(|config| config.listen = vec![fixed])).await;
    // It listens nowhere: only its own connection leads to it.
    let client = start(knowing(quiet().client().host(named(CLOCK, "it")), &server)).await;
    for _ in 0..2 {
        let clock = address(CLOCK).pinned(client.peer_id());
        soon(async {
            while server
                .call_typed::<String>(&clock, "who", &())
                .await
                .is_err()
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        soon(o_core::Node::stop(&server)).await.unwrap();
        soon(o_core::Node::start(&server)).await.unwrap();
    }
    stop([client, server]).await;
}

#[tokio::test]
async fn an_agent_that_moved_to_another_node_is_found_again() {
    let directory = MemoryDiscovery::default();
    let old = in_directory(&directory, quiet().host(named(CLOCK, "old"))).await;
    let client = start(quiet().client().discovery(directory.clone())).await;
    let clock = address(CLOCK);
    assert_eq!(who(&client, &clock).await.as_deref(), Ok("old"));

    // The old node lives on without it.
    let new = in_directory(&directory, quiet().host(named(CLOCK, "new"))).await;
    assert!(old.unhost(&clock));
    assert_eq!(who(&client, &clock).await.as_deref(), Ok("new"));

    // And now the node itself goes, for one with another key.
    let newer = in_directory(&directory, quiet().host(named(CLOCK, "newer"))).await;
    stop([new]).await;
    assert_eq!(who(&client, &clock).await.as_deref(), Ok("newer"));
    stop([client, old, newer]).await;
}

#[tokio::test]
async fn an_agent_that_restarts_elsewhere_with_its_key_is_found_again() {
    let directory = MemoryDiscovery::default();
    let keypair = Keypair::generate();
    let build = || Node::builder(keypair.clone(), Preset::Local).configure(without_table);
    let first = in_directory(&directory, build().host(named(CLOCK, "first"))).await;
    let client = start(quiet().client().discovery(directory.clone())).await;
    assert_eq!(who(&client, &address(CLOCK)).await.as_deref(), Ok("first"));
    let mut watch = Watch::new(&client);
    stop([first]).await;
    watch.until_disconnected(keypair.peer_id()).await;
    let second = in_directory(&directory, build().host(named(CLOCK, "second"))).await;
    assert_eq!(who(&client, &address(CLOCK)).await.as_deref(), Ok("second"));
    stop([client, second]).await;
}

#[tokio::test]
async fn nobody_to_ask_is_an_error_of_its_own() {
    let alone = start(quiet().client()).await;
    let error = who(&alone, &address(CLOCK)).await.unwrap_err();
    let expected = CallError::NoNetwork {
        address: address(CLOCK),
    };
    assert_eq!(error, expected);
    assert_eq!(error.code(), o_core::ErrorCode::Unreachable);
    assert!(error.to_string().contains("no network"), "{error}");
    let mut search = alone.find(by_name(CLOCK));
    assert!(matches!(
        soon(search.next()).await,
        Some(Err(DiscoveryError::NoNetwork))
    ));
    assert!(soon(search.next()).await.is_none());
    stop([alone.clone()]).await;
    let mut search = alone.find(by_name(CLOCK));
    assert!(matches!(
        soon(search.next()).await,
        Some(Err(DiscoveryError::Shutdown))
    ));
}

#[tokio::test]
async fn a_search_that_runs_ends_when_the_node_stops() {
    let told = Told {
        endless: true,
        ..Told::default()
    };
    let node = start(quiet().client().discovery(told)).await;
    let mut search = node.find(by_name(CLOCK));
    let stopped = {
        let node = node.clone();
        async move { stop([node]).await }
    };
    let (next, ()) = within(LIMIT, futures::future::join(search.next(), stopped)).await;
    assert!(!matches!(next, Some(Ok(_))), "{next:?}");
}

#[tokio::test]
async fn the_table_finds_names_and_forgets_those_that_were_withdrawn_by_asking() {
    let hub = start(local()).await;
    let server = start(knowing(local().host(named(CLOCK, "it")), &hub)).await;
    let client = start(knowing(local().client(), &hub)).await;
    soon(async {
        while found(&client, by_name(CLOCK)).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(who(&client, &address(CLOCK)).await.as_deref(), Ok("it"));
    // The table may remember it; the peer itself says no.
    server.unhost(&address(CLOCK));
    assert_eq!(found(&client, by_name(CLOCK)).await, []);
    assert_eq!(
        who(&client, &address(CLOCK)).await,
        Err(CallError::NotFound {
            address: address(CLOCK)
        })
    );
    assert_eq!(
        soon(client.connect(&only_address(&server))).await.unwrap(),
        server.peer_id()
    );
    stop([client, server, hub]).await;
}

#[tokio::test]
async fn a_call_that_is_still_searching_ends_when_the_node_stops() {
    let told = Told {
        endless: true,
        ..Told::default()
    };
    let node = start(quiet().client().discovery(told)).await;
    let (caller, clock) = (node.clone(), address(CLOCK));
    let call = async move { caller.call_typed::<String>(&clock, "who", &()).await };
    let (end, ()) = within(LIMIT / 3, futures::future::join(call, stop([node]))).await;
    assert_eq!(end, Err(CallError::ShuttingDown));
}
