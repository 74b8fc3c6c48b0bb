//! How the network is found, and that networks are kept apart.

use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{User, until};

#[tokio::test]
async fn without_a_network_it_says_what_to_do() {
    let user = User::new();
    for command in [
        &["call", "o://a", "m"][..],
        &["find", "a/b"],
        &["describe", "o://a"],
        &["ping", "o://a"],
    ] {
        let outcome = user.run(command).await;
        assert_eq!(outcome.code(), 4, "{outcome:?}");
        let expected = "error: no network: give --peer, --bootstrap or start `o serve`\n";
        assert_eq!(outcome.stderr, expected);
    }
}

#[tokio::test]
async fn a_second_server_joins_the_first_and_is_found_through_it() {
    let user = User::new();
    let first = user.serve(&["o://one", "--capability", "one"]).await;
    let mut second = user.serve(&["o://two", "--capability", "two"]).await;
    second.event("announced").await;
    // Somebody who knows only the first finds the second, by capability and by name.
    let stranger = User::new();
    let through = ["--bootstrap", first.at("/tcp/"), "--json", "--limit", "1"];
    let mut found = None;
    // What is announced may take a moment to arrive.
    for _ in 0..20 {
        let outcome = stranger
            .run(&[&["find", "two"], &through[..]].concat())
            .await;
        if outcome.code() == 0 {
            found = Some(outcome.json());
            break;
        }
    }
    let found = found.expect("never found");
    assert_eq!(found["address"], "o://two");
    assert_eq!(found["peer_id"], second.peer_id());
    // The first knows the second by gossip and answers for it, and the table names it: either may be first.
    let sources = found["source"].as_array().unwrap();
    let expected = [serde_json::json!("dht"), serde_json::json!("registry")];
    assert!(
        !sources.is_empty() && sources.iter().all(|source| expected.contains(source)),
        "{found}"
    );
    let call = [
        "call",
        "o://two",
        "echo",
        "2",
        "--bootstrap",
        first.at("/tcp/"),
    ];
    assert_eq!(stranger.run(&call).await.ok(), "2\n");
}

#[tokio::test]
async fn bootstrap_comes_from_the_environment_too() {
    let user = User::new();
    let server = user.serve(&["o://try/echo"]).await;
    let stranger = User::new();
    let mut call = stranger.command(&["call", "o://try/echo", "echo", "1"]);
    call.env("O_BOOTSTRAP", server.at("/tcp/"));
    assert_eq!(stranger.finish(call).await.ok(), "1\n");
}

#[tokio::test]
async fn nodes_of_another_network_are_not_there() {
    let user = User::new();
    let server = user.serve(&["o://try/echo", "--network", "blue"]).await;
    assert_eq!(
        user.run(&["call", "o://try/echo", "echo", "1"])
            .await
            .code(),
        4
    );
    let blue = ["call", "o://try/echo", "echo", "1", "--network", "blue"];
    assert_eq!(user.run(&blue).await.ok(), "1\n");
    // Also where somebody says how to get there.
    let call = [
        "call",
        "o://try/echo",
        "echo",
        "1",
        "--peer",
        server.at("/tcp/"),
    ];
    assert_ne!(user.run(&call).await.code(), 0);
}

#[tokio::test]
async fn running_nodes_are_on_file_while_they_run() {
    let user = User::new();
    let files = |user: &User| -> Vec<_> {
        let entries = std::fs::read_dir(user.path("run/o")).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths
            .filter(|path| path.extension().is_some_and(|ext| ext == "json"))
            .collect()
    };
    let server = user.serve(&["o://a"]).await;
    let [file] = &files(&user)[..] else {
        panic!("{:?}", files(&user));
    };
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(file).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["address"], "o://a");
    assert_eq!(value["pid"], server.running.pid());
    assert_eq!(value["listen"], server.ready["listen"]);
    assert_eq!(server.stop().await, 0);
    assert!(files(&user).is_empty());

    // One that was killed is not taken for one that runs.
    let mut server = user.serve(&["o://a"]).await;
    server.running.signal(Signal::KILL);
    server.running.exit().await;
    assert_eq!(files(&user).len(), 1);
    assert_eq!(user.run(&["call", "o://a", "echo"]).await.code(), 4);
    assert!(files(&user).is_empty());
}

