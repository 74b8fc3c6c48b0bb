//! What can be hosted, and what every agent has.

use o_core::{CallError, Node as _, Shape};
use o_node::{
    AgentDescription, CallerExt as _, HostError, Hosting, Methods, NodeDescription, Stats,
};

use crate::{
    support::{
        Ask as _, adder, address, by_name, connect, found, knowing, local, quiet, soon, start, stop,
    },
    worker::Worker,
};

fn with_method(name: &str) -> Hosting {
    let methods = Methods::new().unary(name, async |_, (): ()| Ok::<_, CallError>(()));
    Hosting::new(address("o://a/b"), methods)
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_cannot_be_hosted_says_why() {
    let node = quiet()
        .configure(|config| config.node.max_agents = 2)
        .build()
        .unwrap();
    node.host(adder("o://math/adder")).unwrap();
    let taken = HostError::Taken {
        address: address("o://math/adder"),
    };
    assert_eq!(node.host(adder("o://math/adder")), Err(taken));

    for reserved in ["o://~", "o://~/agent"] {
        let reserved = address(reserved);
        let hosting = Hosting::new(reserved.clone(), Methods::new());
        assert_eq!(
            node.host(hosting),
            Err(HostError::Reserved { address: reserved })
        );
    }
    let pinned = address("o://math/pinned").pinned(node.peer_id());
    let hosting = Hosting::new(pinned.clone(), Methods::new());
    assert_eq!(
        node.host(hosting),
        Err(HostError::Reserved { address: pinned })
    );

    for name in [
        "ping",
        "describe",
        "stats",
        "bench.echo",
        "a\u{1b}b",
        "a\n",
        "",
        &"m".repeat(129),
    ] {
        let error = node.host(with_method(name)).unwrap_err();
        assert!(
            matches!(&error, HostError::BadMethod { method, .. } if method == name),
            "{error:?}"
        );
    }
    let mut many = Methods::new();
    for index in 0..257 {
        many = many.unary(
            format!("m{index}"),
            async |_, (): ()| Ok::<_, CallError>(()),
        );
    }
    let error = node
        .host(Hosting::new(address("o://a/b"), many))
        .unwrap_err();
    assert_eq!(
        error,
        HostError::TooMany {
            what: "methods",
            limit: 256
        }
    );
    let mut able = Hosting::new(address("o://a/b"), Methods::new());
    for index in 0..101 {
        able = able.capability(format!("can/do-{index}").parse().unwrap());
    }
    let error = node.host(able).unwrap_err();
    assert_eq!(
        error,
        HostError::TooMany {
            what: "capabilities",
            limit: 100
        }
    );

    node.host(with_method(&"m".repeat(128))).unwrap();
    let error = node.host(adder("o://math/third")).unwrap_err();
    assert_eq!(
        error,
        HostError::TooMany {
            what: "agents",
            limit: 2
        }
    );
    // Nothing of what failed is there.
    assert_eq!(
        node.hosted(),
        [address("o://a/b"), address("o://math/adder")]
    );
    assert!(node.unhost(&address("o://math/adder")));
    assert!(!node.unhost(&address("o://math/adder")));
    node.host(adder("o://math/third")).unwrap();
}

#[test]
fn a_builder_with_two_agents_of_one_name_builds_nothing() {
    let twice = quiet()
        .host(adder("o://math/adder"))
        .host(adder("o://math/adder"));
    assert!(matches!(twice.build(), Err(HostError::Taken { .. })));
}

#[tokio::test]
#[expect(
    clippy::too_many_lines,
    reason = "one description, looked at from all sides"
)]
async fn every_agent_and_the_node_itself_have_the_built_in_methods() {
    let server = quiet()
        .host(Worker::new().at("o://far/worker"))
        .host(adder("o://far/adder"));
    let (server, client) = (start(server).await, start(quiet().client()).await);
    connect(&client, &server).await;
    let there = client.peer(server.peer_id());
    let (worker, node) = (address("o://far/worker"), address("o://~"));

    for target in [&worker, &address("o://far/adder"), &node] {
        let pong: Vec<u8> = soon(there.call_typed(target, "ping", &[1, 2, 3]))
            .await
            .unwrap();
        assert_eq!(pong, [1, 2, 3]);
        let stats: Stats = soon(there.call_typed(target, "stats", &())).await.unwrap();
        assert_eq!((stats.peers, stats.served, stats.failed), (1, 0, 0));
    }
    let agent: AgentDescription = soon(there.call_typed(&worker, "describe", &()))
        .await
        .unwrap();
    assert_eq!(agent.address, worker);
    assert_eq!(agent.capabilities, ["test/work".parse().unwrap()]);
    let shape = |name: &str| {
        let method = agent.methods.iter().find(|method| method.name == name);
        method.unwrap_or_else(|| panic!("no {name}")).shape
    };
    assert_eq!(
        (shape("echo"), shape("count")),
        (Shape::Unary, Shape::Server)
    );
    assert_eq!(
        (shape("sum"), shape("upper")),
        (Shape::Client, Shape::Bidirectional)
    );
    assert_eq!(
        (shape("ping"), shape("describe"), shape("stats")),
        (Shape::Unary, Shape::Unary, Shape::Unary)
    );
    assert!(
        agent
            .methods
            .iter()
            .all(o_protocol::MethodDescription::is_consistent)
    );
    let whole: NodeDescription = soon(there.call_typed(&node, "describe", &()))
        .await
        .unwrap();
    assert_eq!(
        (whole.peer, whole.network.as_str()),
        (server.peer_id(), "main")
    );
    let names: Vec<_> = whole
        .agents
        .iter()
        .map(|agent| agent.address.to_string())
        .collect();
    assert_eq!(names, ["o://far/adder", "o://far/worker"]);

    // What the node does not have, and shapes that do not fit.
    let unknown = soon(there.call_typed::<()>(&node, "echo", ""))
        .await
        .unwrap_err();
    assert!(
        matches!(unknown, CallError::UnknownMethod { .. }),
        "{unknown:?}"
    );
    let numbers = futures::stream::iter([1]);
    let shape = soon(there.client_typed::<()>(&node, "ping", numbers))
        .await
        .unwrap_err();
    assert!(matches!(shape, CallError::WrongShape { .. }), "{shape:?}");
    // One value where a stream may come is a stream of one.
    let mut pong = soon(there.stream_typed::<u8>(&node, "ping", &7))
        .await
        .unwrap();
    assert_eq!(
        (soon(pong.next()).await, soon(pong.next()).await),
        (Some(Ok(7)), None)
    );
    stop([client, server]).await;
}

