//! Flags of `o serve`.

use std::{path::PathBuf, str::FromStr};

use clap::Args;
use o_address::{Address, PeerId, TransportAddr};
use o_core::{Capability, Label, MethodSpec, NetworkId};

use super::PresetArgs;
use crate::{
    settings::GateName,
    values::{self, Who},
};

/// `o serve`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  o serve o://try/echo
  o serve o://math/adder --method add=./add.py --capability math/add
  o serve o://logs/tail --method follow='tail -f /var/log/syslog' --listen /ip4/127.0.0.1/tcp/4001
  o serve o://try/echo --listen /ip4/127.0.0.1/tcp/4002/ws
  o serve o://try/echo --listen /unix/tmp/echo.sock
  o serve o://math/adder --method add=./add.py --allow 12D3KooW… --lan
  o serve o://company                                       the root of a tree, its leader
  o serve o://company/sales --parent /ip4/127.0.0.1/tcp/4001/p2p/12D3KooW…

COMMAND is split like a shell's words, without a shell. Its parameters are one JSON value on
standard input; each JSON value that it writes to standard output goes to the caller at once. An
exit status other than 0 is an error with the end of its standard error. It finds O_ADDRESS,
O_METHOD, O_PEER, O_CALL_ID, O_DEADLINE_MS and TRACEPARENT in its environment, and gets SIGTERM when
nobody waits for it any more, SIGKILL 2 s later.

Without --method the built-in echo agent is served: `echo` answers with its parameters, `count`
streams numbers. Every agent also has `ping`, `describe`, `stats` and, but for the
preset public, what `o bench` measures with: node.bench.enabled = false turns that off.

With --parent it joins the tree of names below its parent, which vouches for it with a signed delegation.
It then answers only its parent, its children, the leader and peers named with --allow; others reach it
through the tree. To let everybody call, give --gate open. `o ls` shows the tree.

Ctrl-C or SIGTERM ends it: running calls get a few seconds, then it exits with status 0; a second
Ctrl-C, half a second later or more, ends it at once.")]
pub(crate) struct ServeArgs {
    /// The name to serve, like o://company/sales/assistant
    pub(crate) address: Address,
    /// A method and the program that answers it; can be repeated
    #[arg(long, short = 'm', value_name = "NAME=COMMAND")]
    pub(crate) method: Vec<MethodArg>,
    /// Be a child of the node at this address, whose name this one's begins with. Without /p2p/PEER_ID
    /// at its end, and without --root-key, the first root that is seen is trusted and remembered
    #[arg(long, value_name = "MULTIADDR", help_heading = "Hierarchy")]
    pub(crate) parent: Option<TransportAddr>,
    /// The key of the root, the leader of the whole tree
    #[arg(
        long,
        value_name = "PEER",
        requires = "parent",
        help_heading = "Hierarchy"
    )]
    pub(crate) root_key: Option<PeerId>,
    /// Whom to take as children: everybody, nobody, or these peers only, and they under any name; can be
    /// repeated, or separated by commas. By default everybody, with --public those named with --allow
    #[arg(
        long,
        value_name = "WHO",
        value_delimiter = ',',
        help_heading = "Hierarchy"
    )]
    pub(crate) admit: Vec<Who>,
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
}

