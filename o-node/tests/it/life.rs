//! Start and stop: again and again, with hooks, and when they fail.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use o_core::{BoxError, DialError, Event, Hook, ListenError, Node as _, NodeState, StartError};
use o_node::{CallerExt as _, Keypair, Node, NodeBuilder, Preset};

use crate::support::{
    Ask as _, Watch, adder, address, connect, local, memory, only_address, quiet, soon, start,
    stop, until,
};

#[tokio::test]
async fn the_memory_preset_calls_without_sockets() {
    let server = start(memory().host(adder("o://math/adder"))).await;
    assert_eq!(only_address(&server).transport_label(), "memory");
    let client = start(memory().client()).await;
    assert_eq!(client.listen_addresses(), []);
    connect(&client, &server).await;
    let sum: i64 = soon(client.call_typed(&address("o://math/adder"), "add", &(2, 3)))
        .await
        .unwrap();
    assert_eq!(sum, 5);
    stop([client, server]).await;
}

#[test]
fn what_the_presets_turn_on() {
    let config = |preset| {
        Node::builder(Keypair::generate(), preset)
            .build()
            .unwrap()
            .config()
            .clone()
    };
    let memory = config(Preset::Memory);
    assert!(memory.transport.memory.enabled && !memory.transport.tcp.enabled);
    let local = config(Preset::Local);
    assert!(!local.transport.memory.enabled && local.transport.tcp.enabled);
    assert!(
        local
            .listen
            .iter()
            .all(o_address::TransportAddr::is_loopback)
    );
    let fifty = Node::builder(Keypair::generate(), Preset::Local)
        .max_connections(50)
        .build();
    assert_eq!(fifty.unwrap().config().limits.max_connections, 50);
    // What multicasts is on only where it was asked for.
    #[cfg(feature = "mdns")]
    {
        assert!(
            !memory.mdns.enabled && !local.mdns.enabled && !config(Preset::Public).mdns.enabled
        );
        assert!(config(Preset::Lan).mdns.enabled);
    }
}

#[tokio::test]
async fn a_node_starts_again_with_the_same_id_and_agents() {
    let server = quiet().host(adder("o://math/adder")).build().unwrap();
    let peer = server.peer_id();
    assert_eq!(server.state(), NodeState::Created);
    for _ in 0..3 {
        soon(server.start()).await.unwrap();
        assert_eq!(
            (server.state(), server.peer_id()),
            (NodeState::Running, peer)
        );
        let client = start(quiet().client()).await;
        connect(&client, &server).await;
        let sum = client.ask::<i64>("o://math/adder", "add", (2, 3));
        assert_eq!(soon(sum).await, Ok(5));
        // The server first: what it closes is closed at the client, too.
        stop([server.clone(), client]).await;
        assert_eq!(server.state(), NodeState::Stopped);
        let error = soon(server.ask::<i64>("o://math/adder", "add", (2, 3))).await;
        assert_eq!(error, Err(o_core::CallError::ShuttingDown));
        let nowhere = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
        assert!(matches!(
            soon(server.connect(&nowhere)).await,
            Err(DialError::Shutdown)
        ));
    }
}

#[tokio::test]
async fn a_fixed_port_is_free_as_soon_as_stop_returns() {
    let first = start(local()).await;
    let port = only_address(&first).without_peer().unwrap();
    let fixed = || local().configure(|config| config.listen = vec![port.clone()]);
    let taken = soon(fixed().start()).await.unwrap_err();
    let StartError::Listen {
        address,
        source: ListenError::InUse,
    } = taken
    else {
        panic!("{taken:?}")
    };
    assert_eq!(address, port);
    // A connection that the other side keeps open must not hold the port.
    let client = start(local().client()).await;
    connect(&client, &first).await;
    for _ in 0..3 {
        stop([first.clone()]).await;
        let second = start(fixed()).await;
        connect(&client, &second).await;
        stop([second]).await;
        // The same node, too; its own listener is at port 0.
        soon(first.start()).await.unwrap();
    }
    stop([client, first]).await;
}

/// Starts and must fail; afterwards nothing is left and the next start fails in the same way.
async fn fails(builder: NodeBuilder) -> StartError {
    let node = builder.build().unwrap();
    let first = soon(node.start()).await.unwrap_err();
    assert_eq!((node.state(), node.task_count()), (NodeState::Stopped, 0));
    assert_eq!(node.listen_addresses(), []);
    let second = soon(node.start()).await.unwrap_err();
    assert_eq!(first.to_string(), second.to_string());
    soon(node.stop()).await.unwrap();
    first
}

