//! The pool of a node: how many connections there are, which of them are used, and who holds one.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use futures::{StreamExt as _, stream};
use o_address::{PeerId, TransportAddr};
use o_core::{
    CallError, Channel, ConnectError, Connection, ConnectionError, Connector, DenyReason,
    DialError, Direction, ListenError, Listener, NextHop, Stage, Substream, Transport,
};
use o_node::{Hosting, Keypair, Methods, Node, Preset};
use o_protocol::Call;
use o_testkit::{MemoryNetwork, RecordingGater};

use crate::{
    support::{
        Ask as _, Watch, address, connect, local, only_address, quiet, soon, start, stop, until,
    },
    worker::Worker,
};

const WORKER: &str = "o://far/worker";
const CALLER: &str = "o://near/desk";

fn hop(node: &Node) -> NextHop {
    NextHop::Peer {
        peer: node.peer_id(),
        addresses: node.listen_addresses(),
    }
}

async fn channel(from: &Node, to: &Node) -> o_node::NodeChannel {
    let (target, caller) = (address(WORKER), address(CALLER));
    let channel = from.connect_via(&hop(to), &target, &caller).await;
    channel.unwrap()
}

#[tokio::test]
async fn one_connection_carries_the_calls_of_many_callers_and_the_gater_knows_them() {
    let gater = RecordingGater::default();
    let server = start(quiet().host(Worker::new().at(WORKER))).await;
    let client = start(quiet().client().gater(gater.clone())).await;
    let held = futures::future::join_all((0..10).map(|_| channel(&client, &server))).await;
    let calls = held.iter().flat_map(|channel| {
        (0..50).map(move |number| {
            let text = number.to_string();
            async move {
                let echo = channel.ask::<String>(WORKER, "echo", &text).await;
                assert_eq!(echo, Ok(text));
            }
        })
    });
    soon(futures::future::join_all(calls)).await;
    let stats = client.pool_stats().unwrap();
    assert_eq!(
        (stats.dials_total, stats.connections, stats.leases),
        (1, 1, 10)
    );
    assert_eq!(held[0].peer(), server.peer_id());
    assert!(!held[0].is_relayed());
    assert_eq!(held[0].remote(), only_address(&server));
    drop(held);
    assert_eq!(client.pool_stats().unwrap().leases, 0);

    let asked = gater.seen();
    let asked = |stage, target: &str| {
        let of = |seen: &&o_testkit::SeenAttempt| {
            (seen.stage, seen.direction) == (stage, Direction::Outbound)
                && seen.peer == Some(server.peer_id())
                && seen.caller == Some(address(CALLER))
                && seen.target == Some(address(target))
        };
        asked.iter().filter(of).count()
    };
    // Also for the nine that dialed nothing.
    assert_eq!(asked(Stage::Pending, WORKER), 10);
    assert_eq!(asked(Stage::Established, WORKER), 10);
    stop([client, server]).await;
}

#[tokio::test]
async fn a_channel_says_who_calls_and_is_named_by_its_own_word() {
    let origin = Methods::new().unary("origin", async |context: o_core::CallContext, ()| {
        Ok::<_, CallError>(context.terms.origin.map(|origin| origin.to_string()))
    });
    let server = quiet().host(Hosting::new(address(WORKER), origin));
    let server = start(server).await;
    let client = start(quiet().client()).await;
    connect(&client, &server).await;
    // By name, through the trait.
    let by_name = NextHop::Named(address(WORKER));
    let connector: &dyn Connector = &client;
    let (target, caller) = (address(WORKER), address(CALLER));
    let channel = soon(connector.connect(&by_name, &target, &caller))
        .await
        .unwrap();
    let origin = soon(channel.ask::<Option<String>>(WORKER, "origin", ())).await;
    assert_eq!(origin, Ok(Some(CALLER.to_owned())));
    assert_eq!((channel.target(), channel.caller()), (&target, &caller));
    assert_eq!(
        client.pool_stats().unwrap().dials_total,
        0,
        "it was connected"
    );
    drop(channel);
    stop([client, server]).await;
}

