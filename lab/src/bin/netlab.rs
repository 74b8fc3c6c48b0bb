//! `netlab`: runs `o` between network namespaces; exit status 1 when a check fails, 3 when none
//! could be made.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand};
use o_address::{Address, TransportAddr};
use o_lab::{
    netlab::{self, Verdict},
    say, warn,
};
use tokio::signal::unix::{SignalKind, signal};

/// The exit status that says that nothing could be checked here.
const SKIPPED: u8 = 3;

/// Runs the program `o` between network namespaces with NAT, delay and loss.
#[derive(Debug, Parser)]
struct Args {
    /// The program `o`
    #[arg(long, default_value = "target/debug/o")]
    o: PathBuf,
    /// Where the figures go
    #[arg(long, default_value = "target/lab")]
    directory: PathBuf,
    #[command(subcommand)]
    command: Option<Inner>,
}

#[derive(Debug, Subcommand)]
enum Inner {
    /// A node that calls whoever connects to it; the lab starts it
    #[command(hide = true)]
    Hub {
        #[arg(long)]
        listen: TransportAddr,
        #[arg(long)]
        target: Address,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    if let Some(Inner::Hub { listen, target }) = args.command {
        netlab::run_hub(&listen, &target).await?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(missing) = netlab::missing() {
        say(format_args!("skipped: {missing}"));
        return Ok(SKIPPED.into());
    }
    let o = args.o.canonicalize();
    let o = o.with_context(|| format!("{}: `cargo build -p o-cli`", args.o.display()))?;
    let mut terminated = signal(SignalKind::terminate())?;
    // Whatever ends it drops the run, and with it every process and namespace.
    let findings = tokio::select! {
        findings = netlab::run(&o, &args.directory) => findings?,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = terminated.recv() => bail!("terminated"),
    };
    let count = |verdict| {
        let same = findings.iter().filter(|found| found.verdict == verdict);
        same.count()
    };
    for verdict in [
        Verdict::Passed,
        Verdict::Limit,
        Verdict::Skipped,
        Verdict::Failed,
    ] {
        say(format_args!("{:<8}{}", verdict.word(), count(verdict)));
    }
    if count(Verdict::Skipped) > 0 {
        warn("SOME CHECKS WERE SKIPPED, see above");
    }
    Ok(if count(Verdict::Failed) == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
