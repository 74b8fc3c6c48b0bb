//! A transport of the user's own beside libp2p's: o-testkit's network in memory.

use std::{sync::Arc, time::Duration};

use o_address::TransportAddr;
use o_core::{
    CallError, DenyReason, DialError, Direction, ErrorCode, Event, NetworkId, Node as _, Stage,
    StartError, StopError, Transport as _,
};
use o_node::{
    AgentDescription, BlockList, CallerExt as _, Keypair, Methods, Node, NodeBuilder,
    NodeDescription, Preset,
};
use o_protocol::{Goodbye, Hello, Serve, ServedCall, SessionConfig, Side};
use o_testkit::{MemoryNetwork, RecordingGater};

use crate::{
    support::{
        Ask as _, Watch, adder, address, by_name, found, knowing, only_address, soon, start, stop,
        within, without_table,
    },
    worker::Worker,
};

const WORKER: &str = "o://far/worker";

/// A node that listens in `network` and nowhere else.
fn on(network: &MemoryNetwork) -> NodeBuilder {
    let keypair = Keypair::generate();
    let transport = network.transport(keypair.peer_id());
    Node::builder(keypair, Preset::Local)
        .configure(without_table)
        .configure(|config| config.listen = vec!["/memory/0".parse().unwrap()])
        .transport(transport)
}

async fn pair() -> (MemoryNetwork, Worker, Node, Node) {
    let (network, worker) = (MemoryNetwork::new(), Worker::new());
    let server = on(&network).host(worker.at(WORKER)).configure(|config| {
        config.node.drain = Duration::from_millis(200);
    });
    let server = start(server).await;
    let client = knowing(on(&network).client(), &server).configure(|config| {
        config.session.ping_after = Duration::from_millis(200);
        config.session.ping_timeout = Duration::from_millis(200);
    });
    (network, worker, server, start(client).await)
}

#[tokio::test]
async fn calls_go_both_ways_over_it() {
    let (network, worker, server, client) = pair().await;
    assert_eq!(only_address(&server).transport_label(), "memory");
    let echo = client.ask::<String>(WORKER, "echo", "custom");
    assert_eq!(soon(echo).await.as_deref(), Ok("custom"));
    let who = client.ask::<String>(WORKER, "who", ());
    assert_eq!(soon(who).await, Ok(client.peer_id().to_string()));
    assert_eq!(network.connections(), 1);
    assert_eq!(found(&client, by_name(WORKER)).await, [server.peer_id()]);

    // The listener's side calls back over the dialer's connection.
    client.host(adder("o://near/adder")).unwrap();
    let back = address("o://near/adder").pinned(client.peer_id());
    assert_eq!(
        soon(server.call_typed::<i64>(&back, "add", &(1, 2))).await,
        Ok(3)
    );
    assert_eq!(network.connections(), 1);

    let mut watch = Watch::new(&server);
    let hang = client.ask::<()>(WORKER, "hang", ());
    let cut = async {
        worker.wait_running(1).await;
        network.cut(client.peer_id(), server.peer_id());
    };
    let (lost, ()) = soon(futures::future::join(hang, cut)).await;
    assert!(
        matches!(lost, Err(CallError::ConnectionLost { .. })),
        "{lost:?}"
    );
    watch.until_disconnected(client.peer_id()).await;
    soon(worker.wait_ended(1)).await;
    let echo = client.ask::<String>(WORKER, "echo", "again");
    assert_eq!(soon(echo).await.as_deref(), Ok("again"));
    stop([client, server]).await;
    assert_eq!(network.connections(), 0);
}

#[tokio::test]
async fn connect_works_with_the_peers_id() {
    let network = MemoryNetwork::new();
    let (server, client) = (
        start(on(&network)).await,
        start(on(&network).client()).await,
    );
    let mut watch = Watch::new(&client);
    crate::support::connect(&client, &server).await;
    let up = |event: &Event| {
        matches!(
            event,
            Event::Connected {
                direction: Direction::Outbound,
                ..
            }
        )
    };
    watch.until("connected", up).await;
    let other = Keypair::generate().peer_id();
    let wrong = only_address(&server)
        .without_peer()
        .unwrap()
        .with_peer(&other);
    let error = soon(client.connect(&wrong)).await.unwrap_err();
    assert!(matches!(error, DialError::WrongPeer { .. }), "{error:?}");
    stop([client, server]).await;
}

