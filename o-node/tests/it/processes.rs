//! Two operating-system processes over real sockets.

use std::time::{Duration, Instant};

use futures::{FutureExt as _, StreamExt as _, stream};
use o_core::{Body, CallError, Caller as _, Encoding, OutgoingCall, Query, Reply, Source};
use o_node::{CallerExt as _, Node};
use o_protocol::Call;

use crate::{
    child::{Plan, Process},
    support::{
        LIMIT, Watch, address, by_capability, found, knowing, local, quiet, soon, start, stop,
        within,
    },
};

const WORKER: &str = "o://far/worker";

/// A child with a worker, and a node of ours that is connected to it.
async fn pair() -> (Process, Node) {
    let child = Plan::worker(WORKER).start().await;
    let node = start(local().client()).await;
    assert_eq!(
        soon(node.connect(child.address())).await.unwrap(),
        child.peer
    );
    (child, node)
}

async fn end(child: Process, node: Node) {
    stop([node]).await;
    child.stop().await;
}

/// Every shape, and its end.
pub(crate) async fn every_shape(node: &Node) {
    let worker = address(WORKER);
    let echo: String = soon(node.call_typed(&worker, "echo", "héllo"))
        .await
        .unwrap();
    assert_eq!(echo, "héllo");
    let who: String = soon(node.call_typed(&worker, "who", &())).await.unwrap();
    assert_eq!(who, node.peer_id().to_string());

    let mut count = soon(node.stream_typed::<u64>(&worker, "count", &1000))
        .await
        .unwrap();
    for expected in 0..1000 {
        assert_eq!(soon(count.next()).await, Some(Ok(expected)));
    }
    assert_eq!(soon(count.next()).await, None);

    let numbers = stream::iter(1..=100_i64);
    let sum: i64 = soon(node.client_typed(&worker, "sum", numbers))
        .await
        .unwrap();
    assert_eq!(sum, 5050);

    // Each answer is awaited before the next item is sent: neither side waits for the other's end.
    let (sender, receiver) = futures::channel::mpsc::channel::<String>(1);
    let mut sender = sender;
    let mut upper = soon(node.bidi_typed::<String>(&worker, "upper", receiver))
        .await
        .unwrap();
    for text in ["one", "two", "three"] {
        sender.try_send(text.to_owned()).unwrap();
        assert_eq!(soon(upper.next()).await, Some(Ok(text.to_uppercase())));
    }
    drop(sender);
    assert_eq!(soon(upper.next()).await, None);
}

#[tokio::test]
async fn every_shape_over_tcp() {
    let (child, node) = pair().await;
    every_shape(&node).await;
    end(child, node).await;
}

/// The items of an answer, as text.
async fn texts(reply: Reply) -> Vec<String> {
    let text = |body: Body| {
        assert_eq!(body.encoding, Encoding::Json);
        String::from_utf8(body.bytes.to_vec()).unwrap()
    };
    match reply {
        Reply::One(body) => vec![text(body)],
        Reply::Stream(items) => items.map(|item| text(item.unwrap())).collect().await,
    }
}

