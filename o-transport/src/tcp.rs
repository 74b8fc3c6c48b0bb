//! TCP, and the sockets that WebSocket runs over.

use libp2p::tcp;

use crate::{BoxedTransport, BuildError, Keypair, TcpConfig, TransportConfig, upgrade};

pub(crate) fn build(
    config: &TransportConfig,
    keys: &Keypair,
) -> Result<BoxedTransport, BuildError> {
    upgrade(sockets(&config.tcp), config, keys)
}

/// Raw TCP connections. Listeners share their port with outbound connections (`SO_REUSEPORT`).
pub(crate) fn sockets(config: &TcpConfig) -> tcp::tokio::Transport {
    tcp::tokio::Transport::new(
        tcp::Config::default()
            .nodelay(config.nodelay)
            .listen_backlog(config.backlog),
    )
}
