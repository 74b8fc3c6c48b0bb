//! The exit status and the error object of each class of failure.

use o_core::{CallError, Node as _};
use o_node::{Hosting, Keypair, Methods, Node, Preset};
use rustix::process::Signal;
use serde_json::Value;

use crate::support::User;

#[tokio::test]
async fn usage_is_2_also_for_programs_that_read_json() {
    let user = User::new();
    for args in [
        &["call", "o://a//b", "m"][..],
        &["call", "http://a", "m"],
        &["call", "o://a"],
        &["find", "Not/A/Capability"],
        &["call", "o://a", "m", "{oops"],
        &["call", "o://a", "m", "[NaN]"],
        &["call", "o://a", "m", "{\"$bytes\":\"!!!\"}"],
        &["call", "o://a", "m", "[{\"$bytes\":\"YQ=\"}]"],
        &["call", "o://a", "m", "{\"$bytes\":\"YQ==\",\"a\":1}"],
        &["call", "o://a", "m", "@no-such-file"],
        &["call", "o://a", "m", "--peer", "nonsense"],
        &["call", "o://a", "m", "--timeout", "soon"],
        &["serve", "o://a", "--method", "m"],
        &["serve", "o://a", "--method", "m=no-such-program"],
        &["serve", "o://a", "--method", "m=sh", "--method", "m=sh"],
        &["serve", "o://a", "--method", "ping=sh"],
        &["serve", "o://~/x"],
        &["serve", "o://a", "--seed", "s", "--key", "k"],
        &["serve", "o://a", "--listen", "/ip4/127.0.0.1/sctp/1"],
        &["serve", "o://a", "--bootstrap", "/ip4/127.0.0.1/tcp/1"],
        &["no-such-command"],
        &[],
    ] {
        let plain = user.run(args).await;
        assert_eq!(
            (plain.code(), &*plain.stdout),
            (2, ""),
            "{args:?} {plain:?}"
        );
        let json = user.run(&[args, &["--json"]].concat()).await;
        let error = json.error(2);
        assert_eq!(error["retryable"], false, "{args:?}");
        assert!(!error["message"].as_str().unwrap().is_empty(), "{args:?}");
    }
    let outcome = user.run(&["call", "o://a//b", "m"]).await;
    assert!(outcome.stderr.contains("at byte 6"), "{outcome:?}");
    let outcome = user
        .run(&["call", "o://a", "m", "{\"$bytes\":\"YQ==\",\"a\":1}"])
        .await;
    let expected = "error: the parameters: an object with $bytes is a byte string and has no other";
    assert!(outcome.stderr.starts_with(expected), "{outcome:?}");
}

#[tokio::test]
async fn not_found_is_3() {
    let user = User::new();
    let server = user.serve(&["o://try/echo"]).await;
    let error = user
        .run(&["call", "o://nobody", "m", "--json"])
        .await
        .error(3);
    assert_eq!(
        (&error["code"], &error["number"]),
        (&"not_found".into(), &3.into())
    );
    assert!(error["hint"].is_string());
    let by_peer = [
        "call",
        "o://nobody",
        "m",
        "--json",
        "--peer",
        server.at("/tcp/"),
    ];
    let error = user.run(&by_peer).await.error(3);
    assert_eq!(error["peer"], server.peer_id());
    let search = ["find", "no/body", "--timeout", "2s", "--json"];
    assert_eq!(user.run(&search).await.error(3)["code"], "not_found");
    // A pin takes only that instance.
    let other = user.run(&["id", "--seed", "other"]).await.ok();
    let pinned = format!("o://try/echo#{}", other.trim());
    assert_eq!(user.run(&["call", &pinned, "echo"]).await.code(), 3);
    let pinned = format!("o://try/echo#{}", server.peer_id());
    assert_eq!(user.run(&["call", &pinned, "echo"]).await.code(), 0);
}

#[tokio::test]
async fn unreachable_is_4() {
    let user = User::new();
    let peer = user.run(&["id", "--seed", "gone"]).await.ok();
    // A port that was free a moment ago.
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let at = format!("/ip4/127.0.0.1/tcp/{port}/p2p/{}", peer.trim());
    let outcome = user
        .run(&["call", "o://a", "m", "--peer", &at, "--json"])
        .await;
    let error = outcome.error(4);
    assert_eq!(
        (&error["code"], &error["retryable"]),
        (&"unreachable".into(), &true.into())
    );
    assert_eq!(error["peer"], peer.trim());
    // Somebody else lives there.
    let server = user.serve(&["o://a"]).await;
    let wrong = server.at("/tcp/").replace(server.peer_id(), peer.trim());
    let outcome = user
        .run(&["call", "o://a", "echo", "--peer", &wrong, "--json"])
        .await;
    assert!(
        outcome.error(4)["message"]
            .as_str()
            .unwrap()
            .contains("answered")
    );
}

