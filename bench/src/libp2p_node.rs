//! What the two libp2p contenders share: a swarm over TCP, Noise and yamux, each with its stock settings.

use std::time::Duration;

use futures::StreamExt as _;
use libp2p::{
    Multiaddr, Swarm, SwarmBuilder, noise,
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};

/// Longer than any run.
const IDLE: Duration = Duration::from_secs(3600);

/// A swarm with this behaviour and a fresh key.
pub(crate) fn swarm<B: NetworkBehaviour>(behaviour: B) -> anyhow::Result<Swarm<B>> {
    let builder = SwarmBuilder::with_new_identity().with_tokio().with_tcp(
        tcp::Config::default(),
        noise::Config::new,
        yamux::Config::default,
    )?;
    let builder = builder.with_behaviour(|_| behaviour)?;
    Ok(builder
        .with_swarm_config(|config| config.with_idle_connection_timeout(IDLE))
        .build())
}

/// Listens on loopback and says where, with the peer id.
pub(crate) async fn listen<B: NetworkBehaviour>(swarm: &mut Swarm<B>) -> anyhow::Result<Multiaddr> {
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            let peer = *swarm.local_peer_id();
            return Ok(address.with_p2p(peer).unwrap_or_else(|address| address));
        }
    }
}