#[tokio::test]
async fn the_same_gater_is_asked_in_both_directions() {
    let network = MemoryNetwork::new();
    let (there, here) = (RecordingGater::default(), RecordingGater::default());
    let server = start(on(&network).gater(there.clone())).await;
    let client = start(on(&network).client().gater(here.clone())).await;
    crate::support::connect(&client, &server).await;
    let ask = |gater: &RecordingGater, stage, direction, peer: &Node| {
        let peer = peer.peer_id();
        gater.seen().iter().any(|attempt| {
            attempt.stage == stage
                && attempt.direction == direction
                && attempt.peer == Some(peer)
                && attempt.allowed
        })
    };
    assert!(
        ask(&there, Stage::Established, Direction::Inbound, &client),
        "{:?}",
        there.seen()
    );
    // Where it comes from is known, and who it is does not matter yet.
    let inbound = there.seen();
    let [before, _] = &*inbound else {
        panic!("{inbound:?}")
    };
    assert_eq!((before.stage, before.peer), (Stage::Pending, None));
    assert!(before.remote.is_some(), "{before:?}");
    assert!(
        ask(&here, Stage::Pending, Direction::Outbound, &server),
        "{:?}",
        here.seen()
    );
    assert!(
        ask(&here, Stage::Established, Direction::Outbound, &server),
        "{:?}",
        here.seen()
    );
    stop([client, server]).await;
}

#[tokio::test]
async fn a_refusal_at_either_end_is_certain_and_tells_why() {
    let network = MemoryNetwork::new();
    let blocked = BlockList::new();
    let server = start(on(&network).gater(blocked.clone())).await;
    let client = start(on(&network).client()).await;
    blocked.insert(client.peer_id()).unwrap();
    let mut watch = Watch::new(&server);
    let error = soon(client.connect(&only_address(&server)))
        .await
        .unwrap_err();
    let DialError::Refused {
        peer,
        reason,
        certain,
    } = error
    else {
        panic!("{error:?}")
    };
    assert_eq!(
        (peer, &*reason, certain),
        (server.peer_id(), "the peer is blocked", true)
    );
    let denied = |event: &Event| {
        matches!(
            event,
            Event::Denied {
                direction: Direction::Inbound,
                reason: DenyReason::Blocked,
                ..
            }
        )
    };
    watch.until("denied", denied).await;

    let ours = BlockList::from_peers([server.peer_id()]).unwrap();
    let shy = start(on(&network).client().gater(ours)).await;
    let error = soon(shy.connect(&only_address(&server))).await.unwrap_err();
    let DialError::Refused {
        reason,
        certain: true,
        ..
    } = error
    else {
        panic!("{error:?}")
    };
    assert!(reason.contains("by this node"), "{reason}");
    stop([client, shy, server]).await;
    assert_eq!(network.connections(), 0);
}

#[tokio::test]
async fn what_is_refused_for_where_it_comes_from_is_cut_without_a_word() {
    let network = MemoryNetwork::new();
    let gater = RecordingGater::default();
    let reason = DenyReason::Policy {
        reason: "not from there".into(),
    };
    gater.deny_at(Stage::Pending, Direction::Inbound, reason.clone());
    let server = start(on(&network).gater(gater)).await;
    let client = start(on(&network).client()).await;
    let mut watch = Watch::new(&server);
    let error = soon(client.connect(&only_address(&server))).await;
    assert!(
        matches!(error, Err(DialError::Refused { certain: false, .. })),
        "{error:?}"
    );
    let denied = |event: &Event| matches!(event, Event::Denied { reason: r, .. } if *r == reason);
    watch.until("denied", denied).await;
    stop([client, server]).await;
    assert_eq!(network.connections(), 0);
}

/// Answers every connection with a goodbye of this code.
async fn unwelcoming(network: &MemoryNetwork, code: ErrorCode) -> TransportAddr {
    let peer = o_testkit::test_peer(8);
    let listen = "/memory/0".parse().unwrap();
    let mut listener = network.transport(peer).listen(&listen).await.unwrap();
    let there = listener.address().with_peer(&peer);
    tokio::spawn(async move {
        while let Some(connection) = listener.accept().await {
            let goodbye = Goodbye::new(code, "come back later");
            if let Ok(substream) = connection.accept().await {
                o_protocol::refuse(substream, &goodbye, Duration::from_secs(1)).await;
            }
            connection.close().await;
        }
    });
    there
}