#[tokio::test]
async fn stats_count_what_was_answered_and_what_failed() {
    let worker = Worker::new();
    let server = start(
        quiet()
            .host(worker.at("o://far/worker"))
            .host(adder("o://far/adder")),
    )
    .await;
    let client = start(quiet().client()).await;
    connect(&client, &server).await;
    let there = client.peer(server.peer_id());
    let far = address("o://far/worker");
    for _ in 0..3 {
        soon(there.call_typed::<String>(&far, "echo", ""))
            .await
            .unwrap();
    }
    soon(there.call_typed::<()>(&far, "fail", ""))
        .await
        .unwrap_err();
    soon(there.ask::<i64>("o://far/adder", "add", (1, 2)))
        .await
        .unwrap();
    let gate = there.call_typed::<String>(&far, "gate", "");
    let counted = async {
        worker.wait_running(1).await;
        let of = async |target: &str| {
            there
                .call_typed::<Stats>(&address(target), "stats", &())
                .await
                .unwrap()
        };
        let (agent, node) = (of("o://far/worker").await, of("o://~").await);
        worker.open();
        (agent, node)
    };
    let (gate, (agent, node)) = soon(futures::future::join(gate, counted)).await;
    gate.unwrap();
    assert_eq!((agent.served, agent.failed), (3, 1));
    assert_eq!((node.served, node.failed), (4, 1));
    // The two questions themselves.
    assert_eq!((agent.builtin, node.builtin), (1, 2));
    // The call that waits, and the one that asks.
    assert_eq!((agent.running, node.running), (2, 2));
    stop([client, server]).await;
}

