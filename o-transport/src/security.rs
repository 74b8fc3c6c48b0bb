//! Which handshake a connection has: chosen from the configured ones while it is set up.

use std::{io, pin::Pin, sync::Arc, vec};

use futures::{FutureExt, TryFutureExt, future::BoxFuture};
use libp2p::{
    PeerId,
    core::{
        Negotiated,
        upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo},
    },
};
use o_core::ByteStream;

use crate::{BuildError, Keypair, Security, registry};

/// Bytes as a transport carries them, before and after a handshake.
pub(crate) type RawStream = Pin<Box<dyn ByteStream>>;

/// The stream that a handshake is made on: the choice of the handshake may still be under way.
pub(crate) type Chosen = Negotiated<RawStream>;

/// A handshake under way: who the peer is, and the encrypted stream.
pub(crate) type Handshaking = BoxFuture<'static, io::Result<(PeerId, RawStream)>>;

/// One kind of handshake, for any number of connections.
pub(crate) trait Handshake: Send + Sync + 'static {
    /// Its name in the negotiation.
    fn protocol(&self) -> &'static str;

    /// Makes the handshake on a connection that was accepted.
    fn accept(&self, stream: Chosen) -> Handshaking;

    /// Makes the handshake on a connection that was dialed.
    fn dial(&self, stream: Chosen) -> Handshaking;
}

/// A handshake that ended badly.
#[derive(Debug, thiserror::Error)]
#[error("{protocol} handshake failed")]
struct HandshakeError {
    protocol: &'static str,
    #[source]
    source: io::Error,
}

/// The upgrade that offers the configured handshakes, the preferred one first.
#[derive(Clone)]
pub(crate) struct Selector {
    handshakes: Arc<[Arc<dyn Handshake>]>,
}

impl Selector {
    pub(crate) fn new(order: &[Security], keys: &Keypair) -> Result<Self, BuildError> {
        let handshakes = order
            .iter()
            .map(|security| registry::handshake(*security, keys).map(Arc::from))
            .collect::<Result<_, _>>()?;
        Ok(Self { handshakes })
    }

    /// One that prefers `first` to all of these.
    #[cfg(all(feature = "unix", unix))]
    pub(crate) fn after(&self, first: Arc<dyn Handshake>) -> Self {
        let others = self.handshakes.iter().cloned();
        let handshakes = std::iter::once(first).chain(others).collect();
        Self { handshakes }
    }

    fn run(
        &self,
        protocol: &'static str,
        start: impl FnOnce(&dyn Handshake) -> Handshaking,
    ) -> Handshaking {
        let known = self.handshakes.iter().find(|h| h.protocol() == protocol);
        let Some(handshake) = known else {
            // The negotiation gives back one of the names that it was given.
            return futures::future::err(io::ErrorKind::Unsupported.into()).boxed();
        };
        start(handshake.as_ref())
            .map_err(move |source| io::Error::other(HandshakeError { protocol, source }))
            .boxed()
    }
}

impl UpgradeInfo for Selector {
    type Info = &'static str;
    type InfoIter = vec::IntoIter<&'static str>;

    fn protocol_info(&self) -> Self::InfoIter {
        let names: Vec<_> = self.handshakes.iter().map(|h| h.protocol()).collect();
        names.into_iter()
    }
}

impl InboundConnectionUpgrade<Chosen> for Selector {
    type Output = (PeerId, RawStream);
    type Error = io::Error;
    type Future = Handshaking;

    fn upgrade_inbound(self, stream: Chosen, protocol: &'static str) -> Handshaking {
        self.run(protocol, |handshake| handshake.accept(stream))
    }
}

impl OutboundConnectionUpgrade<Chosen> for Selector {
    type Output = (PeerId, RawStream);
    type Error = io::Error;
    type Future = Handshaking;

    fn upgrade_outbound(self, stream: Chosen, protocol: &'static str) -> Handshaking {
        self.run(protocol, |handshake| handshake.dial(stream))
    }
}
