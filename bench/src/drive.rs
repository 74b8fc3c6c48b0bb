//! The driving process: connects, measures, and prints one JSON object a line.

mod record;

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use bytes::Bytes;
use clap::{Args, ValueEnum};

use self::record::Record;
use crate::{
    contender::{Client, Kind, Op},
    load::{self, Seen},
    nats, node, process, raw, request_response, substream, tonic_h2c,
};

const SMALL: usize = 100;
const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// Bodies that are echoed, and how many at once.
const ECHOES: [(usize, usize); 3] = [(64 * KIB, 8), (MIB, 8), (16 * MIB, 4)];
/// Bodies that are sent one way, and how many at once.
const UPLOAD: (usize, usize) = (MIB, 8);
/// Bodies that are echoed beside small calls, and how many at once.
const BESIDE: (usize, usize) = (4 * MIB, 2);
const IN_FLIGHT: [usize; 2] = [64, 512];
/// Connections that are held open to see what one costs.
const IDLE: usize = 200;
/// Connections before those, so that what is allocated once is not counted.
const IDLE_BEFORE: usize = 20;
/// More set-ups say no more.
const SETUPS: usize = 150;
/// What a measure may take beyond its time before it counts as failed.
const GRACE: Duration = Duration::from_secs(15);

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Measure {
    /// Server memory for each of many idle connections that have made a call.
    Idle,
    /// From nothing to the first reply.
    Setup,
    /// One call at a time.
    Rtt,
    /// Many calls at a time.
    Calls,
    /// Bodies both ways.
    Echo,
    /// Bodies one way.
    Upload,
    /// Small calls beside large ones.
    Mixed,
    /// Small calls beside a stream that nobody reads.
    Stalled,
}

/// The arguments of `drive`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Drive {
    /// Which contender.
    kind: Kind,
    /// What `serve` printed first.
    address: String,
    /// The processes that `serve` printed behind it.
    servers: Vec<u32>,
    /// What to measure; without it everything.
    #[arg(long = "measure", value_delimiter = ',')]
    measures: Vec<Measure>,
    /// How long each load runs.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
}

/// Measures what was asked for.
pub(crate) async fn run(drive: Drive) -> anyhow::Result<()> {
    match drive.kind {
        Kind::RawTcp => measure::<raw::Tcp>(&drive).await,
        Kind::RawTls => measure::<raw::Tls>(&drive).await,
        Kind::Libp2pRr => measure::<request_response::RequestResponse>(&drive).await,
        Kind::Libp2pStream => measure::<substream::Substream>(&drive).await,
        Kind::Tonic => measure::<tonic_h2c::Grpc>(&drive).await,
        Kind::Nats => measure::<nats::Nats>(&drive).await,
        Kind::O => measure::<node::Ours<node::Noise>>(&drive).await,
        Kind::OQuic => measure::<node::Ours<node::Quic>>(&drive).await,
        Kind::OTls => measure::<node::Ours<node::Tls>>(&drive).await,
        Kind::OUnix => measure::<node::Ours<node::Unix>>(&drive).await,
        Kind::OUnixPlain => measure::<node::Ours<node::UnixPlain>>(&drive).await,
    }
}

async fn measure<C: Client>(drive: &Drive) -> anyhow::Result<()> {
    let run = Run { drive };
    let wanted = |measure| drive.measures.is_empty() || drive.measures.contains(&measure);
    if wanted(Measure::Idle) {
        run.report(Record::new("idle", SMALL, IDLE), run.idle::<C>())
            .await?;
    }
    if wanted(Measure::Setup) {
        run.report(Record::new("setup", SMALL, 1), run.setup::<C>())
            .await?;
    }
    let connected = C::connect(C::prepare().await?, &drive.address);
    let client = tokio::time::timeout(GRACE, connected).await??;
    if wanted(Measure::Rtt) {
        run.calls(&client, "rtt", Op::Echo, (SMALL, 1)).await?;
    }
    if wanted(Measure::Calls) {
        for in_flight in IN_FLIGHT {
            run.calls(&client, "calls", Op::Echo, (SMALL, in_flight))
                .await?;
        }
    }
    if wanted(Measure::Echo) {
        for load in ECHOES {
            run.calls(&client, "echo", Op::Echo, load).await?;
        }
    }
    if wanted(Measure::Upload) {
        run.calls(&client, "upload", Op::Sink, UPLOAD).await?;
    }
    if wanted(Measure::Mixed) {
        run.report(Record::new("mixed", SMALL, 1), run.mixed(&client))
            .await?;
    }
    if wanted(Measure::Stalled) {
        run.stalled(&client).await?;
    }
    client.close().await;
    Ok(())
}