#[tokio::test]
async fn a_bootstrap_peer_that_is_gone_is_named() {
    let user = User::new();
    let server = user.serve(&["o://a"]).await;
    let at = server.at("/tcp/").to_owned();
    let peer = server.peer_id().to_owned();
    assert_eq!(server.stop().await, 0);
    let outcome = user
        .run(&["find", "a/b", "--bootstrap", &at, "--json"])
        .await;
    let error = outcome.error(4);
    assert_eq!(error["code"], "unreachable");
    assert_eq!(error["peer"], peer);
}

#[tokio::test]
async fn a_parent_is_a_way_into_the_network() {
    let user = User::new();
    let mut parent = user.serve(&["o://leader"]).await;
    let elsewhere = User::new();
    let args = ["o://leader/child", "--parent", parent.at("/tcp/")];
    let child = elsewhere.serve(&args).await;
    let connected = parent.event("connected").await;
    assert_eq!(connected["peer"], child.peer_id());
}

#[tokio::test]
async fn ctrl_c_ends_a_server_well_and_closes_its_port() {
    let user = User::new();
    let mut server = user
        .serve(&["o://a", "--listen", "/ip4/127.0.0.1/tcp/0"])
        .await;
    let port: u16 = server
        .at("/tcp/")
        .split('/')
        .nth(4)
        .unwrap()
        .parse()
        .unwrap();
    server.running.signal(Signal::INT);
    server.event("stopping").await;
    server.event("stopped").await;
    assert_eq!(server.running.exit().await, 0);
    until("the port is free", || {
        std::net::TcpListener::bind(("127.0.0.1", port)).is_ok()
    })
    .await;
}

#[tokio::test]
async fn without_a_runtime_directory_there_is_one_for_this_user_only() {
    let user = User::new();
    let without = |args: &[&str]| {
        let mut command = user.command(args);
        command.env_remove("XDG_RUNTIME_DIR");
        command
    };
    let _server = user
        .serve_command(without(&["serve", "o://a", "--json"]))
        .await;
    let call = || without(&["call", "o://a", "echo", "1"]);
    assert_eq!(user.finish(call()).await.ok(), "1\n");
    // One that others can write to is not believed.
    let id = rustix::process::getuid().as_raw();
    let directory = user.path(&format!("o-{id}"));
    let open = std::fs::Permissions::from_mode(0o777);
    assert!(std::fs::set_permissions(&directory, open).is_ok());
    assert_eq!(user.finish(call()).await.code(), 4);
}

/// Multicast stays within a network of this test's own: two interfaces and a cable between them.
const LAN: &str = r#"
set -e
ip link set lo up
ip link add name left type veth peer name right
ip addr add 10.9.0.1/24 dev left
ip link set left up
ip addr add 10.9.0.2/24 dev right
ip link set right up
ip route add 224.0.0.0/4 dev left
"$O" find lan/test --lan --json --timeout 20s || echo "$?"
"$O" serve o://lan/echo --lan --capability lan/test --json > ready.json &
while [ ! -s ready.json ]; do sleep 0.05; done
export XDG_RUNTIME_DIR="$HOME/elsewhere"
"$O" find lan/test --lan --json --limit 1 --timeout 30s
"$O" call o://lan/echo echo 1 --lan --json
echo=$!
at=$(grep -o '/ip4/10.9.0.[12]/tcp/[0-9]*/p2p/[A-Za-z0-9]*' "$HOME/ready.json" | head -n 1)
XDG_RUNTIME_DIR="$HOME/third" "$O" serve o://lan/shepherd --lan --description "counts sheep" --json > third.json &
shepherd=$!
until "$O" find --text sheep --bootstrap "$at" --json > /dev/null 2>&1; do :; done
"$O" find --text sheep --lan --json
kill -9 $shepherd
begun=$(date +%s)
while "$O" find --text sheep --bootstrap "$at" --json > /dev/null 2>&1; do :; done
echo $(($(date +%s) - begun))
kill $echo
wait $echo
"#;