#[tokio::test]
async fn a_failed_start_says_why() {
    let bad_pool = fails(quiet().pool(|pool| pool.max_dialing = 0)).await;
    assert!(
        matches!(&bad_pool, StartError::Config { reason } if reason.contains("max_dialing")),
        "{bad_pool}"
    );
    let no_connections = fails(quiet().max_connections(0)).await;
    assert!(
        matches!(no_connections, StartError::Config { .. }),
        "{no_connections}"
    );
    let bad_transport = fails(quiet().configure(|config| {
        config.transport.connect_timeout = Duration::ZERO;
    }));
    let bad_transport = bad_transport.await;
    assert!(
        matches!(bad_transport, StartError::Config { .. }),
        "{bad_transport}"
    );
    let nobody = fails(quiet().configure(|config| {
        config.bootstrap = vec!["/ip4/127.0.0.1/tcp/1".parse().unwrap()];
    }));
    let nobody = nobody.await;
    assert!(
        matches!(&nobody, StartError::Config { reason } if reason.contains("/p2p/")),
        "{nobody}"
    );

    for unusable in [
        "/memory/7",
        "/ip4/127.0.0.1/udp/0/quic-v1",
        "/ip4/127.0.0.1/sctp/7",
        "/what/ever",
    ] {
        let unusable: o_address::TransportAddr = unusable.parse().unwrap();
        let listen = vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap(), unusable.clone()];
        let error = fails(quiet().configure(|config| config.listen = listen)).await;
        let StartError::Listen { address, source } = &error else {
            panic!("{unusable}: {error:?}")
        };
        assert_eq!(address, &unusable);
        assert!(
            matches!(source, ListenError::Unsupported { .. }),
            "{unusable}: {source:?}"
        );
    }
}

#[cfg(not(feature = "mdns"))]
#[test]
fn without_the_feature_there_is_no_field() {
    let text = r#"{"mdns": {"enabled": true}}"#;
    assert!(serde_json::from_str::<o_node::NodeConfig>(text).is_err());
}

#[tokio::test]
async fn nothing_of_a_failed_start_listens_on() {
    let first = start(quiet()).await;
    let taken = only_address(&first).without_peer().unwrap();
    let free = {
        let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        probe.local_addr().unwrap().port()
    };
    let listen = vec![format!("/ip4/127.0.0.1/tcp/{free}").parse().unwrap(), taken];
    let node = quiet()
        .configure(|config| config.listen = listen)
        .build()
        .unwrap();
    let mut watch = Watch::new(&node);
    let error = soon(node.start()).await.unwrap_err();
    assert!(
        matches!(
            error,
            StartError::Listen {
                source: ListenError::InUse,
                ..
            }
        ),
        "{error:?}"
    );
    // It did listen there for a moment.
    let listened = |event: &Event| matches!(event, Event::Listening(_));
    assert!(watch.so_far().iter().any(listened));
    std::net::TcpListener::bind(("127.0.0.1", free)).unwrap();
    stop([first]).await;
}

#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Writes down when it is run, and fails where it is told to.
#[derive(Debug)]
struct Step {
    name: &'static str,
    fails: Option<&'static str>,
    log: Log,
}

impl Step {
    fn run(&self, moment: &'static str) -> Result<(), BoxError> {
        self.log.add(format!("{} {moment}", self.name));
        match self.fails {
            Some(fails) if fails == moment => Err(format!("{} fails", self.name).into()),
            _ => Ok(()),
        }
    }
}

#[async_trait::async_trait]
impl Hook for Step {
    async fn initialize(&self) -> Result<(), BoxError> {
        self.run("initialize")
    }

    async fn started(&self) -> Result<(), BoxError> {
        self.run("started")
    }

    async fn stopped(&self) {
        self.log.add(format!("{} stopped", self.name));
    }
}

fn hooked(log: &Log, fails: Option<&'static str>) -> NodeBuilder {
    let step = |name, fails| Step {
        name,
        fails,
        log: log.clone(),
    };
    quiet().hook(step("a", None)).hook(step("b", fails))
}

#[tokio::test]
async fn hooks_run_in_order_and_stop_in_reverse() {
    let log = Log::default();
    let node = start(hooked(&log, None)).await;
    assert_eq!(
        log.take(),
        ["a initialize", "b initialize", "a started", "b started"]
    );
    stop([node]).await;
    assert_eq!(log.take(), ["b stopped", "a stopped"]);
}

#[tokio::test]
async fn a_failing_hook_ends_the_start() {
    for moment in ["initialize", "started"] {
        let log = Log::default();
        let error = fails(hooked(&log, Some(moment))).await;
        let StartError::Hook { source } = &error else {
            panic!("{error:?}")
        };
        assert_eq!(source.to_string(), "b fails");
    }
}

#[tokio::test]
async fn events_tell_a_nodes_life() {
    let node = quiet().build().unwrap();
    let mut watch = Watch::new(&node);
    soon(node.start()).await.unwrap();
    let address_of = only_address(&node);
    node.host(adder("o://math/adder")).unwrap();
    let withdrawn = |event: &Event| matches!(event, Event::Withdrawn(_));
    assert!(node.unhost(&address("o://math/adder")));
    watch.until("withdrawn", withdrawn).await;
    stop([node.clone()]).await;
    let mut watched = Watch::new(&node);
    soon(node.start()).await.unwrap();
    stop([node.clone()]).await;

    let mut events = watched.so_far();
    let again = events
        .iter()
        .position(|event| matches!(event, Event::Listening(_)))
        .unwrap();
    let Event::Listening(listening) = events.remove(again) else {
        unreachable!()
    };
    assert_eq!(listening.peer_id(), Some(node.peer_id()));
    assert_ne!(listening, address_of, "a free port each time");
    events.retain(|event| matches!(event, Event::State(_)));
    let states = [
        NodeState::Starting,
        NodeState::Running,
        NodeState::Stopping,
        NodeState::Stopped,
    ];
    assert_eq!(events, states.map(Event::State));
}

