//! Gossip inside the Swarm task.

use std::sync::Arc;

use libp2p::PeerId;
use o_core::{Discovery, StartError};
use o_discovery::swarm::gossip::{self, Command, Handle, Moment, State, Want};
use o_transport::{EnvelopeVerifier, Keypair};
use tokio::sync::mpsc;

use super::{Input, Parts};
use crate::config::NodeConfig;

/// The state of gossip, and the queue of what its handles ask for.
pub(super) struct Gossip {
    state: State,
    commands: mpsc::Receiver<Command>,
}

/// What the rest of the node has of gossip: a handle, and the errands that the state has for it.
#[derive(Debug)]
pub(crate) struct Errands {
    pub(crate) handle: Handle,
    pub(crate) wants: mpsc::Receiver<Want>,
    /// Who else is on the local network, where that is asked.
    #[cfg(feature = "mdns")]
    pub(crate) mdns: Option<o_discovery::swarm::mdns::Handle>,
}

/// Behaviour, state and handle.
pub(super) type Made = (Option<gossip::Behaviour>, Option<Gossip>, Option<Errands>);

/// All three, if configuration turns gossip on. A node that listens nowhere takes no part: nobody could
/// become its neighbor, and its parent or bootstrap peer answers its searches.
pub(super) fn build(
    config: &NodeConfig,
    keypair: &Keypair,
    sources: &mut Vec<Arc<dyn Discovery>>,
) -> Result<Made, StartError> {
    if !config.gossip.enabled || config.listen.is_empty() {
        return Ok((None, None, None));
    }
    let behaviour = gossip::behaviour(keypair.libp2p(), &config.network);
    let behaviour = behaviour.map_err(|reason| StartError::Config { reason })?;
    let verifier = Arc::new(EnvelopeVerifier);
    let (state, handle, commands, wants) = gossip::channel(
        keypair.peer_id(),
        &config.network,
        config.gossip.clone(),
        verifier,
        Moment::now(),
    );
    sources.push(Arc::new(handle.clone()));
    let errands = Errands {
        handle,
        wants,
        #[cfg(feature = "mdns")]
        mdns: None,
    };
    let gossip = Gossip { state, commands };
    Ok((Some(behaviour), Some(gossip), Some(errands)))
}

/// The next command; waits for ever without gossip.
pub(super) async fn next(gossip: &mut Option<Gossip>) -> Input {
    let Some(gossip) = gossip else {
        return std::future::pending().await;
    };
    match gossip.commands.recv().await {
        Some(command) => Input::Gossip(command),
        None => std::future::pending().await,
    }
}

impl Parts {
    fn with_gossip(&mut self, act: impl FnOnce(&mut State, &mut gossip::Behaviour)) {
        let behaviour = self.swarm.behaviour_mut().gossip.as_mut();
        if let (Some(gossip), Some(behaviour)) = (&mut self.sources.gossip, behaviour) {
            act(&mut gossip.state, behaviour);
        }
    }

    pub(super) fn on_gossip_command(&mut self, command: Command) {
        self.with_gossip(|state, gossip| state.on_command(gossip, command, Moment::now()));
    }

    pub(super) fn on_gossip_event(&mut self, event: libp2p::gossipsub::Event) {
        self.with_gossip(|state, gossip| state.on_event(gossip, event, Moment::now()));
    }

    pub(super) fn on_gossip_tick(&mut self) {
        self.with_gossip(|state, gossip| state.on_tick(gossip, Moment::now()));
    }

    pub(super) fn on_gossip_disconnected(&mut self, peer: &PeerId, lost: bool) {
        self.with_gossip(|state, _| state.on_disconnected(peer, lost));
    }
}