#[tokio::test]
async fn a_peer_without_room_is_busy_and_does_not_refuse() {
    let network = MemoryNetwork::new();
    let there = unwelcoming(&network, ErrorCode::Busy).await;
    let client = start(on(&network).client()).await;
    let error = soon(client.connect(&there)).await.unwrap_err();
    assert!(
        matches!(&error, DialError::PeerBusy { reason, .. } if reason == "come back later"),
        "{error:?}"
    );
    stop([client]).await;

    let peer = there.peer_id().unwrap();
    let caller = on(&network).client();
    let caller = caller.configure(|config| config.bootstrap = Vec::new());
    let caller = start(caller.resolver(Only(peer, there))).await;
    let error = soon(caller.ask::<()>("o://far/away", "any", ())).await;
    let reason = "come back later".to_owned();
    assert_eq!(error, Err(CallError::Busy { reason }));
    stop([caller]).await;
}

/// One peer has every name.
#[derive(Debug)]
struct Only(o_address::PeerId, TransportAddr);

#[async_trait::async_trait]
impl o_core::Resolver for Only {
    async fn resolve(
        &self,
        _: &o_address::Address,
    ) -> Result<Vec<o_core::Route>, o_core::ResolveError> {
        Ok(vec![o_core::Route {
            peer: self.0,
            addresses: vec![self.1.clone()],
            source: o_core::Source::Given,
            age: Duration::ZERO,
        }])
    }
}

#[tokio::test]
async fn rechecking_closes_its_connections_too() {
    let network = MemoryNetwork::new();
    let blocked = BlockList::new();
    let worker = Worker::new();
    let server = start(on(&network).gater(blocked.clone()).host(worker.at(WORKER))).await;
    let client = start(on(&network).client()).await;
    crate::support::connect(&client, &server).await;
    let hang = tokio::spawn({
        let client = client.clone();
        async move { client.call_typed::<()>(&address(WORKER), "hang", &()).await }
    });
    soon(worker.wait_running(1)).await;
    blocked.insert(client.peer_id()).unwrap();
    let mut watch = Watch::new(&server);
    soon(server.recheck_connections()).await;
    let end = soon(hang).await.unwrap();
    let Err(CallError::ConnectionLost { reason }) = &end else {
        panic!("{end:?}")
    };
    assert_eq!(reason, "refused: the peer is blocked");
    watch.until_disconnected(client.peer_id()).await;
    stop([client, server]).await;
}

#[tokio::test]
async fn it_stands_beside_tcp_in_one_node() {
    let network = MemoryNetwork::new();
    let both = |config: &mut o_node::NodeConfig| {
        config.listen = vec![
            "/memory/0".parse().unwrap(),
            "/ip4/127.0.0.1/tcp/0".parse().unwrap(),
        ];
    };
    let server = start(on(&network).configure(both).host(Worker::new().at(WORKER))).await;
    assert_eq!(server.listen_addresses().len(), 2);
    for listening in server.listen_addresses() {
        let client = start(on(&network).client()).await;
        soon(client.connect(&listening)).await.unwrap();
        let echo = client.ask::<String>(WORKER, "echo", "x");
        assert_eq!(soon(echo).await.as_deref(), Ok("x"));
        stop([client]).await;
    }
    stop([server]).await;
    assert_eq!(network.connections(), 0);
}

#[tokio::test]
async fn its_limits_are_the_nodes_too() {
    let network = MemoryNetwork::new();
    let server = start(on(&network).max_connections(1)).await;
    let (one, two) = (
        start(on(&network).client()).await,
        start(on(&network).client()).await,
    );
    crate::support::connect(&one, &server).await;
    let error = soon(two.connect(&only_address(&server))).await;
    assert!(error.is_err(), "the second connection of one");
    stop([one, two, server]).await;
    assert_eq!(network.connections(), 0);
}

#[tokio::test]
async fn its_taken_address_fails_the_start() {
    let network = MemoryNetwork::new();
    let server = start(on(&network)).await;
    let taken = only_address(&server).without_peer().unwrap();
    let second = on(&network).configure(|config| config.listen = vec![taken]);
    let error = soon(second.start()).await.unwrap_err();
    assert!(matches!(error, StartError::Listen { .. }), "{error:?}");
    stop([server]).await;
}

#[tokio::test]
async fn a_call_over_it_is_drained_and_cancelled() {
    let (_, worker, server, client) = pair().await;
    let hang = tokio::spawn({
        let client = client.clone();
        async move { client.call_typed::<()>(&address(WORKER), "hang", &()).await }
    });
    soon(worker.wait_running(1)).await;
    let outcome = tokio::time::timeout(crate::support::LIMIT, server.stop())
        .await
        .unwrap();
    assert!(
        matches!(outcome, Err(StopError::Cancelled { calls: 1, .. })),
        "{outcome:?}"
    );
    assert_eq!(server.task_count(), 0);
    assert!(soon(hang).await.unwrap().is_err());
    stop([client]).await;
}

