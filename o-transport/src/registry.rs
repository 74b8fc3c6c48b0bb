//! The one list of what is compiled in.

#[cfg(test)]
mod tests;

use libp2p::core::transport::Boxed;

use crate::{
    BoxedTransport, BuildError, Keypair, PlaintextPeers, Security, TransportConfig, memory,
    security::Handshake,
};

/// Makes one transport from the configuration.
pub(crate) type Build =
    fn(&TransportConfig, &Keypair, &PlaintextPeers) -> Result<BoxedTransport, BuildError>;

/// A transport that this crate knows, compiled in or not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// Its Cargo feature, its table in the configuration, and the label of its addresses.
    pub(crate) feature: &'static str,
    pub(crate) label: &'static str,
    /// Whether names in its addresses are resolved around it.
    pub(crate) named: bool,
    pub(crate) enabled: fn(&TransportConfig) -> bool,
    /// `None` when it is not compiled in.
    pub(crate) build: Option<Build>,
}

/// Every transport, in the order in which an address is offered to them.
pub(crate) const TRANSPORTS: &[Entry] = &[
    Entry {
        feature: "websocket",
        label: "ws",
        named: false,
        enabled: |config| config.websocket.enabled,
        #[cfg(feature = "websocket")]
        build: Some(|config, keys, _| crate::websocket::build(config, keys)),
        #[cfg(not(feature = "websocket"))]
        build: None,
    },
    Entry {
        feature: "unix",
        label: "unix",
        named: false,
        enabled: |config| config.unix.enabled,
        #[cfg(all(feature = "unix", unix))]
        build: Some(crate::unix::build),
        #[cfg(not(all(feature = "unix", unix)))]
        build: None,
    },
    Entry {
        feature: "memory",
        label: "memory",
        named: false,
        enabled: |config| config.memory.enabled,
        build: Some(|config, keys, _| memory::build(config, keys)),
    },
    Entry {
        feature: "tcp",
        label: "tcp",
        named: true,
        enabled: |config| config.tcp.enabled,
        #[cfg(feature = "tcp")]
        build: Some(|config, keys, _| crate::tcp::build(config, keys)),
        #[cfg(not(feature = "tcp"))]
        build: None,
    },
    Entry {
        feature: "quic",
        label: "quic",
        named: true,
        enabled: |config| config.quic.enabled,
        #[cfg(feature = "quic")]
        build: Some(|config, keys, _| crate::quic::build(config, keys)),
        #[cfg(not(feature = "quic"))]
        build: None,
    },
];

/// The handshake that `security` names.
pub(crate) fn handshake(
    security: Security,
    keys: &Keypair,
) -> Result<Box<dyn Handshake>, BuildError> {
    type Make = Option<fn(&Keypair) -> Result<Box<dyn Handshake>, BuildError>>;

    let (feature, make): (_, Make) = match security {
        #[cfg(feature = "noise")]
        Security::Noise => ("noise", Some(crate::noise::build)),
        #[cfg(not(feature = "noise"))]
        Security::Noise => ("noise", None),
        #[cfg(feature = "tls")]
        Security::Tls => ("tls", Some(crate::tls::build)),
        #[cfg(not(feature = "tls"))]
        Security::Tls => ("tls", None),
    };
    make.ok_or(BuildError::NotCompiledIn { feature })?(keys)
}

/// `inner` with names resolved before it dials, if that is turned on.
pub(crate) fn resolve_names<O: Send + 'static>(
    config: &TransportConfig,
    inner: Boxed<O>,
) -> Result<Boxed<O>, BuildError> {
    if !config.dns.enabled {
        return Ok(inner);
    }
    #[cfg(feature = "dns")]
    return crate::dns::wrap(inner);
    #[cfg(not(feature = "dns"))]
    Err(BuildError::NotCompiledIn { feature: "dns" })
}
