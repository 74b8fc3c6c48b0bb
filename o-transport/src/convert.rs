//! Our peer ids and transport addresses to libp2p's, and back.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use libp2p::Multiaddr;
use o_address::{PeerId, PeerIdError, TransportAddr, TransportAddrError};

/// Why an id or address has no counterpart.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddrError {
    /// The text has the shape of an address, but is no multiaddr.
    #[error("not a multiaddr")]
    NotMultiaddr(#[source] libp2p::multiaddr::Error),
    /// The multiaddr has no text of the shape of our addresses.
    #[error("the multiaddr has no usable text")]
    Shape(#[from] TransportAddrError),
    /// The multiaddr prints as the text of another one.
    #[error("the text of the multiaddr means another address")]
    Ambiguous,
    /// The multiaddr is longer than any text that we would take.
    #[error("the multiaddr has {length} bytes, {limit} at most are allowed")]
    TooLong {
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// libp2p's peer id is none of ours.
    #[error("not a peer id")]
    PeerId(#[from] PeerIdError),
    /// Our peer id is none of libp2p's.
    #[error("not a libp2p peer id")]
    Multihash(#[source] libp2p::identity::ParseError),
}

/// The peer id as libp2p has it.
///
/// # Errors
/// When libp2p does not take the multihash, which no id of a real key meets.
pub fn to_peer_id(peer: &PeerId) -> Result<libp2p::PeerId, AddrError> {
    libp2p::PeerId::from_bytes(peer.as_bytes()).map_err(AddrError::Multihash)
}

/// The peer id as we have it.
///
/// # Errors
/// For a SHA-256 id that is not 32 bytes long: libp2p takes such an id from text or from another
/// peer, but no handshake can prove it.
pub fn from_peer_id(peer: &libp2p::PeerId) -> Result<PeerId, AddrError> {
    Ok(PeerId::from_bytes(&peer.to_bytes())?)
}

/// The address as libp2p has it. The path of a Unix socket may be written with slashes or with `%2F`.
///
/// # Errors
/// When a component is not known or has a value that it cannot have.
pub fn to_multiaddr(addr: &TransportAddr) -> Result<Multiaddr, AddrError> {
    unix_in_one_part(addr.as_str())
        .parse()
        .map_err(AddrError::NotMultiaddr)
}

/// `/unix/tmp/a` as `/unix/%2Ftmp%2Fa`: libp2p's multiaddrs have no values with slashes in them. A
/// peer id at the end stays.
fn unix_in_one_part(text: &str) -> Cow<'_, str> {
    let Some(rest) = text.strip_prefix("/unix/") else {
        return text.into();
    };
    let peer = rest.rfind("/p2p/").filter(|at| {
        let id = rest.get(at + "/p2p/".len()..).unwrap_or_default();
        !id.contains('/')
    });
    let (path, peer) = rest.split_at(peer.unwrap_or(rest.len()));
    match path.contains('/') {
        true => format!("/unix/%2F{}{peer}", path.replace('/', "%2F")).into(),
        false => text.into(),
    }
}

/// The address as we have it.
///
/// # Errors
/// When it is empty or too long, or when its text is that of another address. A peer can send such
/// a multiaddr: the name in a binary `/dns4` may contain slashes, and so print as a whole path.
pub fn from_multiaddr(addr: &Multiaddr) -> Result<TransportAddr, AddrError> {
    let limit = TransportAddr::MAX_LEN_WITH_PEER;
    if addr.len() > limit {
        return Err(AddrError::TooLong {
            length: addr.len(),
            limit,
        });
    }
    let ours = TransportAddr::parse(&addr.to_string())?;
    match to_multiaddr(&ours) {
        Ok(same) if same == *addr => Ok(ours),
        _ => Err(AddrError::Ambiguous),
    }
}
