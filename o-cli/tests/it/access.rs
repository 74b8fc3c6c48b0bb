//! Who may connect.

use crate::support::User;

#[tokio::test]
async fn a_denied_peer_is_told_so_and_others_are_served() {
    let user = User::new();
    let bad = user.run(&["id", "--seed", "bad"]).await.ok();
    let mut server = user.serve(&["o://a", "--deny", bad.trim()]).await;
    let peer = server.at("/tcp/").to_owned();
    let call = |seed| {
        [
            "call", "o://a", "echo", "1", "--json", "--peer", &peer, "--seed", seed,
        ]
    };
    let error = user.run(&call("bad")).await.error(5);
    assert_eq!(
        (&error["code"], &error["number"]),
        (&"refused".into(), &5.into())
    );
    assert_eq!(
        (&error["certain"], &error["retryable"]),
        (&true.into(), &false.into())
    );
    assert_eq!(error["peer"], server.peer_id());
    assert_eq!(user.run(&call("good")).await.ok(), "1\n");
    let denied = server.event("denied").await;
    assert_eq!(denied["peer"], bad.trim());
}

#[tokio::test]
async fn with_an_allow_list_nobody_else_is_served() {
    let user = User::new();
    let good = user.run(&["id", "--seed", "good"]).await.ok();
    for listen in ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"] {
        let server = user
            .serve(&["o://a", "--allow", good.trim(), "--listen", listen])
            .await;
        let peer = server.at("/ip4/");
        let call = |seed| {
            [
                "call", "o://a", "echo", "1", "--json", "--peer", peer, "--seed", seed,
            ]
        };
        assert_eq!(user.run(&call("stranger")).await.error(5)["certain"], true);
        assert_eq!(user.run(&call("good")).await.ok(), "1\n");
        server.stop().await;
    }
}

#[tokio::test]
async fn refused_on_the_way_into_the_network_is_refused() {
    let user = User::new();
    let bad = user.run(&["id", "--seed", "bad"]).await.ok();
    let _server = user.serve(&["o://a", "--deny", bad.trim()]).await;
    // Through the files of running nodes.
    let call = ["call", "o://a", "echo", "1", "--json", "--seed", "bad"];
    assert_eq!(user.run(&call).await.error(5)["code"], "refused");
    let find = [
        "find",
        "o://a",
        "--json",
        "--seed",
        "bad",
        "--timeout",
        "3s",
    ];
    assert_eq!(user.run(&find).await.error(5)["code"], "refused");
}

#[tokio::test]
async fn a_child_accepts_its_parent_and_whom_its_operator_names() {
    let user = User::new();
    let id = async |seed| user.run(&["id", "--seed", seed]).await.ok();
    let (parent, friend) = (id("parent").await, id("friend").await);
    let leader = user.serve(&["o://leader", "--seed", "parent"]).await;
    assert_eq!(leader.peer_id(), parent.trim());
    let at = leader.at("/tcp/").to_owned();
    let call = async |server: &crate::support::Server, seed| {
        let peer = server.at("/tcp/");
        let call = ["call", "o://leader/child", "echo", "1", "--json"];
        user.run(&[&call[..], &["--peer", peer, "--seed", seed]].concat())
            .await
    };
    let child = ["o://leader/child", "--parent", &at];

    let alone = user.serve(&child).await;
    let refused = call(&alone, "stranger").await.error(5);
    assert_eq!(
        (&refused["code"], &refused["certain"]),
        (&"refused".into(), &true.into())
    );
    let message = refused["message"].as_str().unwrap();
    assert!(
        message.contains(
            "accepts only its parent, its children, the leader and peers named with --allow"
        ),
        "{message}"
    );
    assert_eq!(call(&alone, "parent").await.ok(), "1\n");
    assert_eq!(call(&alone, "friend").await.code(), 5);
    alone.stop().await;

    let with_friend = user
        .serve(&[&child[..], &["--allow", friend.trim()]].concat())
        .await;
    assert_eq!(call(&with_friend, "friend").await.ok(), "1\n");
    assert_eq!(call(&with_friend, "parent").await.ok(), "1\n");
    assert_eq!(call(&with_friend, "stranger").await.code(), 5);
    with_friend.stop().await;

    let open = user
        .serve(&[&child[..], &["--gate", "open"]].concat())
        .await;
    assert_eq!(call(&open, "stranger").await.ok(), "1\n");
    open.stop().await;

    let mut by_variable = user.command(&[&["serve", "--json"], &child[..]].concat());
    by_variable.env("O_GATE", "open");
    let open = user.serve_command(by_variable).await;
    assert_eq!(call(&open, "stranger").await.ok(), "1\n");
}

#[tokio::test]
async fn what_the_gate_does_is_explained() {
    let user = User::new();
    let help = user.run(&["serve", "--help"]).await.ok();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        help.contains(
            "answers only its parent, its children, the leader and peers named with --allow"
        ),
        "{help}"
    );
    assert!(
        help.contains("parent, children, leader and --allow peers; open: everybody"),
        "{help}"
    );
    assert!(
        help.contains("To let everybody call, give --gate open"),
        "{help}"
    );
    let keyless = ["serve", "o://x/y", "--root-key", "nobody"];
    assert_eq!(user.run(&keyless).await.code(), 2);
    let wrong = ["serve", "o://x", "--gate", "closed"];
    assert_eq!(user.run(&wrong).await.code(), 2);
}
