//! Named experiments with many nodes; each writes its figures and a plot.

mod balance;
mod discovery;
mod failover;
mod forged;
mod gone;
mod leader;
mod swarm;
mod sybil;
mod table;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::{
    figures::{millis, percentile},
    plot::{Plot, Series},
    say,
};

/// The experiment that is for a network of its own, see [`own_network`](crate::own_network).
pub const LAN: &str = "lan";

/// The experiments: name and what it measures.
pub const ALL: [(&str, &str); 10] = [
    (
        "discovery",
        "how long until a new agent is found by name and by capability, by the number of nodes",
    ),
    (
        "gone",
        "how long an agent that stopped or died is still found, and until calls to it fail, by the number of nodes",
    ),
    (
        "failover",
        "calls lost and time to recovery when one of two providers ends under load",
    ),
    (
        "balance",
        "how calls by capability spread over equal providers, and over some that fail half of theirs",
    ),
    (
        "forged",
        "what a million forged, oversized and stale records of one peer cost, and who notices",
    ),
    (
        "swarm",
        "how soon a new agent is known to all and a killed one to none, in processes of their own",
    ),
    (
        LAN,
        "the same on a local network of its own, where nobody is told of anybody: multicast is all there is",
    ),
    (
        "leader",
        "calls while the leader of a tree is gone, and how soon all is as before when it is back",
    ),
    (
        "table",
        "the DHT alone: round trips, success at rest and under churn, memory and messages, by the number of nodes",
    ),
    (
        "sybil",
        "whether a provider is found when 0 to 60 Sybils surround its capability among 50 honest nodes",
    ),
];

/// How large an experiment is.
#[derive(Clone, Debug)]
pub struct Size {
    /// The numbers of nodes; none stands for those that suit the experiment.
    pub nodes: Vec<usize>,
    /// How often each measurement is made.
    pub rounds: usize,
    /// A tenth of the times and a hundredth of the messages: to see that it works, and not for figures.
    pub quick: bool,
}

impl Default for Size {
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
            rounds: 10,
            quick: false,
        }
    }
}

impl Size {
    /// With the numbers of nodes that suit an experiment, if none were said.
    fn suited_to(&self, name: &str) -> Self {
        let nodes: &[usize] = match name {
            _ if !self.nodes.is_empty() => &self.nodes,
            "table" => &[100, 300, 1000],
            "sybil" => &[50],
            "balance" => &[100],
            LAN | "swarm" | "leader" => &[10, 25, 50],
            _ => &[4, 8, 16, 32, 64],
        };
        Self {
            nodes: nodes.to_vec(),
            rounds: self.rounds,
            quick: self.quick,
        }
    }

    /// How long something goes on.
    fn time(&self, time: Duration) -> Duration {
        if self.quick { time / 10 } else { time }
    }

    /// How many messages are sent.
    fn messages(&self, count: usize) -> usize {
        if self.quick { count / 100 } else { count }
    }
}

/// What an experiment gives.
struct Outcome {
    figures: Value,
    plot: Plot,
}

/// Runs an experiment and writes `NAME.json` and `NAME.svg` into `directory`.
///
/// # Errors
/// There is no such experiment, a node fails, or something never happens.
///
/// # Cancel safety
/// Dropping the future drops the nodes.
pub async fn run(name: &str, size: &Size, directory: &Path) -> anyhow::Result<[PathBuf; 2]> {
    let size = &size.suited_to(name);
    let outcome = match name {
        "discovery" => discovery::run(size).await?,
        "gone" => gone::run(size).await?,
        "failover" => failover::run(size).await?,
        "balance" => balance::run(size).await?,
        "forged" => forged::run(size).await?,
        "swarm" => swarm::run(size).await?,
        LAN => swarm::on_a_lan(size).await?,
        "leader" => leader::run(size).await?,
        "table" => table::run(size).await?,
        "sybil" => sybil::run(size).await?,
        _ => bail!("there is no experiment `{name}`; without a name they are listed"),
    };
    std::fs::create_dir_all(directory).context("the directory for the figures")?;
    let [figures, plot] = ["json", "svg"].map(|kind| directory.join(format!("{name}.{kind}")));
    let mut text = serde_json::to_string_pretty(&outcome.figures)?;
    text.push('\n');
    std::fs::write(&figures, text)?;
    std::fs::write(&plot, outcome.plot.svg())?;
    Ok([figures, plot])
}

/// Times that were measured under one heading, by the number of nodes.
struct Measured {
    name: &'static str,
    by_nodes: Vec<(usize, Vec<Duration>)>,
}

impl Measured {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            by_nodes: Vec::new(),
        }
    }

    /// Adds the times of so many nodes and prints them.
    fn add(&mut self, nodes: usize, times: Vec<Duration>) {
        let [p50, p99] = [50, 99].map(|percent| percentile(&times, percent).unwrap_or_default());
        say(format_args!(
            "{nodes:>3} nodes  {:<34} p50 {:>9.1} ms  p99 {:>9.1} ms  of {}",
            self.name,
            millis(p50),
            millis(p99),
            times.len(),
        ));
        self.by_nodes.push((nodes, times));
    }

    fn json(&self) -> Value {
        let rows = self.by_nodes.iter().map(|(nodes, times)| {
            let [p50, p99] = [50, 99].map(|percent| percentile(times, percent).map(millis));
            let all: Vec<_> = times.iter().copied().map(millis).collect();
            json!({ "nodes": nodes, "p50_ms": p50, "p99_ms": p99, "all_ms": all })
        });
        json!({ "name": self.name, "by_nodes": rows.collect::<Vec<_>>() })
    }

    fn series(&self, percent: usize) -> Series {
        let points = self.by_nodes.iter().filter_map(|(nodes, times)| {
            let time = percentile(times, percent)?;
            Some((*nodes as f64, millis(time)))
        });
        Series {
            name: format!("{}, p{percent}", self.name),
            points: points.collect(),
        }
    }
}

/// Figures and plot of times by the number of nodes.
fn by_nodes(title: &str, measured: &[Measured], percents: &[usize]) -> Outcome {
    let series = measured
        .iter()
        .flat_map(|measured| percents.iter().map(|percent| measured.series(*percent)));
    Outcome {
        plot: Plot {
            title: title.into(),
            x: "nodes".into(),
            y: "ms".into(),
            series: series.collect(),
        },
        figures: json!({
            "title": title,
            "measured": measured.iter().map(Measured::json).collect::<Vec<_>>(),
        }),
    }
}
