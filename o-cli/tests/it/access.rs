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
