//! `o demo`: processes that find each other, work on real files, and leave nothing behind.
#![expect(clippy::unwrap_used, reason = "a test fails where its helpers do")]

use std::{collections::HashSet, fs, path::PathBuf};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Running, User, is_alive, until_gone};

const ORCHARD: &str = "# Orchard\n\n\
    An orchard is a piece of land on which fruit trees are grown. The trees of an orchard stand in \
    rows, so that each\ntree gets light. Bees visit the trees of the orchard in spring. Without bees \
    the trees would bear no fruit.\n";
const HARVEST: &str = "The fruit of the trees is picked in autumn. Whoever picks fruit needs a \
    ladder and a basket. Fruit that is picked too early does not ripen. It rained on Tuesday in the \
    whole valley.\n";

/// A user who has files, and who sees what the demo leaves behind.
struct Spectator(User);

impl Spectator {
    fn new() -> Self {
        let spectator = Self(User::new());
        for directory in ["orchard/docs", "empty", "tmp"] {
            fs::create_dir_all(spectator.0.path(directory)).unwrap();
        }
        let write = |name: &str, bytes: &[u8]| fs::write(spectator.0.path(name), bytes).unwrap();
        write("orchard/README.md", ORCHARD.as_bytes());
        write("orchard/docs/harvest.txt", HARVEST.as_bytes());
        write("orchard/photo.jpg", b"\xff\xd8\0\0");
        write("empty/photo.jpg", b"\xff\xd8\0\0");
        spectator
    }

    fn demo(&self, args: &[&str]) -> Running {
        let args = [&["demo", "--json", "--timeout=50s"], args].concat();
        let mut command = self.0.command(&args);
        command.env("TMPDIR", self.temporary());
        self.0.start_command(command)
    }

    fn temporary(&self) -> PathBuf {
        self.0.path("tmp")
    }

    /// What was said on standard error.
    fn error(&self) -> Value {
        let said = fs::read_to_string(self.0.path("stderr.log")).unwrap();
        serde_json::from_str::<Value>(&said).unwrap()["error"].clone()
    }

    fn assert_nothing_is_left(&self, events: &[Value]) {
        for ready in named(events, "ready") {
            assert!(!is_alive(pid(ready)), "{} is left", ready["role"]);
        }
        assert_eq!(fs::read_dir(self.temporary()).unwrap().count(), 0);
    }
}

/// Every event up to the first of this name; to the end if there is none.
async fn up_to(demo: &mut Running, name: &str) -> Vec<Value> {
    let mut events: Vec<Value> = Vec::new();
    while let Some(line) = demo.line().await {
        events.push(serde_json::from_str(&line).unwrap());
        if events.last().is_some_and(|event| event["event"] == name) {
            break;
        }
    }
    events
}

fn named<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events
        .iter()
        .filter(|event| event["event"] == name)
        .collect()
}

fn pid(ready: &Value) -> u32 {
    ready["pid"].as_u64().unwrap().try_into().unwrap()
}

/// The different values of a key.
fn set<'a>(events: &[&'a Value], key: &str) -> HashSet<&'a Value> {
    events.iter().map(|event| &event[key]).collect()
}