/// What can also be set by environment and configuration.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct SettingsArgs {
    /// What it can do, like math/add; can be repeated, or separated by commas
    /// [env: O_CAPABILITIES]
    #[arg(long, value_name = "CAP", value_delimiter = ',')]
    pub(crate) capability: Vec<Capability>,
    /// What it is especially good at, like law/contracts; can be repeated, or separated by commas
    /// [env: O_SPECIALISATIONS]
    #[arg(long, value_name = "TOPIC", value_delimiter = ',')]
    pub(crate) specialisation: Vec<Capability>,
    /// What else it says about itself, like lang=de or gpu; can be repeated [env: O_LABELS]
    #[arg(long, value_name = "KEY[=VALUE]")]
    pub(crate) label: Vec<Label>,
    /// What it is for, in a sentence or two; searches by words look at it [env: O_DESCRIPTION]
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// Where to listen; can be repeated, or separated by commas. By default a free TCP and a free
    /// QUIC port of 127.0.0.1, with --lan and --public of every interface [env: O_LISTEN]
    #[arg(
        long,
        value_name = "MULTIADDR",
        value_delimiter = ',',
        help_heading = "Network"
    )]
    pub(crate) listen: Vec<TransportAddr>,
    /// A node that knows others, ending in /p2p/PEER_ID; can be repeated, or separated by commas.
    /// By default the other nodes of this user on this machine [env: O_BOOTSTRAP]
    #[arg(
        long,
        value_name = "MULTIADDR",
        value_delimiter = ',',
        help_heading = "Network"
    )]
    pub(crate) bootstrap: Vec<TransportAddr>,
    /// Which network, `main` by default [env: O_NETWORK]
    #[arg(long, value_name = "NAME", help_heading = "Network")]
    pub(crate) network: Option<NetworkId>,
    #[command(flatten)]
    pub(crate) preset: PresetArgs,
    /// Do not encrypt connections over Unix sockets to processes of this user that want the same
    /// [env: O_UNIX_PLAINTEXT=true]
    #[arg(long, help_heading = "Network")]
    pub(crate) unix_plaintext: bool,
    /// Use the key in this file, made if it is not there. By default
    /// $XDG_DATA_HOME/o/keys/ADDRESS.key [env: O_KEY]
    #[arg(long, value_name = "FILE", help_heading = "Identity and access")]
    pub(crate) key: Option<PathBuf>,
    /// Use the key of this seed, which whoever knows it has too [env: O_SEED]
    #[arg(
        long,
        value_name = "SEED",
        conflicts_with = "key",
        help_heading = "Identity and access"
    )]
    pub(crate) seed: Option<String>,
    /// Who may call. hierarchy: parent, children, leader and --allow peers; open:
    /// everybody. By default hierarchy with --parent, open without; a node without a parent is the
    /// root of its hierarchy and open [env: O_GATE]
    #[arg(long, value_name = "RULE", help_heading = "Identity and access")]
    pub(crate) gate: Option<GateName>,
    /// Let only these peers connect, with --parent beside parent, children and leader; can be
    /// repeated, or separated by commas [env: O_ALLOW]
    #[arg(
        long,
        value_name = "PEER",
        value_delimiter = ',',
        help_heading = "Identity and access"
    )]
    pub(crate) allow: Vec<PeerId>,
    /// Do not let these peers connect, whatever else says they may; can be repeated, or separated by
    /// commas [env: O_DENY]
    #[arg(
        long,
        value_name = "PEER",
        value_delimiter = ',',
        conflicts_with = "allow",
        help_heading = "Identity and access"
    )]
    pub(crate) deny: Vec<PeerId>,
    /// Most connections at once [default: 512] [env: O_MAX_CONNECTIONS]
    #[arg(long, value_name = "N", help_heading = "Limits", value_parser = values::number::<usize>(1.., 512))]
    pub(crate) max_connections: Option<usize>,
    /// Most programs that run at once [default: 16]
    #[arg(long, value_name = "N", help_heading = "Limits", value_parser = values::number::<usize>(1.., 16))]
    pub(crate) max_running: Option<usize>,
    /// Most calls that wait for a program to end; more are answered `busy` [default: 64]
    #[arg(long, value_name = "N", help_heading = "Limits", value_parser = values::number::<usize>(.., 64))]
    pub(crate) max_queued: Option<usize>,
}

/// `NAME=COMMAND`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MethodArg {
    pub(crate) name: String,
    /// The words of the command, at least one.
    pub(crate) words: Vec<String>,
}

impl FromStr for MethodArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, command) = text
            .split_once('=')
            .ok_or("write it as NAME=COMMAND, for example add=./add.py")?;
        if name.is_empty() || name.len() > MethodSpec::MAX_NAME {
            return Err(format!("a name has 1 to {} bytes", MethodSpec::MAX_NAME));
        }
        let words = shell_words::split(command).map_err(|_| "a quote is not closed".to_owned())?;
        if words.first().is_none_or(String::is_empty) {
            return Err("after the = stands a command".into());
        }
        Ok(Self {
            name: name.to_owned(),
            words,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_split_like_a_shells_words() {
        let method: MethodArg = "m=sh -c 'echo \"a b\" $x' \\; c=d".parse().unwrap();
        assert_eq!(method.name, "m");
        assert_eq!(method.words, ["sh", "-c", "echo \"a b\" $x", ";", "c=d"]);
    }

    #[test]
    fn what_is_no_method_says_why() {
        let error = |text: &str| text.parse::<MethodArg>().unwrap_err();
        assert!(error("add").contains("NAME=COMMAND"));
        assert!(error("=x").contains("1 to 128 bytes"));
        assert!(error("m=").contains("a command"));
        assert!(error("m='x").contains("quote"));
        assert!(error(&format!("{}=x", "n".repeat(129))).contains("128"));
    }
}
