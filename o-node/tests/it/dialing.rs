//! Dials that fail, each in its own way, and the connection that a dial leaves.

use std::time::{Duration, Instant};

use o_address::TransportAddr;
use o_core::{CallError, DialError};
use o_discovery::MemoryDiscovery;
use o_node::{CallerExt as _, Keypair, Node, Preset};
use o_protocol::Call;

use crate::support::{
    Ask as _, Watch, adder, address, by_capability, connect, found, in_directory, knowing, local,
    only_address, quiet, soon, start, stop, until, within, without_table,
};

/// Nobody listens there: a port that was free a moment ago.
fn nobody() -> TransportAddr {
    let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = probe.local_addr().unwrap().port();
    format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()
}

#[tokio::test]
async fn somebody_else_at_an_address_is_the_wrong_peer() {
    let (server, client) = (start(quiet()).await, start(quiet().client()).await);
    let expected = Keypair::generate().peer_id();
    let wrong = only_address(&server)
        .without_peer()
        .unwrap()
        .with_peer(&expected);
    let error = soon(client.connect(&wrong)).await.unwrap_err();
    let DialError::WrongPeer { expected: e, found } = error else {
        panic!("{error:?}")
    };
    assert_eq!((e, found), (expected, server.peer_id()));
    // Without the peer's id anybody will do.
    let anybody = only_address(&server).without_peer().unwrap();
    assert_eq!(
        soon(client.connect(&anybody)).await.unwrap(),
        server.peer_id()
    );
    stop([client, server]).await;
}

#[tokio::test]
async fn where_nobody_listens_the_dial_fails_at_once() {
    let client = start(quiet().client()).await;
    let begun = Instant::now();
    let anonymous = soon(client.connect(&nobody())).await.unwrap_err();
    assert!(
        matches!(&anonymous, DialError::FailedAt { reason } if reason.contains("refused")),
        "{anonymous:?}"
    );
    let peer = Keypair::generate().peer_id();
    let named = soon(client.connect(&nobody().with_peer(&peer)))
        .await
        .unwrap_err();
    let DialError::Failed { peer: p, reason } = &named else {
        panic!("{named:?}")
    };
    assert!(*p == peer && reason.contains("refused"), "{named:?}");
    assert!(begun.elapsed() < Duration::from_secs(5));
    stop([client]).await;
}

#[tokio::test]
async fn an_address_that_no_transport_takes_is_named() {
    let client = start(quiet().client()).await;
    let peer = Keypair::generate().peer_id();
    for text in [
        "/carrier-pigeon/7",
        "/memory/7",
        "/ip4/127.0.0.1/udp/7/quic-v1",
        "/ip4/127.0.0.1/sctp/7",
    ] {
        let address: TransportAddr = text.parse().unwrap();
        let error = soon(client.connect(&address)).await.unwrap_err();
        assert!(
            matches!(&error, DialError::FailedAt { .. }),
            "{text}: {error:?}"
        );
        assert!(error.to_string().contains(text), "{text}: {error}");
        let error = soon(client.connect(&address.with_peer(&peer)))
            .await
            .unwrap_err();
        assert!(
            matches!(
                &error,
                DialError::Failed { .. } | DialError::NoAddresses { .. }
            ),
            "{text}: {error:?}"
        );
    }
    stop([client]).await;
}

#[tokio::test]
async fn a_node_does_not_dial_itself() {
    let node = start(quiet()).await;
    let error = soon(node.connect(&only_address(&node).without_peer().unwrap()))
        .await
        .unwrap_err();
    assert!(!matches!(error, DialError::TimedOut { .. }), "{error:?}");
    stop([node]).await;
}

#[tokio::test]
async fn a_listener_that_says_nothing_times_out() {
    // The kernel accepts, nobody reads.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let limit = Duration::from_millis(400);
    let client = start(
        quiet()
            .client()
            .configure(|config| config.node.dial_timeout = limit),
    )
    .await;
    let silent_address: TransportAddr = format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap();
    let peer = Keypair::generate().peer_id();
    let begun = Instant::now();
    let error = soon(client.connect(&silent_address.with_peer(&peer)))
        .await
        .unwrap_err();
    assert!(
        matches!(error, DialError::TimedOut { peer: p, after } if p == peer && after == limit),
        "{error:?}"
    );
    let error = soon(client.connect(&silent_address)).await.unwrap_err();
    assert!(matches!(error, DialError::FailedAt { .. }), "{error:?}");
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    stop([client]).await;
}

