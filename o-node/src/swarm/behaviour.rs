//! What the Swarm is composed of, and how it is built.

use std::sync::Arc;

#[cfg(any(feature = "gossip", feature = "kad", feature = "mdns"))]
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{
    Multiaddr, PeerId, Swarm,
    core::Endpoint,
    identify, ping,
    swarm::{Config, ConnectionId, NetworkBehaviour},
};
use o_core::{Discovery, StartError};
use o_transport::{BoxedTransport, Keypair, PlaintextPeers};

use super::{Parts, Sources, calls, later::Later, limits};
use crate::{config::NodeConfig, tasks::Tasks};

/// Every behaviour of a node. Limits come first: nothing behind them sees what they deny.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    pub(super) limits: limits::Behaviour,
    pub(super) calls: calls::Behaviour,
    pub(super) identify: Later<identify::Behaviour>,
    pub(super) ping: Later<ping::Behaviour>,
    #[cfg(feature = "kad")]
    pub(super) dht: Toggle<o_discovery::swarm::dht::Behaviour>,
    #[cfg(feature = "gossip")]
    pub(super) gossip: Toggle<o_discovery::swarm::gossip::Behaviour>,
    #[cfg(feature = "mdns")]
    pub(super) mdns: Toggle<o_discovery::swarm::mdns::Behaviour>,
}

/// Sources of discovery.
pub(crate) struct SourceList {
    pub(crate) quick: Vec<Arc<dyn Discovery>>,
    /// Registries of others, which are searched and not announced to.
    pub(crate) asked: Vec<Arc<dyn Discovery>>,
    /// The distributed hash table, which asks many nodes for what one of the others may know.
    pub(crate) table: Option<Arc<dyn Discovery>>,
    /// Who is on the local network; one of the quick ones, too.
    #[cfg(feature = "mdns")]
    pub(crate) near: Option<o_discovery::swarm::mdns::Handle>,
}

impl SourceList {
    /// Those that agents are announced to.
    pub(crate) fn told(self) -> Vec<Arc<dyn Discovery>> {
        self.quick.into_iter().chain(self.table).collect()
    }
}

/// The parts of the Swarm task, and the sources of discovery that it drives.
pub(crate) struct Built {
    pub(crate) parts: Parts,
    pub(crate) sources: SourceList,
    /// What gossip wants of the node, where it is on.
    #[cfg(feature = "gossip")]
    pub(crate) gossip: Option<super::Errands>,
}

/// Builds the Swarm from configuration. Must run inside the runtime.
pub(crate) fn build(
    config: &NodeConfig,
    keypair: &Keypair,
    (transport, plaintext): (BoxedTransport, PlaintextPeers),
    shared: Arc<calls::Shared>,
    tasks: Tasks,
) -> Result<Built, StartError> {
    let peer = keypair.libp2p().public().to_peer_id();
    #[cfg_attr(
        not(any(feature = "gossip", feature = "mdns")),
        expect(unused_mut, reason = "features")
    )]
    let mut sources: Vec<Arc<dyn Discovery>> = Vec::new();
    #[cfg(feature = "kad")]
    let (dht_behaviour, dht, table) = super::dht::build(config, keypair);
    #[cfg(not(feature = "kad"))]
    let table = None;
    #[cfg(feature = "gossip")]
    let (gossip_behaviour, gossip, errands) = super::gossip::build(config, keypair, &mut sources)?;
    #[cfg(feature = "mdns")]
    let (mdns_behaviour, mdns, near) = super::mdns::build(config, peer, &mut sources)?;
    #[cfg(all(feature = "gossip", feature = "mdns"))]
    let errands = errands.map(|errands| super::Errands {
        mdns: near.clone(),
        ..errands
    });
    let ping = ping::Config::new().with_interval(config.node.ping_interval);
    let pause = config.node.identify_delay;
    let behaviour = Behaviour {
        limits: limits::Behaviour::new(config.limits.clone()),
        calls: calls::Behaviour::new(shared),
        identify: Later::new(identify(config, keypair), pause),
        ping: Later::new(ping::Behaviour::new(ping), pause),
        #[cfg(feature = "kad")]
        dht: dht_behaviour.into(),
        #[cfg(feature = "gossip")]
        gossip: gossip_behaviour.into(),
        #[cfg(feature = "mdns")]
        mdns: mdns_behaviour.into(),
    };
    let swarm_config =
        Config::with_executor(tasks).with_idle_connection_timeout(config.node.idle_timeout);
    let swarm = Swarm::new(transport, behaviour, peer, swarm_config);
    Ok(Built {
        parts: Parts {
            swarm,
            sources: Sources {
                #[cfg(feature = "kad")]
                dht,
                #[cfg(feature = "gossip")]
                gossip,
                #[cfg(feature = "mdns")]
                mdns,
            },
            plaintext,
        },
        sources: SourceList {
            quick: sources,
            asked: Vec::new(),
            table,
            #[cfg(feature = "mdns")]
            near,
        },
        #[cfg(feature = "gossip")]
        gossip: errands,
    })
}

