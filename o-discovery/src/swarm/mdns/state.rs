//! Which peers the Swarm task has seen on the local network.

use libp2p::{Multiaddr, PeerId, mdns::Event};
use o_address::TransportAddr;
use o_transport::from_peer_id;
use tokio::sync::watch;
use tracing::debug;

use super::{MdnsConfig, Peers};
use crate::swarm::addresses::{filtered, to_transport};

/// The known peers: no task, no clock, no socket. Expiry is libp2p's, which knows what was renewed.
#[derive(Debug)]
pub struct State {
    config: MdnsConfig,
    peers: watch::Sender<Peers>,
}

impl State {
    pub(super) fn new(config: MdnsConfig, peers: watch::Sender<Peers>) -> Self {
        Self { config, peers }
    }

    /// Takes in an event of the behaviour.
    pub fn on_event(&mut self, event: Event) {
        match event {
            Event::Discovered(found) => self.change(found, |peers, peer, address, config| {
                if !peers.contains_key(&peer) && peers.len() >= config.max_peers {
                    debug!(%peer, "too many peers on the local network: ignored");
                    return false;
                }
                let known = peers.entry(peer).or_default();
                if known.contains(&address) || known.len() >= config.max_addresses {
                    return false;
                }
                *known = known.iter().cloned().chain([address]).collect();
                true
            }),
            Event::Expired(gone) => self.change(gone, |peers, peer, address, _| {
                let Some(known) = peers.get_mut(&peer) else {
                    return false;
                };
                *known = known
                    .iter()
                    .filter(|held| **held != address)
                    .cloned()
                    .collect();
                if known.is_empty() {
                    peers.remove(&peer);
                }
                true
            }),
        }
    }

    fn change(
        &mut self,
        told: Vec<(PeerId, Multiaddr)>,
        apply: impl Fn(&mut Peers, o_address::PeerId, TransportAddr, &MdnsConfig) -> bool,
    ) {
        let config = &self.config;
        self.peers.send_if_modified(|peers| {
            let mut changed = false;
            for (peer, address) in &told {
                let kept = filtered([address], peer, true, 1);
                let address = to_transport(&kept, peer).pop();
                if let (Ok(peer), Some(address)) = (from_peer_id(peer), address) {
                    changed |= apply(peers, peer, address, config);
                }
            }
            changed
        });
    }
}