#[tokio::test]
async fn a_calls_deadline_covers_the_search_and_the_dial() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let peer = Keypair::generate().peer_id();
    let bootstrap: TransportAddr = format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap();
    let client = quiet()
        .client()
        .configure(|config| config.bootstrap = vec![bootstrap.with_peer(&peer)]);
    let client = start(client).await;
    let limit = Duration::from_millis(300);
    for target in [
        "o://far/worker".to_owned(),
        format!("o://far/worker#{peer}"),
    ] {
        let call = Call::to(address(&target), "echo").params("").timeout(limit);
        let error = within(Duration::from_secs(3), call.send::<String>(&client))
            .await
            .unwrap_err();
        let CallError::TimedOut { after } = error else {
            panic!("{target}: {error:?}")
        };
        assert!((limit..limit * 4).contains(&after), "{after:?}");
    }
    // Calls to one peer keep their deadline too.
    let call = Call::to(address("o://far/worker"), "echo")
        .params("")
        .timeout(limit);
    let error = within(
        Duration::from_secs(3),
        call.send::<String>(&client.peer(peer)),
    )
    .await;
    assert!(
        matches!(
            error,
            Err(CallError::TimedOut { .. } | CallError::Unreachable { .. })
        ),
        "{error:?}"
    );
    stop([client]).await;
}

#[tokio::test]
async fn another_network_is_refused_by_name_and_never_found() {
    let prod = |config: &mut o_node::NodeConfig| config.network = "prod".parse().unwrap();
    let server = start(local().configure(prod).host(adder("o://math/adder"))).await;
    let client = start(knowing(local().client(), &server)).await;
    let error = soon(client.connect(&only_address(&server)))
        .await
        .unwrap_err();
    let DialError::Refused {
        peer,
        reason,
        certain,
    } = &error
    else {
        panic!("{error:?}")
    };
    assert_eq!((*peer, *certain), (server.peer_id(), true));
    assert!(
        reason.contains("main") && reason.contains("prod"),
        "{reason}"
    );

    assert_eq!(found(&client, by_capability("math/add")).await, []);
    let error = soon(client.ask::<i64>("o://math/adder", "add", (1, 2))).await;
    let Err(CallError::Refused { reason, .. }) = &error else {
        panic!("{error:?}")
    };
    assert!(
        reason.contains("main") && reason.contains("prod"),
        "{reason}"
    );
    // It ends when the client has read why, which may be a moment later.
    until("the other side keeps nothing either", || {
        server.pool_stats().unwrap().connections == 0
    })
    .await;
    stop([client, server]).await;
}

#[tokio::test]
async fn one_connection_is_enough_after_connect() {
    let server = start(local().host(adder("o://math/adder"))).await;
    let client = start(local().client()).await;
    let mut watch = Watch::new(&client);
    connect(&client, &server).await;
    for _ in 0..3 {
        let sum = client.ask::<i64>("o://math/adder", "add", (2, 3));
        assert_eq!(soon(sum).await, Ok(5));
    }
    connect(&client, &server).await;
    let up = |event: &&o_core::Event| matches!(event, o_core::Event::Connected { .. });
    assert_eq!(watch.so_far().iter().filter(up).count(), 1);
    let stats = client.pool_stats().unwrap();
    assert_eq!((stats.connections, stats.dials_failed), (1, 0), "{stats:?}");
    stop([client, server]).await;
}

#[tokio::test]
async fn many_callers_share_one_dial() {
    let server = start(quiet().host(adder("o://math/adder"))).await;
    let client = start(knowing(quiet().client(), &server)).await;
    let mut watch = Watch::new(&client);
    let adder = address("o://math/adder").pinned(server.peer_id());
    let calls = (0..50).map(|n: i64| {
        let (client, adder) = (client.clone(), adder.clone());
        async move { client.call_typed::<i64>(&adder, "add", &(n, 1)).await }
    });
    let sums = soon(futures::future::join_all(calls)).await;
    for (n, sum) in (0..).zip(sums) {
        assert_eq!(sum, Ok(n + 1));
    }
    let up = |event: &&o_core::Event| matches!(event, o_core::Event::Connected { .. });
    assert!(watch.so_far().iter().filter(up).count() <= 1);
    assert_eq!(client.pool_stats().unwrap().connections, 1);
    stop([client, server]).await;
}

#[tokio::test]
async fn both_dial_each_other_at_once_and_calls_go_both_ways() {
    let one = start(quiet().host(adder("o://one/adder"))).await;
    let two = start(quiet().host(adder("o://two/adder"))).await;
    let (there, here) = (only_address(&two), only_address(&one));
    let (a, b) = soon(futures::future::join(
        one.connect(&there),
        two.connect(&here),
    ))
    .await;
    assert_eq!((a.unwrap(), b.unwrap()), (two.peer_id(), one.peer_id()));
    let (to_two, to_one) = (address("o://two/adder"), address("o://one/adder"));
    let sums = futures::future::join(
        one.call_typed::<i64>(&to_two, "add", &(1, 1)),
        two.call_typed::<i64>(&to_one, "add", &(2, 2)),
    );
    assert_eq!(soon(sums).await, (Ok(2), Ok(4)));
    stop([one, two]).await;
}

