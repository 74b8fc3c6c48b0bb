//! What holds: flags before environment before file before preset, and which of them it was.

mod environment;
mod excerpt;
mod file;
mod layer;
mod node;
mod show;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use o_address::{PeerId, TransportAddr};
use o_core::{Capability, Label, NetworkId};
use o_node::{KeySource, NodeConfig, Preset};

pub(crate) use self::{
    file::{GateName, schema},
    layer::{ExecSettings, Layer},
    show::{Row, rows},
};
use crate::{exit::Failure, paths};

/// For what the settings are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A short-lived node. Its key, and who may connect, come from flags only: a key file that the
    /// configuration names belongs to a server, which has it locked.
    Client,
    /// A node that serves.
    Server,
}

/// A value and who chose it.
#[derive(Clone, Debug)]
pub(crate) struct Setting<T> {
    pub(crate) value: T,
    pub(crate) origin: Origin,
}

/// Who chose a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Flag,
    Environment,
    File,
    Preset,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flag => "flag",
            Self::Environment => "environment",
            Self::File => "file",
            Self::Preset => "preset",
        })
    }
}

/// By which rule a server decides who may connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Everybody, or as the list of peers says.
    Open,
    /// A node with a parent: only its parent, its children, the leader, and allowed peers.
    Hierarchy,
}

/// Which peers are named one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum PeerList {
    /// None.
    #[default]
    Nobody,
    /// These may connect, and in an open network nobody else.
    Allow(Vec<PeerId>),
    /// These may not connect.
    Deny(Vec<PeerId>),
}

/// Everything that can be set.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) preset: Setting<Preset>,
    pub(crate) network: Setting<NetworkId>,
    pub(crate) listen: Setting<Vec<TransportAddr>>,
    pub(crate) bootstrap: Setting<Vec<TransportAddr>>,
    /// Whether Unix sockets go without encryption where the other end wants that too.
    pub(crate) unix_plaintext: Setting<bool>,
    /// `None`: what the role has by default.
    pub(crate) key: Setting<Option<KeySource>>,
    /// `None`: the hierarchy for a node with a parent, open for one without.
    pub(crate) gate: Setting<Option<Gate>>,
    pub(crate) peers: Setting<PeerList>,
    pub(crate) capabilities: Setting<Vec<Capability>>,
    pub(crate) specialisations: Setting<Vec<Capability>>,
    pub(crate) labels: Setting<Vec<Label>>,
    pub(crate) description: Setting<Option<String>>,
    pub(crate) max_connections: Setting<usize>,
    /// How long a call may take up to its first answer.
    pub(crate) call_timeout: Setting<Duration>,
    /// How long a search may take.
    pub(crate) find_timeout: Setting<Duration>,
    pub(crate) exec: ExecSettings,
    /// The node's configuration, with all of the above in it that it has a place for.
    pub(crate) node: NodeConfig,
    /// What the file changed about it.
    node_table: serde_json::Value,
}

impl Settings {
    /// Reads environment and file, and lets the flags win.
    ///
    /// # Errors
    /// What cannot be understood, and where it stands.
    pub(crate) fn load(config: Option<&Path>, flags: Layer, role: Role) -> Result<Self, Failure> {
        let variable = |name: &str| std::env::var(name).ok();
        let (file, node_table) = file::read(config_path(config, variable))?;
        Self::resolve(flags, environment::layer(variable)?, file, node_table, role)
    }

    /// What these flags alone give.
    #[cfg(test)]
    pub(crate) fn for_test(flags: Layer, role: Role) -> Self {
        let nothing = || Layer::default();
        let no_table = serde_json::json!({});
        Self::resolve(flags, nothing(), nothing(), no_table, role).unwrap()
    }

