//! One peer sends a million records that nobody should believe: what that costs, and who notices.

mod attack;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use o_node::Keypair;
use serde_json::{Value, json};

use self::attack::{Sent, gossip, registry, table};
use super::{Outcome, Size};
use crate::{
    figures::{millis, percentile, resident_bytes_of},
    members::{Member, Plan, observer},
    plot::{Plot, Series},
    say,
};

/// Messages of each attack, in all a million.
const REGISTRY: usize = 400_000;
const GOSSIP: usize = 400_000;
const TABLE: usize = 200_000;

/// More than this of one peer the table does not keep, and half of what is sent is somebody else's.
const TABLE_LIMIT: usize = 3000;

/// By how much memory may grow, in bytes.
const MOST: f64 = 32.0 * 1024.0 * 1024.0;

/// How often memory is read, and an honest call is made.
const LOOK: Duration = Duration::from_millis(50);

/// After an attack: what was only queued is worked off.
const REST: Duration = Duration::from_secs(2);

/// What one attack did.
struct Seen {
    name: &'static str,
    sent: Sent,
    took: Duration,
    /// By the time since the attack began, growth of the memory in bytes.
    growth: Vec<(Duration, f64)>,
    /// What honest calls took meanwhile.
    calls: Vec<Duration>,
    failed: usize,
    /// Lines of the log that name the attacker, and all lines.
    named: usize,
    lines: usize,
}

impl Seen {
    fn peak(&self) -> f64 {
        self.growth
            .iter()
            .fold(0.0, |peak, (_, bytes)| bytes.max(peak))
    }

    fn json(&self) -> Value {
        let [p50, p99] = [50, 99].map(|percent| percentile(&self.calls, percent).map(millis));
        json!({
            "attack": self.name,
            "sent": self.sent.sent,
            "refused": self.sent.refused,
            "took_ms": millis(self.took),
            "growth_peak_bytes": self.peak(),
            "growth_after_bytes": self.growth.last().map(|(_, bytes)| bytes),
            "honest_calls": self.calls.len(),
            "honest_calls_failed": self.failed,
            "honest_p50_ms": p50,
            "honest_p99_ms": p99,
            "log_lines_that_name_the_attacker": self.named,
            "log_lines": self.lines,
        })
    }

    fn say(&self) {
        let [p50, p99] = [50, 99].map(|percent| percentile(&self.calls, percent).map(millis));
        say(format_args!(
            "{:<9} sent {:>7} in {:>5.1} s  told that they are refused {:>7}  memory +{:.1} MiB at most  honest calls {} ({} failed) p50 {:.1} ms p99 {:.1} ms  log: {} lines, {} name the attacker",
            self.name,
            self.sent.sent,
            self.took.as_secs_f64(),
            self.sent.refused,
            self.peak() / f64::from(1 << 20),
            self.calls.len(),
            self.failed,
            p50.unwrap_or_default(),
            p99.unwrap_or_default(),
            self.lines,
            self.named,
        ));
    }
}

/// The three attacks of one peer, one after the other, on a node in a process of its own.
pub(super) async fn run(size: &Size) -> anyhow::Result<Outcome> {
    let directory = tempfile::tempdir()?;
    let log = directory.path().join("log");
    let plan = Plan {
        name: "o://lab".into(),
        seed: "forged".into(),
        log: Some(log.clone()),
        ..Plan::default()
    };
    let victim = Member::start(&plan).await?;
    let one = Keypair::generate();
    let table_count = size.messages(TABLE).max(2 * TABLE_LIMIT);
    // What any use of it takes is there before.
    let zero = Keypair::generate();
    one_attack(
        "warming",
        &victim,
        &log,
        None,
        registry(&zero, &victim, 2_000),
    )
    .await?;
    let seen = [
        one_attack(
            "registry",
            &victim,
            &log,
            Some(&one),
            registry(&one, &victim, size.messages(REGISTRY)),
        )
        .await?,
        one_attack(
            "gossip",
            &victim,
            &log,
            Some(&one),
            gossip(&one, &victim, size.messages(GOSSIP)),
        )
        .await?,
        one_attack(
            "table",
            &victim,
            &log,
            Some(&one),
            table(&one, &victim, table_count),
        )
        .await?,
    ];
    let counts = [size.messages(REGISTRY), size.messages(GOSSIP), table_count];
    for (seen, count) in seen.iter().zip(counts) {
        let (name, sent) = (seen.name, seen.sent.sent);
        ensure!(sent == count, "{name}: {sent} of {count} were sent");
        ensure!(seen.peak() < MOST, "{name}: {} bytes more", seen.peak());
        ensure!(seen.failed == 0, "{name}: honest calls failed");
    }
    let known = victim.known(&observer(&[&victim]).await?).await?;
    ensure!(known == ["o://lab"], "it believes {known:?}");
    Ok(outcome(&seen))
}

fn outcome(seen: &[Seen]) -> Outcome {
    let title = "A million forged, oversized and stale records";
    let series = seen.iter().map(|seen| Series {
        name: seen.name.into(),
        points: seen
            .growth
            .iter()
            .map(|(at, bytes)| (at.as_secs_f64(), bytes / f64::from(1 << 20)))
            .collect(),
    });
    Outcome {
        figures: json!({ "title": title, "attacks": seen.iter().map(Seen::json).collect::<Vec<_>>() }),
        plot: Plot {
            title: title.into(),
            x: "seconds".into(),
            y: "MiB more".into(),
            series: series.collect(),
        },
    }
}

async fn one_attack(
    name: &'static str,
    victim: &Member,
    log: &Path,
    attacker: Option<&Keypair>,
    attack: impl Future<Output = anyhow::Result<Sent>>,
) -> anyhow::Result<Seen> {
    let pid = victim.pid().context("it has ended")?;
    let honest = observer(&[victim]).await?;
    let logged = || std::fs::read_to_string(log).unwrap_or_default();
    let before = logged().lines().count();
    let (begun, memory) = (Instant::now(), resident_bytes_of(pid));
    let (mut growth, mut calls, mut failed) = (Vec::new(), Vec::new(), 0);
    let mut look = async || {
        let asked = Instant::now();
        match victim.ask::<String>(&honest, "echo", &"x").await {
            Ok(_) => calls.push(asked.elapsed()),
            Err(_) => failed += 1,
        }
        let more = resident_bytes_of(pid) as f64 - memory as f64;
        growth.push((begun.elapsed(), more));
        tokio::time::sleep(LOOK).await;
    };
    let mut attack = std::pin::pin!(attack);
    let sent = loop {
        tokio::select! {
            biased;
            sent = attack.as_mut() => break sent?,
            () = look() => {}
        }
    };
    let took = begun.elapsed();
    while begun.elapsed() < took + REST {
        look().await;
    }
    let text = logged();
    let lines: Vec<_> = text.lines().skip(before).collect();
    let id = attacker.map(|keys| keys.peer_id().to_string());
    let named = lines
        .iter()
        .filter(|line| id.as_ref().is_some_and(|id| line.contains(id)));
    let seen = Seen {
        name,
        sent,
        took,
        named: named.count(),
        lines: lines.len(),
        growth,
        calls,
        failed,
    };
    seen.say();
    Ok(seen)
}