#[tokio::test]
async fn a_peer_that_falls_silent_is_noticed_without_calls_too() {
    let (network, _, server, client) = pair().await;
    let echo = client.ask::<String>(WORKER, "echo", "x");
    assert_eq!(soon(echo).await.as_deref(), Ok("x"));
    let mut watch = Watch::new(&client);
    network.partition(client.peer_id(), server.peer_id());
    let gone = watch.until_disconnected(server.peer_id());
    let reason = within(Duration::from_secs(5), gone).await;
    assert_eq!(reason, "connection lost: a ping stayed unanswered");
    network.heal(client.peer_id(), server.peer_id());
    stop([client, server]).await;
}

#[tokio::test]
async fn a_peer_that_falls_silent_is_noticed_by_a_ping() {
    let (network, _, server, client) = pair().await;
    let mut drip = soon(client.stream_typed::<u64>(&address(WORKER), "drip", &()))
        .await
        .unwrap();
    assert_eq!(soon(drip.next()).await, Some(Ok(0)));
    // Nobody is told: what is sent just does not arrive.
    network.partition(client.peer_id(), server.peer_id());
    let end = within(Duration::from_secs(5), drip.next()).await;
    assert!(
        matches!(end, Some(Err(CallError::ConnectionLost { .. }))),
        "{end:?}"
    );
    network.heal(client.peer_id(), server.peer_id());
    let echo = client.ask::<String>(WORKER, "echo", "healed");
    assert_eq!(soon(echo).await.as_deref(), Ok("healed"));
    stop([client, server]).await;
}

/// Answers every call with what an agent says, whatever its target.
struct Says(Methods);

impl Serve for Says {
    fn serve(&self, call: ServedCall) {
        let agent = self.0.clone();
        tokio::spawn(async move { call.answer(&agent).await });
    }
}

/// A node that is not ours and says of its agents whatever it likes.
async fn liar(network: &MemoryNetwork, agents: Vec<AgentDescription>) -> TransportAddr {
    let peer = o_testkit::test_peer(7);
    let listen = "/memory/0".parse().unwrap();
    let mut listener = network.transport(peer).listen(&listen).await.unwrap();
    let there = listener.address().with_peer(&peer);
    let describe = Methods::new().unary("describe", move |_, (): ()| {
        let mut description = NodeDescription::new(peer, NetworkId::default(), "liar/1");
        description.agents.clone_from(&agents);
        async move { Ok::<_, CallError>(description) }
    });
    tokio::spawn(async move {
        while let Some(connection) = listener.accept().await {
            let Ok(substream) = connection.accept().await else {
                continue;
            };
            let serve = Arc::new(Says(describe.clone()));
            let (config, hello) = (SessionConfig::default(), Hello::new(NetworkId::default()));
            let (_, driver) =
                o_protocol::connect(substream, Side::Listener, config, hello, None, serve);
            tokio::spawn(async move {
                driver.await;
                connection.close().await;
            });
        }
    });
    there
}

#[tokio::test]
async fn nobody_confirms_with_a_record_that_another_signed() {
    let (network, _, server, client) = pair().await;
    let honest = client.peer(server.peer_id());
    let mut stolen: AgentDescription = soon(honest.ask(WORKER, "describe", ())).await.unwrap();
    assert!(stolen.record.is_some());
    let mut garbage = stolen.clone();
    garbage.record = Some(o_protocol::Blob::from(vec![0xff; 500]));
    let mut bare = stolen.clone();
    bare.record = None;
    // The name in the description is not what counts.
    stolen.address = address("o://far/other");
    let liar = liar(&network, vec![stolen, garbage, bare]).await;

    let lured = on(&network).client();
    let lured = lured.configure(|config| config.bootstrap = vec![liar.clone()]);
    let lured = start(lured).await;
    assert_eq!(found(&lured, by_name(WORKER)).await, []);
    assert_eq!(found(&lured, by_name("o://far/other")).await, []);
    let capability = crate::support::by_capability("test/work");
    assert_eq!(found(&lured, capability).await, []);
    let error = soon(lured.ask::<String>(WORKER, "echo", "")).await;
    assert!(
        matches!(error, Err(CallError::NotFound { .. })),
        "{error:?}"
    );
    // It was asked: the stolen record, and nothing else, was refused for its signer.
    let said: NodeDescription = soon(lured.peer(liar.peer_id().unwrap()).ask(
        "o://~",
        "describe",
        (),
    ))
    .await
    .unwrap();
    assert_eq!(said.agents.len(), 3);
    stop([lured, client, server]).await;
}
