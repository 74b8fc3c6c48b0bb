//! Connections within this process.

use libp2p::core::transport::MemoryTransport;

use crate::{BoxedTransport, BuildError, Keypair, TransportConfig, upgrade};

pub(crate) fn build(
    config: &TransportConfig,
    keys: &Keypair,
) -> Result<BoxedTransport, BuildError> {
    upgrade(MemoryTransport::new(), config, keys)
}