#[tokio::test]
async fn both_ends_tell_of_a_connection() {
    let (server, client) = (start(quiet()).await, start(quiet().client()).await);
    let (mut there, mut here) = (Watch::new(&server), Watch::new(&client));
    connect(&client, &server).await;
    let up = |peer, from| move |event: &Event| matches!(event, Event::Connected { peer: p, direction, .. } if *p == peer && *direction == from);
    here.until("up here", up(server.peer_id(), o_core::Direction::Outbound))
        .await;
    there
        .until("up there", up(client.peer_id(), o_core::Direction::Inbound))
        .await;
    let peer = client.peer_id();
    stop([client]).await;
    there.until_disconnected(peer).await;
    stop([server]).await;
}

#[tokio::test]
async fn a_start_that_is_dropped_leaves_nothing_once_it_is_stopped() {
    #[derive(Debug)]
    struct Never;
    #[async_trait::async_trait]
    impl Hook for Never {
        async fn started(&self) -> Result<(), BoxError> {
            std::future::pending().await
        }
    }
    let node = quiet().hook(Never).build().unwrap();
    let mut watch = Watch::new(&node);
    {
        let start = node.start();
        let listening = watch.until("listening", |event| matches!(event, Event::Listening(_)));
        tokio::select! {
            end = start => panic!("{end:?}"),
            _ = soon(listening) => {}
        }
    }
    assert_eq!(node.state(), NodeState::Starting);
    soon(node.stop()).await.unwrap();
    assert_eq!((node.state(), node.task_count()), (NodeState::Stopped, 0));
}

#[tokio::test]
async fn stop_during_start_ends_both() {
    let node = quiet().build().unwrap();
    let (started, stopped) = soon(futures::future::join(node.start(), node.stop())).await;
    assert!(
        matches!(started, Ok(()) | Err(StartError::Stopped)),
        "{started:?}"
    );
    stopped.unwrap();
    assert_eq!((node.state(), node.task_count()), (NodeState::Stopped, 0));
    soon(node.start()).await.unwrap();
    stop([node]).await;
}

#[tokio::test]
async fn a_node_whose_last_handle_goes_ends_by_itself() {
    let server = start(quiet().host(adder("o://math/adder"))).await;
    let client = start(quiet().client()).await;
    connect(&client, &server).await;
    let port = only_address(&server);
    let mut watch = Watch::new(&client);
    let peer = server.peer_id();
    drop(server);
    watch.until_disconnected(peer).await;
    let socket = port
        .as_str()
        .split('/')
        .nth(4)
        .unwrap()
        .parse::<u16>()
        .unwrap();
    until("the port is free", || {
        std::net::TcpListener::bind(("127.0.0.1", socket)).is_ok()
    })
    .await;
    stop([client]).await;
}

#[tokio::test]
async fn events_end_with_the_node() {
    use futures::StreamExt as _;
    let node = start(quiet()).await;
    let events = node.events();
    soon(node.stop()).await.unwrap();
    soon(node.start()).await.unwrap();
    // It still runs; what it told so far comes first.
    drop(node);
    let told = soon(events.collect::<Vec<_>>()).await;
    let starts = |event: &&Result<Event, _>| **event == Ok(Event::State(NodeState::Starting));
    assert_eq!(told.iter().filter(starts).count(), 1);
}

#[tokio::test]
async fn a_fixed_memory_port_is_free_as_soon_as_stop_returns() {
    let port = "/memory/7203685477".parse::<o_address::TransportAddr>();
    let port = port.unwrap();
    let server = memory()
        .host(adder("o://math/adder"))
        .configure(|config| config.listen = vec![port.clone()]);
    let server = server.build().unwrap();
    let other = memory().configure(|config| config.listen = vec![port.clone()]);
    let other = other.build().unwrap();
    for _ in 0..3 {
        soon(server.start()).await.unwrap();
        assert!(soon(other.start()).await.is_err(), "the port is taken");
        let client = start(memory().client()).await;
        connect(&client, &server).await;
        let sum = client.ask::<i64>("o://math/adder", "add", (2, 3));
        assert_eq!(soon(sum).await, Ok(5));
        stop([server.clone(), client]).await;
    }
    // One that was only dropped leaves nothing behind either.
    soon(server.start()).await.unwrap();
    drop(server);
    let mut again = soon(other.start()).await;
    while again.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
        again = soon(other.start()).await;
    }
    stop([other]).await;
}