#[tokio::test]
async fn what_keeps_a_channel_from_coming_up_has_a_type() {
    let (gater, there) = (RecordingGater::default(), RecordingGater::default());
    let server = start(quiet().gater(there.clone())).await;
    let client = quiet().client().gater(gater.clone()).configure(|config| {
        config.node.call_timeout = Duration::from_secs(2);
    });
    let client = start(client).await;
    let (target, caller) = (address(WORKER), address(CALLER));
    let ask = async |hop: NextHop| {
        soon(client.connect_via(&hop, &target, &caller))
            .await
            .map(|_| ())
    };
    let nobody = ask(NextHop::Named(address("o://no/body")))
        .await
        .unwrap_err();
    assert!(
        matches!(nobody, ConnectError::Unreachable { .. }),
        "{nobody:?}"
    );
    let dead = NextHop::Peer {
        peer: Keypair::generate().peer_id(),
        addresses: vec!["/ip4/127.0.0.1/tcp/1".parse().unwrap()],
    };
    let dead = ask(dead).await.unwrap_err();
    assert!(matches!(dead, ConnectError::Unreachable { .. }), "{dead:?}");
    assert!(dead.is_retryable());
    there.deny(client.peer_id(), DenyReason::NotAllowed);
    let refused = ask(hop(&server)).await.unwrap_err();
    assert!(
        matches!(refused, ConnectError::Refused { peer: Some(by), certain: true, .. } if by == server.peer_id()),
        "{refused:?}"
    );
    gater.deny(server.peer_id(), DenyReason::Blocked);
    let refused = ask(hop(&server)).await.unwrap_err();
    assert!(
        matches!(refused, ConnectError::Refused { peer: Some(by), certain: true, .. } if by == client.peer_id()),
        "{refused:?}"
    );
    // Somebody who takes the connection and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let silent_hop = NextHop::Peer {
        peer: Keypair::generate().peer_id(),
        addresses: vec![format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()],
    };
    let late = ask(silent_hop).await.unwrap_err();
    assert!(matches!(late, ConnectError::TimedOut { .. }), "{late:?}");
    let me = ask(hop(&client)).await.unwrap_err();
    assert!(matches!(me, ConnectError::Unreachable { .. }), "{me:?}");
    stop([client.clone(), server]).await;
    let late = client.connect_via(&dead_hop(), &target, &caller).await;
    assert_eq!(late.err(), Some(ConnectError::Shutdown));
}

/// The address of a node itself.
fn of(node: &Node) -> o_address::Address {
    o_address::Address::node().pinned(node.peer_id())
}

fn dead_hop() -> NextHop {
    NextHop::Peer {
        peer: Keypair::generate().peer_id(),
        addresses: Vec::new(),
    }
}

/// Keeps one connection, and looks often.
fn keeping(connections: usize) -> o_node::NodeBuilder {
    quiet().pool(move |pool| {
        pool.min_connections = connections;
        pool.poll_interval = Duration::from_millis(20);
        pool.idle_timeout = Duration::from_millis(100);
    })
}

#[tokio::test]
async fn when_one_of_three_is_killed_the_minimum_is_restored() {
    let others = [start(quiet()).await, start(quiet()).await];
    let node = start(keeping(1)).await;
    for other in &others {
        connect(&node, other).await;
    }
    let stats = || node.pool_stats().unwrap();
    until("idleness has left one", || stats().connections == 1).await;
    let left = others
        .iter()
        .position(|other| node.known_peer(&of(other)).is_some());
    let left = left.unwrap();
    let [first, second] = others;
    let (killed, other) = if left == 0 {
        (first, second)
    } else {
        (second, first)
    };
    let (mut watch, gone) = (Watch::new(&node), killed.peer_id());
    // Without a goodbye: its tasks end, and with them its sockets.
    drop(killed);
    watch.until_disconnected(gone).await;
    until("the minimum is back", || stats().connections == 1).await;
    assert!(node.known_peer(&of(&other)).is_some());
    stop([node, other]).await;
}

#[tokio::test]
async fn who_is_only_in_the_table_is_dialed_too_and_who_refuses_is_not() {
    let directory = start(local()).await;
    let there = RecordingGater::default();
    let know = |builder| crate::support::knowing(builder, &directory);
    let (open, closed) = (
        start(know(local())).await,
        start(know(local().gater(there.clone()))).await,
    );
    let fast = |pool: &mut o_node::PoolConfig| {
        pool.min_connections = 3;
        pool.poll_interval = Duration::from_millis(20);
        pool.backoff_base = Duration::from_millis(20);
        pool.backoff_max = Duration::from_millis(40);
    };
    let keypair = Keypair::generate();
    there.deny(keypair.peer_id(), DenyReason::NotAllowed);
    let node = start(know(Node::builder(keypair, Preset::Local).pool(fast))).await;
    let connected = |other: &Node| node.known_peer(&of(other)).is_some();
    until("connected to both that take us", || {
        connected(&directory) && connected(&open)
    })
    .await;
    until("the third was tried", || {
        there.seen().iter().any(|seen| !seen.allowed)
    })
    .await;
    assert!(!connected(&closed));
    stop([node, open, closed, directory]).await;
}

