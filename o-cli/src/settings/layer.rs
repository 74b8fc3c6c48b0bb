//! What one source of settings says.

use std::time::Duration;

use o_address::{PeerId, TransportAddr};
use o_core::{Capability, Label, NetworkId};
use o_node::{KeyError, KeySource, Preset, Seed};

use super::{Gate, Origin, PeerList, Setting, by_preset, pick};
use crate::{
    cli::{NetworkArgs, PresetArgs, SettingsArgs},
    exec::ExecLimits,
    exit::Failure,
};

/// What flags, environment or file say; `None` where they say nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layer {
    pub(super) preset: Option<Preset>,
    pub(super) network: Option<NetworkId>,
    pub(super) listen: Option<Vec<TransportAddr>>,
    pub(super) bootstrap: Option<Vec<TransportAddr>>,
    pub(super) unix_plaintext: Option<bool>,
    pub(super) key: Option<KeySource>,
    pub(super) gate: Option<Gate>,
    pub(super) peers: Option<PeerList>,
    pub(super) capabilities: Option<Vec<Capability>>,
    pub(super) specialisations: Option<Vec<Capability>>,
    pub(super) labels: Option<Vec<Label>>,
    pub(super) description: Option<String>,
    pub(super) max_connections: Option<usize>,
    pub(super) call_timeout: Option<Duration>,
    pub(super) find_timeout: Option<Duration>,
    pub(super) max_running: Option<usize>,
    pub(super) max_queued: Option<usize>,
    pub(super) kill_after: Option<Duration>,
    pub(super) max_value: Option<usize>,
    pub(super) stderr_tail: Option<usize>,
}

impl Layer {
    /// Takes out what only a server uses.
    pub(super) fn only_for_clients(&mut self) {
        self.key = None;
        self.gate = None;
        self.peers = None;
        self.listen = None;
        self.capabilities = None;
        self.specialisations = None;
        self.labels = None;
        self.description = None;
    }
}

/// The one key that a source names.
pub(super) fn key(
    file: Option<std::path::PathBuf>,
    seed: Option<String>,
) -> Result<Option<KeySource>, Failure> {
    match (file, seed) {
        (Some(_), Some(_)) => Err(Failure::usage("a key file and a seed: give one of them")),
        (Some(file), None) => Ok(Some(KeySource::File(file))),
        (None, Some(seed)) if seed.is_empty() => Err(KeyError::EmptySeed.into()),
        (None, Some(seed)) => Ok(Some(KeySource::Seed(Seed::new(seed)))),
        (None, None) => Ok(None),
    }
}

/// The one list that a source names.
pub(super) fn peers(
    allow: Option<Vec<PeerId>>,
    deny: Option<Vec<PeerId>>,
) -> Result<Option<PeerList>, Failure> {
    match (allow, deny) {
        (Some(_), Some(_)) => Err(Failure::usage(
            "a list of allowed and one of denied peers: give one of them",
        )),
        (Some(allow), None) => Ok(Some(PeerList::Allow(allow))),
        (None, Some(deny)) => Ok(Some(PeerList::Deny(deny))),
        (None, None) => Ok(None),
    }
}

fn preset(args: PresetArgs) -> Option<Preset> {
    match (args.lan, args.public) {
        (true, _) => Some(Preset::Lan),
        (_, true) => Some(Preset::Public),
        _ => None,
    }
}

fn given<T>(list: &[T]) -> Option<Vec<T>>
where
    T: Clone,
{
    (!list.is_empty()).then(|| list.to_vec())
}

impl TryFrom<&NetworkArgs> for Layer {
    type Error = Failure;

    fn try_from(args: &NetworkArgs) -> Result<Self, Failure> {
        Ok(Self {
            preset: preset(args.preset),
            network: args.network.clone(),
            bootstrap: given(&args.bootstrap),
            unix_plaintext: args.unix_plaintext.then_some(true),
            key: key(args.key.clone(), args.seed.clone())?,
            ..Self::default()
        })
    }
}

impl TryFrom<&SettingsArgs> for Layer {
    type Error = Failure;

    fn try_from(args: &SettingsArgs) -> Result<Self, Failure> {
        Ok(Self {
            preset: preset(args.preset),
            network: args.network.clone(),
            listen: given(&args.listen),
            bootstrap: given(&args.bootstrap),
            unix_plaintext: args.unix_plaintext.then_some(true),
            key: key(args.key.clone(), args.seed.clone())?,
            gate: args.gate.map(Gate::from),
            peers: peers(given(&args.allow), given(&args.deny))?,
            capabilities: given(&args.capability),
            specialisations: given(&args.specialisation),
            labels: given(&args.label),
            description: args.description.clone(),
            max_connections: args.max_connections,
            max_running: args.max_running,
            max_queued: args.max_queued,
            ..Self::default()
        })
    }
}

/// The limits of the programs that a server runs.
#[derive(Clone, Debug)]
pub(crate) struct ExecSettings {
    pub(crate) max_running: Setting<usize>,
    pub(crate) max_queued: Setting<usize>,
    pub(crate) kill_after: Setting<Duration>,
    pub(crate) max_value: Setting<usize>,
    pub(crate) stderr_tail: Setting<usize>,
}

impl ExecSettings {
    pub(super) fn resolve(layers: &[(Origin, Layer)]) -> Self {
        let limits = ExecLimits::default();
        macro_rules! setting {
            ($field:ident) => {
                pick(layers, |layer| layer.$field).unwrap_or(by_preset(limits.$field))
            };
        }
        Self {
            max_running: setting!(max_running),
            max_queued: setting!(max_queued),
            kill_after: setting!(kill_after),
            max_value: setting!(max_value),
            stderr_tail: setting!(stderr_tail),
        }
    }

    /// The values.
    pub(crate) fn limits(&self) -> ExecLimits {
        ExecLimits {
            max_running: self.max_running.value,
            max_queued: self.max_queued.value,
            kill_after: self.kill_after.value,
            max_value: self.max_value.value,
            stderr_tail: self.stderr_tail.value,
        }
    }
}
