//! Calls by capability, and what a running node says of its peers.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::User;

#[tokio::test]
async fn a_call_by_capability_finds_somebody_and_says_why() {
    let user = User::new();
    let nobody = user.run(&["call", "--capability", "try/echo", "echo", "1", "--json"]);
    assert_eq!(nobody.await.error(4)["code"], "unreachable");

    let one = user
        .serve(&["o://try/one", "--capability", "try/echo"])
        .await;
    let two = user
        .serve(&["o://try/two", "--capability", "try/echo"])
        .await;
    let call = ["call", "--capability", "try/echo", "echo", "[1,-2]"];
    assert_eq!(user.run(&call).await.ok().trim(), "[\n  1,\n  -2\n]");
    let more = ["--json", "--explain", "--idempotent", "--hedge", "30s"];
    let told = user.run(&[&call[..], &more].concat()).await;
    let trace: Value = serde_json::from_str(told.stderr.lines().last().unwrap()).unwrap();
    let [attempt] = &trace["trace"].as_array().unwrap()[..] else {
        panic!("{trace}")
    };
    let peer = attempt["peer"].as_str().unwrap();
    assert!([one.peer_id(), two.peer_id()].contains(&peer), "{trace}");
    assert_eq!(
        (&attempt["outcome"], &attempt["candidates"]),
        (&json!("answered"), &json!(2))
    );
    assert_eq!(told.ok(), "[1,-2]\n");
    let explained = user.run(&[&call[..], &["--explain"]].concat()).await;
    assert!(explained.stderr.starts_with("1. o://try/"), "{explained:?}");

    let nobody = ["call", "--capability", "try/other", "echo", "1", "--json"];
    let error = user.run(&nobody).await.error(3);
    assert_eq!(
        (&error["code"], &error["number"]),
        (&json!("no_providers"), &json!(19))
    );
    // Streams, too, and a method that nobody has.
    let count = [
        "call",
        "--capability",
        "try/echo",
        "count",
        r#"{"to":3}"#,
        "--json",
    ];
    assert_eq!(user.run(&count).await.ok(), "1\n2\n3\n");
    let unknown = [
        "call",
        "--capability",
        "try/echo",
        "nonsense",
        "--json",
        "--explain",
    ];
    let error = user.run(&unknown).await.error(7);
    assert_eq!(error["code"], "unknown_method");
}

#[tokio::test]
async fn a_caller_with_a_key_remembers_who_failed() {
    let user = User::new();
    let good = ["o://try/good", "--capability", "try/echo"];
    let good = user.serve(&good).await;
    let bad = ["serve", "--json", "o://try/bad", "--capability", "try/echo"];
    let bad = [&bad[..], &["--method", "echo=false"]].concat();
    let bad = user.serve_command(user.command(&bad)).await;
    let call = ["call", "--capability", "try/echo", "echo", "1", "--json"];
    let call = [&call[..], &["--explain", "--key", "mine.key"]].concat();
    let begun = async || {
        let told = user.run(&call).await;
        let first = told.stderr.lines().next().unwrap_or_default();
        let told: Value = serde_json::from_str(first).unwrap_or_else(|_| panic!("{told:?}"));
        told["trace"][0].clone()
    };
    let mut failed = begun().await;
    for _ in 0..30 {
        if failed["peer"] == bad.peer_id() {
            break;
        }
        failed = begun().await;
    }
    assert_eq!(failed["outcome"], "failed", "{failed}");
    let mut others = 0;
    for _ in 0..6 {
        let next = begun().await;
        // One in 128 goes to those that did worse; and whoever finds one only has no choice.
        if next["candidates"] == 2 && next["why"] != "tried again" {
            assert_eq!(next["peer"], good.peer_id(), "{next}");
            others += 1;
        }
    }
    assert!(others > 0);
}

#[tokio::test]
async fn a_running_node_says_who_its_peers_are() {
    use std::os::unix::fs::PermissionsExt;
    let user = User::new();
    assert_eq!(
        user.run(&["peers", "--json"]).await.error(3)["code"],
        "not_found"
    );
    let mut one = user.serve(&["o://try/one"]).await;
    let two = user.serve(&["o://try/two"]).await;
    assert_eq!(
        user.run(&["peers", "--json"]).await.error(2)["code"],
        "usage"
    );

    let status = user.run(&["status", "o://try/one", "--json"]).await.json();
    assert_eq!(status["peer_id"], one.peer_id());
    assert_eq!(status["pid"], one.running.pid());
    assert!(
        user.run(&["status", two.peer_id()])
            .await
            .ok()
            .contains("o://try/two")
    );
    // The second found the first by itself and stays connected to it.
    let peers = user.run(&["peers", "o://try/two", "--json"]).await.lines();
    let other = peers.iter().find(|peer| peer["peer"] == one.peer_id());
    let other = other.unwrap_or_else(|| panic!("{peers:?}"));
    assert_eq!(other["connections"][0]["direction"], "outbound");
    let table = user.run(&["peers", "o://try/two"]).await.ok();
    assert!(
        table.starts_with("PEER") && table.contains(one.peer_id()),
        "{table}"
    );

    let socket = user.path("run/o").join(format!("{}.sock", one.peer_id()));
    assert_eq!(
        socket.metadata().unwrap().permissions().mode() & 0o777,
        0o600
    );
    one.running.signal(Signal::TERM);
    assert_eq!(one.running.exit().await, 0);
    assert!(!socket.exists());
    // What a killed one leaves is replaced by its successor.
    let mut two = two;
    two.running.signal(Signal::KILL);
    two.running.exit().await;
    let socket = user.path("run/o").join(format!("{}.sock", two.peer_id()));
    assert!(socket.exists());
    let again = user.serve(&["o://try/two"]).await;
    assert_eq!(again.peer_id(), two.peer_id());
    let status = user.run(&["status", "--json"]).await.json();
    assert_eq!(status["pid"], again.running.pid());
}