/// A transport that says of its connections that they run through a relay.
#[derive(Debug)]
struct Relayed<T>(T);

fn inner(address: &TransportAddr) -> TransportAddr {
    address
        .as_str()
        .replace("/p2p-circuit", "")
        .parse()
        .unwrap()
}

fn outer(address: &TransportAddr) -> TransportAddr {
    format!(
        "{}/p2p-circuit",
        address.without_peer().unwrap_or_else(|| address.clone())
    )
    .parse()
    .unwrap()
}

#[async_trait]
impl<T: Transport> Transport for Relayed<T> {
    fn handles(&self, address: &TransportAddr) -> bool {
        address.transport_label() == "relay"
    }

    async fn dial(
        &self,
        peer: PeerId,
        addresses: &[TransportAddr],
    ) -> Result<Arc<dyn Connection>, DialError> {
        let addresses: Vec<_> = addresses.iter().map(inner).collect();
        let connection = self.0.dial(peer, &addresses).await?;
        Ok(Arc::new(Relayed(connection)))
    }

    async fn listen(&self, address: &TransportAddr) -> Result<Box<dyn Listener>, ListenError> {
        let listener = self.0.listen(&inner(address)).await?;
        Ok(Box::new(Relayed(listener)))
    }
}

#[async_trait]
impl Listener for Relayed<Box<dyn Listener>> {
    fn address(&self) -> TransportAddr {
        outer(&self.0.address())
    }

    async fn accept(&mut self) -> Option<Arc<dyn Connection>> {
        Some(Arc::new(Relayed(self.0.accept().await?)))
    }
}

#[async_trait]
impl Connection for Relayed<Arc<dyn Connection>> {
    fn peer(&self) -> PeerId {
        self.0.peer()
    }

    fn remote(&self) -> TransportAddr {
        outer(&self.0.remote())
    }

    fn direction(&self) -> Direction {
        self.0.direction()
    }

    async fn open(&self) -> Result<Substream, ConnectionError> {
        self.0.open().await
    }

    async fn accept(&self) -> Result<Substream, ConnectionError> {
        self.0.accept().await
    }

    async fn close(&self) {
        self.0.close().await;
    }
}

/// How often each number was seen by the method `once`.
type Seen = Arc<Mutex<HashMap<u64, usize>>>;

fn counting(seen: &Seen) -> Hosting {
    let seen = seen.clone();
    let methods = Methods::new()
        .unary("once", move |_, number: u64| {
            *seen.lock().unwrap().entry(number).or_default() += 1;
            async move { Ok::<_, CallError>(number) }
        })
        .bidirectional("echo", async |_, numbers: o_node::TypedStream<u64>| {
            Ok::<_, CallError>(numbers)
        });
    Hosting::new(address(WORKER), methods)
}

/// A node that is reached through the relay of `network`, and by TCP.
fn on_both(network: &MemoryNetwork) -> o_node::NodeBuilder {
    let keypair = Keypair::generate();
    let relayed = Relayed(network.transport(keypair.peer_id()));
    let builder = Node::builder(keypair, Preset::Local).transport(relayed);
    builder
        .configure(crate::support::without_table)
        .configure(|config| {
            config.listen.push("/memory/0/p2p-circuit".parse().unwrap());
            config.pool.poll_interval = Duration::from_millis(20);
        })
}

