//! What the DHT alone costs and how well it finds, by the number of nodes.

mod churn;

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};

use self::churn::Churn;
use super::{Outcome, Size};
use crate::{
    bare::{Bare, Found, network, server},
    figures::{millis, percentile, processor_time, resident_bytes},
    fit::growth,
    plot::{Plot, Series},
    rng::Rng,
    say, warn,
};

/// Of so many nodes one announces an agent with a capability of its own.
const ONE_IN: usize = 10;

/// Searches at once, and how many there are for each round of the experiment.
const SEARCHING: usize = 4;
const SEARCHES: usize = 100;

/// Nodes whose bootstraps and announcements are counted.
const SAMPLE: usize = 20;

/// How long nothing is asked of the network: connections that nobody uses close meanwhile.
const REST: Duration = Duration::from_secs(15);

/// How long nodes come and go.
const TIME: Duration = Duration::from_secs(60);

const A_DAY: Duration = Duration::from_secs(24 * 3600);

/// What is found out about a network of one size.
struct Row {
    nodes: usize,
    started: Duration,
    bytes_joined: f64,
    bytes_at_rest: f64,
    /// Processor time of a node in a minute in which nothing is asked.
    idle: Duration,
    at_rest: Tally,
    churn: Churn,
    /// Messages of one search, one bootstrap, one announcement of a name with a capability.
    search: f64,
    bootstrap: f64,
    announcement: f64,
    /// Messages of a node in a minute at rest, with the default intervals.
    per_minute: f64,
}

/// The searches of one kind.
#[derive(Default)]
struct Tally {
    searches: usize,
    times: Vec<Duration>,
    hops: Vec<u32>,
}

impl Tally {
    fn add(&mut self, found: Option<Found>) {
        self.searches += 1;
        if let Some(Found { time, hops }) = found {
            self.times.push(time);
            self.hops.push(hops);
        }
    }

    fn found_percent(&self) -> f64 {
        100.0 * self.times.len() as f64 / self.searches.max(1) as f64
    }

    fn hops(&self, percent: usize) -> u32 {
        // As seconds, for the percentile is one of times.
        let hops: Vec<_> = self
            .hops
            .iter()
            .map(|hops| Duration::from_secs((*hops).into()))
            .collect();
        let hops = percentile(&hops, percent).unwrap_or_default();
        u32::try_from(hops.as_secs()).unwrap_or(u32::MAX)
    }

    fn json(&self) -> Value {
        let [p50, p99] = [50, 99].map(|percent| percentile(&self.times, percent).map(millis));
        json!({
            "searches": self.searches,
            "found": self.times.len(),
            "found_percent": self.found_percent(),
            "round_trips_p50": self.hops(50),
            "round_trips_p99": self.hops(99),
            "p50_ms": p50,
            "p99_ms": p99,
        })
    }
}

/// One network after the other, on memory addresses and without encryption: each in a process of its own, so
/// that none has the memory that was used before.
pub(super) async fn run(size: &Size) -> anyhow::Result<Outcome> {
    let mut rows = Vec::new();
    for count in &size.nodes {
        rows.push(match size.nodes.len() {
            1 => one_size(*count, size).await?.json(),
            _ => alone(*count, size).await?,
        });
    }
    let figure = |name: &str, key: &str, unit: f64| {
        let of = |row: &Value| row.pointer(key).and_then(Value::as_f64).unwrap_or_default();
        let nodes = |row: &Value| row["nodes"].as_f64().unwrap_or_default();
        let points: Vec<_> = rows
            .iter()
            .map(|row| (nodes(row), of(row) / unit))
            .collect();
        let growth = growth(&points);
        (name.to_owned(), growth, points)
    };
    let minute = "/messages/per_node_and_minute_";
    let (at_rest, churn) = (format!("{minute}at_rest"), format!("{minute}under_churn"));
    let figures = [
        figure("messages per node and minute, at rest", &at_rest, 1.0),
        figure("messages per node and minute, 10 %/min churn", &churn, 1.0),
        figure("messages per search", "/messages/search", 1.0),
        figure("KiB per node, joined", "/bytes_per_node_joined", 1024.0),
        figure("KiB per node, at rest", "/bytes_per_node_at_rest", 1024.0),
    ];
    let title = "The DHT alone, in memory".to_owned();
    let growth = figures
        .iter()
        .map(|(name, growth, _)| (name.clone(), growth.clone()));
    let growth: serde_json::Map<_, _> = growth.collect();
    if rows.len() > 1 {
        say(format_args!("{}", serde_json::to_string_pretty(&growth)?));
    }
    let json = json!({ "title": title, "sizes": rows, "growth": growth });
    let series = figures
        .into_iter()
        .map(|(name, _, points)| Series { name, points });
    Ok(Outcome {
        figures: json,
        plot: Plot {
            title,
            x: "nodes".into(),
            y: "messages, or KiB".into(),
            series: series.collect(),
        },
    })
}

