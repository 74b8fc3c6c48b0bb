//! `o bench` against `o serve`, in two processes.
#![expect(clippy::unwrap_used, reason = "a test fails where its helpers do")]

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::User;

const KEYS: [&str; 7] = [
    "bytes",
    "in_flight",
    "mb_per_second",
    "measure",
    "p50_us",
    "p99_us",
    "per_second",
];

/// What a line is about; its keys and figures must be as documented.
fn checked(line: &Value) -> (String, u64, u64) {
    let mut keys: Vec<_> = line.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, KEYS, "{line}");
    let measure = line["measure"].as_str().unwrap();
    let expected: &[&str] = match measure {
        "setup" => &["p50_us", "p99_us", "per_second"],
        "upload" => &["mb_per_second"],
        _ => &["p50_us", "p99_us", "per_second", "mb_per_second"],
    };
    for key in ["p50_us", "p99_us", "per_second", "mb_per_second"] {
        match expected.contains(&key) {
            true => assert!(line[key].as_f64().unwrap() > 0.0, "{key}: {line}"),
            false => assert!(line[key].is_null(), "{key}: {line}"),
        }
    }
    let number = |key: &str| line[key].as_u64().unwrap();
    let bytes = if measure == "upload" {
        0
    } else {
        number("bytes")
    };
    (measure.to_owned(), bytes, number("in_flight"))
}

#[tokio::test]
async fn every_figure_is_one_line_of_json_over_tcp_and_quic() {
    let user = User::new();
    let server = user.serve(&["o://a"]).await;
    let bench = ["bench", "o://a", "--duration", "20ms", "--quick", "--json"];
    for way in [
        &[][..],
        &["--peer", server.at("/tcp/")],
        &["--peer", server.at("/quic-v1/")],
        &["--bootstrap", server.at("/tcp/")],
    ] {
        let outcome = user.run(&[&bench, way].concat()).await;
        assert_eq!(outcome.stderr, "", "{way:?}");
        let lines: Vec<_> = outcome.lines().iter().map(checked).collect();
        let expected = [
            ("setup", 100, 1),
            ("rtt", 100, 1),
            ("calls", 100, 1),
            ("calls", 100, 64),
            ("calls", 100, 512),
            ("echo", 64 * 1024, 8),
            ("echo", 1024 * 1024, 8),
            ("echo", 16 * 1024 * 1024, 1),
            ("upload", 0, 1),
        ];
        let expected = expected.map(|(measure, bytes, calls)| (measure.to_owned(), bytes, calls));
        assert_eq!(lines, expected, "{way:?}");
    }
    assert_eq!(server.stop().await, 0);
}

#[tokio::test]
async fn people_get_a_table_and_a_picture() {
    let user = User::new();
    let _server = user.serve(&["o://a"]).await;
    let bench = [
        "bench",
        "o://a",
        "--measure",
        "rtt,upload",
        "--duration",
        "20ms",
    ];
    let outcome = user.run(&bench).await;
    assert_eq!(outcome.stderr, "", "progress without a terminal");
    let text = outcome.ok();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("MEASURE  SIZE"), "{text}");
    assert!(lines[1].starts_with("rtt      100 B"), "{text}");
    assert!(lines[2].starts_with("upload   "), "{text}");
    let (_, calls) = lines[4].split_once("Round trips: ").unwrap();
    let bars = lines[5..].iter().map(|line| line.split_whitespace().last());
    let sum: u64 = bars
        .map(|count| count.unwrap().parse::<u64>().unwrap())
        .sum();
    assert_eq!(sum.to_string(), calls, "{text}");
    assert!(text.contains('#') && !text.contains('\u{1b}'), "{text}");
    // What was not asked for is not measured.
    let setup = ["bench", "o://a", "--measure", "setup", "--quick", "--json"];
    let line = user.run(&setup).await.json();
    assert_eq!(checked(&line).0, "setup");
}