/// Four that call with a number of their own each time, and say how often at the end.
fn call_until(
    client: &Node,
    stop: &tokio::sync::watch::Receiver<bool>,
) -> Vec<tokio::task::JoinHandle<u64>> {
    let callers = (0..4_u64).map(|caller| {
        let (client, stop) = (client.clone(), stop.clone());
        tokio::spawn(async move {
            let mut made = 0;
            while !*stop.borrow() {
                let number = caller * 1_000_000 + made;
                let answer = client.ask::<u64>(WORKER, "once", number).await;
                assert_eq!(answer, Ok(number));
                made += 1;
            }
            made
        })
    });
    callers.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_direct_connection_takes_the_place_of_a_relayed_one_under_traffic() {
    let (network, seen) = (MemoryNetwork::new(), Seen::default());
    let server = start(on_both(&network).host(counting(&seen))).await;
    let client = start(on_both(&network)).await;
    let by = |label| {
        let at = server.listen_addresses();
        at.into_iter()
            .find(|at| at.transport_label() == label)
            .unwrap()
    };
    soon(client.connect(&by("relay"))).await.unwrap();
    let channel = soon(channel(&client, &server)).await;
    assert!(channel.is_relayed(), "{:?}", channel.remote());

    let (go_on, numbers) = tokio::sync::mpsc::channel::<u64>(8);
    let numbers = stream::unfold(numbers, async |mut numbers| {
        Some((numbers.recv().await?, numbers))
    });
    let echo = Call::to(address(WORKER), "echo").bidirectional::<u64>(&channel, numbers.boxed());
    let mut old = soon(echo).await.unwrap();
    let (done, stop_calling) = tokio::sync::watch::channel(false);
    let callers = call_until(&client, &stop_calling);
    until("calls run", || seen.lock().unwrap().len() > 100).await;
    soon(client.connect(&by("tcp"))).await.unwrap();
    assert_eq!(client.pool_stats().unwrap().connections, 2);
    let answer = soon(channel.ask::<u64>(WORKER, "once", u64::MAX)).await;
    assert_eq!(answer, Ok(u64::MAX));
    assert!(
        !channel.is_relayed(),
        "a call that begins takes the better one"
    );

    // What runs on the old one goes on there, for as long as it wants.
    let after = seen.lock().unwrap().len();
    until("more calls run", || {
        seen.lock().unwrap().len() > after + 500
    })
    .await;
    for number in 0..20 {
        go_on.send(number).await.unwrap();
        assert_eq!(soon(old.next()).await, Some(Ok(number)));
    }
    assert_eq!(network.connections(), 1, "not closed over a running call");
    drop(go_on);
    assert_eq!(soon(old.next()).await, None);
    until("the relayed one is closed", || network.connections() == 0).await;
    until("one is left", || {
        client.pool_stats().unwrap().connections == 1
    })
    .await;
    done.send_replace(true);
    let mut made = 1;
    for caller in callers {
        made += soon(caller).await.unwrap();
    }
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen.len() as u64, made, "each call ran");
    assert!(seen.values().all(|times| *times == 1), "and none twice");
    drop(channel);
    stop([client, server]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_dial_each_other_a_hundred_times_under_traffic_lose_no_call() {
    let node = async |name: &str| {
        let node = quiet().host(Worker::new().at(name)).pool(|pool| {
            pool.poll_interval = Duration::from_millis(5);
            pool.idle_timeout = Duration::from_millis(10);
        });
        // Those of the last rounds may still be closing; at the limit a new one is cut without a word.
        start(node.configure(|config| config.limits.max_per_peer = 64)).await
    };
    let (near, far) = (node(CALLER).await, node(WORKER).await);
    let one = soon(channel(&near, &far)).await;
    let (target, caller) = (address(CALLER), address(WORKER));
    let two = soon(far.connect_via(&hop(&near), &target, &caller))
        .await
        .unwrap();
    for round in 0..100 {
        let dials = async |from: &Node, to: &Node| {
            // Past the pool, so that there are two at a time.
            let at = only_address(to).without_peer().unwrap();
            assert_eq!(soon(from.connect(&at)).await.unwrap(), to.peer_id());
        };
        let calls = async |channel: &o_node::NodeChannel, name: &str| {
            for number in 0..10 {
                let text = format!("{round} {number}");
                let echo = soon(channel.ask::<String>(name, "echo", &text)).await;
                assert_eq!(echo.as_ref(), Ok(&text), "{name}, round {round}");
            }
        };
        futures::join!(
            dials(&near, &far),
            dials(&far, &near),
            calls(&one, WORKER),
            calls(&two, CALLER),
        );
    }
    drop((one, two));
    for node in [&near, &far] {
        until("few are left", || {
            node.pool_stats().unwrap().connections <= 1
        })
        .await;
    }
    stop([near, far]).await;
}
