//! Two terminals: one serves, the other finds and calls.

use serde_json::json;

use crate::support::{Server, User, is_alive};

async fn find_and_call(listen: &str, part: &str) {
    let user = User::new();
    let args = [
        "o://try/echo",
        "--capability",
        "try/echo",
        "--listen",
        listen,
    ];
    let server = user.serve(&args).await;
    let at = server.at(part);

    // By itself, from the files of the running nodes.
    let found = user
        .run(&["find", "try/echo", "--limit", "1", "--json"])
        .await
        .json();
    assert_eq!(found["address"], "o://try/echo");
    assert_eq!(found["peer_id"], server.peer_id());
    assert_eq!(found["capabilities"], json!(["try/echo"]));
    assert_eq!(found["confirmed"], true);
    assert_eq!(found["addresses"], json!([at]));
    let found = user
        .run(&["find", "o://try/echo", "--limit", "1", "--json"])
        .await
        .json();
    assert_eq!(found["peer_id"], server.peer_id());
    let echo = [
        "call",
        "o://try/echo",
        "echo",
        "{\"a\": [1, \"é\"]}",
        "--json",
    ];
    assert_eq!(user.run(&echo).await.ok(), "{\"a\":[1,\"é\"]}\n");

    // Another user knows only where it is.
    let stranger = User::new();
    let by_peer = [&echo[..], &["--peer", at]].concat();
    assert_eq!(stranger.run(&by_peer).await.ok(), "{\"a\":[1,\"é\"]}\n");
    let by_bootstrap = [&echo[..], &["--bootstrap", at]].concat();
    assert_eq!(
        stranger.run(&by_bootstrap).await.ok(),
        "{\"a\":[1,\"é\"]}\n"
    );

    assert_eq!(server.stop().await, 0);
}

#[tokio::test]
async fn serve_find_and_call_over_tcp() {
    find_and_call("/ip4/127.0.0.1/tcp/0", "/tcp/").await;
}

#[tokio::test]
async fn serve_find_and_call_over_quic() {
    find_and_call("/ip4/127.0.0.1/udp/0/quic-v1", "/quic-v1/").await;
}

#[tokio::test]
async fn serve_find_and_call_over_websocket() {
    find_and_call("/ip4/127.0.0.1/tcp/0/ws", "/ws/").await;
}

async fn echo(user: &User) -> Server {
    user.serve(&["o://try/echo"]).await
}

