//! Many connections held by one node: what it takes to make them, to keep them, and to call over all of them.

use std::{
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use clap::Args;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use o_address::{Address, TransportAddr};
use o_core::{Caller as _, Node as _, OutgoingCall, Reply};
use o_node::{CallerExt as _, Node, Stats};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::{load::Seen, many, process};

const SMALL: usize = 100;
/// Connections that are made at a time.
const MAKING: usize = 64;
/// Callers at a time when all connections are used as fast as they can be.
const CALLERS: usize = 64;
/// Nothing of one connection may take longer.
const LIMIT: Duration = Duration::from_secs(30);

/// The arguments of `hold`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Hold {
    /// What `serve-many` printed first.
    address: TransportAddr,
    /// The process that `serve-many` printed behind it.
    server: u32,
    /// How many connections.
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// Seconds of each load, and of the rest between.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Seconds between two calls of a connection, when each calls now and then.
    #[arg(long, default_value_t = 5.0)]
    every: f64,
}

/// What was found.
#[derive(Debug, Default, Serialize)]
struct Found {
    connections: usize,
    /// Until all were there and had made a call each.
    made_in_s: f64,
    made_per_second: f64,
    made_p50_ms: f64,
    made_p99_ms: f64,
    /// What the server grew by, for each connection.
    memory_kib: f64,
    /// Processors that the server kept busy while nobody called.
    idle_cpu: f64,
    /// Each connection calls once in so many seconds.
    every_s: f64,
    sparse_per_second: f64,
    sparse_p50_us: f64,
    sparse_p99_us: f64,
    sparse_cpu: f64,
    /// So many callers, each over the next connection.
    callers: usize,
    busy_per_second: f64,
    busy_p50_us: f64,
    busy_p99_us: f64,
    /// Until every client had stopped and the server knew it.
    closed_in_s: f64,
    /// What the server grows by for each of some connections that are made afterwards, which take what the others have left.
    again_kib: f64,
    /// Calls of all loads; none may fail.
    calls: usize,
}

/// Makes the connections, measures, and takes them down.
pub(crate) async fn run(hold: Hold) -> anyhow::Result<()> {
    process::allow_connections(hold.connections)?;
    let target: Address = many::ADDRESS.parse()?;
    let observer = many::small().await?;
    observer.connect(&hold.address).await?;
    let run = Run {
        hold,
        target,
        observer,
    };
    let found = run.all().await?;
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&found)?)?;
    Ok(())
}

struct Run {
    hold: Hold,
    target: Address,
    /// Sees what the server says about itself.
    observer: Node,
}

/// A call, and how long it took.
async fn timed(node: &Node, target: &Address) -> anyhow::Result<u64> {
    let begun = Instant::now();
    let call = OutgoingCall::unary(target.clone(), "echo", many::body(SMALL));
    match node.call(call).await? {
        Reply::One(body) => ensure!(body.bytes.len() == SMALL, "another body came back"),
        Reply::Stream(_) => anyhow::bail!("a stream came back"),
    }
    Ok(u64::try_from(begun.elapsed().as_nanos())?)
}

/// Connects and makes a call; how long both took.
async fn first(node: Node, address: TransportAddr, target: Address) -> anyhow::Result<u64> {
    let begun = Instant::now();
    let first = async {
        node.connect(&address).await?;
        timed(&node, &target).await
    };
    tokio::time::timeout(LIMIT, first).await??;
    Ok(u64::try_from(begun.elapsed().as_nanos())?)
}

impl Run {
    async fn all(&self) -> anyhow::Result<Found> {
        let Hold {
            connections, every, ..
        } = self.hold;
        let mut found = Found {
            connections,
            every_s: every,
            callers: CALLERS,
            ..Found::default()
        };
        let nodes = many_small(connections).await?;
        let before = process::resident_kib(&[self.hold.server])?;

        let made = self.make(&nodes).await?;
        found.made_in_s = made.elapsed().as_secs_f64();
        found.made_per_second = made.per_second();
        found.made_p50_ms = made.quantile_us(0.5) / 1000.0;
        found.made_p99_ms = made.quantile_us(0.99) / 1000.0;
        let grown = process::resident_kib(&[self.hold.server])? - before;
        found.memory_kib = grown / connections as f64;

        let time = Duration::from_secs_f64(self.hold.seconds);
        let (_, cpu) = self.cpu_during(idle(time)).await?;
        found.idle_cpu = cpu;
        let (sparse, cpu) = self.cpu_during(self.sparse(&nodes, time)).await?;
        found.sparse_per_second = sparse.per_second();
        found.sparse_p50_us = sparse.quantile_us(0.5);
        found.sparse_p99_us = sparse.quantile_us(0.99);
        found.sparse_cpu = cpu;
        let nodes = Arc::new(nodes);
        let busy = self.busy(&nodes, time).await?;
        found.busy_per_second = busy.per_second();
        found.busy_p50_us = busy.quantile_us(0.5);
        found.busy_p99_us = busy.quantile_us(0.99);
        found.calls = made.calls() + sparse.calls() + busy.calls();

        let peers = self.peers().await?;
        // The observer is one, too.
        let expected = connections + 1;
        ensure!(
            peers == expected,
            "{peers} of {expected} connections are left"
        );
        found.closed_in_s = self.close(&nodes).await?;
        found.again_kib = self.again().await?;
        Ok(found)
    }

