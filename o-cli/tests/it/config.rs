//! Which setting wins, and what is shown of it.

use serde_json::{Value, json};

use crate::support::User;

async fn show(user: &User, network: Option<&str>, flags: &[&str]) -> Value {
    let args = [&["config", "show", "--json"], flags].concat();
    let mut command = user.command(&args);
    if let Some(network) = network {
        command.env("O_NETWORK", network);
    }
    user.finish(command).await.json()
}

#[tokio::test]
async fn flags_win_over_environment_over_file_over_preset() {
    let user = User::new();
    let setting = |value: &str, from: &str| json!({"value": value, "from": from});
    assert_eq!(
        show(&user, None, &[]).await["network"],
        setting("main", "preset")
    );
    std::fs::create_dir_all(user.path(".config/o")).unwrap();
    std::fs::write(user.path(".config/o/config.toml"), "network = 'file'\n").unwrap();
    assert_eq!(
        show(&user, None, &[]).await["network"],
        setting("file", "file")
    );
    assert_eq!(
        show(&user, Some("env"), &[]).await["network"],
        setting("env", "environment")
    );
    let flags = ["--network", "flag"];
    assert_eq!(
        show(&user, Some("env"), &flags).await["network"],
        setting("flag", "flag")
    );
    // Another file, by flag.
    std::fs::write(user.path("other.toml"), "[node.limits]\nmax_per_ip = 9\n").unwrap();
    let other = show(&user, None, &["--config", "other.toml"]).await;
    assert_eq!(other["network"], setting("main", "preset"));
    assert_eq!(
        other["node.limits.max_per_ip"],
        json!({"value": 9, "from": "file"})
    );
}

#[tokio::test]
async fn what_is_shown_is_what_holds() {
    let user = User::new();
    std::fs::write(user.path("o.toml"), "network = 'blue'\nseed = 'olane'\n").unwrap();
    let server = user.serve(&["o://a", "--config", "o.toml"]).await;
    assert_eq!(server.ready["network"], "blue");
    assert_eq!(
        server.peer_id(),
        "12D3KooWQA9eZ7s8E7KvNJGG7AXRioyASFicECjdKL1DS2C1Duoo"
    );
    // The seed is the server's: a client with the same file is somebody else, on the same network.
    let call = ["call", "o://a", "echo", "1", "--config", "o.toml"];
    assert_eq!(user.run(&call).await.ok(), "1\n");
    let shown = user
        .run(&["config", "show", "--config", "o.toml"])
        .await
        .ok();
    assert!(!shown.contains("olane"), "{shown}");
}

#[tokio::test]
async fn a_limit_from_the_configuration_holds() {
    let user = User::new();
    std::fs::write(user.path("o.toml"), "max_connections = 1\n").unwrap();
    let server = user.serve(&["o://a", "--config", "o.toml"]).await;
    let endless = "{\"to\":1000000000,\"every_ms\":60000}";
    let mut first = user.start(&[
        "call",
        "o://a",
        "count",
        endless,
        "--peer",
        server.at("/tcp/"),
    ]);
    assert_eq!(first.line().await.as_deref(), Some("1"));
    let second = user
        .run(&["call", "o://a", "echo", "1", "--peer", server.at("/tcp/")])
        .await;
    assert_ne!(second.code(), 0, "{second:?}");
}

#[tokio::test]
async fn a_bad_configuration_is_an_error_with_its_place() {
    let user = User::new();
    std::fs::write(
        user.path("bad.toml"),
        "network = 'a'\nlisten = ['nonsense']\n",
    )
    .unwrap();
    let outcome = user.run(&["config", "show", "--config", "bad.toml"]).await;
    assert_eq!(outcome.code(), 2);
    assert!(
        outcome.stderr.contains("bad.toml") && outcome.stderr.contains("line 2"),
        "{outcome:?}"
    );
    assert_eq!(
        user.run(&["config", "show", "--config", "missing.toml"])
            .await
            .code(),
        2
    );
    let mut command = user.command(&["config", "show", "--json"]);
    command.env("O_LISTEN", "nonsense");
    let error = user.finish(command).await.error(2);
    assert!(
        error["message"].as_str().unwrap().starts_with("O_LISTEN"),
        "{error}"
    );
}

#[tokio::test]
async fn the_schema_knows_every_key() {
    let user = User::new();
    let schema = user.run(&["config", "schema"]).await.json();
    let properties = schema["properties"].as_object().unwrap();
    for key in [
        "network",
        "listen",
        "bootstrap",
        "key",
        "allow",
        "exec",
        "timeouts",
        "node",
    ] {
        assert!(properties.contains_key(key), "{key}");
    }
    assert_eq!(schema["additionalProperties"], false);
    let path = user.run(&["config", "path"]).await.ok();
    assert_eq!(
        path.trim(),
        user.path(".config/o/config.toml").to_str().unwrap()
    );
}

