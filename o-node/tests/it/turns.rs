//! A peer with several addresses: the nearest is dialed first, and the others do not wait long for it.
#![cfg(feature = "websocket")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use o_address::{PeerId, TransportAddr};
use o_core::{Attempt, ConnectError, ConnectionGater, DenyReason, Event, NextHop};
use o_node::{Keypair, Node, NodeConfig};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

use crate::support::{Watch, address, local, quiet, soon, start, stop, until};

/// Far longer than a dial on this machine takes.
const LONG: Duration = Duration::from_secs(10);

fn config(stagger: Duration) -> impl FnOnce(&mut NodeConfig) {
    move |config| {
        config.node.dial_stagger = stagger;
        config.transport.websocket.enabled = true;
        config.transport.unix.enabled = cfg!(all(unix, feature = "unix"));
    }
}

async fn client(stagger: Duration) -> Node {
    start(quiet().client().configure(config(stagger))).await
}

/// A node that listens at these.
async fn server(listen: &[&str]) -> Node {
    let listen = listen.iter().map(|text| text.parse().unwrap()).collect();
    let builder = quiet().configure(config(LONG));
    start(builder.configure(|config| config.listen = listen)).await
}

async fn dial(
    from: &Node,
    peer: PeerId,
    addresses: Vec<TransportAddr>,
) -> Result<(), ConnectError> {
    let (target, caller) = (address("o://far/worker"), address("o://near/caller"));
    let hop = NextHop::Peer { peer, addresses };
    let channel = from.connect_via(&hop, &target, &caller);
    soon(channel).await.map(|_| ())
}

/// Which address of the server the client is connected to.
async fn used(watch: &mut Watch) -> TransportAddr {
    let connected = |event: &Event| matches!(event, Event::Connected { .. });
    match watch.until("connected", connected).await {
        Event::Connected { address, .. } => address,
        other => panic!("{other:?}"),
    }
}

fn closed_port() -> TransportAddr {
    let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = probe.local_addr().unwrap().port();
    format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()
}

#[cfg(all(unix, feature = "unix"))]
#[tokio::test]
async fn of_all_addresses_the_nearest_is_used_and_no_other_is_dialed() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("a.sock");
    let socket = format!("/unix/{}", socket.to_str().unwrap().replace('/', "%2F"));
    let far = ["/ip4/127.0.0.1/tcp/0/ws", "/ip4/127.0.0.1/tcp/0"];
    let server = server(&[far[0], far[1], &socket]).await;
    let client = client(LONG).await;
    let (mut here, mut there) = (Watch::new(&client), Watch::new(&server));
    let addresses = server.listen_addresses();
    assert_eq!(addresses.len(), 3);
    dial(&client, server.peer_id(), addresses).await.unwrap();
    assert_eq!(used(&mut here).await.transport_label(), "unix");
    used(&mut there).await;
    stop([client, server]).await;
    let more = there.so_far();
    let more: Vec<_> = more
        .iter()
        .filter(|event| matches!(event, Event::Connected { .. }))
        .collect();
    assert!(more.is_empty(), "{more:?}");
}

#[tokio::test]
async fn an_address_that_never_answers_costs_the_stagger() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let silent_at = format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap();
    let stagger = Duration::from_millis(200);
    let server = server(&["/ip4/127.0.0.1/tcp/0/ws"]).await;
    let client = client(stagger).await;
    let mut watch = Watch::new(&client);
    let mut addresses = server.listen_addresses();
    addresses.push(silent_at);
    let begun = Instant::now();
    dial(&client, server.peer_id(), addresses).await.unwrap();
    let took = begun.elapsed();
    assert!(took >= stagger && took < LONG / 2, "{took:?}");
    assert_eq!(used(&mut watch).await.transport_label(), "ws");
    stop([client, server]).await;
}

#[tokio::test]
async fn an_address_that_refuses_costs_no_stagger() {
    let server = server(&["/ip4/127.0.0.1/tcp/0/ws"]).await;
    let client = client(LONG).await;
    let mut addresses = server.listen_addresses();
    addresses.push(closed_port());
    let begun = Instant::now();
    dial(&client, server.peer_id(), addresses).await.unwrap();
    assert!(begun.elapsed() < LONG / 2, "{:?}", begun.elapsed());
    stop([client, server]).await;
}

#[tokio::test]
async fn when_no_address_answers_each_is_named_once() {
    let client = client(LONG).await;
    let peer = Keypair::generate().peer_id();
    let tcp = closed_port();
    let ws: TransportAddr = format!("{}/ws", closed_port()).parse().unwrap();
    let error = dial(&client, peer, vec![ws.clone(), tcp.clone()])
        .await
        .unwrap_err();
    let text = error.to_string();
    for address in [&ws, &tcp] {
        let port = address.as_str().split('/').nth(4).unwrap();
        assert_eq!(text.matches(&format!("/{port}")).count(), 1, "{text}");
    }
    let failed = matches!(&error, ConnectError::Unreachable { .. });
    assert!(failed, "{error:?}");
    stop([client]).await;
}

