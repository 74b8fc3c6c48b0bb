//! All configured transports as one, which refuses a peer other than the dialed one.

mod patience;
#[cfg(test)]
mod tests;

use std::{future, io};

use libp2p::{
    Multiaddr, PeerId,
    core::{
        Transport,
        connection::ConnectedPoint,
        muxing::StreamMuxerBox,
        transport::{Boxed, OrTransport, dummy::DummyTransport, timeout::TransportTimeout},
    },
    multiaddr::Protocol,
};
use o_address::TransportAddr;

use self::patience::Patience;
use crate::{
    BuildError, Keypair, PlaintextPeers, TransportConfig, WrongPeer, from_peer_id,
    registry::{self, Entry, TRANSPORTS},
    to_multiaddr,
};

/// What a transport gives: a proved peer and a connection with substreams.
pub type ProvedMuxer = (PeerId, StreamMuxerBox);

/// A libp2p transport whose type says nothing about what is in it.
pub type BoxedTransport = Boxed<ProvedMuxer>;

/// Makes one transport of everything that `config` turns on, and of `custom` ones beside it.
///
/// An address is offered to the custom transports first, in their order. Each must refuse what it
/// does not handle at once, with `TransportError::MultiaddrNotSupported` from `dial` and
/// `listen_on`; [`upgrade`](crate::upgrade()) makes one from a transport of raw bytes. A relay client
/// is such a transport too.
///
/// The dial of an address that ends in `/p2p/<id>` fails with [`WrongPeer`] when another peer
/// answers. A Swarm would notice too, but it gives up all other addresses of the peer with it.
///
/// It must be used within a Tokio runtime.
///
/// # Errors
/// When a value is out of bounds, when something is turned on that is not compiled in, and when the
/// system cannot say how names are resolved.
///
/// ```
/// use o_transport::{Keypair, TransportConfig, build_transport};
///
/// let mut config = TransportConfig::default();
/// config.memory.enabled = true;
/// # if cfg!(feature = "noise") {
/// let transport = build_transport(&config, &Keypair::generate(), Vec::new())?;
/// # }
/// # Ok::<(), o_transport::BuildError>(())
/// ```
pub fn build_transport(
    config: &TransportConfig,
    keys: &Keypair,
    custom: Vec<BoxedTransport>,
) -> Result<BoxedTransport, BuildError> {
    build_watched_transport(config, keys, custom, &PlaintextPeers::default())
}

/// [`build_transport`], telling `plaintext` of the connections that are not encrypted.
///
/// # Errors
/// As those of [`build_transport`].
pub fn build_watched_transport(
    config: &TransportConfig,
    keys: &Keypair,
    custom: Vec<BoxedTransport>,
    plaintext: &PlaintextPeers,
) -> Result<BoxedTransport, BuildError> {
    join(TRANSPORTS, config, keys, custom, plaintext)
}

/// Why no transport takes `address`, for whoever wanted to listen there or dial it: what is turned
/// off, not compiled in, or not known.
#[must_use]
pub fn unsupported_reason(config: &TransportConfig, address: &TransportAddr) -> String {
    let label = address.transport_label();
    let Some(entry) = TRANSPORTS.iter().find(|entry| entry.label == label) else {
        return match label {
            "wss" => "secure WebSocket (`wss`) is not there yet".to_owned(),
            _ => format!("no transport is known for `{address}`"),
        };
    };
    let feature = entry.feature;
    if entry.build.is_none() {
        return format!("`{feature}` is not compiled in");
    }
    if !(entry.enabled)(config) {
        return format!("`{feature}` is turned off");
    }
    if address.as_str().starts_with("/dns") && !config.dns.enabled {
        return "resolving names (`dns`) is turned off".to_owned();
    }
    format!("`{feature}` does not take `{address}`")
}

/// Whether a transport that is compiled in and turned on listens at addresses like `address`. Nothing
/// is opened: the system may still refuse. [`unsupported_reason`] says why not.
#[must_use]
pub fn can_listen(config: &TransportConfig, address: &TransportAddr) -> bool {
    let Ok(multiaddr) = to_multiaddr(address) else {
        return false;
    };
    let mut parts = multiaddr
        .iter()
        .filter(|part| !matches!(part, Protocol::P2p(_)));
    let label = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(Protocol::Memory(_)), None, ..) => "memory",
        (Some(Protocol::Unix(_)), None, ..) => "unix",
        // Names are for dialing.
        (Some(Protocol::Ip4(_) | Protocol::Ip6(_)), Some(below), above, None) => {
            match (below, above) {
                (Protocol::Tcp(_), None) => "tcp",
                (Protocol::Tcp(_), Some(Protocol::Ws(_))) => "ws",
                (Protocol::Udp(_), Some(Protocol::QuicV1)) => "quic",
                _ => return false,
            }
        }
        _ => return false,
    };
    let mut entries = TRANSPORTS.iter().filter(|entry| entry.label == label);
    entries.any(|entry| entry.build.is_some() && (entry.enabled)(config))
}

fn join(
    entries: &[Entry],
    config: &TransportConfig,
    keys: &Keypair,
    custom: Vec<BoxedTransport>,
    plaintext: &PlaintextPeers,
) -> Result<BoxedTransport, BuildError> {
    config.validate()?;
    let mut front = custom;
    let mut named = Vec::new();
    for entry in entries.iter().filter(|entry| (entry.enabled)(config)) {
        let feature = entry.feature;
        let build = entry.build.ok_or(BuildError::NotCompiledIn { feature })?;
        let group = if entry.named { &mut named } else { &mut front };
        group.push(Patience::new(build(config, keys, plaintext)?, config).boxed());
    }
    // One resolver around all that need one: it takes every address, so it must come last.
    if let Some(named) = either(named) {
        front.push(registry::resolve_names(config, named)?);
    }
    let all = either(front).unwrap_or_else(|| DummyTransport::new().boxed());
    let checked = all
        .and_then(|(peer, muxer), endpoint| {
            future::ready(check(peer, &endpoint).map(|()| (peer, muxer)))
        })
        .map_err(|error| error.into_inner());
    // Each transport has its own timeout; this one is for the names that are resolved before.
    let timeout = config.connect_timeout;
    Ok(TransportTimeout::with_outgoing_timeout(checked, timeout).boxed())
}

/// Whichever of the transports takes an address first.
fn either(transports: Vec<BoxedTransport>) -> Option<BoxedTransport> {
    transports.into_iter().reduce(|first, second| {
        OrTransport::new(first, second)
            .map(|output, _| output.into_inner())
            .map_err(|error| error.into_inner())
            .boxed()
    })
}

fn check(found: PeerId, endpoint: &ConnectedPoint) -> io::Result<()> {
    let expected = match endpoint {
        ConnectedPoint::Dialer { address, .. } => peer_of(address),
        ConnectedPoint::Listener { .. } => None,
    };
    let Some(expected) = expected.filter(|expected| *expected != found) else {
        return Ok(());
    };
    let wrong = from_peer_id(&expected).and_then(|expected| {
        let found = from_peer_id(&found)?;
        Ok(WrongPeer { expected, found })
    });
    Err(match wrong {
        Ok(wrong) => io::Error::other(wrong),
        Err(error) => io::Error::other(error),
    })
}

/// The peer at the end of an address; in a relayed one that is the peer behind the relay.
fn peer_of(address: &Multiaddr) -> Option<PeerId> {
    match address.iter().last() {
        Some(Protocol::P2p(peer)) => Some(peer),
        _ => None,
    }
}
