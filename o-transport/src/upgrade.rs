//! From a transport of raw bytes to one of proved peers and substreams.

use std::{error::Error, fmt};

use futures::io::{AsyncRead, AsyncWrite};
use libp2p::core::{Transport, upgrade::Version};

use crate::{
    BoxedTransport, BuildError, Keypair, TransportConfig,
    muxer::Yamux,
    security::{RawStream, Selector},
};

/// Adds the configured handshakes, yamux and the timeout to a transport of raw bytes.
///
/// That is how this crate's own transports are made, and how one of a user's own (a serial line, a
/// Unix socket) becomes fit for [`build_transport`](crate::build_transport).
///
/// # Errors
/// When the configuration is invalid, or names a handshake that is not compiled in.
pub fn upgrade<T>(
    transport: T,
    config: &TransportConfig,
    keys: &Keypair,
) -> Result<BoxedTransport, BuildError>
where
    T: Transport + Send + Unpin + 'static,
    T::Output: AsyncRead + AsyncWrite + Send + 'static,
    T::Error: Send + Sync + 'static,
    T::Dial: Send + 'static,
    T::ListenerUpgrade: Send + 'static,
{
    config.validate()?;
    let handshakes = Selector::new(&config.security, keys)?;
    Ok(transport
        .map_err(Cause)
        .map(|stream, _| Box::pin(stream) as RawStream)
        // Lazy: with one handshake to choose from, the choice costs no round trip.
        .upgrade(Version::V1Lazy)
        .authenticate(handshakes)
        .multiplex(Yamux::new(&config.yamux))
        .timeout(config.connect_timeout)
        .boxed())
}

/// An error as a source of its own: the `Either`s around it would pass it over otherwise.
#[derive(Debug)]
struct Cause<E>(E);

impl<E: fmt::Display> fmt::Display for Cause<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<E: Error + 'static> Error for Cause<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}
