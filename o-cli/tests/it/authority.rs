//! Whose keys are trusted, and what is believed because of them.
#![expect(clippy::unwrap_used, reason = "a test fails where its helpers do")]

use serde_json::Value;

use crate::support::{Server, User};

const ALONE: &str = "[node.dht]\nenabled = false\n[node.gossip]\nenabled = false\n";

async fn serve(user: &User, args: &[&str]) -> Server {
    user.serve(&[args, &["--config", "alone.toml"]].concat())
        .await
}

fn newcomer() -> User {
    let user = User::new();
    std::fs::write(user.path("alone.toml"), ALONE).unwrap();
    user
}

#[tokio::test]
async fn roots_are_remembered_shown_and_forgotten() {
    let user = newcomer();
    let key = user.run(&["id", "--seed", "a", "--json"]).await.json()["peer_id"].clone();
    let key = key.as_str().unwrap();
    assert!(user.run(&["trust"]).await.ok().contains("no root"));
    user.run(&["trust", "add", "o://firm", key]).await.ok();
    let shown = user.run(&["trust", "list", "--json"]).await.json();
    assert_eq!(
        (&shown["root"], &shown["key"]),
        (&"o://firm".into(), &key.into())
    );
    // Of another network nothing is known.
    let other = user.run(&["trust", "--network", "other", "--json"]).await;
    assert_eq!(other.ok(), "");
    user.run(&["trust", "add", "o://firm/sales", key, "--json"])
        .await
        .error(2);
    user.run(&["trust", "forget", "o://firm"]).await.ok();
    user.run(&["trust", "forget", "o://firm", "--json"])
        .await
        .error(3);
}

#[tokio::test]
async fn a_name_is_checked_up_to_the_root_with_and_without_a_network() {
    let owner = newcomer();
    let leader = serve(&owner, &["o://firm"]).await;
    let at = leader.at("/tcp/").to_owned();
    let sales = serve(
        &owner,
        &["o://firm/sales", "--parent", &at, "--gate", "open"],
    )
    .await;
    // Somebody else, who has heard of the firm's key, and somebody who says that he is sales.
    let user = newcomer();
    let impostor = serve(&user, &["o://firm/sales"]).await;
    let sources = [&sales, &impostor].map(|server| server.at("/tcp/").to_owned());
    let via = sources.join(",");
    let network = ["--bootstrap", via.as_str()];
    let find = [&["find", "o://firm/sales", "--json"], &network[..]].concat();
    let verify = [&["verify", "o://firm/sales", "--json"], &network[..]].concat();
    assert_eq!(
        user.run(&find).await.lines().len(),
        2,
        "nobody is trusted yet"
    );
    user.run(&verify).await.error(2);
    user.run(&["trust", "add", "o://firm", leader.peer_id()])
        .await
        .ok();
    let found = user.run(&find).await.lines();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["peer_id"], sales.peer_id());

    let checked = user.run(&verify).await.lines();
    assert_eq!(checked.len(), 2, "{checked:?}");
    let of = |peer: &str| checked.iter().find(|line| line["peer_id"] == peer).unwrap();
    let (good, bad) = (of(sales.peer_id()), of(impostor.peer_id()));
    assert_eq!(
        (&good["certified"], &bad["certified"]),
        (&true.into(), &false.into())
    );
    assert_eq!(good["chain"][0]["by"], leader.peer_id());
    assert_eq!(good["chain"][0]["name"], "o://firm/sales/**");
    assert!(bad["reason"].is_string());
    // Everybody is gone, and the records still say the same.
    for server in [sales, impostor] {
        server.stop().await;
    }
    check_offline(&user, good, bad).await;
    leader.stop().await;
}

async fn check_offline(user: &User, good: &Value, bad: &Value) {
    for (line, holds) in [(good, true), (bad, false)] {
        std::fs::write(user.path("record.json"), line.to_string()).unwrap();
        let checked = user.run(&["verify", "--record", "record.json"]).await;
        match holds {
            true => assert!(checked.ok().contains("holds")),
            false => assert_eq!(checked.code(), 5),
        }
    }
    let other = user.run(&["id", "--seed", "b", "--json"]).await.json()["peer_id"].clone();
    let other = [
        "verify",
        "--record",
        "record.json",
        "--root-key",
        other.as_str().unwrap(),
    ];
    assert_eq!(user.run(&other).await.code(), 5);
    std::fs::write(user.path("record.json"), "{}").unwrap();
    user.run(&["verify", "--record", "record.json", "--json"])
        .await
        .error(2);
}

#[tokio::test]
async fn a_leader_goes_on_with_a_new_key() {
    let user = newcomer();
    let port = "/ip4/127.0.0.1/tcp/0";
    let leader = serve(&user, &["o://firm", "--listen", port]).await;
    let old = leader.peer_id().to_owned();
    let at = leader.at("/tcp/").split("/p2p/").next().unwrap().to_owned();
    let parent = format!("{at}/p2p/{old}");
    let mut sales = serve(&user, &["o://firm/sales", "--parent", &parent]).await;
    sales.event("attached").await;
    user.run(&["key", "rotate", "o://firm", "--json"])
        .await
        .error(8);
    leader.stop().await;
    let rotated = user
        .run(&["key", "rotate", "o://firm", "--json"])
        .await
        .json();
    assert_eq!(rotated["old"], *old);
    let leader = serve(&user, &["o://firm", "--listen", &at]).await;
    assert_eq!(rotated["new"], leader.peer_id());
    sales.event("attached").await;
    let shown = user.run(&["trust", "--json"]).await.json();
    assert_eq!(shown["key"], leader.peer_id());
    sales.stop().await;
    leader.stop().await;
}
