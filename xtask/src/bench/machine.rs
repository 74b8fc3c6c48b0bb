//! Where a run happened: the machine, what else it did meanwhile, and the versions of everybody.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use xshell::{Shell, cmd};

/// Packages whose versions are told.
const PEERS: &[&str] = &[
    "tokio",
    "rustls",
    "ring",
    "libp2p",
    "yamux",
    "snow",
    "quinn",
    "tonic",
    "h2",
    "async-nats",
];

/// What readers should know about where it was measured.
#[derive(Debug, Default)]
pub(super) struct Machine {
    /// Date, processor, memory, kernel.
    pub(super) line: String,
    /// The state of the repository.
    pub(super) commit: String,
    /// Of the compiler, the libraries and the programs.
    pub(super) versions: String,
    pub(super) busy: Busy,
}

/// What the processors did during a run.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Busy {
    pub(super) elapsed: Duration,
    pub(super) load_before: f64,
    /// Processors that others kept busy, on average.
    pub(super) others: f64,
}

impl Machine {
    pub(super) fn read(sh: &Shell, busy: Busy) -> anyhow::Result<Self> {
        let cpu = std::fs::read_to_string("/proc/cpuinfo")?;
        let memory = std::fs::read_to_string("/proc/meminfo")?;
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
        let date = cmd!(sh, "date -u +%Y-%m-%d").quiet().read()?;
        let commit = cmd!(sh, "git describe --always --dirty").quiet().read();
        Ok(Self {
            line: format!(
                "{date}, {}, Linux {}",
                hardware(&cpu, &memory),
                kernel.trim()
            ),
            commit: commit.unwrap_or_else(|_| "unknown".to_owned()),
            versions: versions(sh)?,
            busy,
        })
    }
}

/// The value behind a name in a file of `name : value` lines.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let found = lines.find(|(key, _)| key.trim() == name)?;
    Some(found.1.trim())
}

pub(super) fn hardware(cpu: &str, memory: &str) -> String {
    let model = field(cpu, "model name").unwrap_or("an unknown processor");
    let processors = cpu
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let kib = field(memory, "MemTotal")
        .and_then(|value| value.split_whitespace().next())
        .and_then(|value| value.parse::<f64>().ok())
        .unwrap_or_default();
    format!(
        "{model}, {processors} processors, {:.0} GiB",
        kib / 1024.0 / 1024.0
    )
}

/// The versions of packages in a lock file.
pub(super) fn locked(lock: &str) -> Vec<String> {
    let version = |name: &&str| {
        let start = lock.find(&format!("name = \"{name}\"\nversion = \""))?;
        let version = lock[start..].split('"').nth(3)?;
        Some(format!("{name} {version}"))
    };
    PEERS.iter().filter_map(version).collect()
}

fn versions(sh: &Shell) -> anyhow::Result<String> {
    let rustc = cmd!(sh, "rustc --version").quiet().read()?;
    let rustc = rustc.split_whitespace().take(2).collect::<Vec<_>>();
    let mut versions = vec![rustc.join(" ")];
    versions.extend(locked(&sh.read_file("bench/Cargo.lock")?));
    // `nats-server: v2.9.10`
    let nats = cmd!(sh, "nats-server --version").quiet().ignore_stderr();
    versions.extend(nats.read().ok().map(|version| version.replace(": v", " ")));
    Ok(versions.join(", "))
}

/// Looks at what the processors do from `start` to `stop`.
#[derive(Debug)]
pub(super) struct Watch {
    begun: Instant,
    load_before: f64,
    all: u64,
    ours: u64,
}

impl Watch {
    pub(super) fn start() -> anyhow::Result<Self> {
        let load = std::fs::read_to_string("/proc/loadavg")?;
        let load = load.split_whitespace().next().context("no load")?;
        Ok(Self {
            begun: Instant::now(),
            load_before: load.parse()?,
            all: all_ticks()?,
            ours: our_ticks()?,
        })
    }

    pub(super) fn stop(self) -> anyhow::Result<Busy> {
        let elapsed = self.begun.elapsed();
        let all = all_ticks()?.saturating_sub(self.all);
        let ours = our_ticks()?.saturating_sub(self.ours);
        // The kernel tells both in hundredths of a second.
        let others = all.saturating_sub(ours) as f64 / 100.0 / elapsed.as_secs_f64();
        Ok(Busy {
            elapsed,
            load_before: self.load_before,
            others,
        })
    }
}

/// What all processors did but idle and wait: user, nice, system, interrupts, and what the host took.
fn all_ticks() -> anyhow::Result<u64> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().context("/proc/stat is empty")?;
    let ticks: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .flat_map(str::parse)
        .collect();
    let idle: u64 = ticks.iter().skip(3).take(2).sum();
    Ok(ticks.iter().take(8).sum::<u64>() - idle)
}

/// What this process and the processes that it has waited for did.
fn our_ticks() -> anyhow::Result<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').context("/proc/self/stat")?;
    Ok(fields
        .split_whitespace()
        .skip(11)
        .take(4)
        .flat_map(str::parse::<u64>)
        .sum())
}