#[tokio::test]
async fn logs_go_to_standard_error_in_the_chosen_form() {
    let user = User::new();
    let mut command = user.command(&["id", "--key", "k", "--json", "--log-format", "json"]);
    command.env("O_LOG", "info");
    let outcome = user.finish(command).await;
    let log: Value = serde_json::from_str(outcome.stderr.lines().next().unwrap()).unwrap();
    assert_eq!(log["level"], "INFO");
    assert_eq!(outcome.json()["created"], true);
    let mut command = user.command(&["id", "--seed", "x"]);
    command.env("O_LOG", "o=loud");
    assert_eq!(user.finish(command).await.code(), 2);
}

#[tokio::test]
async fn the_gate_is_shown_with_its_lists() {
    let user = User::new();
    let gate = async |user: &User| show(user, None, &[]).await["gate"].clone();
    let default = json!({"value": "hierarchy with --parent, open without", "from": "preset"});
    assert_eq!(gate(&user).await, default);
    std::fs::write(user.path("o.toml"), "gate = 'hierarchy'\n").unwrap();
    let by_file = show(&user, None, &["--config", "o.toml"]).await;
    assert_eq!(
        by_file["gate"],
        json!({"value": "hierarchy", "from": "file"})
    );
    let mut command = user.command(&["config", "show", "--json", "--config", "o.toml"]);
    command.env("O_GATE", "open");
    let shown = user.finish(command).await.json();
    assert_eq!(
        shown["gate"],
        json!({"value": "open", "from": "environment"})
    );
    let peer = user.run(&["id", "--seed", "x"]).await.ok();
    let shown = show(&user, None, &["--allow", peer.trim()]).await;
    assert_eq!(
        shown["allow"],
        json!({"value": [peer.trim()], "from": "flag"})
    );
    let schema = user.run(&["config", "schema"]).await.json();
    assert!(schema["properties"]["gate"].is_object());
}

#[tokio::test]
async fn a_limit_is_shown_as_it_holds_everywhere() {
    let user = User::new();
    let shown = show(&user, None, &["--max-connections", "7"]).await;
    for name in [
        "max_connections",
        "node.pool.max_connections",
        "node.limits.max_inbound",
    ] {
        assert_eq!(shown[name]["value"], 7, "{name}");
    }
}

#[tokio::test]
async fn a_file_without_end_is_not_read_to_its_end() {
    let user = User::new();
    let show = async |file: &str| user.run(&["config", "show", "--config", file]).await;
    let limit = "over 1048576 bytes, the most that is read";
    let endless = show("/dev/zero").await;
    assert_eq!((endless.code(), &*endless.stdout), (2, ""));
    assert_eq!(endless.stderr, format!("error: /dev/zero: {limit}\n"));
    std::fs::write(user.path("long.toml"), "#".repeat(1024 * 1024)).unwrap();
    assert_eq!(show("long.toml").await.code(), 0);
    std::fs::write(user.path("long.toml"), "#".repeat(1024 * 1024 + 1)).unwrap();
    let long = show("long.toml").await;
    assert_eq!(long.stderr, format!("error: long.toml: {limit}\n"));
}

#[tokio::test]
async fn what_cannot_be_served_is_not_shown_as_if_it_held() {
    let user = User::new();
    let peer = user.run(&["id", "--seed", "x"]).await.ok();
    let many: Vec<_> = (0..101).map(|n| format!("do/{n}")).collect();
    let bootstrap = format!("/ip4/127.0.0.1/tcp/1/p2p/{}", peer.trim());
    let files = [
        "node.session.max_body = 0".to_owned(),
        "node.node.drain = '400days'".to_owned(),
        "node.pool.max_waiters = 0".to_owned(),
        "node.transport.connect_timeout = '1ms'".to_owned(),
        "listen = ['/ip4/127.0.0.1/sctp/1']".to_owned(),
        "listen = ['/memory/1']".to_owned(),
        "bootstrap = ['/ip4/127.0.0.1/tcp/1']".to_owned(),
        format!("bootstrap = {:?}", vec![bootstrap; 65]),
        format!("capabilities = {many:?}"),
        "seed = ''".to_owned(),
        "max_connections = 0".to_owned(),
    ];
    let flags = [
        &["--seed", ""][..],
        &["--listen", "/ip4/127.0.0.1/udp/1"],
        &["--bootstrap", "/ip4/127.0.0.1/tcp/1"],
        &["--max-connections", "0"],
        &["--capability", &many.join(",")],
    ];
    let same = async |what: &str, args: &[&str]| {
        let show = user.run(&[&["config", "show"], args].concat()).await;
        let serve = user.run(&[&["serve", "o://a"], args].concat()).await;
        assert_eq!((show.code(), &*show.stdout), (2, ""), "{what}: {show:?}");
        assert_eq!(show.stderr, serve.stderr, "{what}");
        assert_eq!((serve.code(), &*serve.stdout), (2, ""), "{what}");
    };
    for text in files {
        std::fs::write(user.path("bad.toml"), &text).unwrap();
        same(&text, &["--config", "bad.toml"]).await;
    }
    for flags in flags {
        same(&format!("{flags:?}"), flags).await;
    }
}
