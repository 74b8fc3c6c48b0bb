//! `scenario`: runs an experiment with many nodes, or lists them.

use std::path::PathBuf;

use clap::Parser;
use o_lab::{
    own_network, say,
    scenario::{self, ALL, Size},
};

/// Runs an experiment with many nodes and writes its figures and a plot; without a name, lists them.
#[derive(Debug, Parser)]
struct Args {
    /// Which one
    name: Option<String>,
    /// The numbers of nodes, separated by commas; if not said, some that take a minute or a few
    #[arg(long, value_delimiter = ',', value_parser = nodes)]
    nodes: Vec<usize>,
    /// How often each measurement is made
    #[arg(long, default_value_t = Size::default().rounds)]
    rounds: usize,
    /// A tenth of the times and a hundredth of the messages: to see that it works, and not for figures
    #[arg(long)]
    quick: bool,
    /// Where the figures go
    #[arg(long, default_value = "target/lab")]
    directory: PathBuf,
}

fn nodes(text: &str) -> Result<usize, String> {
    let count = text.parse().map_err(|_| "not a number".to_owned())?;
    if (3..=2000).contains(&count) {
        Ok(count)
    } else {
        Err("3 to 2000 nodes".into())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    if o_lab::be_member().await? {
        return Ok(());
    }
    let args = Args::parse();
    let Some(name) = args.name else {
        for (name, what) in ALL {
            say(format_args!("{name:<12}{what}"));
        }
        return Ok(());
    };
    if name == scenario::LAN {
        own_network::enter()?;
    }
    let size = Size {
        nodes: args.nodes,
        rounds: args.rounds.max(1),
        quick: args.quick,
    };
    for file in scenario::run(&name, &size, &args.directory).await? {
        say(format_args!("written: {}", file.display()));
    }
    Ok(())
}