/// One network in a process of its own.
async fn alone(count: usize, size: &Size) -> anyhow::Result<Value> {
    let directory = tempfile::tempdir()?;
    let mut child = tokio::process::Command::new(std::env::current_exe()?);
    child.args(["table", "--nodes", &count.to_string()]);
    child.args(["--rounds", &size.rounds.to_string()]);
    child.args(size.quick.then_some("--quick"));
    let child = child.arg("--directory").arg(directory.path());
    let status = child.kill_on_drop(true).status().await?;
    ensure!(status.success(), "{count} nodes: {status}");
    let figures = std::fs::read(directory.path().join("table.json"))?;
    let mut figures: Value = serde_json::from_slice(&figures)?;
    let row = figures.pointer_mut("/sizes/0").map(Value::take);
    row.context("no figures")
}

async fn one_size(count: usize, size: &Size) -> anyhow::Result<Row> {
    let memory = resident_bytes();
    let taken = || resident_bytes().saturating_sub(memory) as f64 / count as f64;
    let begun = Instant::now();
    let mut config = server();
    // What it costs by default is computed from one that is counted: a thousand nodes in one process would
    // do little else.
    let bootstrap_interval = std::mem::replace(&mut config.bootstrap_interval, A_DAY);
    let nodes = network(count, &config).await?;
    let started = begun.elapsed();
    let bytes_joined = taken();
    warn(format_args!(
        "{count} nodes have joined after {started:.1?}"
    ));

    let before = received(&nodes);
    let announcers: Vec<usize> = (0..count).step_by(ONE_IN).collect();
    let announcing = announcers
        .iter()
        .map(|index| announce(&nodes[*index], *index));
    let announced: Vec<_> = stream::iter(announcing)
        .buffer_unordered(SEARCHING)
        .collect()
        .await;
    announced.into_iter().collect::<anyhow::Result<()>>()?;
    let announcement = (received(&nodes) - before) as f64 / announcers.len() as f64;

    tokio::time::sleep(size.time(REST)).await;
    let (quiet, worked) = (Instant::now(), processor_time());
    tokio::time::sleep(size.time(REST)).await;
    let worked = processor_time().saturating_sub(worked).as_secs_f64();
    let idle =
        Duration::from_secs_f64(worked / quiet.elapsed().as_secs_f64() * 60.0 / count as f64);
    let bytes_at_rest = taken();

    let before = received(&nodes);
    let at_rest = search_all(&nodes, &announcers, size.rounds * SEARCHES).await;
    let search = (received(&nodes) - before) as f64 / at_rest.searches.max(1) as f64;

    let before = received(&nodes);
    let sample = SAMPLE.min(count);
    for node in nodes.iter().rev().take(sample) {
        node.handle.bootstrap().await.context("a bootstrap")?;
    }
    let bootstrap = (received(&nodes) - before) as f64 / sample as f64;
    // What every node does by itself.
    let every = |interval: Duration| 60.0 / interval.as_secs_f64();
    let per_minute = bootstrap * every(bootstrap_interval)
        + announcement / ONE_IN as f64 * every(config.republish_interval);

    let mut churn = churn::run(nodes, &announcers, &config, size.time(TIME)).await?;
    churn.per_minute += per_minute - churn.searched(search, count, size.time(TIME));
    let row = Row {
        nodes: count,
        started,
        bytes_joined,
        bytes_at_rest,
        idle,
        at_rest,
        churn,
        search,
        bootstrap,
        announcement,
        per_minute,
    };
    row.say();
    Ok(row)
}

