//! `soak`: runs many nodes under churn, calls and partitions; exit status 1 when a check fails.

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use o_lab::{
    say,
    soak::{self, Config},
    warn,
};

/// Runs many nodes in one process under churn, calls and partitions that follow from a seed.
#[derive(Debug, Parser)]
struct Args {
    /// How long calls are made; fractions are fine
    #[arg(default_value_t = 1.0)]
    minutes: f64,
    /// The seed of an earlier run, to repeat it; by default a new one
    #[arg(long)]
    seed: Option<u64>,
    /// How many nodes
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u8).range(2..=64))]
    nodes: u8,
    /// Calls begun in a second
    #[arg(long, default_value_t = 30)]
    rate: u32,
    /// Find names through the table alone, without a directory that all nodes share
    #[arg(long)]
    dht_only: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let length = Duration::try_from_secs_f64(args.minutes * 60.0)?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let seed = args.seed.unwrap_or(now.as_secs());
    warn(format_args!("seed {seed}"));
    let report = soak::run(Config {
        nodes: args.nodes.into(),
        length,
        seed,
        calls_per_second: args.rate,
        dht_only: args.dht_only,
    })
    .await?;
    if args.json {
        say(report.json());
    } else {
        say(&report);
    }
    if report.failed() == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    for failure in report.failures() {
        warn(format_args!("failed: {failure}"));
    }
    let alone = if args.dht_only { " --dht-only" } else { "" };
    warn(format_args!(
        "to repeat: soak {} --seed {seed} --nodes {} --rate {}{alone}",
        args.minutes, args.nodes, args.rate
    ));
    Ok(ExitCode::FAILURE)
}