#[tokio::test]
async fn an_idle_connection_goes_and_the_next_call_dials_again() {
    let directory = MemoryDiscovery::default();
    let server = in_directory(&directory, quiet().host(adder("o://math/adder"))).await;
    let client = quiet().client().discovery(directory).pool(|pool| {
        pool.idle_timeout = Duration::from_millis(200);
        pool.poll_interval = Duration::from_millis(50);
    });
    let client = start(client).await;
    let mut watch = Watch::new(&client);
    for _ in 0..2 {
        let sum = client.ask::<i64>("o://math/adder", "add", (2, 3));
        assert_eq!(soon(sum).await, Ok(5));
        watch.until_disconnected(server.peer_id()).await;
    }
    stop([client, server]).await;
}

#[tokio::test]
async fn a_call_keeps_its_connection_from_being_idle() {
    let worker = crate::worker::Worker::new();
    let directory = MemoryDiscovery::default();
    let server = in_directory(&directory, quiet().host(worker.at("o://far/worker"))).await;
    let client = quiet().client().discovery(directory).pool(|pool| {
        pool.idle_timeout = Duration::from_millis(50);
        pool.poll_interval = Duration::from_millis(10);
    });
    let client = start(client).await;
    let far = address("o://far/worker");
    let gate = client.call_typed::<String>(&far, "gate", "kept");
    let open = async {
        worker.wait_running(1).await;
        // Ten times as long as an idle connection may be.
        tokio::time::sleep(Duration::from_millis(500)).await;
        worker.open();
    };
    let (kept, ()) = soon(futures::future::join(gate, open)).await;
    assert_eq!(kept.as_deref(), Ok("kept"));
    stop([client, server]).await;
}

#[tokio::test]
async fn an_address_that_the_table_knows_too_is_dialed_once() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let peer = Keypair::generate().peer_id();
    let silent: TransportAddr = format!("/ip4/127.0.0.1/tcp/{port}/p2p/{peer}")
        .parse()
        .unwrap();
    // The table learns the address of a bootstrap peer, without the peer's id at its end.
    let client = start(local().client().configure(|config| {
        config.bootstrap = vec![silent.clone()];
    }))
    .await;
    let mut accepted = vec![soon(listener.accept()).await.unwrap()];
    // Long enough for a second connect of the same dial, which comes with the first.
    let more = async {
        loop {
            accepted.push(listener.accept().await.unwrap());
        }
    };
    let _ = tokio::time::timeout(Duration::from_millis(500), more).await;
    assert_eq!(accepted.len(), 1);
    stop([client]).await;
}

#[tokio::test]
async fn of_two_connections_dialed_at_once_both_ends_keep_the_same() {
    let (one_works, two_works) = (crate::worker::Worker::new(), crate::worker::Worker::new());
    let restless = |builder: o_node::NodeBuilder| {
        builder.pool(|pool| {
            pool.idle_timeout = Duration::from_millis(200);
            pool.poll_interval = Duration::from_millis(20);
        })
    };
    let one = start(restless(quiet().host(one_works.at("o://one/worker")))).await;
    let two = start(restless(quiet().host(two_works.at("o://two/worker")))).await;
    soon(futures::future::join(
        connect(&one, &two),
        connect(&two, &one),
    ))
    .await;
    let connections = |count| {
        let both = [&one, &two].map(|node| node.pool_stats().unwrap().connections);
        both == [count, count]
    };
    until("two connections", || connections(2)).await;
    let (to_two, to_one) = (address("o://two/worker"), address("o://one/worker"));
    let there = one.call_typed::<String>(&to_two, "gate", "there");
    let back = two.call_typed::<String>(&to_one, "gate", "back");
    let open = async {
        one_works.wait_running(1).await;
        two_works.wait_running(1).await;
        // Both calls run on the one that both prefer, so the other one is idle.
        until("one connection", || connections(1)).await;
        one_works.open();
        two_works.open();
    };
    let (there, back, ()) = soon(futures::future::join3(there, back, open)).await;
    assert_eq!(there.as_deref(), Ok("there"));
    assert_eq!(back.as_deref(), Ok("back"));
    stop([one, two]).await;
}

#[tokio::test]
async fn names_are_resolved_where_dns_is_compiled_in_and_on() {
    let server = start(quiet()).await;
    let port = only_address(&server)
        .as_str()
        .split('/')
        .nth(4)
        .unwrap()
        .to_owned();
    let by_name: TransportAddr = format!("/dns4/localhost/tcp/{port}").parse().unwrap();
    let off = start(
        Node::builder(Keypair::generate(), Preset::Local)
            .configure(without_table)
            .client(),
    )
    .await;
    let error = soon(off.connect(&by_name)).await.unwrap_err();
    assert!(
        matches!(&error, DialError::FailedAt { reason } if reason.contains("dns")),
        "{error:?}"
    );
    stop([off]).await;
    #[cfg(feature = "dns")]
    {
        let on = start(
            quiet()
                .client()
                .configure(|config| config.transport.dns.enabled = true),
        )
        .await;
        assert_eq!(soon(on.connect(&by_name)).await.unwrap(), server.peer_id());
        stop([on]).await;
    }
    stop([server]).await;
}
