//! Times of many calls, and what can be said about them.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// The longest time that is told from longer ones, in nanoseconds: an hour.
const LONGEST: u64 = 3_600_000_000_000;

/// Times of calls and the bytes that they moved. About 260 KiB, however many they are; each time is
/// kept to a thousandth.
#[derive(Clone, Debug)]
pub struct Samples {
    times: Histogram<u64>,
    bytes: u64,
    /// Of the runs that are over.
    before: Duration,
    begun: Option<Instant>,
    elapsed: Duration,
}

/// One bar of a histogram: how many times were at least `from` and less than `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bar {
    /// The least time.
    pub from: Duration,
    /// Where the next bar begins.
    pub to: Duration,
    /// How many.
    pub count: u64,
}

impl Default for Samples {
    fn default() -> Self {
        Self::new()
    }
}

impl Samples {
    /// None yet.
    #[expect(clippy::expect_used, reason = "the bounds are constants, and valid")]
    pub fn new() -> Self {
        Self {
            times: Histogram::new_with_bounds(1, LONGEST, 3).expect("valid bounds"),
            bytes: 0,
            before: Duration::ZERO,
            begun: None,
            elapsed: Duration::ZERO,
        }
    }

    /// A run begins: from now on time counts.
    pub(super) fn begin(&mut self) {
        self.before = self.elapsed;
        self.begun = Some(Instant::now());
    }

    /// Adds a call that is over.
    pub fn add(&mut self, took: Duration, bytes: u64) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.times.saturating_record(nanos.clamp(1, LONGEST));
        self.bytes = self.bytes.saturating_add(bytes);
        self.elapsed = match self.begun {
            Some(begun) => self.before.saturating_add(begun.elapsed()),
            None => self.elapsed.saturating_add(took),
        };
    }

    /// How many calls.
    pub fn count(&self) -> u64 {
        self.times.len()
    }

    /// Bytes that they moved, one way.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// From the beginning of each run to the end of its last call, added up; the sum of the times for
    /// calls that were added one by one.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// The time that this part of the calls did not exceed: 0.5 is the median. Zero without calls.
    pub fn quantile(&self, part: f64) -> Duration {
        Duration::from_nanos(self.times.value_at_quantile(part.clamp(0.0, 1.0)))
    }

    /// Calls per second; zero without calls.
    pub fn per_second(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let count = self.count() as f64;
        rate(count, self.elapsed)
    }

    /// Bytes per second, one way; zero without calls.
    pub fn bytes_per_second(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let bytes = self.bytes as f64;
        rate(bytes, self.elapsed)
    }

    /// How the times are spread, in at most `rows` bars, each as much longer than the one before it:
    /// a few slow calls do not squeeze the others into one bar. Every call is in one of them.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounds of bars, within an hour of nanoseconds"
    )]
    pub fn bars(&self, rows: usize) -> Vec<Bar> {
        if self.count() == 0 || rows == 0 {
            return Vec::new();
        }
        let (least, most) = (
            self.times.min().max(1) as f64,
            self.times.max() as f64 + 1.0,
        );
        let step = (most / least).powf(1.0 / rows as f64);
        let mut bounds: Vec<u64> = (0..=rows)
            .map(|row| (least * step.powi(row as i32)) as u64)
            .collect();
        bounds.dedup();
        let mut counts = vec![0_u64; bounds.len().saturating_sub(1).max(1)];
        let last = counts.len() - 1;
        for value in self.times.iter_recorded() {
            let at = value.value_iterated_to();
            let row = bounds.partition_point(|bound| *bound <= at);
            counts[row.saturating_sub(1).min(last)] += value.count_at_value();
        }
        let bound = |row: usize| bounds.get(row).copied().unwrap_or(most as u64);
        let bars = counts.into_iter().enumerate().map(|(row, count)| Bar {
            from: Duration::from_nanos(bound(row)),
            to: Duration::from_nanos(bound(row + 1)),
            count,
        });
        bars.collect()
    }
}

fn rate(amount: f64, time: Duration) -> f64 {
    if time.is_zero() {
        0.0
    } else {
        amount / time.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_rates_are_those_of_what_was_added() {
        let mut samples = Samples::new();
        assert_eq!(
            (samples.quantile(0.5), samples.per_second()),
            (Duration::ZERO, 0.0)
        );
        assert_eq!(samples.bars(8), []);
        for millis in 1..=100 {
            samples.add(Duration::from_millis(millis), 10);
        }
        let near = |part: f64, millis: f64| {
            let got = samples.quantile(part).as_secs_f64() * 1e3;
            assert!((got / millis - 1.0).abs() < 0.002, "{part}: {got}");
        };
        near(0.5, 50.0);
        near(0.99, 99.0);
        near(1.0, 100.0);
        assert_eq!((samples.count(), samples.bytes()), (100, 1000));
        assert_eq!(samples.elapsed(), Duration::from_millis(5050));
        assert!((samples.per_second() - 100.0 / 5.05).abs() < 1e-9);
        assert!((samples.bytes_per_second() - 1000.0 / 5.05).abs() < 1e-9);
    }

    #[test]
    fn every_call_is_in_one_bar() {
        let mut samples = Samples::new();
        for micros in (10..1000).step_by(7) {
            samples.add(Duration::from_micros(micros), 0);
        }
        samples.add(Duration::from_secs(7200), 0);
        for rows in [1, 2, 12, 100] {
            let bars = samples.bars(rows);
            assert!(bars.len() <= rows, "{}", bars.len());
            let all: u64 = bars.iter().map(|bar| bar.count).sum();
            assert_eq!(all, samples.count(), "{rows}");
            assert!(bars.windows(2).all(|two| two[0].to == two[1].from));
        }
        let mut same = Samples::new();
        same.add(Duration::from_nanos(1), 0);
        same.add(Duration::from_nanos(1), 0);
        let bars = same.bars(12);
        assert_eq!(bars.iter().map(|bar| bar.count).sum::<u64>(), 2);
    }
}