#[tokio::test]
async fn what_is_hosted_later_is_called_and_what_is_withdrawn_is_not() {
    let server = start(quiet()).await;
    let client = start(knowing(quiet().client(), &server)).await;
    connect(&client, &server).await;
    let adder_at = address("o://math/adder");
    let error = soon(client.call_typed::<i64>(&adder_at, "add", &(1, 2)))
        .await
        .unwrap_err();
    assert_eq!(
        error,
        CallError::NotFound {
            address: adder_at.clone()
        }
    );

    server.host(adder("o://math/adder")).unwrap();
    let there = client.peer(server.peer_id());
    assert_eq!(
        soon(there.call_typed::<i64>(&adder_at, "add", &(1, 2))).await,
        Ok(3)
    );
    // By its name too, once it has signed its record.
    soon(async {
        while client
            .call_typed::<i64>(&adder_at, "add", &(1, 2))
            .await
            .is_err()
        {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(
        found(&client, by_name("o://math/adder")).await,
        [server.peer_id()]
    );

    assert!(server.unhost(&adder_at));
    let error = soon(client.call_typed::<i64>(&adder_at, "add", &(1, 2)))
        .await
        .unwrap_err();
    assert_eq!(
        error,
        CallError::NotFound {
            address: adder_at.clone()
        }
    );
    assert_eq!(found(&client, by_name("o://math/adder")).await, []);
    let node: NodeDescription = soon(there.call_typed(&address("o://~"), "describe", &()))
        .await
        .unwrap();
    assert_eq!(node.agents, []);
    stop([client, server]).await;
}

#[tokio::test]
async fn an_unannounced_agent_is_only_for_those_who_know_it() {
    let hidden = adder("o://math/hidden").unannounced();
    let server = start(local().host(hidden).host(adder("o://math/shown"))).await;
    let client = start(knowing(local().client(), &server)).await;
    connect(&client, &server).await;
    let there = client.peer(server.peer_id());
    let node: NodeDescription = soon(there.call_typed(&address("o://~"), "describe", &()))
        .await
        .unwrap();
    let names: Vec<_> = node
        .agents
        .iter()
        .map(|agent| agent.address.to_string())
        .collect();
    assert_eq!(names, ["o://math/shown"]);
    assert_eq!(found(&client, by_name("o://math/hidden")).await, []);
    let pinned = address("o://math/hidden").pinned(server.peer_id());
    assert_eq!(
        soon(client.call_typed::<i64>(&pinned, "add", &(1, 2))).await,
        Ok(3)
    );
    stop([client, server]).await;
}

#[tokio::test]
async fn calls_inside_the_process_touch_no_network() {
    let worker = Worker::new();
    let node = start(quiet().host(worker.at("o://near/worker"))).await;
    let near = address("o://near/worker");
    let who: Option<String> = soon(node.call_typed(&near, "who", &())).await.unwrap();
    assert_eq!(who, None, "there is no peer");
    let echo: String = soon(node.call_typed(&near.pinned(node.peer_id()), "echo", "x"))
        .await
        .unwrap();
    assert_eq!(echo, "x");
    let mut count = soon(node.stream_typed::<u64>(&near, "count", &3))
        .await
        .unwrap();
    for expected in [Some(Ok(0)), Some(Ok(1)), Some(Ok(2)), None] {
        assert_eq!(soon(count.next()).await, expected);
    }
    let sum = soon(node.client_typed::<i64>(&near, "sum", futures::stream::iter([1, 2, 3]))).await;
    assert_eq!(sum, Ok(6));
    // The same through the handle for one peer, when that peer is the node itself.
    let own = node.peer(node.peer_id());
    let echo: String = soon(own.call_typed(&near, "echo", "y")).await.unwrap();
    assert_eq!(echo, "y");
    let itself: NodeDescription = soon(node.call_typed(&address("o://~"), "describe", &()))
        .await
        .unwrap();
    assert_eq!(itself.peer, node.peer_id());

    let unknown = soon(node.call_typed::<()>(&near, "fly", &()))
        .await
        .unwrap_err();
    assert!(
        matches!(unknown, CallError::UnknownMethod { .. }),
        "{unknown:?}"
    );
    // Pinned to somebody else it is not this one.
    let other = near.pinned(o_node::Keypair::generate().peer_id());
    let error = soon(node.call_typed::<String>(&other, "echo", ""))
        .await
        .unwrap_err();
    assert_eq!(error, CallError::NoNetwork { address: other });

    let limit = std::time::Duration::from_millis(100);
    let hang = o_protocol::Call::to(&near, "hang")
        .params(())
        .timeout(limit);
    let late = soon(hang.send::<()>(&node)).await;
    assert!(matches!(late, Err(CallError::TimedOut { .. })), "{late:?}");
    let drip = o_protocol::Call::to(&near, "drip")
        .params(())
        .timeout(limit);
    let mut drip = soon(drip.stream::<u64>(&node)).await.unwrap();
    assert_eq!(soon(drip.next()).await, Some(Ok(0)));
    assert!(matches!(
        soon(drip.next()).await,
        Some(Err(CallError::TimedOut { .. }))
    ));
    assert_eq!(soon(drip.next()).await, None);
    drop(drip);
    soon(worker.wait_ended(2)).await;
    stop([node]).await;
}

#[tokio::test]
async fn the_nodes_own_limit_on_calls_holds_for_local_ones_and_those_from_afar() {
    let worker = Worker::new();
    let server = quiet()
        .host(worker.at("o://far/worker"))
        .configure(|config| config.node.max_calls = 3);
    let (server, client) = (start(server).await, start(quiet().client()).await);
    connect(&client, &server).await;
    let far = address("o://far/worker");
    let running: Vec<_> = [&client, &client, &server]
        .map(|node| {
            let (node, far) = (node.clone(), far.clone());
            tokio::spawn(async move { node.call_typed::<String>(&far, "gate", "in").await })
        })
        .into();
    soon(worker.wait_running(3)).await;
    for node in [&client, &server] {
        let error = soon(node.call_typed::<String>(&far, "echo", "")).await;
        assert!(matches!(error, Err(CallError::Busy { .. })), "{error:?}");
    }
    worker.open();
    for call in running {
        assert_eq!(soon(call).await.unwrap().as_deref(), Ok("in"));
    }
    soon(async {
        // The last one is counted until its task has ended.
        while client.call_typed::<String>(&far, "echo", "").await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    stop([client, server.clone()]).await;
    assert_eq!(server.state(), o_core::NodeState::Stopped);
}