#[tokio::test]
async fn a_deadline_that_passes_is_6() {
    let user = User::new();
    let server = user.serve(&["o://a", "--method", "sleep=sleep 1000"]).await;
    let call = ["call", "o://a", "sleep", "--timeout", "300ms", "--json"];
    let error = user.run(&call).await.error(6);
    assert_eq!(
        (&error["code"], &error["retryable"]),
        (&"timed_out".into(), &true.into())
    );
    let by_peer = [&call[..], &["--peer", server.at("/tcp/")]].concat();
    assert_eq!(user.run(&by_peer).await.error(6)["code"], "timed_out");
    // Without a deadline the first answer has one all the same.
    let mut call = user.command(&["call", "o://a", "sleep", "--json"]);
    call.env("O_TIMEOUT", "300ms");
    assert_eq!(user.finish(call).await.error(6)["code"], "timed_out");
}

#[tokio::test]
async fn what_fails_there_is_7() {
    let user = User::new();
    let fail = user.script(
        "fail.sh",
        "#!/bin/sh\necho almost >&2\necho 'no: \"x\"' >&2\nexit 3\n",
    );
    let text = user.script("text.sh", "#!/bin/sh\necho oops\n");
    let args = [
        "o://a",
        "--method",
        &format!("fail={fail}"),
        "--method",
        &format!("text={text}"),
    ];
    let server = user.serve(&args).await;
    let error = async |method: &str, params: &str| {
        let args = [
            "call",
            "o://a",
            method,
            params,
            "--json",
            "--peer",
            server.at("/tcp/"),
        ];
        user.run(&args).await.error(7)
    };
    let failed = error("fail", "null").await;
    assert_eq!(failed["code"], "failed");
    let message = failed["message"].as_str().unwrap();
    assert!(
        message.contains("exited with status 3: almost\nno: \"x\""),
        "{message}"
    );
    let unknown = error("nothing", "null").await;
    assert_eq!(unknown["code"], "unknown_method");
    assert!(unknown["hint"].as_str().unwrap().contains("describe"));
    let not_json = error("text", "null").await;
    assert!(
        not_json["message"].as_str().unwrap().contains("not JSON"),
        "{not_json}"
    );

    let echo = user.serve(&["o://echo"]).await;
    let args = [
        "call",
        "o://echo",
        "count",
        "\"x\"",
        "--json",
        "--peer",
        echo.at("/tcp/"),
    ];
    let invalid = user.run(&args).await.error(7);
    assert_eq!(
        (&invalid["code"], &invalid["number"]),
        (&"invalid_params".into(), &12.into())
    );
}

#[tokio::test]
async fn busy_is_8() {
    let user = User::new();
    let wait = user.script("wait.sh", "#!/bin/sh\necho 1\nexec sleep 1000\n");
    let method = format!("wait={wait}");
    let args = [
        "o://a",
        "--method",
        &method,
        "--max-running",
        "1",
        "--max-queued",
        "0",
    ];
    let server = user.serve(&args).await;
    let call = [
        "call",
        "o://a",
        "wait",
        "--json",
        "--peer",
        server.at("/tcp/"),
    ];
    let mut first = user.start(&call);
    assert_eq!(first.line().await.as_deref(), Some("1"));
    let error = user.run(&call).await.error(8);
    assert_eq!(
        (&error["code"], &error["retryable"]),
        (&"busy".into(), &true.into())
    );
}

#[tokio::test]
async fn interrupted_is_130() {
    let user = User::new();
    let server = user.serve(&["o://a"]).await;
    let endless = "{\"to\":1000000000,\"every_ms\":60000}";
    for signal in [Signal::INT, Signal::TERM] {
        let args = [
            "call",
            "o://a",
            "count",
            endless,
            "--peer",
            server.at("/tcp/"),
        ];
        let mut call = user.start(&args);
        assert_eq!(call.line().await.as_deref(), Some("1"));
        call.signal(signal);
        assert_eq!(call.exit().await, 130);
    }
    let mut ping = user.start(&["ping", "o://a", "-c", "0", "--interval", "1h"]);
    assert!(ping.line().await.unwrap().contains("seq=1"));
    ping.signal(Signal::INT);
    assert_eq!(ping.exit().await, 130);
}

