//! Keys: made once, kept, locked.

use std::os::unix::fs::PermissionsExt;

use crate::support::User;

#[tokio::test]
async fn a_restart_with_the_same_key_is_the_same_peer() {
    let user = User::new();
    let first = user.serve(&["o://company/sales/a"]).await;
    let peer = first.peer_id().to_owned();
    let key = user.path(".local/share/o/keys/company/sales/a.key");
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    // Shown also while it is in use.
    assert_eq!(
        user.run(&["id", "o://company/sales/a"]).await.ok(),
        format!("{peer}\n")
    );
    assert_eq!(first.stop().await, 0);
    let second = user.serve(&["o://company/sales/a"]).await;
    assert_eq!(second.peer_id(), peer);
}

#[tokio::test]
async fn a_second_server_with_the_same_key_fails_loudly() {
    let user = User::new();
    let _first = user.serve(&["o://a", "--key", "node.key"]).await;
    let outcome = user
        .run(&["serve", "o://b", "--key", "node.key", "--json"])
        .await;
    let error = outcome.error(8);
    assert!(
        error["message"].as_str().unwrap().contains("in use"),
        "{error}"
    );
}

#[tokio::test]
async fn a_second_server_on_the_same_port_fails_loudly() {
    let user = User::new();
    for listen in ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"] {
        let first = user.serve(&["o://a", "--listen", listen]).await;
        let end = format!("/p2p/{}", first.peer_id());
        let taken = first.at("/ip4/").trim_end_matches(&end).to_owned();
        let outcome = user
            .run(&["serve", "o://b", "--listen", &taken, "--json"])
            .await;
        let error = outcome.error(8);
        assert!(
            error["message"].as_str().unwrap().contains("in use"),
            "{error}"
        );
        first.stop().await;
    }
}

#[tokio::test]
async fn a_seed_is_the_same_peer_everywhere() {
    let user = User::new();
    let peer = "12D3KooWQA9eZ7s8E7KvNJGG7AXRioyASFicECjdKL1DS2C1Duoo";
    assert_eq!(
        user.run(&["id", "--seed", "olane"]).await.ok(),
        format!("{peer}\n")
    );
    let server = user.serve(&["o://a", "--seed", "olane"]).await;
    assert_eq!(server.peer_id(), peer);
    // No file is made for it.
    assert!(!user.path(".local/share/o/keys").exists());
}

#[tokio::test]
async fn a_key_file_is_made_once() {
    let user = User::new();
    let made = user
        .run(&["id", "--key", "dir/my.key", "--json"])
        .await
        .json();
    assert_eq!(made["created"], true);
    let mode = user
        .path("dir/my.key")
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = user
        .run(&["id", "--key", "dir/my.key", "--json"])
        .await
        .json();
    assert_eq!(again["created"], false);
    assert_eq!(again["peer_id"], made["peer_id"]);
    assert_eq!(user.run(&["id", "o://never/served"]).await.code(), 2);
    assert_eq!(user.run(&["id", "--seed", ""]).await.code(), 2);
}

#[tokio::test]
async fn a_client_is_somebody_else_each_time_unless_told() {
    let user = User::new();
    let who = user.script("who.sh", "#!/bin/sh\nprintf '\"%s\"' \"$O_PEER\"\n");
    let server = user
        .serve(&["o://a", "--method", &format!("who={who}")])
        .await;
    let call = [
        "call",
        "o://a",
        "who",
        "--json",
        "--peer",
        server.at("/tcp/"),
    ];
    let first = user.run(&call).await.ok();
    assert_ne!(first, user.run(&call).await.ok());
    let peer = user.run(&["id", "--key", "me.key", "--json"]).await.json();
    let mine = [&call[..], &["--key", "me.key"]].concat();
    assert_eq!(user.run(&mine).await.json(), peer["peer_id"]);
}