#[expect(
    clippy::print_stderr,
    reason = "a test that cannot check anything says so"
)]
#[tokio::test]
async fn on_a_local_network_multicast_is_enough() {
    let user = User::new();
    let unshared = |script: &str| {
        let inherited = user.command(&[]);
        let mut command = tokio::process::Command::new("unshare");
        let environment = inherited.as_std().get_envs();
        command
            .args(["--map-root-user", "--net", "sh", "-c", script])
            .env_clear()
            .envs(environment.filter_map(|(name, value)| Some((name, value?))))
            .env("O", env!("CARGO_BIN_EXE_o"))
            .current_dir(user.path(""))
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .kill_on_drop(true);
        command
    };
    let possible = unshared("ip link add name left type veth peer name right")
        .status()
        .await;
    if !possible.is_ok_and(|status| status.success()) {
        let required = std::env::var_os("O_NAMESPACES").is_some();
        assert!(
            !required,
            "no network namespace with a veth pair can be made"
        );
        eprintln!("nothing checked: no network namespace with a veth pair can be made here");
        return;
    }
    let outcome = user.finish(unshared(LAN)).await;
    let mut lines = outcome.stdout.lines();
    // Nobody is there yet.
    assert_eq!(lines.next(), Some("4"), "{outcome:?}");
    let found: Value = serde_json::from_str(lines.next().unwrap_or_default()).unwrap_or_default();
    assert_eq!(found["address"], "o://lan/echo", "{outcome:?}");
    assert_eq!(found["source"], serde_json::json!(["mdns"]));
    assert_eq!(lines.next(), Some("1"), "{outcome:?}");
    let found: Value = serde_json::from_str(lines.next().unwrap_or_default()).unwrap_or_default();
    assert_eq!(found["address"], "o://lan/shepherd", "{outcome:?}");
    // Who was killed is forgotten within seconds, of which the last search takes some.
    let gone: u64 = lines.next().unwrap_or_default().parse().unwrap_or(u64::MAX);
    assert!(gone <= 8, "{outcome:?}");
    assert_eq!(outcome.code(), 0, "{outcome:?}");
}

#[tokio::test]
async fn a_registry_that_others_can_write_is_not_used() {
    let user = User::new();
    let server = user.serve(&["o://a"]).await;
    let registry = user.path("run/o");
    let mode = |mode| {
        std::fs::set_permissions(&registry, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(0o777);
    let call = ["call", "o://a", "echo", "1"];
    let error = user.run(&[&call[..], &["--json"]].concat()).await.error(4);
    let hint = error["hint"].as_str().unwrap();
    assert!(
        hint.contains("mode 0777") && hint.contains("chmod 700"),
        "{hint}"
    );
    // A server says so, and serves all the same.
    let other = user.serve(&["o://b"]).await;
    let said = std::fs::read_to_string(user.path("stderr.log")).unwrap();
    assert!(said.contains("is open to others"), "{said}");
    // Only the entry and the control socket of the first.
    assert_eq!(std::fs::read_dir(&registry).unwrap().count(), 2);
    let given = ["call", "o://b", "echo", "1", "--peer", other.at("/tcp/")];
    assert_eq!(user.run(&given).await.ok(), "1\n");
    mode(0o700);
    assert_eq!(user.run(&call).await.ok(), "1\n");
    server.stop().await;
}

#[tokio::test]
async fn everybody_who_named_a_provider_is_told() {
    let user = User::new();
    let _first = user.serve(&["o://one"]).await;
    let mut second = user.serve(&["o://two", "--capability", "two"]).await;
    second.event("announced").await;
    // Both are on file, and the first has it from the second that it is a provider.
    let mut sources = Value::Null;
    for _ in 0..20 {
        sources = user.run(&["find", "two", "--json"]).await.json()["source"].clone();
        let told = |source: &str| sources.as_array().unwrap().contains(&source.into());
        if ["bootstrap", "dht", "registry"].into_iter().all(told) {
            return;
        }
    }
    panic!("{sources}");
}