#[tokio::test]
async fn an_agent_that_does_not_let_itself_be_measured_is_7_with_a_hint() {
    let user = User::new();
    std::fs::write(user.path("off.toml"), "[node.bench]\nenabled = false\n").unwrap();
    let server = user.serve(&["o://a", "--config", "off.toml"]).await;
    for measure in ["setup", "rtt", "upload"] {
        let bench = ["bench", "o://a", "--measure", measure, "--json"];
        let error = user.run(&bench).await.error(7);
        assert_eq!(error["code"], "unknown_method", "{measure}");
        let hint = error["hint"].as_str().unwrap();
        assert!(hint.contains("node.bench.enabled"), "{hint}");
        assert_eq!(error["peer"], server.peer_id());
    }
    // It answers everything else.
    assert_eq!(user.run(&["call", "o://a", "echo", "1"]).await.ok(), "1\n");
    let shown = user.run(&["config", "show", "--public", "--json"]).await;
    assert_eq!(shown.json()["node.bench.enabled"]["value"], false);
}

#[tokio::test]
async fn limits_there_and_mistakes_here_have_their_exit_status() {
    let user = User::new();
    let limits = "[node.bench]\nmax_echo = 100000\nmax_bytes = 1000\n";
    std::fs::write(user.path("small.toml"), limits).unwrap();
    let server = user.serve(&["o://a", "--config", "small.toml"]).await;
    let bench = [
        "bench",
        "o://a",
        "--duration",
        "20ms",
        "--json",
        "--measure",
    ];
    let outcome = user.run(&[&bench[..], &["echo"]].concat()).await;
    // What was measured before stays.
    assert_eq!(
        (outcome.code(), outcome.stdout.lines().count()),
        (8, 1),
        "{outcome:?}"
    );
    assert!(outcome.stderr.contains("too_large"), "{outcome:?}");
    let error = user.run(&[&bench[..], &["upload"]].concat()).await.error(8);
    assert_eq!(error["code"], "too_large");
    let nobody = [
        "bench",
        "o://nobody",
        "--json",
        "--peer",
        server.at("/tcp/"),
    ];
    assert_eq!(user.run(&nobody).await.error(3)["code"], "not_found");
    for wrong in [
        &["bench", "o://a", "--measure", "speed"][..],
        &["bench", "o://a", "--duration", "0s"],
        &["bench", "o://a", "--duration", "2h"],
        &["bench", "o://~"],
        &["bench"],
    ] {
        let outcome = user.run(wrong).await;
        assert_eq!((outcome.code(), &*outcome.stdout), (2, ""), "{wrong:?}");
    }
    drop(server);
    assert_eq!(User::new().run(&["bench", "o://a"]).await.code(), 4);
}

#[tokio::test]
async fn the_time_is_over_for_all_of_it_and_what_was_measured_is_shown() {
    let user = User::new();
    let _server = user.serve(&["o://a"]).await;
    let begun = Instant::now();
    let bench = [
        "bench",
        "o://a",
        "--measure",
        "rtt,upload",
        "--duration",
        "60s",
        "--timeout",
        "3s",
        "--json",
    ];
    let outcome = user.run(&bench).await;
    let took = begun.elapsed();
    assert_eq!(outcome.code(), 6, "{outcome:?}");
    assert!(outcome.stderr.contains("timed out after 3s"), "{outcome:?}");
    let range = Duration::from_secs(3)..Duration::from_secs(6);
    assert!(range.contains(&took), "{took:?}");
    let line: Value = serde_json::from_str(outcome.stdout.trim()).unwrap();
    assert_eq!(checked(&line), ("rtt".to_owned(), 100, 1));
}

#[tokio::test]
async fn interrupted_it_shows_what_was_measured_until_then() {
    let user = User::new();
    let _server = user.serve(&["o://a"]).await;
    let bench = [
        "bench",
        "o://a",
        "--measure",
        "setup,rtt",
        "--duration",
        "60s",
        "--json",
    ];
    let mut running = user.start(&bench);
    let setup = running.value().await;
    assert_eq!(checked(&setup).0, "setup");
    // So that some round trips have been made.
    tokio::time::sleep(Duration::from_secs(2)).await;
    running.signal(Signal::INT);
    let half = running.value().await;
    assert_eq!(checked(&half), ("rtt".to_owned(), 100, 1));
    assert_eq!(running.line().await, None);
    assert_eq!(running.exit().await, 130);
}
