//! Multicast DNS inside the Swarm task.

use std::{sync::Arc, time::Instant};

use libp2p::PeerId;
use o_core::{Discovery, StartError};
use o_discovery::swarm::mdns::{self, Handle, State};

use super::Parts;
use crate::config::NodeConfig;

/// Behaviour, state and handle.
pub(super) type Made = (Option<mdns::Behaviour>, Option<State>, Option<Handle>);

/// All three, if configuration turns it on.
pub(super) fn build(
    config: &NodeConfig,
    peer: PeerId,
    sources: &mut Vec<Arc<dyn Discovery>>,
) -> Result<Made, StartError> {
    if !config.mdns.enabled {
        return Ok((None, None, None));
    }
    let behaviour = mdns::behaviour(peer, &config.mdns).map_err(|error| StartError::Transport {
        source: error.into(),
    })?;
    let (state, handle) = mdns::channel(config.mdns.clone(), Instant::now());
    sources.push(Arc::new(handle.clone()));
    Ok((behaviour, Some(state), Some(handle)))
}

impl Parts {
    pub(super) fn on_mdns_event(&mut self, event: libp2p::mdns::Event) {
        if let Some(state) = &mut self.sources.mdns {
            state.on_event(event);
        }
    }
}
