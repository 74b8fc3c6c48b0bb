//! What the programs printed, by contender and measure, one value for each round.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde_json::Value;

/// Where the processes run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mode {
    /// Both on processor 0, each on one thread.
    Pinned,
    /// Anywhere, each with two worker threads.
    Unpinned,
}

impl Mode {
    pub(super) const ALL: [Self; 2] = [Self::Pinned, Self::Unpinned];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pinned => "pinned",
            Self::Unpinned => "unpinned",
        }
    }
}

/// Which figure of which measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct What {
    pub(super) measure: &'static str,
    pub(super) bytes: u64,
    pub(super) in_flight: u64,
    pub(super) field: &'static str,
}

const fn what(measure: &'static str, bytes: u64, in_flight: u64, field: &'static str) -> What {
    What {
        measure,
        bytes,
        in_flight,
        field,
    }
}

const MIB: u64 = 1024 * 1024;
pub(super) const SETUP: What = what("setup", 100, 1, "p50_us");
pub(super) const RTT: What = what("rtt", 100, 1, "p50_us");
pub(super) const CALLS_64: What = what("calls", 100, 64, "per_second");
pub(super) const CALLS_512: What = what("calls", 100, 512, "per_second");
pub(super) const CPU: What = what("calls", 100, 64, "cpu_s_per_100k");
pub(super) const ECHO_64K: What = what("echo", 64 * 1024, 8, "mb_per_second");
pub(super) const ECHO_1M: What = what("echo", MIB, 8, "mb_per_second");
pub(super) const ECHO_16M: What = what("echo", 16 * MIB, 4, "mb_per_second");
pub(super) const UPLOAD: What = what("upload", MIB, 8, "mb_per_second");
pub(super) const MIXED_P50: What = what("mixed", 100, 1, "p50_us");
pub(super) const MIXED_P99: What = what("mixed", 100, 1, "p99_us");
pub(super) const IDLE: What = what("idle", 100, 200, "memory_kib");
pub(super) const STALLED_P99: What = what("stalled", 100, 64, "p99_us");
pub(super) const STALLED_BEFORE: What = what("stalled", 100, 64, "p99_before_us");
pub(super) const STALLED_MEMORY: What = what("stalled", 100, 64, "memory_kib");

/// Everything that is kept of what is printed.
const KEPT: &[What] = &[
    SETUP,
    RTT,
    CALLS_64,
    CALLS_512,
    CPU,
    ECHO_64K,
    ECHO_1M,
    ECHO_16M,
    UPLOAD,
    MIXED_P50,
    MIXED_P99,
    IDLE,
    STALLED_P99,
    STALLED_BEFORE,
    STALLED_MEMORY,
];

/// The middle one of some values and how far they spread.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

impl Spread {
    pub(super) fn of(values: &[f64]) -> Option<Self> {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let upper = *values.get(values.len() / 2)?;
        let lower = *values.get((values.len() - 1) / 2)?;
        Some(Self {
            median: f64::midpoint(lower, upper),
            least,
            most,
        })
    }
}

/// All values of a run.
#[derive(Debug, Default)]
pub(super) struct Figures {
    values: BTreeMap<(Mode, String, What), Vec<f64>>,
    /// What failed or was skipped, for readers.
    pub(super) failures: Vec<String>,
}

impl Figures {
    /// Takes one line of output in.
    pub(super) fn add(&mut self, mode: Mode, line: &str) -> anyhow::Result<()> {
        let line: Value = serde_json::from_str(line)
            .with_context(|| format!("the program printed something else: {line}"))?;
        let kind = line["kind"].as_str().context("a line without a kind")?;
        if let Some(error) = line["error"].as_str() {
            let (measure, bytes) = (&line["measure"], &line["bytes"]);
            let in_flight = &line["in_flight"];
            self.fail(format!(
                "{kind}, {}: {measure} with {bytes} bytes, {in_flight} in flight: {error}",
                mode.name()
            ));
        }
        for what in KEPT {
            let same = line["measure"] == what.measure
                && line["bytes"] == what.bytes
                && line["in_flight"] == what.in_flight;
            if let (true, Some(value)) = (same, line[what.field].as_f64()) {
                let key = (mode, kind.to_owned(), *what);
                self.values.entry(key).or_default().push(value);
            }
        }
        Ok(())
    }

    /// Notes what failed, once.
    pub(super) fn fail(&mut self, failure: String) {
        if !self.failures.contains(&failure) {
            self.failures.push(failure);
        }
    }

    pub(super) fn get(&self, mode: Mode, kind: &str, what: What) -> Option<Spread> {
        Spread::of(self.values(mode, kind, what)?)
    }

    fn values(&self, mode: Mode, kind: &str, what: What) -> Option<&[f64]> {
        let key = (mode, kind.to_owned(), what);
        self.values.get(&key).map(Vec::as_slice)
    }

    /// How often one value goes into the other, round by round: what slows a whole round down falls out.
    pub(super) fn ratio(
        &self,
        mode: Mode,
        (kind, what): (&str, What),
        (other, other_what): (&str, What),
    ) -> Option<Spread> {
        let ours = self.values(mode, kind, what)?;
        let theirs = self.values(mode, other, other_what)?;
        if ours.len() != theirs.len() {
            let (ours, theirs) = (Spread::of(ours)?, Spread::of(theirs)?);
            return Spread::of(&[ours.median / theirs.median]);
        }
        let ratios: Vec<_> = ours.iter().zip(theirs).map(|(a, b)| a / b).collect();
        Spread::of(&ratios)
    }
}
