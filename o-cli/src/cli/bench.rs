//! Flags of `o bench`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use o_address::Address;

use super::NetworkArgs;
use crate::values;

/// `o bench`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  o bench o://try/echo
  o bench o://try/echo --quick
  o bench o://try/echo --measure rtt,calls --duration 10s
  o bench o://~ --peer /ip4/127.0.0.1/tcp/4001/p2p/12D3KooW…
  o bench o://~ --peer /unix/tmp/echo.sock --unix-plaintext
  o bench o://try/echo --json | jq 'select(.measure == \"rtt\").p50_us'

setup   from dialing to the first answer, over a new connection each time
rtt     round trips of 100 bytes, one after the other, with a picture of how they are spread
calls   calls of 100 bytes per second, 1, 64 and 512 in flight
echo    bodies of 64 KiB and 1 MiB, 8 in flight, and 16 MiB, one by one, there and back
upload  bytes one way, as one stream

A row of JSON over a connection that is not encrypted has \"plaintext\": true, and the table says so.
MB are 1,000,000 bytes, counted one way. All but setup share one connection. An agent answers by
itself, without running any program, unless node.bench.enabled is off where it lives, as it is by
default with --public. Ctrl-C ends it and shows what was measured until then.")]
pub(crate) struct BenchArgs {
    /// Which agent
    pub(crate) address: Address,
    /// What to measure, separated by commas [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) measure: Vec<Measure>,
    /// How long each figure is measured, at most 1h [default: 2s, with --quick 300ms]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) duration: Option<Duration>,
    /// Take a quick look: less of everything
    #[arg(long)]
    pub(crate) quick: bool,
    /// How long it may take in all; what was measured until then is shown
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    pub(crate) timeout: Option<Duration>,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Measure {
    Setup,
    Rtt,
    Calls,
    Echo,
    Upload,
}

impl Measure {
    /// Its name in every output.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Rtt => "rtt",
            Self::Calls => "calls",
            Self::Echo => "echo",
            Self::Upload => "upload",
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = values::time(text)?;
    match (Duration::from_millis(1)..=Duration::from_secs(3600)).contains(&duration) {
        true => Ok(duration),
        false => Err("write a time from 1ms to 1h, for example 2s".to_owned()),
    }
}
