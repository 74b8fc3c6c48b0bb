//! What a soak found.

use std::{collections::BTreeMap, fmt, sync::atomic::Ordering, time::Duration};

use o_core::CallError;
use serde_json::{Value, json};

use super::{
    fleet::{Fleet, Sample},
    plan::Config,
};

/// Failures that are kept in words.
const MAX_FAILURES: usize = 20;

/// How many calls ended how.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Calls made.
    pub begun: u64,
    /// Calls that the plan asked for while too many ran.
    pub left_out: u64,
    /// With the right answer.
    pub replied: u64,
    /// Bytes of the right answers.
    pub bytes: u64,
    /// Dropped by the caller, as planned.
    pub cancelled: u64,
    /// With an error, by its code.
    pub errors: BTreeMap<&'static str, u64>,
}

impl Counts {
    pub(super) fn count_error(&mut self, error: &CallError) {
        *self.errors.entry(error.code().name()).or_default() += 1;
    }
}

/// What a soak found.
#[derive(Clone, Debug)]
pub struct Report {
    config: Config,
    /// How the calls ended.
    pub counts: Counts,
    /// How often a node was stopped.
    pub stops: u64,
    /// Calls that still ran at their callee when its drain time was over; each ended as an error.
    pub cut_short: u64,
    /// How often the network was divided.
    pub splits: u64,
    /// How long it took after the end until every node had called every other one.
    pub healed_in: Option<Duration>,
    /// How many tasks more than before the first start were left after the last stop.
    pub tasks_left: usize,
    pub(super) samples: Option<(Sample, Sample)>,
    peak: Sample,
    failures: Vec<String>,
    failed: u64,
}

impl Report {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            config: config.clone(),
            counts: Counts::default(),
            stops: 0,
            cut_short: 0,
            splits: 0,
            healed_in: None,
            tasks_left: 0,
            samples: None,
            peak: Sample::default(),
            failures: Vec::new(),
            failed: 0,
        }
    }

    pub(super) fn fail(&mut self, what: String) {
        self.failed += 1;
        if self.failures.len() < MAX_FAILURES {
            crate::warn(format_args!("FAILURE: {what}"));
            self.failures.push(what);
        }
    }

    pub(super) fn watch(&mut self, sample: &Sample) {
        self.peak.tasks = self.peak.tasks.max(sample.tasks);
        self.peak.links = self.peak.links.max(sample.links);
        self.peak.resident = self.peak.resident.max(sample.resident);
    }

    /// Takes over what the fleet counted, when all its nodes have stopped.
    pub(super) fn stopped(&mut self, fleet: &Fleet) {
        self.cut_short = fleet.cut_short.load(Ordering::Relaxed);
        let left = fleet.announced();
        if left > 0 {
            self.fail(format!("{left} names are announced by nodes that stopped"));
        }
    }

    /// How many checks failed.
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// The first failures in words.
    pub fn failures(&self) -> &[String] {
        &self.failures
    }

    /// The whole report.
    pub fn json(&self) -> Value {
        let sample = |sample: &Sample| {
            json!({
                "tasks": sample.tasks, "resident_bytes": sample.resident, "links": sample.links,
                "leases": sample.leases, "waiters": sample.waiters, "handlers": sample.handlers,
            })
        };
        let (counts, config) = (&self.counts, &self.config);
        json!({
            "seed": config.seed,
            "nodes": config.nodes,
            "seconds": config.length.as_secs_f64(),
            "dht_only": config.dht_only,
            "calls": counts.begun,
            "left_out": counts.left_out,
            "replied": counts.replied,
            "bytes": counts.bytes,
            "cancelled": counts.cancelled,
            "errors": counts.errors,
            "stops": self.stops,
            "cut_short": self.cut_short,
            "splits": self.splits,
            "healed_ms": self.healed_in.map(crate::figures::millis),
            "tasks_left": self.tasks_left,
            "baseline": self.samples.as_ref().map(|samples| sample(&samples.0)),
            "end": self.samples.as_ref().map(|samples| sample(&samples.1)),
            "peak": { "tasks": self.peak.tasks, "links": self.peak.links, "resident_bytes": self.peak.resident },
            "failed": self.failed,
            "failures": self.failures,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (counts, config) = (&self.counts, &self.config);
        let mut row = |name: &str, value: String| writeln!(f, "{name:<16}{value}");
        row("seed", config.seed.to_string())?;
        row(
            "nodes",
            format!("{}, {} stopped and started", config.nodes, self.stops),
        )?;
        row("cut short", self.cut_short.to_string())?;
        row("partitions", self.splits.to_string())?;
        row(
            "calls",
            format!("{}, {} left out", counts.begun, counts.left_out),
        )?;
        row(
            "replied",
            format!("{}, {} MiB", counts.replied, counts.bytes >> 20),
        )?;
        row("cancelled", counts.cancelled.to_string())?;
        for (code, count) in &counts.errors {
            row(&format!("  {code}"), count.to_string())?;
        }
        let healed = self.healed_in.map(|time| format!("{time:.1?}"));
        row("all reach all", healed.unwrap_or_else(|| "never".into()))?;
        if let Some((first, end)) = &self.samples {
            let peak = &self.peak;
            row(
                "",
                format!("{:>10} {:>10} {:>10}", "at first", "peak", "at the end"),
            )?;
            let three = |a: usize, b: usize, c: usize| format!("{a:>10} {b:>10} {c:>10}");
            row("tasks", three(first.tasks, peak.tasks, end.tasks))?;
            row("links", three(first.links, peak.links, end.links))?;
            let mib = |bytes: u64| usize::try_from(bytes >> 20).unwrap_or(usize::MAX);
            let memory = [first, peak, end].map(|sample| mib(sample.resident));
            row("memory, MiB", three(memory[0], memory[1], memory[2]))?;
        }
        row("tasks left", self.tasks_left.to_string())?;
        row("failures", self.failed.to_string())
    }
}
