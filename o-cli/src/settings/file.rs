//! Settings from the configuration file, in TOML.

mod number;

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    str::{FromStr, Utf8Error},
};

use clap::ValueEnum;
use o_address::{PeerId, TransportAddr};
use o_core::{Capability, Label, NetworkId};
use o_node::{NodeConfig, Preset};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Gate, Layer,
    excerpt::{brief, in_place},
    layer::{key, peers},
};
use crate::exit::Failure;

/// The longest file that is read, in bytes: some 18,000 peers of a list are as long.
const MAX_FILE: u64 = 1024 * 1024;

/// The configuration file of the program `o`: `$XDG_CONFIG_HOME/o/config.toml`. Everything is
/// optional. Times are written as in "1m 30s", sizes in bytes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "o/config.toml")]
struct FileConfig {
    /// From which defaults to start. Default: local.
    preset: Option<PresetName>,
    /// Which network: 1 to 32 characters of a-z, 0-9 and -. Default: main.
    #[schemars(with = "Option<String>")]
    network: Option<NetworkId>,
    /// Where `o serve` listens, as multiaddrs.
    #[schemars(with = "Option<Vec<String>>")]
    listen: Option<Vec<TransportAddr>>,
    /// Nodes that know others, as multiaddrs that end in /p2p/PEER_ID.
    #[schemars(with = "Option<Vec<String>>")]
    bootstrap: Option<Vec<TransportAddr>>,
    /// Whether connections over Unix sockets to processes of this user that want the same are not
    /// encrypted. Default: false.
    unix_plaintext: Option<bool>,
    /// The key file of `o serve`. Default: one for each address.
    key: Option<PathBuf>,
    /// The seed of the key of `o serve`, in place of a file. Whoever reads it has the key.
    seed: Option<String>,
    /// Who may connect to `o serve`. Default: hierarchy for a node with a parent, open for one without.
    gate: Option<GateName>,
    /// The only peers that may connect to `o serve`; where the gate is the hierarchy, those that may
    /// connect beside parent, children and leader.
    #[schemars(with = "Option<Vec<String>>")]
    allow: Option<Vec<PeerId>>,
    /// The peers that may not connect to `o serve`; not together with `allow`.
    #[schemars(with = "Option<Vec<String>>")]
    deny: Option<Vec<PeerId>>,
    /// What `o serve` announces that it can do.
    #[schemars(with = "Option<Vec<String>>")]
    capabilities: Option<Vec<Capability>>,
    /// What `o serve` says that it is especially good at.
    #[schemars(with = "Option<Vec<String>>")]
    specialisations: Option<Vec<Capability>>,
    /// What else `o serve` says about itself, like lang=de.
    #[schemars(with = "Option<Vec<String>>")]
    labels: Option<Vec<Label>>,
    /// What `o serve` says that it is for.
    description: Option<String>,
    /// Most connections at once. Default: 512.
    #[serde(deserialize_with = "number::at_least_one")]
    #[schemars(with = "Option<usize>")]
    max_connections: Option<usize>,
    /// How long things may take.
    timeouts: Timeouts,
    /// The programs that `o serve --method` runs.
    exec: Exec,
    /// Any field of the node's own configuration; `o config show` lists them with their defaults
    /// as `node.…`.
    node: Map<String, Value>,
}

/// How long things may take.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Timeouts {
    /// A call, up to its first answer. Default: 30s.
    #[serde(deserialize_with = "number::time")]
    #[schemars(with = "Option<String>")]
    call: Option<std::time::Duration>,
    /// A search. Default: 5s.
    #[serde(deserialize_with = "number::time")]
    #[schemars(with = "Option<String>")]
    find: Option<std::time::Duration>,
}

/// The programs that `o serve --method` runs.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Exec {
    /// Most programs that run at once. Default: 16.
    #[serde(deserialize_with = "number::at_least_one")]
    #[schemars(with = "Option<usize>")]
    max_running: Option<usize>,
    /// Most calls that wait for a program to end. Default: 64.
    #[serde(deserialize_with = "number::count")]
    #[schemars(with = "Option<usize>")]
    max_queued: Option<usize>,
    /// Time between SIGTERM and SIGKILL. Default: 2s.
    #[serde(deserialize_with = "number::time")]
    #[schemars(with = "Option<String>")]
    kill_after: Option<std::time::Duration>,
    /// Largest JSON value that a program may write, in bytes. Default: 16 MiB.
    #[serde(deserialize_with = "number::bytes")]
    #[schemars(with = "Option<usize>")]
    max_value: Option<usize>,
    /// How much of the end of standard error an error carries, in bytes. Default: 3072.
    #[serde(deserialize_with = "number::bytes")]
    #[schemars(with = "Option<usize>")]
    stderr_tail: Option<usize>,
}