    /// What new connections cost after the others have gone, a tenth as many.
    async fn again(&self) -> anyhow::Result<f64> {
        let before = process::resident_kib(&[self.hold.server])?;
        let again = many_small(self.hold.connections.div_ceil(10)).await?;
        self.make(&again).await?;
        let grown = process::resident_kib(&[self.hold.server])? - before;
        self.close(&again).await?;
        Ok(grown / again.len() as f64)
    }

    /// How many peers the server has.
    async fn peers(&self) -> anyhow::Result<usize> {
        let stats = self
            .observer
            .call_typed::<Stats>(&self.target, "stats", &());
        Ok(stats.await?.peers)
    }

    /// What something found, and how many processors the server kept busy meanwhile.
    async fn cpu_during<T>(
        &self,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<(T, f64)> {
        let (begun, before) = (Instant::now(), process::cpu(self.hold.server)?);
        let found = work.await?;
        let used = process::cpu(self.hold.server)?.saturating_sub(before);
        Ok((found, used.as_secs_f64() / begun.elapsed().as_secs_f64()))
    }

    /// Connects every node and makes its first call.
    async fn make(&self, nodes: &[Node]) -> anyhow::Result<Seen> {
        let begun = Instant::now();
        let one = |node| first(node, self.hold.address.clone(), self.target.clone());
        let times = stream::iter(nodes.to_vec()).map(one);
        let times = times.buffer_unordered(MAKING);
        let times: Vec<u64> = times.try_collect().await?;
        Ok(Seen::of(times, begun.elapsed()))
    }

    /// Every node calls now and then, whatever the others do.
    async fn sparse(&self, nodes: &[Node], time: Duration) -> anyhow::Result<Seen> {
        let (begun, every) = (Instant::now(), Duration::from_secs_f64(self.hold.every));
        let mut calling = JoinSet::new();
        for (number, node) in nodes.iter().enumerate() {
            let (node, target) = (node.clone(), self.target.clone());
            // Spread evenly over the time between two calls.
            let first = begun + every.mul_f64(number as f64 / nodes.len() as f64);
            calling.spawn(async move {
                let (mut times, mut next) = (Vec::new(), first);
                while next < begun + time {
                    tokio::time::sleep_until(next.into()).await;
                    times.push(timed(&node, &target).await?);
                    next += every;
                }
                anyhow::Ok(times)
            });
        }
        collect(calling, begun).await
    }

    /// Calls as fast as they come back, over one connection after the other.
    async fn busy(&self, nodes: &Arc<Vec<Node>>, time: Duration) -> anyhow::Result<Seen> {
        let (begun, next) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
        let mut calling = JoinSet::new();
        for _ in 0..CALLERS {
            let (nodes, target) = (nodes.clone(), self.target.clone());
            let next = next.clone();
            calling.spawn(async move {
                let mut times = Vec::new();
                while begun.elapsed() < time {
                    let number = next.fetch_add(1, Ordering::Relaxed) % nodes.len();
                    let node = nodes.get(number).context("a node that is not there")?;
                    times.push(timed(node, &target).await?);
                }
                Ok(times)
            });
        }
        collect(calling, begun).await
    }

    /// Stops every node and waits until the server has seen it; how many seconds that took.
    async fn close(&self, nodes: &[Node]) -> anyhow::Result<f64> {
        let begun = Instant::now();
        let stop = |node: Node| async move { node.stop().await };
        let stopping = stream::iter(nodes.to_vec()).map(stop);
        let mut stopping = stopping.buffer_unordered(MAKING);
        while let Some(stopped) = stopping.next().await {
            stopped?;
        }
        while self.peers().await? > 1 {
            ensure!(
                begun.elapsed() < 4 * LIMIT,
                "the server keeps closed connections"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(begun.elapsed().as_secs_f64())
    }
}

async fn many_small(count: usize) -> anyhow::Result<Vec<Node>> {
    let nodes = stream::iter(0..count).map(|_| many::small());
    nodes.buffer_unordered(MAKING).try_collect().await
}

async fn idle(time: Duration) -> anyhow::Result<()> {
    tokio::time::sleep(time).await;
    Ok(())
}

async fn collect(
    mut calling: JoinSet<anyhow::Result<Vec<u64>>>,
    begun: Instant,
) -> anyhow::Result<Seen> {
    let mut times = Vec::new();
    while let Some(done) = calling.join_next().await {
        times.extend(done??);
    }
    Ok(Seen::of(times, begun.elapsed()))
}