/// In front of a listener on 127.0.0.1: takes one connection, and carries it on when it is told to.
struct Gate {
    port: u16,
    taken: oneshot::Receiver<()>,
    open: oneshot::Sender<()>,
    carried: JoinHandle<()>,
}

impl Gate {
    async fn before(target: &TransportAddr) -> Self {
        let target = port_of(target);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let ((told, taken), (open, opened)) = (oneshot::channel(), oneshot::channel());
        let carried = tokio::spawn(async move {
            let (mut near, _) = listener.accept().await.unwrap();
            told.send(()).unwrap();
            opened.await.unwrap();
            let mut far = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
            // However it ends, both sockets are closed.
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        });
        Self {
            port,
            taken,
            open,
            carried,
        }
    }
}

fn port_of(address: &TransportAddr) -> u16 {
    address.as_str().split('/').nth(4).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_dial_that_opens_after_another_has_won_is_closed() {
    let server = server(&["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws"]).await;
    let client = client(Duration::from_millis(50)).await;
    let mut watch = Watch::new(&client);
    let listens = |label| {
        let mut all = server.listen_addresses().into_iter();
        all.find(|address| address.transport_label() == label)
            .unwrap()
    };
    let near = Gate::before(&listens("tcp")).await;
    let far = Gate::before(&listens("ws")).await;
    let addresses = [
        format!("/ip4/127.0.0.1/tcp/{}", near.port),
        format!("/ip4/127.0.0.1/tcp/{}/ws", far.port),
    ];
    let addresses: Vec<TransportAddr> = addresses.map(|text| text.parse().unwrap()).into();
    let both_taken = async {
        near.taken.await.unwrap();
        far.taken.await.unwrap();
        near.open.send(()).unwrap();
    };
    let dialed = dial(&client, server.peer_id(), addresses.clone());
    let (dialed, ()) = soon(futures::future::join(dialed, both_taken)).await;
    dialed.unwrap();
    assert_eq!(used(&mut watch).await.transport_label(), "tcp");
    far.open.send(()).unwrap();
    assert_eq!(used(&mut watch).await.transport_label(), "ws");
    soon(far.carried).await.unwrap();
    assert!(!near.carried.is_finished());
    dial(&client, server.peer_id(), addresses).await.unwrap();
    let stats = client.pool_stats().unwrap();
    assert_eq!(
        (stats.connections, stats.adopted_total),
        (1, 0),
        "{stats:?}"
    );
    stop([client, server]).await;
}

/// Lets nothing through until it is opened.
#[derive(Clone, Debug, Default)]
struct Door(Arc<AtomicBool>);

impl ConnectionGater for Door {
    fn allow(&self, _: &Attempt<'_>) -> Result<(), DenyReason> {
        if self.0.load(Ordering::Relaxed) {
            return Ok(());
        }
        let reason = "closed".into();
        Err(DenyReason::Policy { reason })
    }
}

#[tokio::test]
async fn what_an_earlier_turn_dialed_is_not_dialed_again_because_the_table_knows_it() {
    let near = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let far = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = |listener: &TcpListener, more| -> TransportAddr {
        let port = listener.local_addr().unwrap().port();
        format!("/ip4/127.0.0.1/tcp/{port}{more}").parse().unwrap()
    };
    let peer = Keypair::generate().peer_id();
    let addresses = vec![at(&far, "/ws"), at(&near, "")];
    let door = Door::default();
    // The table learns the address of a bootstrap peer, whom nobody can dial yet.
    let builder = local().client().gater(door.clone());
    let builder = builder.configure(config(Duration::from_millis(50)));
    let builder = builder.configure(|config| {
        config.bootstrap = vec![addresses[1].with_peer(&peer)];
        config.node.bootstrap_pause = Duration::from_secs(600);
    });
    let client = start(builder.pool(|pool| {
        pool.backoff_base = Duration::from_millis(1);
        pool.backoff_max = Duration::from_millis(1);
        pool.poll_interval = Duration::from_millis(20);
    }))
    .await;
    let denied = || {
        let stats = client.pool_stats().unwrap();
        stats.dials_failed > 0 && stats.backing_off == 0
    };
    until("a dial that was denied, and the pause after it", denied).await;
    door.0.store(true, Ordering::Relaxed);
    let mut accepted = 0;
    let mut sockets = Vec::new();
    let count = async {
        sockets.push(soon(far.accept()).await.unwrap());
        // Long enough for another connect of the same turn, which comes with this one.
        let all = async {
            loop {
                sockets.push(near.accept().await.unwrap());
                accepted += 1;
            }
        };
        let _ = tokio::time::timeout(Duration::from_millis(500), all).await;
    };
    tokio::select! {
        () = count => {}
        result = dial(&client, peer, addresses) => panic!("{result:?}"),
    }
    assert_eq!(accepted, 1);
    stop([client]).await;
}