fn identify(config: &NodeConfig, keypair: &Keypair) -> identify::Behaviour {
    // Not `new_with_signed_peer_record`: JavaScript peers cannot read that envelope.
    let identify = identify::Config::new("/o/1".into(), keypair.libp2p().public());
    identify::Behaviour::new(identify.with_agent_version(config.agent.clone()))
}

impl Parts {
    /// What identify learned goes to the table.
    pub(super) fn on_identify(&mut self, event: identify::Event, now: std::time::Instant) {
        let identify::Event::Received { peer_id, info, .. } = event else {
            return;
        };
        tracing::trace!(%peer_id, agent = info.agent_version, "identified");
        #[cfg(feature = "kad")]
        self.on_dht_identify(peer_id, &info.protocols, &info.listen_addrs, now);
        #[cfg(not(feature = "kad"))]
        let _ = now;
    }

    /// Where `peer` is known to be: from identify on earlier connections, the routing table and mDNS.
    ///
    /// They are asked in the Swarm's words, but not by the Swarm, which would dial once more what has been
    /// dialed already. The connection's id is not looked at, and no connection comes of it.
    pub(super) fn known(&mut self, peer: PeerId) -> Vec<Multiaddr> {
        fn ask(source: &mut impl NetworkBehaviour, peer: PeerId) -> Vec<Multiaddr> {
            let (nobody, role) = (ConnectionId::new_unchecked(0), Endpoint::Dialer);
            let known = source.handle_pending_outbound_connection(nobody, Some(peer), &[], role);
            known.unwrap_or_default()
        }
        let sources = self.swarm.behaviour_mut();
        let known = ask(&mut sources.identify, peer).into_iter();
        #[cfg(feature = "kad")]
        let known = known.chain(ask(&mut sources.dht, peer));
        #[cfg(feature = "mdns")]
        let known = known.chain(ask(&mut sources.mdns, peer));
        known.collect()
    }

    /// Who is in the routing table, if there is one.
    pub(super) fn table(&mut self) -> Vec<(o_address::PeerId, Vec<o_address::TransportAddr>)> {
        #[cfg(feature = "kad")]
        return self.dht_table();
        #[cfg(not(feature = "kad"))]
        Vec::new()
    }

    /// The node is about to stop: nobody should be sent to it any longer.
    pub(super) fn on_leave(&mut self) {
        #[cfg(feature = "kad")]
        self.on_dht_leave();
    }

    /// The last connection to a peer broke without a word.
    fn on_lost(&mut self, peer: libp2p::PeerId) {
        #[cfg(feature = "kad")]
        self.on_dht_lost(peer);
        let _ = peer;
    }

    /// The last connection to a peer is closed; `lost` says that it broke without a word.
    pub(super) fn on_disconnected(&mut self, peer: libp2p::PeerId, lost: bool) {
        if lost {
            self.on_lost(peer);
        }
        #[cfg(feature = "gossip")]
        self.on_gossip_disconnected(&peer, lost);
    }

    /// Time-outs of discovery.
    pub(super) fn on_tick(&mut self, now: std::time::Instant) {
        #[cfg(feature = "kad")]
        self.on_dht_tick(now);
        #[cfg(feature = "gossip")]
        self.on_gossip_tick();
        let _ = now;
    }
}