/// A text with its line breaks and runs of spaces made one space.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn both_agents_are_found_by_capability_and_piped_into_each_other() {
    let user = Spectator::new();
    let mut demo = user.demo(&["orchard"]);
    let events = up_to(&mut demo, "").await;
    assert_eq!(demo.exit().await, 0, "{events:?}");
    assert_eq!(fs::read_to_string(user.0.path("stderr.log")).unwrap(), "");

    let ready = named(&events, "ready");
    for different in ["role", "pid", "peer_id"] {
        assert_eq!(
            (ready.len(), set(&ready, different).len()),
            (5, 5),
            "{different} {ready:?}"
        );
    }
    check_found(&named(&events, "found"), &ready);
    let connected = named(&events, "connected");
    assert_eq!(set(&connected, "address").len(), 3);
    assert!(
        connected
            .iter()
            .all(|event| event["elapsed_ms"].as_f64().unwrap() > 0.0)
    );

    let searched = named(&events, "searched")[0];
    let hits = searched["hits"].as_array().unwrap();
    let paths: Vec<_> = hits
        .iter()
        .map(|hit| hit["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths, ["README.md", "docs/harvest.txt"]);
    assert_eq!(
        (&searched["files"], &searched["skipped"]),
        (&3.into(), &1.into())
    );

    let sentences = named(&events, "sentence");
    check_sentences(&sentences);
    let summarized = named(&events, "summarized")[0];
    assert_eq!(summarized["documents"], 2);
    assert_eq!(summarized["bytes"], ORCHARD.len() + HARVEST.len());
    assert_eq!(summarized["sentences"], sentences.len());
    check_failover(&events);
    assert_eq!(events.last().unwrap()["event"], "done");
    user.assert_nothing_is_left(&events);
}

/// Both text agents answer, one is killed, and no call is lost.
fn check_failover(events: &[Value]) {
    let answered = |event: &Value| {
        let by = event["by"].as_array().unwrap().iter();
        by.map(|share| (share["address"].clone(), share["calls"].as_u64().unwrap()))
            .collect::<Vec<_>>()
    };
    let spread = named(events, "spread")[0];
    let shares = answered(spread);
    assert_eq!(shares.len(), 2, "{spread}");
    assert!(shares.iter().all(|(_, calls)| *calls > 0), "{spread}");
    assert_eq!(shares.iter().map(|(_, calls)| calls).sum::<u64>(), 60);
    let killed = named(events, "killed")[0];
    assert_eq!(killed["address"], "o://demo/spare");
    let over = named(events, "failed_over")[0];
    assert_eq!(over["failed"], 0, "{over}");
    let left = answered(over).into_iter().max_by_key(|(_, calls)| *calls);
    assert_eq!(left.unwrap().0, "o://demo/text");
}

#[tokio::test]
async fn the_tree_is_shown_with_and_without_whoever_was_killed() {
    let user = Spectator::new();
    let mut demo = user.demo(&["orchard", "--watch"]);
    let events = up_to(&mut demo, "").await;
    assert_eq!(demo.exit().await, 0, "{events:?}");
    let trees = named(&events, "tree");
    let names = |tree: &Value| -> Vec<String> {
        let nodes = tree["nodes"].as_array().unwrap().iter();
        let mut names: Vec<_> = nodes.map(|node| node["name"].to_string()).collect();
        names.sort();
        names
    };
    let all = [
        "o://demo",
        "o://demo/files",
        "o://demo/spare",
        "o://demo/text",
    ];
    let all = all.map(|name| format!("{name:?}"));
    assert!(trees.iter().any(|tree| names(tree) == all), "{trees:?}");
    let last = names(trees.last().unwrap());
    assert_eq!(last, [&all[0], &all[1], &all[3]].map(String::clone));
}

fn check_found(found: &[&Value], ready: &[&Value]) {
    let wanted = [Value::from("files/search"), Value::from("text/summarize")];
    assert_eq!(set(found, "capability"), wanted.iter().collect());
    for found in found {
        assert!(!found["source"].as_array().unwrap().is_empty(), "{found}");
        assert_eq!(found["confirmed"], true);
        let host = ready
            .iter()
            .find(|ready| ready["peer_id"] == found["peer_id"])
            .unwrap();
        assert_eq!(host["address"], found["address"]);
        assert!(
            host["capabilities"]
                .as_array()
                .unwrap()
                .contains(&found["capability"])
        );
        let place = found["addresses"][0].as_str().unwrap();
        assert!(place.starts_with("/ip4/127.0.0.1/tcp/"), "{place}");
    }
}

fn check_sentences(sentences: &[&Value]) {
    for event in sentences {
        let text = match event["document"].as_str().unwrap() {
            "README.md" => ORCHARD,
            "docs/harvest.txt" => HARVEST,
            other => panic!("{other}"),
        };
        assert!(
            one_line(text).contains(event["sentence"].as_str().unwrap()),
            "{event}"
        );
    }
    assert_eq!(set(sentences, "document").len(), 2);
    let overall: Vec<bool> = sentences
        .iter()
        .map(|event| event["overall"] == true)
        .collect();
    assert!(
        overall.contains(&true) && overall.is_sorted(),
        "{overall:?}"
    );
}

#[tokio::test]
async fn people_see_the_same() {
    let user = Spectator::new();
    let text = user
        .0
        .run(&["demo", "orchard", "--query", "ladder and basket"])
        .await
        .ok();
    assert!(
        text.contains("files/search → o://demo/files through ") && text.contains(", confirmed"),
        "{text}"
    );
    assert!(
        text.contains("chose 1 of 3 files about \"ladder and basket\""),
        "{text}"
    );
    assert!(text.contains("\n  docs/harvest.txt\n  • "), "{text}");
    assert!(
        !text.contains("README.md") && !text.contains('\u{1b}'),
        "{text}"
    );
}

#[tokio::test]
async fn an_interrupted_demo_leaves_nothing_behind() {
    let user = Spectator::new();
    for (moment, signal) in [("ready", Signal::INT), ("found", Signal::TERM)] {
        let mut demo = user.demo(&["orchard"]);
        let mut events = up_to(&mut demo, moment).await;
        demo.signal(signal);
        events.extend(up_to(&mut demo, "").await);
        assert_eq!(demo.exit().await, 130, "{moment} {events:?}");
        assert_eq!(user.error()["code"], "cancelled");
        assert!(named(&events, "done").is_empty());
        user.assert_nothing_is_left(&events);
    }
}

#[tokio::test]
async fn its_processes_do_not_outlive_it() {
    let user = Spectator::new();
    let mut demo = user.demo(&["orchard"]);
    let events = up_to(&mut demo, "found").await;
    demo.signal(Signal::KILL);
    demo.exit().await;
    for ready in named(&events, "ready") {
        until_gone(pid(ready)).await;
    }
    // It could not remove its directory; the next one does.
    let left = || fs::read_dir(user.temporary()).unwrap().count();
    assert_eq!(left(), 1);
    let mut next = user.demo(&["orchard"]);
    let events = up_to(&mut next, "").await;
    assert_eq!(next.exit().await, 0, "{events:?}");
    assert_eq!(left(), 0);
}

#[tokio::test]
async fn without_text_files_it_says_so() {
    let user = Spectator::new();
    let mut demo = user.demo(&["empty"]);
    let events = up_to(&mut demo, "").await;
    assert_eq!(demo.exit().await, 3, "{events:?}");
    let error = user.error();
    assert_eq!(error["code"], "not_found");
    assert!(
        error["message"].as_str().unwrap().contains("no text files"),
        "{error}"
    );
    user.assert_nothing_is_left(&events);
}

#[tokio::test]
async fn a_path_that_is_not_there_is_a_mistake_of_the_user() {
    let user = Spectator::new();
    let mut demo = user.demo(&["nothing"]);
    assert_eq!(demo.line().await, None);
    assert_eq!(demo.exit().await, 2);
    assert!(
        user.error()["message"]
            .as_str()
            .unwrap()
            .starts_with("nothing: ")
    );
    user.assert_nothing_is_left(&[]);
}
