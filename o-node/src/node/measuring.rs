//! Measuring a peer through the node.

use std::{sync::Arc, time::Duration};

use o_address::{Address, PeerId, TransportAddr};

use super::Node;
use crate::bench::{Bench, BenchError, Load, Samples};

/// Size of the body of a round trip, in bytes.
const ROUND_TRIP: u64 = 100;
/// Most bytes that one call of a throughput measurement sends.
const PIECE: u64 = 64 * 1024 * 1024;

/// How long calls to a peer take; see [`Node::measure_latency`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Latency {
    /// Round trips that were measured.
    pub rounds: u64,
    /// The shortest.
    pub least: Duration,
    /// The median.
    pub p50: Duration,
    /// What 99 of 100 did not exceed.
    pub p99: Duration,
    /// The longest.
    pub most: Duration,
}

/// How fast bytes get to a peer; see [`Node::measure_throughput`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Throughput {
    /// Bytes that arrived there, by its own count.
    pub bytes: u64,
    /// From the first byte sent to the last answer.
    pub elapsed: Duration,
}

impl Throughput {
    /// Megabytes, of 1,000,000 bytes, per second.
    pub fn mb_per_second(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let bytes = self.bytes as f64;
        match self.elapsed.is_zero() {
            true => 0.0,
            false => bytes / self.elapsed.as_secs_f64() / 1e6,
        }
    }
}

impl Node {
    /// Measures round trips of 100 bytes to the node of a peer, one after the other. The first one,
    /// which may have to connect, is not counted.
    ///
    /// # Errors
    /// `rounds` is 0, the peer cannot be reached, or does not let itself be measured.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the call that runs.
    pub async fn measure_latency(&self, peer: PeerId, rounds: u64) -> Result<Latency, BenchError> {
        let bench = Bench::new(Arc::new(self.peer(peer)), Address::node());
        let load = Load::echo(ROUND_TRIP).duration(Load::MAX_DURATION);
        bench
            .run(&load.clone().calls(1), &mut Samples::new())
            .await?;
        let mut samples = Samples::new();
        bench.run(&load.calls(rounds), &mut samples).await?;
        Ok(Latency {
            rounds: samples.count(),
            least: samples.quantile(0.0),
            p50: samples.quantile(0.5),
            p99: samples.quantile(0.99),
            most: samples.quantile(1.0),
        })
    }

    /// Sends so many bytes to the node of a peer, which counts them and keeps none, in calls of at
    /// most 64 MiB, one after the other. What is over a limit there fails with `too_large`, `busy`
    /// or `timed_out`.
    ///
    /// # Errors
    /// `bytes` is 0, the peer cannot be reached, does not let itself be measured, or counted something
    /// else.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the call that runs.
    pub async fn measure_throughput(
        &self,
        peer: PeerId,
        bytes: u64,
    ) -> Result<Throughput, BenchError> {
        let bench = Bench::new(Arc::new(self.peer(peer)), Address::node());
        let connecting = Load::echo(0).calls(1);
        bench.run(&connecting, &mut Samples::new()).await?;
        let mut samples = Samples::new();
        let upload = |bytes| {
            let load = Load::upload(bytes).duration(Load::MAX_DURATION);
            load.timeout(Duration::from_secs(60))
        };
        let (whole, rest) = (bytes / PIECE, bytes % PIECE);
        if whole > 0 {
            bench.run(&upload(PIECE).calls(whole), &mut samples).await?;
        }
        if rest > 0 || whole == 0 {
            bench.run(&upload(rest).calls(1), &mut samples).await?;
        }
        Ok(Throughput {
            bytes: samples.bytes(),
            elapsed: samples.elapsed(),
        })
    }

    /// Where a peer was dialed that this node is connected to; none that has dialed this node.
    pub fn dialed_addresses(&self, peer: PeerId) -> Vec<TransportAddr> {
        let Ok(running) = self.running() else {
            return Vec::new();
        };
        let links = running.peers.all().into_iter();
        let dialed =
            links.filter(|link| link.peer == peer && link.direction == o_core::Direction::Outbound);
        dialed.map(|link| link.remote.with_peer(&peer)).collect()
    }
}
