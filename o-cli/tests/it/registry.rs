//! The registry of a leader that is killed and comes back.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{Server, User};

/// How soon the leader must be of use again.
const SOON: Duration = Duration::from_secs(5);

/// How many records the leader's registry holds.
async fn entries(user: &User, leader: &Server) -> u64 {
    let at = format!("o://network/registry#{}", leader.peer_id());
    let peer = leader.at("/tcp/");
    let call = ["call", &at, "status", "--peer", peer, "--json"];
    let status = user.run(&call).await.json();
    status["entries"]
        .as_u64()
        .unwrap_or_else(|| panic!("{status}"))
}

/// Waits until it holds so many; how long that took.
async fn until_entries(user: &User, leader: &Server, count: u64) -> Duration {
    let begun = Instant::now();
    let mut last = 0;
    while begun.elapsed() < Duration::from_secs(20) {
        last = entries(user, leader).await;
        if last == count {
            return begun.elapsed();
        }
    }
    panic!("the registry holds {last} and not {count}");
}

#[tokio::test]
async fn a_leader_that_was_killed_has_its_registry_again() {
    let user = User::new();
    std::fs::write(
        user.path("quick.toml"),
        "[node.registry]\ngrace = '4s'\n[node.dht]\nenabled = false\n[node.gossip]\nenabled = false\n",
    )
    .unwrap();
    let alone = ["--config", "quick.toml"];
    let mut leader = user
        .serve(
            &[
                &["o://firm", "--listen", "/ip4/127.0.0.1/tcp/0"],
                &alone[..],
            ]
            .concat(),
        )
        .await;
    let (id, address) = (leader.peer_id().to_owned(), leader.at("/tcp/").to_owned());
    let child = |name: &'static str| [&[name, "--parent", &address], &alone[..]].concat();
    let [near, far] = [child("o://firm/near"), child("o://firm/far")];
    let (_near, mut far) = (user.serve(&near).await, user.serve(&far).await);
    until_entries(&user, &leader, 3).await;
    // What was announced is written soon after.
    tokio::time::sleep(Duration::from_secs(1)).await;
    for server in [&mut leader, &mut far] {
        server.running.signal(Signal::KILL);
        server.running.exit().await;
    }
    let listen = address.split("/p2p/").next().unwrap();
    let leader = user
        .serve(&[&["o://firm", "--listen", listen], &alone[..]].concat())
        .await;
    assert_eq!(leader.peer_id(), id);
    let back = Instant::now();
    assert_eq!(
        entries(&user, &leader).await,
        3,
        "as before, before anybody is back"
    );
    let new = child("o://firm/new");
    let _new = user.serve(&new).await;
    until_entries(&user, &leader, 4).await;
    assert!(back.elapsed() < SOON, "{:?}", back.elapsed());
    // Whoever was killed meanwhile has not come back.
    until_entries(&user, &leader, 3).await;
    let find = [
        "find",
        "--text",
        "near",
        "--bootstrap",
        leader.at("/tcp/"),
        "--json",
    ];
    assert_eq!(user.run(&find).await.json()["address"], "o://firm/near");
    let find = [
        "find",
        "--text",
        "far",
        "--bootstrap",
        leader.at("/tcp/"),
        "--json",
    ];
    assert_eq!(user.run(&find).await.code(), 3);
}
