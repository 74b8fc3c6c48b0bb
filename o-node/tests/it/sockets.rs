//! What `stop` leaves open, counted by the operating system: in a process of its own, since other
//! tests of this binary have sockets too.

use std::{path::Path, process::Command};

use o_core::{CallError, Node as _};
use o_node::{CallerExt as _, NodeConfig};

use crate::{
    support::{address, local, soon, start, until},
    worker::Worker,
};

const VARIABLE: &str = "O_NODE_TEST_SOCKETS";
const WORKER: &str = "o://far/worker";

/// Sockets of this process.
fn sockets() -> Vec<String> {
    let mut open = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd").unwrap() {
        // The entry of the directory itself is gone by now.
        if let Ok(target) = std::fs::read_link(entry.unwrap().path()) {
            let target = target.to_string_lossy().into_owned();
            if target.starts_with("socket:") {
                open.push(target);
            }
        }
    }
    open.sort();
    open
}

fn streams(config: &mut NodeConfig) {
    config.listen = vec![
        "/ip4/127.0.0.1/tcp/0".parse().unwrap(),
        "/ip6/::1/tcp/0".parse().unwrap(),
    ];
    if !Path::new("/proc/net/if_inet6").exists() {
        config.listen.pop();
    }
    #[cfg(feature = "websocket")]
    {
        config.transport.websocket.enabled = true;
        config
            .listen
            .push("/ip4/127.0.0.1/tcp/0/ws".parse().unwrap());
    }
}

#[cfg(feature = "quic")]
fn quic(config: &mut NodeConfig) {
    config.transport.quic.enabled = true;
    config.listen = vec!["/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap()];
}

#[test]
fn stop_closes_every_socket_and_ends_every_task() {
    if !Path::new("/proc/self/fd").exists() {
        return;
    }
    let status = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "sockets::counted_alone",
            "--test-threads=1",
            "--nocapture",
        ])
        .env(VARIABLE, "1")
        .status()
        .unwrap();
    assert!(status.success());
}

/// Not a test by itself: it has to be the only one of its process.
#[test]
fn counted_alone() {
    if std::env::var_os(VARIABLE).is_none() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let tasks = || {
            tokio::runtime::Handle::current()
                .metrics()
                .num_alive_tasks()
        };
        let (before, tasks_before) = (sockets(), tasks());
        for round in 0..3 {
            one_life(round, streams).await;
            assert_eq!(sockets(), before, "sockets after round {round}");
            // The runtime counts a task for a moment longer than anybody can wait for it.
            until("the tasks have ended", || tasks() == tasks_before).await;
        }
        // The socket of a QUIC dialer lives until its peers have had time to hear of the end; nobody
        // tells when that is.
        #[cfg(feature = "quic")]
        for round in 0..3 {
            one_life(round, quic).await;
            until("the sockets are closed", || sockets() == before).await;
            until("the tasks have ended", || tasks() == tasks_before).await;
        }
    });
}

/// Nodes, connections over every transport, calls that run, and the end of it.
async fn one_life(round: usize, transports: impl Fn(&mut NodeConfig)) {
    let worker = Worker::new();
    let short = |config: &mut NodeConfig| {
        transports(config);
        config.node.drain = std::time::Duration::from_millis(50);
    };
    let server = start(local().configure(short).host(worker.at(WORKER))).await;
    assert!(sockets().len() >= server.listen_addresses().len());
    let mut clients = Vec::new();
    for listening in server.listen_addresses() {
        let client = start(local().configure(short)).await;
        assert_eq!(
            soon(client.connect(&listening)).await.unwrap(),
            server.peer_id()
        );
        clients.push(client);
    }
    // A running call at each of them, and a connection between two clients.
    connect_two(&clients).await;
    let hanging: Vec<_> = clients
        .iter()
        .map(|client| {
            let client = client.clone();
            tokio::spawn(
                async move { client.call_typed::<()>(&address(WORKER), "hang", &()).await },
            )
        })
        .collect();
    soon(worker.wait_running(clients.len())).await;

    // Once the server first, once the clients first, once all at the same time.
    let mut nodes = clients;
    match round {
        0 => nodes.insert(0, server),
        _ => nodes.push(server),
    }
    if round == 2 {
        soon(futures::future::join_all(
            nodes.iter().map(|node| node.stop()),
        ))
        .await;
    } else {
        for node in &nodes {
            // Cancels the calls that hang, which is what it returns.
            let _ = soon(node.stop()).await;
        }
    }
    for call in hanging {
        let end = soon(call).await.unwrap();
        assert!(
            matches!(end, Err(CallError::ConnectionLost { .. })),
            "{end:?}"
        );
    }
    assert!(nodes.iter().all(|node| node.task_count() == 0));
}

async fn connect_two(clients: &[o_node::Node]) {
    if let [one, two, ..] = clients {
        let there = two.listen_addresses();
        soon(one.connect(&there[0])).await.unwrap();
    }
}

#[cfg(feature = "quic")]
#[tokio::test]
async fn a_fixed_quic_port_is_free_as_soon_as_stop_returns() {
    let server = start(local().configure(quic).host(Worker::new().at(WORKER))).await;
    let client = start(local().configure(quic).client()).await;
    crate::support::connect(&client, &server).await;
    let port = crate::support::only_address(&server)
        .without_peer()
        .unwrap();
    soon(server.stop()).await.unwrap();
    let again = local().configure(|config| {
        config.transport.quic.enabled = true;
        config.listen = vec![port];
    });
    let again = start(again.host(Worker::new().at(WORKER))).await;
    crate::support::connect(&client, &again).await;
    soon(again.stop()).await.unwrap();
    soon(client.stop()).await.unwrap();
}