struct Run<'a> {
    drive: &'a Drive,
}

impl Run<'_> {
    fn time(&self) -> Duration {
        Duration::from_secs_f64(self.drive.seconds)
    }

    /// Prints what a measure found, or why it found nothing.
    async fn report(
        &self,
        mut record: Record,
        measure: impl Future<Output = anyhow::Result<Found>>,
    ) -> anyhow::Result<()> {
        let limit = self.time() * 3 + GRACE;
        match tokio::time::timeout(limit, measure).await {
            Ok(Ok(Found::Calls(seen))) => record.fill(&seen),
            Ok(Ok(Found::Memory(kib))) => record.memory_kib = Some(kib),
            Ok(Err(error)) => record.error = Some(format!("{error:#}")),
            Err(_) => record.error = Some(format!("not done after {limit:?}")),
        }
        self.print(record)
    }

    fn print(&self, mut record: Record) -> anyhow::Result<()> {
        record.set_kind(self.drive.kind);
        writeln!(std::io::stdout(), "{}", serde_json::to_string(&record)?)?;
        Ok(())
    }

    async fn calls<C: Client>(
        &self,
        client: &C,
        name: &'static str,
        op: Op,
        (bytes, in_flight): (usize, usize),
    ) -> anyhow::Result<()> {
        let what = (op, Bytes::from(vec![7; bytes]));
        let calls = load::calls(client, what, in_flight, self.time(), &self.drive.servers);
        let found = async { Ok(Found::Calls(calls.await?)) };
        self.report(Record::new(name, bytes, in_flight), found)
            .await
    }

    async fn mixed<C: Client>(&self, client: &C) -> anyhow::Result<Found> {
        let (large, beside) = BESIDE;
        let large = (Bytes::from(vec![7; large]), beside);
        let small = Bytes::from(vec![7; SMALL]);
        Ok(Found::Calls(
            load::mixed(client, small, large, self.time()).await?,
        ))
    }

    /// A connection and its first reply.
    async fn first<C: Client>(&self, prepared: C::Prepared) -> anyhow::Result<C> {
        let client = C::connect(prepared, &self.drive.address).await?;
        client.call(Op::Echo, Bytes::from(vec![7; SMALL])).await?;
        Ok(client)
    }

    async fn setup<C: Client>(&self) -> anyhow::Result<Found> {
        let (begun, until) = (Instant::now(), Instant::now() + self.time());
        let mut times = Vec::new();
        while times.len() < SETUPS && Instant::now() < until {
            let prepared = C::prepare().await?;
            let begun = Instant::now();
            let client = self.first::<C>(prepared).await?;
            times.push(u64::try_from(begun.elapsed().as_nanos())?);
            client.close().await;
        }
        Ok(Found::Calls(Seen::of(times, begun.elapsed())))
    }

    async fn idle<C: Client>(&self) -> anyhow::Result<Found> {
        let servers = &self.drive.servers;
        let mut clients = Vec::new();
        let mut before = 0.0;
        for number in 0..IDLE_BEFORE + IDLE {
            if number == IDLE_BEFORE {
                before = process::resident_kib(servers)?;
            }
            clients.push(self.first::<C>(C::prepare().await?).await?);
        }
        let grown = process::resident_kib(servers)? - before;
        for client in clients {
            client.close().await;
        }
        Ok(Found::Memory(grown / IDLE as f64))
    }

    /// Small calls without and then with a stream beside them that nobody reads.
    async fn stalled<C: Client>(&self, client: &C) -> anyhow::Result<()> {
        let servers = &self.drive.servers;
        let what = || (Op::Echo, Bytes::from(vec![7; SMALL]));
        let in_flight = 64;
        let mut record = Record::new("stalled", SMALL, in_flight);
        let before = load::calls(client, what(), in_flight, self.time(), servers).await?;
        let memory = process::resident_kib(servers)?;
        let Some(stalled) = client.stall().await? else {
            return Ok(());
        };
        let seen = load::calls(client, what(), in_flight, self.time(), servers).await?;
        record.fill(&seen);
        record.p99_before_us = Some(before.quantile_us(0.99));
        record.memory_kib = Some(process::resident_kib(servers)? - memory);
        drop(stalled);
        self.print(record)
    }
}

enum Found {
    Calls(Seen),
    Memory(f64),
}
