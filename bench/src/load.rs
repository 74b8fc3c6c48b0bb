//! Calls for a while, so many at once, and what they took.

use std::time::{Duration, Instant};

use anyhow::ensure;
use bytes::Bytes;
use tokio::task::JoinSet;

use crate::{
    contender::{Client, Op},
    process,
};

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Time of each call, in nanoseconds, in ascending order.
    times: Vec<u64>,
    /// How long all of it took.
    elapsed: Duration,
    /// Processor seconds of all processes meanwhile.
    pub(crate) cpu: f64,
}

impl Seen {
    pub(crate) fn of(mut times: Vec<u64>, elapsed: Duration) -> Self {
        times.sort_unstable();
        Self {
            times,
            elapsed,
            cpu: 0.0,
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.elapsed
    }

    pub(crate) fn calls(&self) -> usize {
        self.times.len()
    }

    /// The time, in microseconds, that this part of the calls did not exceed.
    pub(crate) fn quantile_us(&self, part: f64) -> f64 {
        let last = self.times.len().saturating_sub(1);
        let at = (last as f64 * part).round() as usize;
        self.times.get(at).map_or(0.0, |time| *time as f64 / 1000.0)
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.times.len() as f64 / self.elapsed.as_secs_f64()
    }

    pub(crate) fn cpu_per_100k(&self) -> f64 {
        self.cpu / self.times.len() as f64 * 100_000.0
    }
}

/// One caller that calls again as soon as it is answered.
async fn caller<C: Client>(
    client: C,
    op: Op,
    body: Bytes,
    until: Instant,
) -> anyhow::Result<Vec<u64>> {
    let expected = op.answer(body.clone()).len();
    let mut times = Vec::new();
    let mut begun = Instant::now();
    // At least one: a body may take longer than there is time.
    loop {
        let answer = client.call(op, body.clone()).await?;
        ensure!(answer.len() == expected, "{} bytes came back", answer.len());
        let now = Instant::now();
        times.push(u64::try_from((now - begun).as_nanos())?);
        begun = now;
        if now >= until {
            return Ok(times);
        }
    }
}

/// Calls for so long, from `in_flight` tasks. A tenth of the time goes before, uncounted.
pub(crate) async fn calls<C: Client>(
    client: &C,
    (op, body): (Op, Bytes),
    in_flight: usize,
    time: Duration,
    servers: &[u32],
) -> anyhow::Result<Seen> {
    all(client, (op, &body), in_flight, time / 10).await?;
    let before = process::cpu_of_all(servers)?;
    let mut seen = all(client, (op, &body), in_flight, time).await?;
    seen.cpu = process::cpu_of_all(servers)? - before;
    Ok(seen)
}

async fn all<C: Client>(
    client: &C,
    (op, body): (Op, &Bytes),
    in_flight: usize,
    time: Duration,
) -> anyhow::Result<Seen> {
    let begun = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..in_flight {
        callers.spawn(caller(client.clone(), op, body.clone(), begun + time));
    }
    let mut times = Vec::new();
    while let Some(done) = callers.join_next().await {
        times.extend(done??);
    }
    Ok(Seen::of(times, begun.elapsed()))
}

/// Small calls, one at a time, while `beside` large echoes run on the same connection.
pub(crate) async fn mixed<C: Client>(
    client: &C,
    small: Bytes,
    (large, beside): (Bytes, usize),
    time: Duration,
) -> anyhow::Result<Seen> {
    let begun = Instant::now();
    let mut echoes = JoinSet::new();
    for _ in 0..beside {
        echoes.spawn(caller(
            client.clone(),
            Op::PatientEcho,
            large.clone(),
            begun + time,
        ));
    }
    let small = tokio::spawn(caller(client.clone(), Op::Echo, small, begun + time));
    let times = small.await??;
    let elapsed = begun.elapsed();
    while let Some(done) = echoes.join_next().await {
        done??;
    }
    Ok(Seen::of(times, elapsed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_rates_come_from_the_times() {
        let times = (1..=101).rev().map(|time| time * 1000).collect();
        let mut seen = Seen::of(times, Duration::from_secs(2));
        seen.cpu = 1.01;
        assert_eq!(seen.quantile_us(0.5), 51.0);
        assert_eq!(seen.quantile_us(0.99), 100.0);
        assert_eq!(seen.per_second(), 50.5);
        assert_eq!(seen.cpu_per_100k(), 1000.0);
        assert_eq!(Seen::default().quantile_us(0.5), 0.0);
    }
}