    fn resolve(
        flags: Layer,
        mut environment: Layer,
        mut file: Layer,
        node_table: serde_json::Value,
        role: Role,
    ) -> Result<Self, Failure> {
        if role == Role::Client {
            environment.only_for_clients();
            file.only_for_clients();
        }
        let layers = [
            (Origin::Flag, flags),
            (Origin::Environment, environment),
            (Origin::File, file),
        ];
        let preset = pick(&layers, |layer| layer.preset).unwrap_or(by_preset(Preset::Local));
        let mut node = node::base(preset.value, &node_table)?;

        // Where no layer says anything, the node's own configuration does, or the file about it.
        macro_rules! in_node {
            ($layer:ident, $($field:ident).+) => {{
                let picked = pick(&layers, |layer| layer.$layer.clone());
                let setting = picked.unwrap_or_else(|| Setting {
                    value: node.$($field).+.clone(),
                    origin: node::origin(&node_table, &[$(stringify!($field)),+]),
                });
                node.$($field).+.clone_from(&setting.value);
                setting
            }};
        }
        let network = in_node!(network, network);
        let listen = in_node!(listen, listen);
        let bootstrap = in_node!(bootstrap, bootstrap);
        let unix_plaintext = in_node!(unix_plaintext, transport.unix.plaintext);
        let max_connections = in_node!(max_connections, limits.max_connections);
        let call_timeout = in_node!(call_timeout, node.call_timeout);
        // As the node does: what is shown is what holds.
        node.limits.max_inbound = node.limits.max_inbound.min(max_connections.value);
        node.pool.max_connections = node.pool.max_connections.min(max_connections.value);

        Ok(Self {
            find_timeout: pick(&layers, |layer| layer.find_timeout)
                .unwrap_or(by_preset(Duration::from_secs(5))),
            key: pick(&layers, |layer| layer.key.clone().map(Some)).unwrap_or(by_preset(None)),
            gate: pick(&layers, |layer| layer.gate.map(Some)).unwrap_or(by_preset(None)),
            peers: pick(&layers, |layer| layer.peers.clone())
                .unwrap_or(by_preset(PeerList::Nobody)),
            capabilities: pick(&layers, |layer| layer.capabilities.clone())
                .unwrap_or(by_preset(Vec::new())),
            specialisations: pick(&layers, |layer| layer.specialisations.clone())
                .unwrap_or(by_preset(Vec::new())),
            labels: pick(&layers, |layer| layer.labels.clone()).unwrap_or(by_preset(Vec::new())),
            description: pick(&layers, |layer| layer.description.clone().map(Some))
                .unwrap_or(by_preset(None)),
            exec: ExecSettings::resolve(&layers),
            preset,
            network,
            listen,
            bootstrap,
            unix_plaintext,
            max_connections,
            call_timeout,
            node,
            node_table,
        })
    }
}

/// The file that is read, and whether it has to be there.
fn config_path(
    flag: Option<&Path>,
    variable: impl Fn(&str) -> Option<String>,
) -> Option<(PathBuf, bool)> {
    let named = flag.map(Path::to_owned);
    let named = named.or_else(|| {
        variable("O_CONFIG")
            .filter(|v| !v.is_empty())
            .map(Into::into)
    });
    match named {
        Some(path) => Some((path, true)),
        None => paths::config_file().map(|path| (path, false)),
    }
}

/// The file that is read.
///
/// # Errors
/// When there is no home directory.
pub(crate) fn path(flag: Option<&Path>) -> Result<PathBuf, Failure> {
    match config_path(flag, |name| std::env::var(name).ok()) {
        Some((path, _)) => Ok(path),
        None => Err(Failure::usage("there is no home directory: give --config")),
    }
}

fn by_preset<T>(value: T) -> Setting<T> {
    let origin = Origin::Preset;
    Setting { value, origin }
}

/// What the first layer says that says anything.
fn pick<T>(layers: &[(Origin, Layer)], what: impl Fn(&Layer) -> Option<T>) -> Option<Setting<T>> {
    layers.iter().find_map(|(origin, layer)| {
        what(layer).map(|value| Setting {
            value,
            origin: *origin,
        })
    })
}
