//! The words and flags of the program, with the examples that `--help` shows.

mod authority;
mod bench;
mod call;
mod network;
mod serve;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use o_address::Address;
use o_core::{Attribute, Wanted};

pub(crate) use self::{
    authority::{KeyCommand, NewArgs, RotateArgs, TrustArgs, TrustCommand, VerifyArgs},
    bench::{BenchArgs, Measure},
    call::{CallArgs, Callee},
    network::{NetworkArgs, PresetArgs},
    serve::{MethodArg, ServeArgs, SettingsArgs},
};
use crate::{demo::DemoArgs, values};

/// Serve, find and call agents, each at an address like o://company/sales/assistant.
///
/// There is no server in the middle: whoever serves an address is called directly, over an
/// encrypted connection.
#[derive(Debug, Parser)]
#[command(
    name = "o",
    version,
    max_term_width = 100,
    after_help = "Examples:
  o serve o://try/echo                          serve the built-in echo agent
  o call o://try/echo echo '\"hello\"'            call it from another terminal
  o serve o://math/adder --method add=./add.py  serve a program of yours
  o find math/add                               find who can do something
  o demo                                        see it all work

Exit status: 0 done, 1 internal, 2 usage, 3 not found, 4 unreachable or no network, 5 refused,
6 timed out, 7 failed there, 8 busy or over a limit, 130 interrupted."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that every command has.
#[derive(Clone, Debug, Args)]
pub(crate) struct GlobalArgs {
    /// Write JSON for programs: one compact value a line, errors on standard error
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) json: bool,
    /// Read this configuration, not $XDG_CONFIG_HOME/o/config.toml [env: O_CONFIG]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Output")]
    pub(crate) config: Option<PathBuf>,
    /// How logs are written; O_LOG says which, for example O_LOG=debug [env: O_LOG_FORMAT]
    #[arg(long, global = true, value_name = "FORMAT", help_heading = "Output")]
    pub(crate) log_format: Option<LogFormat>,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    #[default]
    Text,
    Json,
}

/// What the program does.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve an address: your programs as its methods, or the built-in echo agent
    Serve(ServeArgs),
    /// Call a method
    Call(CallArgs),
    /// Find who has a capability, or who answers to an address
    Find(FindArgs),
    /// Show the tree of the network, from the leader down
    Ls(LsArgs),
    /// Show what an agent can do: methods, schemas, capabilities
    Describe(DescribeArgs),
    /// Measure how long an agent takes to answer
    Ping(PingArgs),
    /// Measure connection, round trips, calls per second and bytes per second
    Bench(BenchArgs),
    /// Show the peers of a running node: who is connected, and how calls to whom have gone
    Peers(NodeArgs),
    /// Show how a running node is
    Status(NodeArgs),
    /// Show or make the key that a peer id comes from
    Id(IdArgs),
    /// Show or change whose keys are trusted as the roots of which names
    Trust(TrustArgs),
    /// Change the key of a root
    #[command(subcommand)]
    Key(KeyCommand),
    /// Check who signed that a name is whose, up to the root's key
    Verify(VerifyArgs),
    /// Show the configuration
    #[command(
        subcommand,
        after_help = "Examples:
  o config show
  o config show --json --lan
  o config schema > o.schema.json
  $EDITOR \"$(o config path)\"

Flags win over O_* in the environment, which wins over the file, which wins over the preset."
    )]
    Config(ConfigCommand),
    /// Watch agents in several processes find each other and work on real files
    Demo(DemoArgs),
    /// Write the completions for a shell
    Completions(CompletionsArgs),
}

/// `o find`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  o find text/summarize
  o find o://company/sales/assistant
  o find text/summarize --limit 1 --json
  o find --text 'summarize contracts'
  o find --any label:lang=de --any 'capability:text/*^2' --min-score 2
  o find --all below:o://company/sales --json
  o find math/add --bootstrap /ip4/192.0.2.7/tcp/4001/p2p/12D3KooW…

By capability and by address, only those are shown that confirmed by themselves, with their key, what they
offer. Searches by words and by attributes are answered from the signed records that the registry of the
hierarchy and the nodes that are asked have at hand, the best first; nobody confirms those. With --json
each is one line, as soon as it is found.

