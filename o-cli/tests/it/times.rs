//! `--timeout` is one deadline for the whole command, in the user's own figure.
#![expect(clippy::unwrap_used, reason = "a test fails where its helpers do")]

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use futures::future::join_all;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::{DEADLINE, User};

/// Somewhere that takes connections and never says a word.
struct Silence {
    _listener: TcpListener,
    at: String,
}

impl Silence {
    async fn new(user: &User) -> Self {
        let peer = user.run(&["id", "--seed", "silent"]).await.ok();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        Self {
            at: format!("/ip4/127.0.0.1/tcp/{port}/p2p/{}", peer.trim()),
            _listener: listener,
        }
    }
}

/// Runs a command that has two seconds, and looks at how it ends.
async fn in_two_seconds(user: &User, args: &[&str]) -> Value {
    let begun = Instant::now();
    let mut outcome = user
        .run(&[args, &["--timeout", "2s", "--json"]].concat())
        .await;
    let took = begun.elapsed();
    // A ping that was not answered is a result too.
    if args.contains(&"ping") {
        outcome.stdout.clear();
    }
    let error = outcome.error(6);
    assert_eq!(error["code"], "timed_out", "{args:?}");
    assert_eq!(error["message"], "timed out after 2s", "{args:?}");
    // With what a busy machine takes to start a process; a second of grace would not fit.
    let range = Duration::from_secs(2)..Duration::from_millis(2900);
    assert!(range.contains(&took), "{args:?} took {took:?}");
    error
}

#[tokio::test]
async fn dialing_counts() {
    let user = User::new();
    let silence = Silence::new(&user).await;
    let commands = [
        &["call", "o://a", "m"][..],
        &["find", "a/b"],
        &["describe", "o://a"],
        &["ping", "o://a", "-c", "1"],
    ];
    for way in ["--peer", "--bootstrap"] {
        let commands = commands.map(|command| [command, &[way, &silence.at]].concat());
        for error in join_all(commands.iter().map(|args| in_two_seconds(&user, args))).await {
            // A search has nobody in particular to blame.
            if way == "--peer" {
                assert!(silence.at.ends_with(error["peer"].as_str().unwrap()));
            }
        }
    }
}

#[tokio::test]
async fn what_happens_there_counts_and_so_does_leaving() {
    let user = User::new();
    let server = user.serve(&["o://a", "--method", "sleep=sleep 1000"]).await;
    in_two_seconds(&user, &["call", "o://a", "sleep"]).await;
    // A server that does not even say that it heard of the end.
    server.running.signal(Signal::STOP);
    let peer = server.at("/quic-v1/").to_owned();
    for way in [&[][..], &["--peer", &peer], &["--peer", server.at("/tcp/")]] {
        in_two_seconds(&user, &[&["call", "o://a", "sleep"], way].concat()).await;
    }
    server.running.signal(Signal::CONT);
}

#[tokio::test]
async fn a_pipe_that_fills_slowly_does_not_count() {
    use tokio::io::AsyncWriteExt;
    let user = User::new();
    let _server = user.serve(&["o://a"]).await;
    let mut command = user.command(&["call", "o://a", "echo", "-", "--timeout", "3s"]);
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // What is tested is that this time does not count.
    tokio::time::sleep(Duration::from_millis(3500)).await;
    stdin.write_all(b"1").await.unwrap();
    drop(stdin);
    let output = tokio::time::timeout(DEADLINE, child.wait_with_output()).await;
    let output = output.unwrap().unwrap();
    assert_eq!(output.stdout, b"1\n", "{output:?}");
}

#[tokio::test]
async fn a_search_says_how_long_it_took_only_if_that_ended_it() {
    let user = User::new();
    let _server = user.serve(&["o://a"]).await;
    let error = user
        .run(&["find", "no/body", "--timeout", "20s", "--json"])
        .await
        .error(3);
    assert_eq!(error["message"], "nobody found with no/body");
}

#[tokio::test]
async fn nobody_waits_for_longer_than_a_year() {
    let user = User::new();
    for args in [
        &["call", "o://a", "m", "--timeout", "366days"][..],
        &["find", "a/b", "--timeout", "366days"],
        &["describe", "o://a", "--timeout", "366days"],
        &["ping", "o://a", "--timeout", "366days"],
        &["ping", "o://a", "--interval", "366days"],
        &["bench", "o://a", "--timeout", "366days"],
        &["demo", "--timeout", "366days"],
    ] {
        let error = user.run(&[args, &["--json"]].concat()).await.error(2);
        let message = error["message"].as_str().unwrap();
        let flag = args[args.len() - 2];
        let expected = format!(
            "invalid value '366days' for '{flag} <TIME>': at most 365 days, for example 24h"
        );
        assert!(message.starts_with(&expected), "{message}");
    }
    let mut call = user.command(&["call", "o://a", "m", "--json"]);
    call.env("O_TIMEOUT", "366days");
    let message = user.finish(call).await.error(2)["message"].to_string();
    assert!(message.contains("366days") && message.contains("at most 365 days"));
}
