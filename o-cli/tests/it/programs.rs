//! Programs as methods: what they read and write, and how they end.

use std::{io::Write as _, process::Stdio};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Server, User, is_alive, number_in, until, until_gone};

async fn serve(user: &User, script: &str) -> Server {
    let script = user.script("method.sh", script);
    user.serve(&["o://a", "--method", &format!("m={script}")])
        .await
}

fn call<'a>(server: &'a Server, more: &[&'a str]) -> Vec<&'a str> {
    let call = ["call", "o://a", "m", "--json", "--peer", server.at("/tcp/")];
    [&call[..], more].concat()
}

#[tokio::test]
async fn it_reads_json_and_finds_its_environment() {
    let user = User::new();
    let script = "#!/bin/sh\nread -r params\n\
        printf '{\"params\": %s, \"address\": \"%s\", \"method\": \"%s\", \"peer\": \"%s\",\n' \
        \"$params\" \"$O_ADDRESS\" \"$O_METHOD\" \"$O_PEER\"\n\
        printf ' \"id\": \"%s\", \"left\": \"%s\", \"trace\": \"%s\", \"home\": \"%s\"}' \
        \"$O_CALL_ID\" \"$O_DEADLINE_MS\" \"$TRACEPARENT\" \"$HOME\"\n";
    let server = serve(&user, script).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let args = call(&server, &["[1, 2]", "--timeout", "50s", "--seed", "me"]);
    let mut command = user.command(&args);
    command.env("TRACEPARENT", trace);
    let seen = user.finish(command).await.json();
    assert_eq!(seen["params"], json!([1, 2]));
    assert_eq!(seen["address"], "o://a");
    assert_eq!(seen["method"], "m");
    let me = user.run(&["id", "--seed", "me"]).await.ok();
    assert_eq!(seen["peer"], me.trim());
    assert_eq!(seen["trace"], trace);
    assert_eq!(
        seen["home"],
        user.path("").to_str().unwrap().trim_end_matches('/')
    );
    let left: u64 = seen["left"].as_str().unwrap().parse().unwrap();
    assert!((1..=50_000).contains(&left), "{left}");

    let again = user.run(&call(&server, &[])).await.json();
    assert_ne!(again["id"], seen["id"]);
    assert_eq!(
        (&again["params"], &again["left"]),
        (&Value::Null, &json!(""))
    );
    assert_eq!(again["trace"], "");
}

#[tokio::test]
async fn each_value_is_forwarded_at_once() {
    let user = User::new();
    // It goes on only when somebody has seen what it wrote before.
    let script = "#!/bin/sh\nprintf '{\\n \"n\": 1\\n}'\n\
        while [ ! -e go ]; do sleep 0.02; done\nprintf '[2] \"three\" 4'\n";
    let server = serve(&user, script).await;
    let mut running = user.start(&call(&server, &[]));
    assert_eq!(running.line().await.as_deref(), Some("{\"n\":1}"));
    std::fs::write(user.path("go"), "").unwrap();
    for value in ["[2]", "\"three\"", "4"] {
        assert_eq!(running.line().await.as_deref(), Some(value));
    }
    assert_eq!(running.line().await, None);
    assert_eq!(running.exit().await, 0);
}

#[tokio::test]
async fn python_needs_nothing_but_json() {
    let python = std::process::Command::new("python3")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    if !python.is_ok_and(|status| status.success()) {
        // Not `eprintln!`, which the test harness hides when a test passes.
        let mut loud = std::io::stderr().lock();
        writeln!(
            loud,
            "SKIPPED: a method in Python is NOT tested here: no python3 that runs"
        )
        .unwrap();
        return;
    }
    let user = User::new();
    let script = "import json, sys\nfor n in range(json.load(sys.stdin)['to']):\n    print(json.dumps({'n': n}), flush=True)\n";
    std::fs::write(user.path("count.py"), script).unwrap();
    let mut serve = user.command(&["serve", "o://a", "--json", "--method", "m=python3 count.py"]);
    // A manager of versions may look for its own home.
    if let Some(home) = std::env::var_os("HOME") {
        serve
            .env("HOME", home)
            .env("XDG_DATA_HOME", user.path("data"));
    }
    let server = user.serve_command(serve).await;
    let lines = user.run(&call(&server, &["{\"to\":3}"])).await.lines();
    assert_eq!(lines, [json!({"n": 0}), json!({"n": 1}), json!({"n": 2})]);
}

#[tokio::test]
async fn values_before_a_failure_arrive() {
    let user = User::new();
    let server = serve(&user, "#!/bin/sh\necho 1\necho 2\nexit 1\n").await;
    let outcome = user.run(&call(&server, &[])).await;
    assert_eq!(
        (outcome.code(), &*outcome.stdout),
        (7, "1\n2\n"),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_large_value_passes_and_one_over_the_limit_does_not() {
    let user = User::new();
    let script = "#!/bin/sh\nprintf '\"'; head -c 3000000 /dev/zero | tr '\\0' x; printf '\"'\n";
    let server = serve(&user, script).await;
    let value = user.run(&call(&server, &[])).await.json();
    assert_eq!(value.as_str().unwrap().len(), 3_000_000);

    std::fs::write(user.path("small.toml"), "[exec]\nmax_value = 1000\n").unwrap();
    let method = format!("m={}", user.path("method.sh").display());
    let server = user
        .serve(&[
            "o://a",
            "--config",
            "small.toml",
            "--seed",
            "s",
            "--method",
            &method,
        ])
        .await;
    assert_eq!(
        user.run(&call(&server, &[])).await.error(8)["code"],
        "too_large"
    );
}

#[tokio::test]
async fn a_program_that_reads_nothing_is_no_error() {
    let user = User::new();
    let server = serve(&user, "#!/bin/sh\nexec <&-\necho true\n").await;
    let big = format!("\"{}\"", "x".repeat(1_000_000));
    let outcome = user
        .run_with_input(&call(&server, &["-"]), big.as_bytes())
        .await;
    assert_eq!(outcome.ok(), "true\n");
}

/// A program with a child of its own, whose process ids are on file. Both would run for ever.
const FOREVER: &str =
    "#!/bin/sh\nsleep 100000 &\necho $! > child.pid\necho $$ > own.pid\necho '\"running\"'\nwait\n";

async fn pids(user: &User) -> (u32, u32) {
    let own = number_in(&user.path("own.pid")).await;
    let child = number_in(&user.path("child.pid")).await;
    assert!(is_alive(own) && is_alive(child));
    (own, child)
}

async fn both_end(user: &User, (own, child): (u32, u32)) {
    until_gone(own).await;
    until_gone(child).await;
    for file in ["own.pid", "child.pid"] {
        let removed = std::fs::remove_file(user.path(file));
        assert!(removed.is_ok(), "{file}: {removed:?}");
    }
}

#[tokio::test]
async fn a_cancelled_call_ends_the_whole_process_group() {
    let user = User::new();
    let server = serve(&user, FOREVER).await;
    // A caller that says goodbye, one that dies, and one that has seen enough.
    for signal in [Signal::INT, Signal::KILL] {
        let mut running = user.start(&call(&server, &[]));
        assert_eq!(running.line().await.as_deref(), Some("\"running\""));
        let pids = pids(&user).await;
        running.signal(signal);
        running.exit().await;
        both_end(&user, pids).await;
    }
    let limited = user.run(&call(&server, &["--limit", "1"])).await;
    assert_eq!(limited.ok(), "\"running\"\n");
    let own = number_in(&user.path("own.pid")).await;
    until_gone(own).await;
    // A place to run is free again: the server still answers.
    assert_eq!(user.run(&call(&server, &["--limit", "1"])).await.code(), 0);
}

#[tokio::test]
async fn the_deadline_ends_the_program() {
    let user = User::new();
    let server = serve(&user, FOREVER).await;
    let outcome = user.run(&call(&server, &["--timeout", "1s"])).await;
    assert_eq!(
        (outcome.code(), &*outcome.stdout),
        (6, "\"running\"\n"),
        "{outcome:?}"
    );
    let own = number_in(&user.path("own.pid")).await;
    let child = number_in(&user.path("child.pid")).await;
    both_end(&user, (own, child)).await;
}

#[tokio::test]
async fn a_program_that_ignores_sigterm_is_killed() {
    let user = User::new();
    let script = "#!/bin/sh\ntrap 'echo asked > asked' TERM\necho $$ > own.pid\necho 1\n\
        while true; do sleep 0.05; done\n";
    let server = serve(&user, script).await;
    assert_eq!(user.run(&call(&server, &["--limit", "1"])).await.code(), 0);
    let own = number_in(&user.path("own.pid")).await;
    until("it is asked first", || user.path("asked").exists()).await;
    until_gone(own).await;
}

#[tokio::test]
async fn a_server_that_stops_takes_its_programs_along() {
    let user = User::new();
    std::fs::write(user.path("quick.toml"), "[node.node]\ndrain = '100ms'\n").unwrap();
    let script = user.script("method.sh", FOREVER);
    let method = format!("m={script}");
    let server = user
        .serve(&["o://a", "--config", "quick.toml", "--method", &method])
        .await;
    let mut running = user.start(&call(&server, &[]));
    assert_eq!(running.line().await.as_deref(), Some("\"running\""));
    let (own, child) = pids(&user).await;
    assert_eq!(server.stop().await, 0);
    // When the server has ended, nothing of it is left.
    assert!(!is_alive(own) && !is_alive(child));
    assert_eq!(running.exit().await, 4);
}

#[tokio::test]
async fn two_interrupts_end_a_server_at_once() {
    let user = User::new();
    let script = user.script("method.sh", FOREVER);
    let mut server = user
        .serve(&["o://a", "--method", &format!("m={script}")])
        .await;
    let args: Vec<String> = call(&server, &[]).into_iter().map(str::to_owned).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut running = user.start(&args);
    assert_eq!(running.line().await.as_deref(), Some("\"running\""));
    let (own, child) = pids(&user).await;
    server.running.signal(Signal::INT);
    server.event("stopping").await;
    // Signals that come together are one: `timeout` sends one to the process and one to its group.
    server.running.signal(Signal::INT);
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    assert!(is_alive(server.running.pid()));
    server.running.signal(Signal::INT);
    assert_eq!(server.running.exit().await, 130);
    until_gone(own).await;
    until_gone(child).await;
}

#[tokio::test]
async fn a_server_killed_in_the_middle_of_a_call_is_noticed() {
    let user = User::new();
    for listen in [
        "/ip4/127.0.0.1/tcp/0",
        "/ip4/127.0.0.1/tcp/0/ws",
        "/ip4/127.0.0.1/udp/0/quic-v1",
    ] {
        let mut server = user.serve(&["o://a", "--listen", listen]).await;
        let endless = "{\"to\":1000000000,\"every_ms\":600000}";
        let args = [
            "call",
            "o://a",
            "count",
            endless,
            "--json",
            "--peer",
            server.at("/ip4/"),
        ];
        let mut child = user.command(&args).spawn().unwrap();
        // The first answer has come when the call is counted as running there.
        let stdout = child.stdout.take().unwrap();
        let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(stdout));
        let first = tokio::time::timeout(crate::support::DEADLINE, lines.next_line()).await;
        assert_eq!(first.unwrap().unwrap().as_deref(), Some("1"));
        server.running.signal(Signal::KILL);
        server.running.exit().await;
        let output = tokio::time::timeout(crate::support::DEADLINE, child.wait_with_output()).await;
        let output = output.unwrap().unwrap();
        assert_eq!(output.status.code(), Some(4), "{listen}: {output:?}");
        let error: Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!(error["error"]["code"], "connection_lost", "{listen}");
        let message = error["error"]["message"].as_str().unwrap();
        assert!(!message.contains("this end"), "{listen}: {message}");
    }
}

#[tokio::test]
async fn programs_do_not_survive_a_server_that_was_killed() {
    let user = User::new();
    let mut server = serve(&user, FOREVER).await;
    let args: Vec<String> = call(&server, &[]).into_iter().map(str::to_owned).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut running = user.start(&args);
    assert_eq!(running.line().await.as_deref(), Some("\"running\""));
    let (own, child) = pids(&user).await;
    server.running.signal(Signal::KILL);
    server.running.exit().await;
    // Also what the program started itself.
    until_gone(own).await;
    until_gone(child).await;
}

#[tokio::test]
async fn what_stays_in_the_background_does_not_hold_a_call() {
    let user = User::new();
    // It has the program's standard output, and ends neither by itself nor by SIGTERM.
    let script = "#!/bin/sh\n(trap '' TERM; while true; do sleep 0.05; done) &\n\
        echo $! > child.pid\necho 1\n";
    let server = serve(&user, script).await;
    let outcome = user.run(&call(&server, &["--timeout", "30s"])).await;
    assert_eq!(outcome.ok(), "1\n");
    until_gone(number_in(&user.path("child.pid")).await).await;
}

#[tokio::test]
async fn what_a_program_writes_is_checked_like_parameters() {
    let user = User::new();
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let values = [
        ("1e999".to_owned(), "out of range"),
        (nested(5000), "recursion limit"),
        ("{\"$bytes\":\"!!!\"}".to_owned(), "not standard base64"),
    ];
    for (value, why) in values {
        let server = serve(&user, &format!("#!/bin/sh\ncat <<'E'\n{value}\nE\n")).await;
        let error = user.run(&call(&server, &[])).await.error(7);
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("`m`: the program wrote "), "{message}");
        assert!(message.contains(why) && message.len() < 500, "{message}");
        server.stop().await;
    }
    // What is nested deeply and may be sent is not laid out in steps.
    let value = nested(120);
    let server = serve(&user, &format!("#!/bin/sh\necho '{value}'\n")).await;
    let args = ["call", "o://a", "m", "--peer", server.at("/tcp/")];
    assert_eq!(user.run(&args).await.ok(), format!("{value}\n"));
}
