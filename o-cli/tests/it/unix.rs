//! `o serve` on a Unix socket and its callers, in processes of their own.
#![expect(clippy::unwrap_used, reason = "a test fails where its helpers do")]

use std::{fs, os::unix::fs::PermissionsExt};

use rustix::process::Signal;
use serde_json::json;

use crate::support::User;

const BENCH: [&str; 6] = [
    "bench",
    "o://~",
    "--measure",
    "setup,rtt",
    "--quick",
    "--json",
];

/// Where a user's socket is, as one writes it and as the program does.
fn socket(user: &User) -> (String, String) {
    let path = user.path("a.sock");
    let path = path.to_str().unwrap();
    let one_part = path.replace('/', "%2F");
    (format!("/unix{path}"), format!("/unix/{one_part}"))
}

#[tokio::test]
async fn a_call_goes_over_a_unix_socket_encrypted() {
    let user = User::new();
    let (written, shown) = socket(&user);
    let mut server = user.serve(&["o://a", "--listen", &written]).await;
    let at = server.at("/unix/").to_owned();
    assert_eq!(at, format!("{shown}/p2p/{}", server.peer_id()));
    let mode = fs::metadata(user.path("a.sock")).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    let with_peer = format!("{written}/p2p/{}", server.peer_id());
    for way in [
        &["--peer", &written][..],
        &["--peer", &with_peer],
        &["--peer", &at],
        &["--bootstrap", &at],
        // As the other processes of this user find it.
        &[],
    ] {
        let call = ["call", "o://a", "echo", "1", "--json"];
        assert_eq!(
            user.run(&[&call, way].concat()).await.json(),
            json!(1),
            "{way:?}"
        );
        let event = server.event("connected").await;
        assert_eq!(event["plaintext"], json!(false), "{event}");
        assert!(event["at"].as_str().unwrap().contains("/unix/"), "{event}");
    }
    assert_eq!(server.stop().await, 0);
    assert!(!user.path("a.sock").exists());
}

#[tokio::test]
async fn plaintext_is_told_wherever_it_is_used_and_only_if_both_ends_want_it() {
    let user = User::new();
    let (written, _) = socket(&user);
    let plain = "--unix-plaintext";
    for (there, here) in [(true, true), (true, false), (false, true)] {
        let mut serve = vec![
            "o://a",
            "--listen",
            &written,
            "--listen",
            "/ip4/127.0.0.1/tcp/0",
        ];
        serve.extend(there.then_some(plain));
        let mut server = user.serve(&serve).await;
        let flag: &[&str] = if here { &[plain] } else { &[] };
        let both = there && here;
        let over_unix = [&BENCH[..], &["--peer", &written], flag].concat();
        let lines = user.run(&over_unix).await.lines();
        assert_eq!(lines.len(), 2, "{lines:?}");
        for line in &lines {
            let told = line.get("plaintext").cloned();
            assert_eq!(told, both.then_some(json!(true)), "{line}");
        }
        let event = server.event("connected").await;
        assert_eq!(event["plaintext"], json!(both), "{event}");
        let stats = ["call", "o://~", "stats", "--json", "--peer", &written];
        let stats = user.run(&[&stats, flag].concat()).await.json();
        assert_eq!(stats["plaintext"], json!(usize::from(both)), "{stats}");
        // TCP knows nothing of it.
        let over_tcp = [&BENCH[..], &["--peer", server.at("/tcp/")], flag].concat();
        for line in user.run(&over_tcp).await.lines() {
            assert_eq!(line.get("plaintext"), None, "{line}");
        }
        let table = [
            "bench",
            "o://~",
            "--measure",
            "rtt",
            "--quick",
            "--peer",
            &written,
        ];
        let table = user.run(&[&table, flag].concat()).await.ok();
        assert_eq!(table.contains("in plaintext"), both, "{table}");
        assert_eq!(server.stop().await, 0);
    }
}

#[tokio::test]
async fn the_socket_of_a_killed_server_is_replaced_and_of_a_living_one_is_not() {
    let user = User::new();
    let (written, _) = socket(&user);
    let serve = ["o://a", "--listen", &written];
    let mut server = user.serve(&serve).await;
    let second = ["serve", "o://b", "--listen", &written, "--json"];
    let refused = user.run(&second).await;
    assert_ne!(refused.code(), 0);
    assert!(refused.stderr.contains("in use"), "{refused:?}");
    server.running.signal(Signal::KILL);
    server.running.exit().await;
    assert!(user.path("a.sock").exists());
    let dead = ["call", "o://~", "ping", "--peer", &written, "--json"];
    assert_eq!(user.run(&dead).await.code(), 4);
    let server = user.serve(&serve).await;
    assert_eq!(user.run(&dead).await.code(), 0);
    assert_eq!(server.stop().await, 0);
}

#[tokio::test]
async fn a_path_that_cannot_be_had_says_why() {
    let user = User::new();
    let long = format!("/unix/{}", "x".repeat(150));
    for (address, why) in [
        ("/unix/no/such/directory/a.sock", "No such file"),
        (&long, "longer than 103 bytes"),
        ("/unix/%zz", "hexadecimal"),
    ] {
        let outcome = user.run(&["serve", "o://a", "--listen", address]).await;
        assert_ne!(outcome.code(), 0);
        assert!(outcome.stderr.contains(why), "{outcome:?}");
    }
    // What is no socket is never replaced.
    let (written, _) = socket(&user);
    fs::write(user.path("a.sock"), "mine").unwrap();
    let outcome = user.run(&["serve", "o://a", "--listen", &written]).await;
    assert!(outcome.stderr.contains("in use"), "{outcome:?}");
    assert_eq!(fs::read(user.path("a.sock")).unwrap(), b"mine");
}
