//! Flags of `o trust`, `o key` and `o verify`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use o_address::{Address, PeerId};
use o_core::NetworkId;

use super::NetworkArgs;
use crate::values;

/// `o trust`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  o trust
  o trust add o://company 12D3KooW…
  o trust forget o://company

Below a root that is remembered, a name is believed only with the chain of signed delegations that leads
to it from the root's key: by `o find` and `o call`, and by every node that this user serves from then on.
A node that joins a tree remembers its root by itself. Of a root that is not here, everybody is believed
who says that a name is theirs.")]
pub(crate) struct TrustArgs {
    #[command(subcommand)]
    pub(crate) command: Option<TrustCommand>,
    /// Which network, `main` by default [env: O_NETWORK]
    #[arg(long, value_name = "NAME", global = true)]
    pub(crate) network: Option<NetworkId>,
}

/// What `o trust` does.
#[derive(Debug, Subcommand)]
pub(crate) enum TrustCommand {
    /// Show the roots that are remembered, and their keys
    List,
    /// Remember the key of a root, in the place of the one that was remembered
    Add {
        /// The root, like o://company
        root: Address,
        /// The peer id that its key gives
        key: PeerId,
    },
    /// Forget the key of a root: the next one that is seen is trusted
    Forget {
        /// The root, like o://company
        root: Address,
    },
}

/// `o key`.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  LEADER=$(o key new o://company)
  o key rotate o://company")]
pub(crate) enum KeyCommand {
    /// Make the key of a name before `o serve` does, and show its peer id
    New(NewArgs),
    /// Give a root a new key, which the old one names as its successor
    Rotate(RotateArgs),
}

/// `o key new`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  o key new o://company
  o serve o://company/sales --parent /ip4/127.0.0.1/tcp/4100/p2p/$(o key new o://company)

A key that is there already is left as it is, and its peer id is shown.")]
pub(crate) struct NewArgs {
    /// The name that `o serve` will be given, like o://company
    pub(crate) address: Address,
    /// The file of its key; by default the one that `o serve` uses for this address
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
}

/// `o key rotate`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  o key rotate o://company
  o key rotate o://company --key ./company.key

The leader must not run meanwhile. Beside the key file KEY stand then KEY.successors, which `o serve` shows
to everybody who remembers an old key, and the old key as KEY.PEER_ID.old, which nobody needs any more.
Children that know the old key, or name it in --parent, follow.")]
pub(crate) struct RotateArgs {
    /// The root, like o://company
    pub(crate) root: Address,
    /// The file of its key; by default the one that `o serve` uses for this address
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Which network, `main` by default [env: O_NETWORK]
    #[arg(long, value_name = "NAME")]
    pub(crate) network: Option<NetworkId>,
}

/// `o verify`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  o verify o://company/sales/assistant
  o verify o://company/sales/assistant --root-key 12D3KooW…
  o verify o://company/sales/assistant --json | tee agent.json
  o verify --record agent.json

It shows who signed that the name is whose, from the root's key down. With --record nobody is asked: a
record that was written with --json is checked as it is, also where there is no network.")]
pub(crate) struct VerifyArgs {
    /// The name that somebody says is theirs
    #[arg(required_unless_present = "record")]
    pub(crate) address: Option<Address>,
    /// Check the record in this file, written with --json; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "address")]
    pub(crate) record: Option<PathBuf>,
    /// The key of the root; by default the one that is remembered
    #[arg(long, value_name = "PEER")]
    pub(crate) root_key: Option<PeerId>,
    /// How long to search, connecting included [default: 5s]
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    pub(crate) timeout: Option<std::time::Duration>,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}