/// The capability of the node at this place.
fn capability(index: usize) -> String {
    format!("lab/of-{index}")
}

async fn announce(node: &Bare, index: usize) -> anyhow::Result<()> {
    node.announce(&format!("o://lab/n{index}"), &capability(index))
        .await
}

fn received(nodes: &[Bare]) -> u64 {
    nodes.iter().map(|node| node.counts.received()).sum()
}

/// Searches of random nodes for random capabilities.
async fn search_all(nodes: &[Bare], announcers: &[usize], count: usize) -> Tally {
    let mut rng = Rng::new(1);
    let searches = (0..count).map(|_| {
        let wanted = announcers[rng.index(announcers.len())];
        // Whoever announces nothing: its only queries are those of the search.
        let mut by = rng.index(nodes.len());
        by += usize::from(by.is_multiple_of(ONE_IN) && by + 1 < nodes.len());
        (&nodes[by], wanted)
    });
    let searches: Vec<_> = searches.collect();
    // A node that searches twice at once would mix up its round trips.
    let mut tally = Tally::default();
    let mut running = stream::iter(searches)
        .map(
            |(by, wanted)| async move { by.search(&capability(wanted), &nodes[wanted].peer).await },
        )
        .buffer_unordered(SEARCHING);
    while let Some(found) = running.next().await {
        tally.add(found);
    }
    tally
}

impl Row {
    fn say(&self) {
        for (how, tally) in [
            ("at rest", &self.at_rest),
            ("10 %/min churn", &self.churn.tally),
        ] {
            say(format_args!(
                "{:>4} nodes  {how:<15} found {:>6.2} % of {:>4}  round trips p50 {} p99 {}  p50 {:.1} ms p99 {:.1} ms",
                self.nodes,
                tally.found_percent(),
                tally.searches,
                tally.hops(50),
                tally.hops(99),
                percentile(&tally.times, 50).map(millis).unwrap_or_default(),
                percentile(&tally.times, 99).map(millis).unwrap_or_default(),
            ));
        }
        say(format_args!(
            "{:>4} nodes  joined in {:.1?}  {:.0} KiB a node then, {:.0} KiB at rest  {:.1?} of processor a minute  messages: {:.0} a search, {:.0} a bootstrap, {:.0} an announcement, {:.1} a node and minute at rest, {:.1} under churn, in which {} of {} were replaced",
            self.nodes,
            self.started,
            self.bytes_joined / 1024.0,
            self.bytes_at_rest / 1024.0,
            self.idle,
            self.search,
            self.bootstrap,
            self.announcement,
            self.per_minute,
            self.churn.per_minute,
            self.churn.replaced,
            self.churn.gone,
        ));
    }

    fn json(&self) -> Value {
        json!({
            "nodes": self.nodes,
            "joined_after_ms": millis(self.started),
            "bytes_per_node_joined": self.bytes_joined,
            "bytes_per_node_at_rest": self.bytes_at_rest,
            "processor_ms_per_node_and_minute_at_rest": millis(self.idle),
            "at_rest": self.at_rest.json(),
            "under_churn": self.churn.tally.json(),
            "ended_under_churn": self.churn.gone,
            "replaced_under_churn": self.churn.replaced,
            "messages": {
                "search": self.search,
                "bootstrap": self.bootstrap,
                "announcement": self.announcement,
                "per_node_and_minute_at_rest": self.per_minute,
                "per_node_and_minute_under_churn": self.churn.per_minute,
            },
        })
    }
}
