//! The TLS 1.3 handshake, with certificates that carry the peer's key.

use std::io;

use futures::{FutureExt, TryFutureExt};
use libp2p::{
    core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade},
    tls,
};

use crate::{
    BuildError, Keypair,
    security::{Chosen, Handshake, Handshaking, RawStream},
};

const PROTOCOL: &str = "/tls/1.0.0";

pub(crate) fn build(keys: &Keypair) -> Result<Box<dyn Handshake>, BuildError> {
    let config = tls::Config::new(keys.libp2p()).map_err(|error| BuildError::Setup {
        part: "tls",
        source: error.into(),
    })?;
    Ok(Box::new(Tls(config)))
}

struct Tls(tls::Config);

impl Handshake for Tls {
    fn protocol(&self) -> &'static str {
        PROTOCOL
    }

    fn accept(&self, stream: Chosen) -> Handshaking {
        let handshake = self.0.clone().upgrade_inbound(stream, PROTOCOL);
        handshake
            .map_ok(|(peer, stream)| (peer, Box::pin(stream) as RawStream))
            .map_err(cause)
            .boxed()
    }

    fn dial(&self, stream: Chosen) -> Handshaking {
        let handshake = self.0.clone().upgrade_outbound(stream, PROTOCOL);
        handshake
            .map_ok(|(peer, stream)| (peer, Box::pin(stream) as RawStream))
            .map_err(cause)
            .boxed()
    }
}

/// What the handshake says. libp2p's error hides it behind "failed to upgrade".
fn cause(error: tls::UpgradeError) -> io::Error {
    match error {
        tls::UpgradeError::ServerUpgrade(error) | tls::UpgradeError::ClientUpgrade(error) => error,
        error => io::Error::other(error),
    }
}
