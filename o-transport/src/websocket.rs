//! WebSocket over TCP, for networks that let nothing else through and for browsers.

use libp2p::{core::Transport, websocket};

use crate::{BoxedTransport, BuildError, Keypair, TransportConfig, registry, tcp, upgrade};

pub(crate) fn build(
    config: &TransportConfig,
    keys: &Keypair,
) -> Result<BoxedTransport, BuildError> {
    // Names are resolved below WebSocket, because its own handshake tells the server the name.
    let sockets = registry::resolve_names(config, tcp::sockets(&config.tcp).boxed())?;
    let mut websocket = websocket::Config::new(sockets);
    websocket.set_max_data_size(config.websocket.max_frame);
    upgrade(websocket, config, keys)
}
