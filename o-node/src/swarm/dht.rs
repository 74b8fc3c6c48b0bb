//! The Kademlia table inside the Swarm task.

use std::{sync::Arc, time::Instant};

use libp2p::{Multiaddr, PeerId, StreamProtocol};
use o_core::Discovery;
use o_discovery::swarm::dht::{self, Command, Event, State};
use o_transport::Keypair;
use tokio::sync::mpsc;

use super::{Input, Parts};
use crate::config::NodeConfig;

/// The table's state, and the queue of what its handles ask for.
pub(super) struct Dht {
    state: State,
    commands: mpsc::Receiver<Command>,
}

/// Behaviour, state and the source of discovery, if configuration turns the table on.
pub(super) fn build(
    config: &NodeConfig,
    keypair: &Keypair,
) -> (
    Option<dht::Behaviour>,
    Option<Dht>,
    Option<Arc<dyn Discovery>>,
) {
    if !config.dht.enabled {
        return (None, None, None);
    }
    let peer = keypair.libp2p().public().to_peer_id();
    let table = &config.dht.table;
    let mut behaviour = dht::behaviour(peer, &config.network, table);
    for address in &config.bootstrap {
        let parts = (address.peer_id(), address.without_peer());
        if let (Some(peer), Some(address)) = parts
            && let (Ok(peer), Ok(address)) = (
                o_transport::to_peer_id(&peer),
                o_transport::to_multiaddr(&address),
            )
        {
            behaviour.add_address(&peer, address);
        }
    }
    let (handle, commands) = dht::channel(&peer, &config.network, table);
    let state = State::new(peer, &config.network, table.clone());
    let dht = Dht { state, commands };
    (Some(behaviour), Some(dht), Some(Arc::new(handle)))
}

/// The next command; waits for ever without a table.
pub(super) async fn next(dht: &mut Option<Dht>) -> Input {
    let Some(dht) = dht else {
        return std::future::pending().await;
    };
    match dht.commands.recv().await {
        Some(command) => Input::Dht(command),
        None => std::future::pending().await,
    }
}

impl Parts {
    fn with_dht(&mut self, act: impl FnOnce(&mut State, &mut dht::Behaviour)) {
        let behaviour = self.swarm.behaviour_mut().dht.as_mut();
        if let (Some(dht), Some(behaviour)) = (&mut self.sources.dht, behaviour) {
            act(&mut dht.state, behaviour);
        }
    }

    pub(super) fn on_dht_command(&mut self, command: Command, now: Instant) {
        self.with_dht(|state, table| state.on_command(table, command, now));
    }

    pub(super) fn on_dht_event(&mut self, event: Event, now: Instant) {
        self.with_dht(|state, table| state.on_event(table, event, now));
    }

    pub(super) fn on_dht_tick(&mut self, now: Instant) {
        self.with_dht(|state, table| state.on_tick(table, now));
    }

    pub(super) fn on_dht_leave(&mut self) {
        self.with_dht(State::leave);
    }

    /// Whom the table names; libp2p bounds it.
    pub(super) fn dht_table(&mut self) -> Vec<(o_address::PeerId, Vec<o_address::TransportAddr>)> {
        let mut known = Vec::new();
        self.with_dht(|_, table| {
            for bucket in table.kbuckets() {
                known.extend(bucket.iter().filter_map(|entry| {
                    let peer = o_transport::from_peer_id(entry.node.key.preimage()).ok()?;
                    let addresses = entry.node.value.iter();
                    let addresses = addresses.filter_map(|at| o_transport::from_multiaddr(at).ok());
                    Some((peer, addresses.collect()))
                }));
            }
        });
        known
    }

    pub(super) fn on_dht_lost(&mut self, peer: PeerId) {
        self.with_dht(|state, table| state.on_lost(table, peer));
    }

    pub(super) fn on_dht_identify(
        &mut self,
        peer: PeerId,
        protocols: &[StreamProtocol],
        addresses: &[Multiaddr],
        now: Instant,
    ) {
        self.with_dht(|state, table| state.on_identify(table, peer, protocols, addresses, now));
    }
}
