//! Swarms over memory or TCP.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: a failure is the test's"
)]

use std::time::Duration;

use libp2p::{Swarm, Transport, core::upgrade::Version, identity::Keypair, noise, swarm, yamux};

/// How long anything may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A Swarm over memory and TCP.
pub(crate) fn swarm<B: swarm::NetworkBehaviour>(keys: &Keypair, behaviour: B) -> Swarm<B> {
    let tcp = libp2p::tcp::tokio::Transport::default();
    let transport = libp2p::core::transport::MemoryTransport::default()
        .or_transport(tcp)
        .upgrade(Version::V1)
        .authenticate(noise::Config::new(keys).unwrap())
        .multiplex(yamux::Config::default())
        .boxed();
    let config = swarm::Config::with_tokio_executor().with_idle_connection_timeout(DEADLINE);
    Swarm::new(transport, behaviour, keys.public().to_peer_id(), config)
}