#[tokio::test]
async fn the_ready_line_says_where_and_who() {
    let user = User::new();
    let server = echo(&user).await;
    assert_eq!(server.ready["address"], "o://try/echo");
    let end = format!("/p2p/{}", server.peer_id());
    // TCP and QUIC, and nothing beyond this machine.
    for part in ["/tcp/", "/quic-v1/"] {
        let at = server.at(part);
        assert!(
            at.starts_with("/ip4/127.0.0.1/") && at.ends_with(&end),
            "{at}"
        );
    }
    assert_eq!(server.ready["listen"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn a_stream_is_written_item_by_item_and_limited() {
    let user = User::new();
    let server = echo(&user).await;
    let peer = server.at("/tcp/");
    let count = [
        "call",
        "o://try/echo",
        "count",
        "{\"to\":5}",
        "--peer",
        peer,
        "--json",
    ];
    assert_eq!(user.run(&count).await.ok(), "1\n2\n3\n4\n5\n");
    // Without a limit it would not end in the lifetime of this test.
    let endless = "{\"to\":1000000000000}";
    let limited = [
        "call",
        "o://try/echo",
        "count",
        endless,
        "--peer",
        peer,
        "--limit",
        "3",
    ];
    assert_eq!(user.run(&limited).await.ok(), "1\n2\n3\n");
}

#[tokio::test]
async fn results_for_people_are_laid_out() {
    let user = User::new();
    let server = echo(&user).await;
    let call = [
        "call",
        "o://try/echo",
        "echo",
        "{\"a\":1}",
        "--peer",
        server.at("/tcp/"),
    ];
    assert_eq!(user.run(&call).await.ok(), "{\n  \"a\": 1\n}\n");
}

#[tokio::test]
async fn parameters_come_from_standard_input_and_files() {
    let user = User::new();
    let server = echo(&user).await;
    let peer = server.at("/tcp/").to_owned();
    std::fs::write(user.path("request.json"), " [ 1 ] ").unwrap();
    let call = |params| {
        [
            "call",
            "o://try/echo",
            "echo",
            params,
            "--json",
            "--peer",
            &peer,
        ]
    };
    assert_eq!(user.run(&call("@request.json")).await.ok(), "[1]\n");
    assert_eq!(
        user.run_with_input(&call("-"), b"{\"b\": 2}\n").await.ok(),
        "{\"b\":2}\n"
    );
    // Digits that no float holds, and bytes, arrive as they left.
    let exact = "[123456789012345678,{\"$bytes\":\"AP8=\"}]";
    assert_eq!(user.run(&call(exact)).await.ok(), format!("{exact}\n"));
    let nothing = ["call", "o://try/echo", "echo", "--json", "--peer", &peer];
    assert_eq!(user.run(&nothing).await.ok(), "null\n");
}

#[tokio::test]
async fn raw_bytes_go_there_and_back() {
    let user = User::new();
    let server = echo(&user).await;
    let bytes: Vec<u8> = (0..200_000_u32).map(|i| (i % 128) as u8).collect();
    std::fs::write(user.path("in"), &bytes).unwrap();
    let call = [
        "call",
        "o://try/echo",
        "echo",
        "@in",
        "--raw",
        "--peer",
        server.at("/tcp/"),
    ];
    assert!(user.run(&call).await.ok().into_bytes() == bytes);
}

#[tokio::test]
async fn describe_shows_methods_and_schemas() {
    let user = User::new();
    let server = echo(&user).await;
    let peer = ["--peer", server.at("/tcp/")];
    let agent = [&["describe", "o://try/echo"], &peer[..]].concat();
    let json = user.run(&[&agent[..], &["--json"]].concat()).await.json();
    assert_eq!(json["address"], "o://try/echo");
    let methods: Vec<_> = json["methods"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| &m["name"])
        .collect();
    for name in ["echo", "count", "ping", "describe", "stats"] {
        assert!(methods.contains(&&json!(name)), "{methods:?}");
    }
    let text = user.run(&agent).await.ok();
    assert!(
        text.contains("count takes") && text.contains("every_ms"),
        "{text}"
    );

    let node = [&["describe", "o://~"], &peer[..], &["--json"]].concat();
    let json = user.run(&node).await.json();
    assert_eq!(json["peer"], server.peer_id());
    assert_eq!(json["agents"][0]["address"], "o://try/echo");
    // The node of whom?
    assert_eq!(user.run(&["describe", "o://~"]).await.code(), 2);
}

#[tokio::test]
async fn ping_counts_answers() {
    let user = User::new();
    let _server = echo(&user).await;
    let ping = [
        "ping",
        "o://try/echo",
        "-c",
        "3",
        "--interval",
        "1ms",
        "--json",
    ];
    let lines = user.run(&ping).await.lines();
    let seqs: Vec<_> = lines.iter().map(|line| line["seq"].as_u64()).collect();
    assert_eq!(seqs, [Some(1), Some(2), Some(3)]);
    assert!(
        lines
            .iter()
            .all(|line| line["time_ms"].as_f64().is_some_and(|ms| ms > 0.0))
    );
}

#[tokio::test]
async fn a_table_of_findings_has_an_address_to_call() {
    let user = User::new();
    let server = user.serve(&["o://try/echo", "--capability", "a/b,c"]).await;
    let text = user
        .run(&["find", "o://try/echo", "--limit", "1"])
        .await
        .ok();
    let mut lines = text.lines();
    assert!(lines.next().unwrap().starts_with("ADDRESS"), "{text}");
    let row = lines.next().unwrap();
    assert!(
        row.contains("a/b c") && row.ends_with(&format!("/p2p/{}", server.peer_id())),
        "{row}"
    );
    assert_eq!(lines.next(), None);
}

#[tokio::test]
async fn asked_by_peer_a_node_tells_what_is_on_it() {
    let user = User::new();
    let server = user
        .serve(&["o://try/echo", "--capability", "try/echo"])
        .await;
    let peer = server.at("/quic-v1/");
    let stranger = User::new();
    let found = stranger
        .run(&["find", "try/echo", "--peer", peer, "--json"])
        .await
        .json();
    assert_eq!(found["address"], "o://try/echo");
    assert_eq!(found["source"], json!(["given"]));
    let missing = stranger
        .run(&["find", "try/other", "--peer", peer, "--json"])
        .await;
    assert_eq!(missing.error(3)["code"], "not_found");
}

#[tokio::test]
async fn events_follow_the_ready_line() {
    let user = User::new();
    let mut server = echo(&user).await;
    let call = [
        "call",
        "o://try/echo",
        "echo",
        "1",
        "--peer",
        server.at("/tcp/"),
        "--seed",
        "me",
    ];
    let peer = user.run(&["id", "--seed", "me"]).await.ok();
    user.run(&call).await.ok();
    let connected = server.event("connected").await;
    assert_eq!(connected["peer"], peer.trim());
    assert_eq!(connected["direction"], "inbound");
    assert_eq!(server.event("disconnected").await["peer"], peer.trim());
}

#[tokio::test]
async fn a_server_whose_events_nobody_reads_goes_on_serving() {
    let user = User::new();
    let server = echo(&user).await;
    let (pid, peer) = (server.running.pid(), server.at("/tcp/").to_owned());
    // Its standard output is closed, as by `head -1`.
    let mut running = server.running.without_reader();
    let call = ["call", "o://try/echo", "echo", "1", "--peer", &peer];
    for _ in 0..3 {
        assert_eq!(user.run(&call).await.ok(), "1\n");
    }
    assert!(is_alive(pid));
    let said = || std::fs::read_to_string(user.path("stderr.log")).unwrap();
    assert_eq!(said().matches("goes on serving").count(), 1, "{}", said());
    running.signal(rustix::process::Signal::TERM);
    assert_eq!(running.exit().await, 0);
}