/// Who may connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum GateName {
    /// Only the parent, children, the leader and allowed peers; a root, without a parent, is open.
    Hierarchy,
    /// Everybody, or whom the list of allowed or denied peers lets.
    Open,
}

impl From<GateName> for Gate {
    fn from(name: GateName) -> Self {
        match name {
            GateName::Hierarchy => Self::Hierarchy,
            GateName::Open => Self::Open,
        }
    }
}

impl FromStr for GateName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "hierarchy" => Ok(Self::Hierarchy),
            "open" => Ok(Self::Open),
            _ => Err("a gate is hierarchy or open"),
        }
    }
}

/// From which defaults to start.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum PresetName {
    /// Within this machine: 127.0.0.1 only.
    Local,
    /// Within the local network: every interface, and multicast DNS.
    Lan,
    /// The internet: every interface.
    Public,
}

impl From<PresetName> for Preset {
    fn from(name: PresetName) -> Self {
        match name {
            PresetName::Local => Self::Local,
            PresetName::Lan => Self::Lan,
            PresetName::Public => Self::Public,
        }
    }
}

impl FromStr for PresetName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "local" => Ok(Self::Local),
            "lan" => Ok(Self::Lan),
            "public" => Ok(Self::Public),
            _ => Err("a preset is local, lan or public"),
        }
    }
}

/// Reads the file; one that is not there says nothing, unless somebody named it.
///
/// # Errors
/// When it cannot be read or understood, with its line.
pub(super) fn read(path: Option<(PathBuf, bool)>) -> Result<(Layer, Value), Failure> {
    let nothing = || (Layer::default(), Value::Object(Map::new()));
    let Some((path, required)) = path else {
        return Ok(nothing());
    };
    let parsed = match text_of(&path) {
        Ok(text) => parse(&text),
        Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::NotFound && !required => {
            return Ok(nothing());
        }
        Err(error) => Err(Failure::usage(error.to_string())),
    };
    parsed.map_err(|failure| failure.context(path.display()))
}

/// Why a file is no text of ours.
#[derive(Debug)]
enum ReadError {
    Io(io::Error),
    TooLarge,
    NotText(Utf8Error),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::TooLarge => write!(f, "over {MAX_FILE} bytes, the most that is read"),
            Self::NotText(error) => write!(f, "not UTF-8: {error}"),
        }
    }
}

/// The text of a file, of which no more is read than it may have.
fn text_of(path: &Path) -> Result<String, ReadError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(ReadError::Io)?;
    let most = MAX_FILE.saturating_add(1);
    file.take(most)
        .read_to_end(&mut bytes)
        .map_err(ReadError::Io)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(ReadError::TooLarge);
    }
    String::from_utf8(bytes).map_err(|error| ReadError::NotText(error.utf8_error()))
}

/// What the text of a file says.
pub(super) fn parse(text: &str) -> Result<(Layer, Value), Failure> {
    let config: FileConfig = toml::from_str(text).map_err(|error| {
        let place = error.span().map(|span| span.start);
        Failure::usage(match place {
            Some(offset) => in_place(text, offset, error.message()),
            None => brief(error.message()),
        })
    })?;
    let layer = Layer {
        preset: config.preset.map(Preset::from),
        network: config.network,
        listen: config.listen,
        bootstrap: config.bootstrap,
        unix_plaintext: config.unix_plaintext,
        key: key(config.key, config.seed)?,
        gate: config.gate.map(Gate::from),
        peers: peers(config.allow, config.deny)?,
        capabilities: config.capabilities,
        specialisations: config.specialisations,
        labels: config.labels,
        description: config.description,
        max_connections: config.max_connections,
        call_timeout: config.timeouts.call,
        find_timeout: config.timeouts.find,
        max_running: config.exec.max_running,
        max_queued: config.exec.max_queued,
        kill_after: config.exec.kill_after,
        max_value: config.exec.max_value,
        stderr_tail: config.exec.stderr_tail,
    };
    Ok((layer, Value::Object(config.node)))
}

/// The JSON Schema of the file. The default of `node` is what the preset `local` sets.
pub(crate) fn schema() -> Result<Value, Failure> {
    let mut schema = schemars::schema_for!(FileConfig).to_value();
    let defaults = serde_json::to_value(NodeConfig::preset(Preset::Local))
        .map_err(|error| Failure::internal(error.to_string()))?;
    if let Some(node) = schema.pointer_mut("/properties/node") {
        node["default"] = defaults;
    }
    Ok(schema)
}