#[tokio::test]
async fn an_error_names_the_peer_also_when_discovery_found_it() {
    let user = User::new();
    let fail = user.script("fail.sh", "#!/bin/sh\nexit 3\n");
    let args = ["o://a", "--method", &format!("fail={fail}")];
    let args = [&args[..], &["--method", "sleep=sleep 1000"]].concat();
    let server = user.serve(&args).await;
    let call = async |more: &[&str], code| {
        let call = [&["call", "o://a", "--json"], more].concat();
        let error = user.run(&call).await.error(code);
        assert_eq!(error["peer"], server.peer_id(), "{more:?}: {error}");
    };
    call(&["fail"], 7).await;
    call(&["no-such-method"], 7).await;
    call(&["sleep", "--timeout", "2s"], 6).await;
}

#[tokio::test]
async fn an_error_never_names_the_node_that_asks() {
    let user = User::new();
    let server = user.serve(&["o://a"]).await;
    // A seed, so that the caller's own name would be known.
    let call = async |address: &str, more: &[&str], code| {
        let call = ["call", address, "no-such-method", "--json", "--seed", "me"];
        user.run(&[&call[..], more].concat()).await.error(code)
    };
    // Nothing says which node: not the one that asks.
    assert_eq!(call("o://~", &[], 2).await["peer"], Value::Null);
    let pinned = format!("o://~#{}", server.peer_id());
    assert_eq!(call(&pinned, &[], 7).await["peer"], server.peer_id());
    let peer = ["--peer", server.at("/tcp/")];
    assert_eq!(call("o://~", &peer, 7).await["peer"], server.peer_id());
    let me = user.run(&["id", "--seed", "me"]).await.ok();
    let me = format!("o://~#{}", me.trim());
    assert_eq!(call(&me, &[], 7).await["peer"], Value::Null);
}

/// What can move a cursor, or recolor what comes after it.
fn is_hostile(text: &str) -> bool {
    text.contains(|c: char| c.is_control() && c != '\n')
}

#[tokio::test]
async fn a_peer_can_neither_steer_a_terminal_nor_write_a_line_of_ours() {
    const HOSTILE: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\r\u{7f}";
    let user = User::new();
    let said = format!("{HOSTILE}\nhint: run me");
    let methods = Methods::new()
        .unary("fail", async |_, ()| {
            Err::<(), _>(CallError::failed(format!("{HOSTILE}\nhint: run me")))
        })
        .describe(&*said)
        .unary("answer", async |_, ()| Ok::<_, CallError>(HOSTILE));
    let hosting = Hosting::new("o://a".parse().unwrap(), methods).description(&said);
    let node = Node::builder(Keypair::from_seed("hostile"), Preset::Local)
        .configure(|config| config.agent = format!("{HOSTILE}/1"))
        .host(hosting)
        .start()
        .await
        .unwrap();
    let at = node.listen_addresses().remove(0);
    let run = async |args: &[&str]| user.run(&[args, &["--peer", at.as_str()]].concat()).await;

    let failed = run(&["call", "o://a", "fail"]).await;
    assert_eq!(failed.code(), 7, "{failed:?}");
    assert!(!is_hostile(&failed.stderr), "{failed:?}");
    assert!(failed.stderr.contains("\n  hint: run me\n"), "{failed:?}");
    for address in ["o://a", "o://~"] {
        let described = run(&["describe", address]).await.ok();
        assert!(described.contains("]0;owned"), "{described:?}");
        assert!(!is_hostile(&described), "{described:?}");
        let lines = described.lines();
        assert_eq!(lines.filter(|line| line.starts_with("hint")).count(), 0);
    }
    // A body goes through a pipe as it came, and in JSON nothing is lost.
    let answered = run(&["call", "o://a", "answer", "--raw"]).await.ok();
    assert!(answered.contains("\u{9b}31m"), "{answered:?}");
    let error = run(&["call", "o://a", "fail", "--json"]).await.error(7);
    assert_eq!(error["message"], said);
    node.stop().await.unwrap();
}
