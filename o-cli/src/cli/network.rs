//! Flags that say how the network is found, of every command that is a client.

use std::path::PathBuf;

use clap::Args;
use o_address::TransportAddr;
use o_core::NetworkId;

/// How a client finds the network. The first that is given holds: `--peer`, `--bootstrap`, the
/// nodes of this user that run on this machine, and with `--lan` whoever answers.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Network")]
pub(crate) struct NetworkArgs {
    /// Ask only the node at this address; nothing is searched
    #[arg(long, value_name = "MULTIADDR", conflicts_with_all = ["bootstrap", "lan", "public"])]
    pub(crate) peer: Option<TransportAddr>,
    /// A node that knows others, ending in /p2p/PEER_ID; can be repeated, or separated by commas
    /// [env: O_BOOTSTRAP]
    #[arg(long, value_name = "MULTIADDR", value_delimiter = ',')]
    pub(crate) bootstrap: Vec<TransportAddr>,
    /// Which network, `main` by default [env: O_NETWORK]
    #[arg(long, value_name = "NAME")]
    pub(crate) network: Option<NetworkId>,
    #[command(flatten)]
    pub(crate) preset: PresetArgs,
    /// Do not encrypt connections over Unix sockets to processes of this user that want the same
    /// [env: O_UNIX_PLAINTEXT=true]
    #[arg(long)]
    pub(crate) unix_plaintext: bool,
    /// Use the key in this file, made if it is not there; by default a new key for each call. How the calls
    /// with a key went is remembered when providers are chosen
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Use the key of this seed
    #[arg(long, value_name = "SEED", conflicts_with = "key")]
    pub(crate) seed: Option<String>,
}

/// Which preset a node starts from.
#[derive(Clone, Copy, Debug, Default, Args)]
#[command(next_help_heading = "Network")]
pub(crate) struct PresetArgs {
    /// The local network: find and be found by multicast DNS [env: O_PRESET=lan]
    #[arg(long)]
    pub(crate) lan: bool,
    /// The internet: only addresses that can be reached from everywhere [env: O_PRESET=public]
    #[arg(long, conflicts_with = "lan")]
    pub(crate) public: bool,
}
