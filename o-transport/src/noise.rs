//! The Noise handshake.

use std::io;

use futures::{FutureExt, TryFutureExt};
use libp2p::{
    core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade},
    noise,
};

use crate::{
    BuildError, Keypair,
    security::{Chosen, Handshake, Handshaking, RawStream},
};

const PROTOCOL: &str = "/noise";

pub(crate) fn build(keys: &Keypair) -> Result<Box<dyn Handshake>, BuildError> {
    let config = noise::Config::new(keys.libp2p()).map_err(|error| BuildError::Setup {
        part: "noise",
        source: error.into(),
    })?;
    Ok(Box::new(Noise(config)))
}

struct Noise(noise::Config);

impl Handshake for Noise {
    fn protocol(&self) -> &'static str {
        PROTOCOL
    }

    fn accept(&self, stream: Chosen) -> Handshaking {
        let handshake = self.0.clone().upgrade_inbound(stream, PROTOCOL);
        finish(handshake)
    }

    fn dial(&self, stream: Chosen) -> Handshaking {
        let handshake = self.0.clone().upgrade_outbound(stream, PROTOCOL);
        finish(handshake)
    }
}

fn finish<F>(handshake: F) -> Handshaking
where
    F: Future<Output = Result<(libp2p::PeerId, noise::Output<Chosen>), noise::Error>>
        + Send
        + 'static,
{
    handshake
        .map_ok(|(peer, stream)| (peer, Box::pin(stream) as RawStream))
        .map_err(|error| match error {
            noise::Error::Io(error) => error,
            error => io::Error::other(error),
        })
        .boxed()
}