An attribute is capability:…, specialisation:…, label:…, method:… or below:o://…; a * at its end stands for
the rest, and ^N makes it worth N points.")]
pub(crate) struct FindArgs {
    /// A capability like text/summarize, or an address like o://company/sales/assistant
    #[arg(value_name = "CAPABILITY|ADDRESS", required_unless_present_any = ["text", "any", "all"])]
    pub(crate) target: Option<String>,
    /// Those whose names, capabilities, labels, methods and descriptions fit these words best
    #[arg(long, value_name = "WORDS", conflicts_with_all = ["target", "any", "all"])]
    pub(crate) text: Option<String>,
    /// Those that have any of these attributes; can be repeated
    #[arg(long, value_name = "ATTRIBUTE[^N]", conflicts_with = "target")]
    pub(crate) any: Vec<Wanted>,
    /// Those only that have this attribute; can be repeated
    #[arg(long, value_name = "ATTRIBUTE", conflicts_with = "target")]
    pub(crate) all: Vec<Attribute>,
    /// The least number of points
    #[arg(long, value_name = "N", default_value_t = 1, requires = "any", value_parser = values::number::<u32>(1.., 2))]
    pub(crate) min_score: u32,
    /// How long to search, connecting included [default: 5s]
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    pub(crate) timeout: Option<std::time::Duration>,
    /// End after this many
    #[arg(long, value_name = "N", value_parser = values::number::<u64>(1.., 10))]
    pub(crate) limit: Option<u64>,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

/// `o ls`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  o ls
  o ls o://company/sales --depth 1
  o ls --watch
  o ls --json --bootstrap /ip4/192.0.2.7/tcp/4001/p2p/12D3KooW…

Each node says who is below it; one that does not answer is shown with a ?. HEARD is how long ago its
parent heard of it. With --json each node is one line, a parent before its children.")]
pub(crate) struct LsArgs {
    /// Show only what is at and below this name; by default from the leader of the node that is asked
    pub(crate) address: Option<Address>,
    /// Levels below it
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = values::number::<u8>(0..=15, 3))]
    pub(crate) depth: u8,
    /// Show it again and again, until it is interrupted
    #[arg(long, short = 'w')]
    pub(crate) watch: bool,
    /// Time between two looks
    #[arg(long, value_name = "TIME", default_value = "1s", requires = "watch", value_parser = values::time)]
    pub(crate) interval: std::time::Duration,
    /// How long each look may take [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    pub(crate) timeout: Option<std::time::Duration>,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

/// `o describe`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  o describe o://try/echo
  o describe o://try/echo --json
  o describe o://~ --peer /ip4/127.0.0.1/tcp/4001/p2p/12D3KooW…

o://~ is the node itself: it lists the agents on it.")]
pub(crate) struct DescribeArgs {
    /// Which agent
    pub(crate) address: Address,
    /// How long it may take in all [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    pub(crate) timeout: Option<std::time::Duration>,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

/// `o ping`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  o ping o://try/echo
  o ping o://try/echo --count 100 --interval 10ms --json
  o ping o://~ --peer /ip4/127.0.0.1/tcp/4001/p2p/12D3KooW…

With --peer, the time of the first answer does not include connecting; else it includes finding the
agent and connecting to it. Done if any ping was answered.")]
pub(crate) struct PingArgs {
    /// Which agent
    pub(crate) address: Address,
    /// How often; 0 is until it is interrupted
    #[arg(long, short = 'c', value_name = "N", default_value_t = 4, value_parser = values::number::<u64>(.., 4))]
    pub(crate) count: u64,
    /// Time between two pings
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = values::time)]
    pub(crate) interval: std::time::Duration,
    /// How long each may take; the first, finding the agent and connecting included
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = values::time)]
    pub(crate) timeout: std::time::Duration,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

/// `o peers` and `o status`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  o peers
  o peers o://company/sales/assistant
  o peers 12D3KooW… --json
  o status o://company/sales/assistant

It asks a node of this user that runs on this machine, at its control socket.")]
pub(crate) struct NodeArgs {
    /// Which node: the address that it serves, or its peer id; the only one that runs, if not given
    #[arg(value_name = "ADDRESS|PEER")]
    pub(crate) node: Option<String>,
    /// Which network, `main` by default [env: O_NETWORK]
    #[arg(long, value_name = "NAME")]
    pub(crate) network: Option<o_core::NetworkId>,
}

/// `o id`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  o id o://math/adder      the key that `o serve o://math/adder` uses
  o id --key ./node.key    the key in a file, made if it is not there (mode 0600)
  o id --seed olane        the key of a seed: the same everywhere

Whoever knows a seed has the key. A key file may be in use by a running node meanwhile.")]
pub(crate) struct IdArgs {
    /// Show the default key of this address
    #[arg(required_unless_present_any = ["key", "seed"])]
    pub(crate) address: Option<Address>,
    /// Show the key in this file; it is made if it is not there
    #[arg(long, value_name = "FILE", conflicts_with_all = ["address", "seed"])]
    pub(crate) key: Option<PathBuf>,
    /// Show the key of this seed
    #[arg(long, value_name = "SEED", conflicts_with = "address")]
    pub(crate) seed: Option<String>,
}

/// `o config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show every value that holds, and where it comes from
    #[command(after_help = "Examples:
  o config show
  o config show --lan --bootstrap /ip4/192.0.2.7/tcp/4001/p2p/12D3KooW…
  O_NETWORK=test o config show --json

Flags win over O_* in the environment, which wins over the file, which wins over the preset.")]
    Show(Box<SettingsArgs>),
    /// Show the JSON Schema of the configuration file
    #[command(after_help = "Example:
  o config schema > o.schema.json")]
    Schema,
    /// Show which file is read
    #[command(after_help = "Example:
  $EDITOR \"$(o config path)\"")]
    Path,
}

/// `o completions`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  o completions bash > ~/.local/share/bash-completion/completions/o
  o completions zsh > ~/.zfunc/_o
  o completions fish > ~/.config/fish/completions/o.fish")]
pub(crate) struct CompletionsArgs {
    /// Which shell
    pub(crate) shell: clap_complete::Shell,
}
