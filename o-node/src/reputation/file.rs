//! Keeps what is known of peers from one run of a node to the next.

use std::{
    fs, io,
    io::{Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use o_address::PeerId;
use o_core::MethodSpec;
use o_protocol::{Limits, from_slice, to_vec};
use serde::{Deserialize, Serialize};

use super::{
    CallCounts, Known, Ledger,
    known::{Method, Tally},
};
use crate::tasks;

/// The form of the file.
const VERSION: u32 = 1;
/// Longest file that is read, in bytes: 10,000 peers with all of their methods.
const MAX_FILE: u64 = 64 << 20;

#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    version: u32,
    /// Seconds since 1970.
    saved: u64,
    peers: Vec<Row>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Row {
    peer: PeerId,
    /// How many seconds before it was saved something was last observed.
    idle: u64,
    good: f64,
    bad: f64,
    /// Lies, as they weighed when something was last observed.
    #[serde(default)]
    lied: f64,
    /// In seconds.
    latency: Option<f64>,
    counts: CallCounts,
    methods: Vec<MethodRow>,
}

#[derive(Debug, Serialize, Deserialize)]
struct MethodRow {
    name: String,
    good: f64,
    bad: f64,
    latency: Option<f64>,
    calls: u64,
}

/// A number from a file, as far as it can be one of ours.
fn sane(number: f64) -> f64 {
    if number.is_finite() {
        number.clamp(0.0, 1e12)
    } else {
        0.0
    }
}

impl Row {
    fn of(peer: PeerId, known: &Known, half_life: Duration, now: Instant) -> Self {
        let idle = now.saturating_duration_since(known.at) + known.before;
        let methods = known.methods.iter().map(|method| MethodRow {
            name: method.name.to_string(),
            good: method.tally.good,
            bad: method.tally.bad,
            latency: method.latency,
            calls: method.calls,
        });
        Self {
            peer,
            idle: idle.as_secs(),
            good: known.tally.good,
            bad: known.tally.bad,
            lied: known.lies(half_life, known.at),
            latency: known.latency,
            counts: known.counts,
            methods: methods.collect(),
        }
    }

    /// What it says at `now`, when `since` has gone by since it was written.
    fn known(
        self,
        since: Duration,
        max_methods: usize,
        half_life: Duration,
        now: Instant,
    ) -> Known {
        let before = Duration::from_secs(self.idle).saturating_add(since);
        let faded = |good, bad| {
            let mut tally = Tally {
                good: sane(good),
                bad: sane(bad),
            };
            tally.fade(before, half_life);
            tally
        };
        let methods = self.methods.into_iter().take(max_methods);
        let methods = methods.filter(|row| row.name.len() <= MethodSpec::MAX_NAME);
        let methods = methods.map(|row| {
            let mut method = Method::new(row.name.into(), now);
            method.latency = row.latency.map(sane);
            method.tally = faded(row.good, row.bad);
            method.calls = row.calls;
            method
        });
        let mut known = Known::new(now);
        known.methods = methods.collect();
        known.counts = self.counts;
        known.tally = faded(self.good, self.bad);
        known.lied = faded(0.0, self.lied).bad;
        known.latency = self.latency.map(sane);
        (known.observed, known.before) = (true, before);
        known
    }
}

impl Ledger {
    /// Reads the file, if there is one that can be understood; another one is put aside.
    pub(crate) fn load(&self) {
        let Some(path) = &self.config.file else {
            return;
        };
        let read = read(path).and_then(|bytes| {
            let limits = Limits::default();
            from_slice::<Saved>(&bytes, limits).map_err(io::Error::other)
        });
        match read {
            Ok(saved) if saved.version == VERSION => self.adopt(saved),
            Ok(saved) => put_aside(path, &format!("version {} is not known", saved.version)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => put_aside(path, &error.to_string()),
        }
    }

    fn adopt(&self, saved: Saved) {
        let now = Instant::now();
        let written = UNIX_EPOCH.checked_add(Duration::from_secs(saved.saved));
        let since = written.and_then(|written| SystemTime::now().duration_since(written).ok());
        let since = since.unwrap_or_default();
        let (max_methods, half_life) = (self.config.max_methods, self.config.half_life);
        let mut peers = self.lock();
        for row in saved.peers.into_iter().take(self.config.max_peers) {
            let peer = row.peer;
            // Another start of the same node knows better.
            let made = || self.made(peer, row.known(since, max_methods, half_life, now));
            peers.entry(peer).or_insert_with(made);
        }
    }

    /// Writes the file if something was observed since it was last written.
    ///
    /// # Errors
    /// It cannot be written; the old one stays.
    pub(crate) fn save(&self) -> io::Result<()> {
        let Some(path) = &self.config.file else {
            return Ok(());
        };
        let now = Instant::now();
        let mut changed = false;
        let mut rows = Vec::new();
        for entry in self.all() {
            let mut known = entry.lock();
            changed |= std::mem::take(&mut known.changed);
            if known.observed {
                rows.push(Row::of(entry.peer, &known, self.config.half_life, now));
            }
        }
        if !changed {
            return Ok(());
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let saved = Saved {
            version: VERSION,
            saved: since.unwrap_or_default().as_secs(),
            peers: rows,
        };
        write(path, &to_vec(&saved).map_err(io::Error::other)?)
    }
}

/// Writes the file now and again, until the future is dropped.
pub(crate) async fn keep(ledger: Arc<Ledger>) {
    loop {
        tokio::time::sleep(ledger.config.save_interval).await;
        let ledger = ledger.clone();
        if let Some(Err(error)) = tasks::blocking(move || ledger.save()).await {
            tracing::warn!(%error, "what is known of peers could not be saved");
        }
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?
        .take(MAX_FILE)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(extension);
    name.into()
}

fn put_aside(path: &Path, reason: &str) {
    let bad = beside(path, ".bad");
    let moved = fs::rename(path, &bad).is_ok();
    let (path, kept) = (path.display(), moved.then(|| bad.display()));
    tracing::warn!(%path, kept = kept.map(tracing::field::display), reason, "what was known of peers cannot be read: it begins anew");
}

/// Puts a file in place of another in one step, readable by its owner only.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(directory)?;
    }
    let temporary = beside(path, ".tmp");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&temporary)?;
    let written = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reputation::{Outcome, ReputationConfig};

    fn ledger(file: &Path) -> Ledger {
        let ledger = Ledger::new(ReputationConfig {
            file: Some(file.to_owned()),
            ..ReputationConfig::default()
        });
        ledger.load();
        ledger
    }

    fn peer() -> PeerId {
        "12D3KooWQA9eZ7s8E7KvNJGG7AXRioyASFicECjdKL1DS2C1Duoo"
            .parse()
            .unwrap()
    }

    #[test]
    fn what_was_observed_is_there_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("deep/er/peers.cbor");
        let first = ledger(&file);
        first.save().unwrap();
        assert!(!file.exists(), "there was nothing to save");
        let entry = first.entry(peer());
        for outcome in [Outcome::Succeeded, Outcome::Lied, Outcome::Failed] {
            entry.observe(&"m".into(), outcome, Instant::now());
        }
        first.save().unwrap();
        let second = ledger(&file).report(&peer()).unwrap();
        let report = first.report(&peer()).unwrap();
        assert_eq!((second.counts, &second.peer), (report.counts, &peer()));
        assert!((second.score - report.score).abs() < 0.01);
        assert_eq!(second.methods[0].calls, 3);
        assert!((second.methods[0].success - report.methods[0].success).abs() < 0.01);
        // Written once only while nothing happens.
        fs::remove_file(&file).unwrap();
        first.save().unwrap();
        assert!(!file.exists());
    }

    #[test]
    fn a_file_that_is_none_is_kept_aside_and_it_begins_anew() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("peers.cbor");
        for bytes in [&b"nonsense"[..], &[0xbf; 200], &[]] {
            fs::write(&file, bytes).unwrap();
            assert_eq!(ledger(&file).reports(), []);
            assert!(!file.exists());
            assert_eq!(fs::read(beside(&file, ".bad")).unwrap(), bytes);
        }
    }

    #[test]
    fn numbers_that_nobody_could_have_observed_do_no_harm() {
        let row = Row {
            peer: peer(),
            idle: u64::MAX,
            good: f64::NAN,
            bad: -1e300,
            lied: f64::NEG_INFINITY,
            latency: Some(f64::INFINITY),
            counts: CallCounts::default(),
            methods: Vec::new(),
        };
        let (now, day) = (Instant::now(), Duration::from_secs(86_400));
        let known = row.known(Duration::MAX, 16, day, now);
        assert!((known.score(day, now) - 2.0 / 3.0).abs() < 1e-9);
    }
}