#[tokio::test]
async fn every_shape_without_types_over_tcp() {
    let (child, node) = pair().await;
    let worker = || address(WORKER);
    let input = |items: &'static [&str]| {
        let bodies = items.iter().map(|item| Ok(Body::json(*item)));
        stream::iter(bodies).boxed()
    };
    let nothing = Body::json("null");
    for (call, expected) in [
        (
            OutgoingCall::unary(worker(), "echo", Body::json(r#""text""#)),
            &[r#""text""#][..],
        ),
        (
            OutgoingCall::server_streaming(worker(), "count", Body::json("3")),
            &["0", "1", "2"],
        ),
        (
            OutgoingCall::client_streaming(worker(), "sum", nothing.clone(), input(&["1", "2"])),
            &["3"],
        ),
        (
            OutgoingCall::bidirectional(worker(), "upper", nothing, input(&[r#""a""#, r#""b""#])),
            &[r#""A""#, r#""B""#],
        ),
    ] {
        let reply = soon(node.call(call)).await.unwrap();
        assert_eq!(soon(texts(reply)).await, expected);
    }
    end(child, node).await;
}

#[tokio::test]
async fn bodies_larger_than_any_frame_arrive_whole() {
    let (child, node) = pair().await;
    let blob: String = soon(node.call_typed(&address(WORKER), "blob", &3_000_000))
        .await
        .unwrap();
    assert!(blob.len() == 3_000_000 && blob.bytes().all(|byte| byte == b'x'));
    let echo: String = soon(node.call_typed(&address(WORKER), "echo", &blob))
        .await
        .unwrap();
    assert_eq!(echo.len(), blob.len());
    end(child, node).await;
}

#[tokio::test]
async fn errors_keep_their_kind_message_and_data() {
    let (child, node) = pair().await;
    let worker = address(WORKER);
    let failed = soon(node.call_typed::<()>(&worker, "fail", "as asked"))
        .await
        .unwrap_err();
    let expected = CallError::Failed {
        message: "as asked".into(),
        retryable: true,
        data: bytes::Bytes::from_static(&[0, 1, 255]),
    };
    assert_eq!(failed, expected);

    let mut late = soon(node.stream_typed::<u64>(&worker, "fail_late", &2))
        .await
        .unwrap();
    assert_eq!(soon(late.next()).await, Some(Ok(0)));
    assert_eq!(soon(late.next()).await, Some(Ok(1)));
    assert_eq!(
        soon(late.next()).await,
        Some(Err(CallError::failed("as asked")))
    );
    assert_eq!(soon(late.next()).await, None);

    let unknown = soon(node.call_typed::<()>(&worker, "fly", &()))
        .await
        .unwrap_err();
    assert_eq!(
        unknown,
        CallError::UnknownMethod {
            method: "fly".into()
        }
    );
    let bad = soon(node.call_typed::<()>(&worker, "echo", &7))
        .await
        .unwrap_err();
    assert!(matches!(bad, CallError::InvalidParams { .. }), "{bad:?}");
    let shape = soon(node.call_typed::<()>(&worker, "count", &7))
        .await
        .unwrap_err();
    assert!(matches!(shape, CallError::WrongShape { .. }), "{shape:?}");
    end(child, node).await;
}

#[tokio::test]
async fn an_unknown_address_is_not_found() {
    let (child, node) = pair().await;
    let nobody = address("o://far/nobody");
    let error = soon(node.call_typed::<()>(&nobody, "echo", ""))
        .await
        .unwrap_err();
    assert_eq!(
        error,
        CallError::NotFound {
            address: nobody.clone()
        }
    );
    // The one peer that is asked directly does not have it either.
    let error = soon(node.peer(child.peer).call_typed::<()>(&nobody, "echo", "")).await;
    assert_eq!(error.unwrap_err(), CallError::NotFound { address: nobody });
    end(child, node).await;
}

#[tokio::test]
async fn dropping_a_call_or_a_stream_drops_its_handler_there() {
    let (child, node) = pair().await;
    let worker = address(WORKER);
    {
        let hang = node.call_typed::<()>(&worker, "hang", &());
        let mut hang = std::pin::pin!(hang);
        assert!(hang.as_mut().now_or_never().is_none());
        // The call is on its way; the handler runs when the second one answers.
        soon(async {
            tokio::select! {
                end = hang => panic!("{end:?}"),
                running = node.call_typed::<()>(&worker, "wait_running", &1) => running.unwrap(),
            }
        })
        .await;
    }
    let seen = node.call_typed::<()>(&worker, "wait_ended", &1);
    within(Duration::from_secs(5), seen).await.unwrap();

    for method in ["drip", "endless"] {
        let mut items = soon(node.stream_typed::<u64>(&worker, method, &()))
            .await
            .unwrap();
        assert_eq!(soon(items.next()).await, Some(Ok(0)));
        drop(items);
    }
    let seen = node.call_typed::<()>(&worker, "wait_ended", &3);
    within(Duration::from_secs(5), seen).await.unwrap();
    end(child, node).await;
}

#[tokio::test]
async fn a_deadline_ends_the_call_here_and_drops_the_handler_there() {
    let (child, node) = pair().await;
    let worker = address(WORKER);
    let limit = Duration::from_millis(300);
    let begun = Instant::now();
    let error = soon(
        Call::to(&worker, "hang")
            .params(())
            .timeout(limit)
            .send::<()>(&node),
    )
    .await;
    let Err(CallError::TimedOut { after }) = error else {
        panic!("{error:?}")
    };
    // Either end may notice it first, each by its own clock.
    assert!(after <= limit * 4 && begun.elapsed() >= limit, "{after:?}");
    assert!(begun.elapsed() < limit + Duration::from_secs(5));

    let stream = Call::to(&worker, "drip").params(()).timeout(limit);
    let mut items = soon(stream.stream::<u64>(&node)).await.unwrap();
    assert_eq!(soon(items.next()).await, Some(Ok(0)));
    let end_of_it = soon(items.next()).await;
    assert!(
        matches!(end_of_it, Some(Err(CallError::TimedOut { .. }))),
        "{end_of_it:?}"
    );

    let seen = node.call_typed::<()>(&worker, "wait_ended", &2);
    within(Duration::from_secs(5), seen).await.unwrap();
    // What remains travels, not the instant.
    let left: f64 = soon(
        Call::to(&worker, "left")
            .params(())
            .timeout(LIMIT)
            .send(&node),
    )
    .await
    .unwrap();
    assert!((1.0..=LIMIT.as_secs_f64()).contains(&left), "{left}");
    end(child, node).await;
}

#[tokio::test]
async fn a_blocked_peer_is_told_so_at_once() {
    let ours = start(local().client()).await;
    let plan = Plan {
        block: vec![ours.peer_id()],
        ..Plan::worker(WORKER)
    };
    let child = plan.start().await;

    let begun = Instant::now();
    let error = soon(ours.connect(child.address())).await.unwrap_err();
    let o_core::DialError::Refused {
        peer,
        reason,
        certain,
    } = error
    else {
        panic!("{error:?}")
    };
    assert_eq!((peer, certain), (child.peer, true));
    assert_eq!(reason, "the peer is blocked");

    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );

    // Others get in.
    let other = start(local().client()).await;
    soon(other.connect(child.address())).await.unwrap();
    every_shape(&other).await;
    stop([ours, other]).await;
    child.stop().await;
}

#[tokio::test]
async fn a_call_to_a_blocking_peer_is_refused_with_the_reason() {
    let keypair = o_node::Keypair::generate();
    let plan = Plan {
        block: vec![keypair.peer_id()],
        ..Plan::worker(WORKER)
    };
    let child = plan.start().await;
    let bootstrap = vec![child.address().clone()];
    let node = o_node::Node::builder(keypair, o_node::Preset::Local)
        .client()
        .configure(|config| config.bootstrap = bootstrap);
    let node = start(node).await;

    let pinned = address(WORKER).pinned(child.peer);
    for target in [address(WORKER), pinned] {
        let error = within(
            Duration::from_secs(5),
            node.call_typed::<()>(&target, "echo", ""),
        )
        .await;
        let error = error.unwrap_err();
        let CallError::Refused {
            peer,
            reason,
            certain,
        } = &error
        else {
            panic!("{target}: {error:?}")
        };
        assert_eq!((*peer, *certain), (Some(child.peer), true));
        assert!(reason.ends_with("the peer is blocked"), "{reason}");
    }
    stop([node]).await;
    child.stop().await;
}

#[tokio::test]
async fn two_agents_on_one_node_are_told_apart() {
    let mut plan = Plan::worker("o://far/one");
    plan.host.push("o://far/two".into());
    let child = plan.start().await;
    let node = start(quiet().client()).await;
    soon(node.connect(child.address())).await.unwrap();
    let (one, two) = (address("o://far/one"), address("o://far/two"));

    // A call that runs at one of them is not seen by the other.
    let hang = node.call_typed::<()>(&one, "hang", &());
    let running = async {
        node.call_typed::<()>(&one, "wait_running", &1)
            .await
            .unwrap();
        let nothing = Call::to(&two, "wait_running")
            .params(1)
            .timeout(Duration::from_millis(200));
        nothing.send::<()>(&node).await
    };
    let other = soon(async {
        tokio::select! {
            end = hang => panic!("{end:?}"),
            other = running => other,
        }
    })
    .await;
    assert!(
        matches!(other, Err(CallError::TimedOut { .. })),
        "{other:?}"
    );
    // Both over one connection.
    assert_eq!(node.pool_stats().unwrap().connections, 1);
    end(child, node).await;
}

#[tokio::test]
async fn the_listener_calls_the_dialer_over_the_dialers_connection() {
    let server = start(local()).await;
    let mut watch = Watch::new(&server);
    let mut plan = Plan::worker("o://near/worker");
    plan.config = plan.config.client();
    plan.config.bootstrap = server.listen_addresses();
    let child = plan.start().await;
    assert_eq!(child.addresses, [], "it does not listen");
    let come = |event: &o_core::Event| matches!(event, o_core::Event::Connected { peer, .. } if *peer == child.peer);
    watch.until("the child connects", come).await;

    let pinned = address("o://near/worker").pinned(child.peer);
    for target in [pinned, address("o://near/worker")] {
        let echo: String = soon(server.call_typed(&target, "echo", "back"))
            .await
            .unwrap();
        assert_eq!(echo, "back");
        let mut count = soon(server.stream_typed::<u64>(&target, "count", &3))
            .await
            .unwrap();
        for expected in [Some(Ok(0)), Some(Ok(1)), Some(Ok(2)), None] {
            assert_eq!(soon(count.next()).await, expected);
        }
    }
    let who: String = soon(server.peer(child.peer).call_typed(
        &address("o://near/worker"),
        "who",
        &(),
    ))
    .await
    .unwrap();
    assert_eq!(who, server.peer_id().to_string());
    child.stop().await;
    stop([server]).await;
}

#[tokio::test]
async fn an_agent_in_another_process_is_found_by_what_it_can_do() {
    let hub = start(local()).await;
    let mut plan = Plan::worker(WORKER);
    plan.config.bootstrap = hub.listen_addresses();
    let child = plan.start().await;
    let node = start(knowing(local().client(), &hub)).await;

    let query = by_capability("test/work");
    let provider = soon(async {
        loop {
            // Its announcement may still be on its way.
            if let Some(Ok(provider)) = node.find(query.clone()).next().await {
                return provider;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!((provider.peer, provider.confirmed), (child.peer, true));
    assert_eq!(provider.sources, [Source::Dht]);
    let record = provider.record.unwrap();
    assert_eq!(record.record().address, address(WORKER));
    assert_eq!(record.record().addresses, child.addresses);
    assert_eq!(
        found(&node, Query::Name(address(WORKER))).await,
        [child.peer]
    );
    every_shape(&node).await;
    child.stop().await;
    stop([node, hub]).await;
}

/// Both processes use only this transport or handshake.
#[cfg(any(feature = "quic", feature = "websocket", feature = "tls"))]
async fn over(listen: &str, label: &str, change: impl Fn(&mut o_node::NodeConfig)) {
    let mut plan = Plan::worker(WORKER);
    plan.config.listen = vec![listen.parse().unwrap()];
    change(&mut plan.config);
    let child = plan.start().await;
    assert_eq!(child.address().transport_label(), label);

    let node = start(local().client().configure(&change)).await;
    soon(node.connect(child.address())).await.unwrap();
    every_shape(&node).await;
    let worker = address(WORKER);
    let mut items = soon(node.stream_typed::<u64>(&worker, "endless", &()))
        .await
        .unwrap();
    assert_eq!(soon(items.next()).await, Some(Ok(0)));
    drop(items);
    soon(node.call_typed::<()>(&worker, "wait_ended", &1))
        .await
        .unwrap();

    // Killed in the middle of a call: noticed within the transport's own time.
    let mut watch = Watch::new(&node);
    let hang = node.call_typed::<()>(&worker, "hang", &());
    let kill = async {
        node.call_typed::<()>(&worker, "wait_running", &1)
            .await
            .unwrap();
        child.kill().await;
        std::future::pending::<()>().await;
    };
    let lost = soon(async {
        tokio::select! {
            lost = hang => lost,
            () = kill => unreachable!(),
        }
    })
    .await;
    assert!(
        matches!(lost, Err(CallError::ConnectionLost { .. })),
        "{lost:?}"
    );
    watch
        .until("gone", |event| {
            matches!(event, o_core::Event::Disconnected { .. })
        })
        .await;
    stop([node]).await;
}

#[cfg(feature = "quic")]
#[tokio::test]
async fn every_shape_over_quic() {
    over("/ip4/127.0.0.1/udp/0/quic-v1", "quic", |config| {
        config.transport.tcp.enabled = false;
        config.transport.quic.enabled = true;
        config.transport.quic.keep_alive = Duration::from_millis(500);
        config.transport.quic.idle_timeout = Duration::from_secs(2);
    })
    .await;
}

#[cfg(feature = "websocket")]
#[tokio::test]
async fn every_shape_over_websocket() {
    over("/ip4/127.0.0.1/tcp/0/ws", "ws", |config| {
        config.transport.tcp.enabled = false;
        config.transport.websocket.enabled = true;
    })
    .await;
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn every_shape_over_tls() {
    over("/ip4/127.0.0.1/tcp/0", "tcp", |config| {
        config.transport.security = vec![o_transport::Security::Tls];
    })
    .await;
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn two_nodes_without_a_common_handshake_say_so() {
    let server = start(quiet().host(crate::worker::Worker::new().at(WORKER))).await;
    let tls = |config: &mut o_node::NodeConfig| {
        config.transport.security = vec![o_transport::Security::Tls];
    };
    let client = start(quiet().client().configure(tls)).await;
    let error = soon(client.connect(&crate::support::only_address(&server)))
        .await
        .unwrap_err();
    assert!(
        matches!(error, o_core::DialError::Failed { .. }),
        "{error:?}"
    );
    stop([client, server]).await;
}

#[cfg(all(feature = "quic", feature = "websocket"))]
#[tokio::test]
async fn one_node_listens_on_several_transports_at_once() {
    let all = |config: &mut o_node::NodeConfig| {
        config.transport.quic.enabled = true;
        config.transport.websocket.enabled = true;
        config.transport.memory.enabled = true;
        let listen = [
            "/ip4/127.0.0.1/tcp/0",
            "/ip4/127.0.0.1/tcp/0/ws",
            "/ip4/127.0.0.1/udp/0/quic-v1",
            "/memory/0",
        ];
        config.listen = listen.map(|text| text.parse().unwrap()).to_vec();
    };
    let server = start(
        quiet()
            .configure(all)
            .host(crate::worker::Worker::new().at(WORKER)),
    )
    .await;
    assert_eq!(server.listen_addresses().len(), 4);
    for listening in server.listen_addresses() {
        let client = start(quiet().configure(all).client()).await;
        soon(client.connect(&listening)).await.unwrap();
        let call =
            o_core::OutgoingCall::unary(address(WORKER), "echo", o_core::Body::json(r#""text""#));
        let reply = soon(o_core::Caller::call(&client, call)).await.unwrap();
        assert!(
            matches!(reply, o_core::Reply::One(body) if body == o_core::Body::json(r#""text""#))
        );
        stop([client]).await;
    }
    stop([server]).await;
}
