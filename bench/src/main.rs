//! The node beside its peers: one process serves, another drives; `cargo xtask bench` runs both and writes docs/performance.md.

mod contender;
mod drive;
mod hold;
mod libp2p_node;
mod load;
mod many;
mod mux;
mod nats;
mod node;
mod process;
mod raw;
mod request_response;
mod serve;
mod substream;
mod tonic_h2c;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use contender::Kind;
use drive::Drive;
use hold::Hold;

/// Measures calls between two processes.
#[derive(Debug, Parser)]
struct Arguments {
    /// Worker threads; 0 runs everything on the main thread.
    #[arg(long, global = true, default_value_t = 0)]
    workers: usize,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prints one line, its address and the process ids that do its work, and serves until its standard input ends.
    Serve {
        /// Which contender.
        kind: Kind,
    },
    /// Prints one JSON object a line for each measure.
    Drive(Drive),
    /// As `serve`, our node with room for so many connections.
    ServeMany {
        /// How many.
        connections: usize,
    },
    /// Connects many nodes to one that serves many, and prints what they found as one JSON object.
    Hold(Hold),
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut builder = match arguments.workers {
        0 => tokio::runtime::Builder::new_current_thread(),
        workers => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(workers);
            builder
        }
    };
    let runtime = builder.enable_all().build().context("no runtime")?;
    // As its own task, so that with worker threads nothing runs on the main one.
    let main = match arguments.command {
        Command::Serve { kind } => runtime.spawn(serve::run(kind)),
        Command::Drive(drive) => runtime.spawn(drive::run(drive)),
        Command::ServeMany { connections } => runtime.spawn(serve::many(connections)),
        Command::Hold(hold) => runtime.spawn(hold::run(hold)),
    };
    let outcome = runtime.block_on(main).context("it panicked")?;
    runtime.shutdown_background();
    outcome
}
