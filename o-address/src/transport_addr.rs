//! Where a peer can be reached, as the text of a multiaddr.

mod error;
mod label;
#[cfg(test)]
mod tests;

use std::{fmt, str::FromStr, sync::Arc};

pub use error::TransportAddrError;

use crate::PeerId;

const PEER_PREFIX: &str = "/p2p/";

/// Where a peer can be reached: the text of a multiaddr, checked for shape only.
///
/// It begins with a slash, has no empty component and nothing but printable ASCII without spaces. Which protocols
/// exist and what they take as values is for the network stack to say. A clone shares the text. Addresses compare,
/// order and hash as their texts, so that two spellings of one place are two addresses.
///
/// ```
/// use o_address::TransportAddr;
///
/// let address: TransportAddr = "/ip4/127.0.0.1/tcp/4001".parse()?;
/// assert!(address.is_loopback());
/// assert_eq!(address.transport_label(), "tcp");
/// assert_eq!(address.peer_id(), None);
/// # Ok::<(), o_address::TransportAddrError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransportAddr {
    text: Arc<str>,
}

impl TransportAddr {
    /// The most bytes of an address, not counting the `/p2p/<peer id>` at its end.
    pub const MAX_LEN: usize = 1024;
    /// The most bytes of an address with the `/p2p/<peer id>` at its end: 1089.
    pub const MAX_LEN_WITH_PEER: usize = Self::MAX_LEN + PEER_PREFIX.len() + PeerId::MAX_TEXT_LEN;

    /// Checks `text` and makes it a transport address.
    ///
    /// # Errors
    ///
    /// The first place at which `text` leaves the shape. A text longer than
    /// [`MAX_LEN_WITH_PEER`](Self::MAX_LEN_WITH_PEER) is refused without being looked at.
    ///
    /// ```
    /// use o_address::{TransportAddr, TransportAddrError};
    ///
    /// assert!(TransportAddr::parse("/dns4/example.com/udp/4001/quic-v1").is_ok());
    /// assert_eq!(
    ///     TransportAddr::parse("/ip4//tcp/4001"),
    ///     Err(TransportAddrError::EmptyComponent { offset: 5 }),
    /// );
    /// ```
    pub fn parse(text: &str) -> Result<Self, TransportAddrError> {
        check_length(text, Self::MAX_LEN_WITH_PEER)?;
        let rest = text
            .strip_prefix('/')
            .ok_or(TransportAddrError::MissingSlash)?;
        let mut at_start = true;
        for (index, found) in rest.char_indices() {
            let offset = index + 1;
            if found == '/' && at_start {
                return Err(TransportAddrError::EmptyComponent { offset });
            }
            if !found.is_ascii_graphic() {
                return Err(TransportAddrError::BadCharacter { offset, found });
            }
            at_start = found == '/';
        }
        if at_start {
            return Err(TransportAddrError::EmptyComponent { offset: text.len() });
        }
        check_length(split_peer(text).0, Self::MAX_LEN)?;
        Ok(Self { text: text.into() })
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The peer that is reached here, if the address ends in `/p2p/<peer id>`.
    ///
    /// In a relayed address that is the peer behind the relay. An address that ends in `/p2p-circuit` names only the
    /// relay, and so nobody.
    ///
    /// ```
    /// use o_address::TransportAddr;
    ///
    /// let peer = "12D3KooWQA9eZ7s8E7KvNJGG7AXRioyASFicECjdKL1DS2C1Duoo";
    /// let direct = TransportAddr::parse(&format!("/ip4/127.0.0.1/tcp/4001/p2p/{peer}"))?;
    /// assert_eq!(direct.peer_id(), peer.parse().ok());
    ///
    /// let relay = TransportAddr::parse(&format!("{direct}/p2p-circuit"))?;
    /// assert_eq!(relay.peer_id(), None);
    /// # Ok::<(), o_address::TransportAddrError>(())
    /// ```
    #[must_use]
    pub fn peer_id(&self) -> Option<PeerId> {
        split_peer(&self.text).1?.parse().ok()
    }

    /// The same place with `/p2p/<peer>` at its end, instead of another one that may stand there.
    ///
    /// ```
    /// use o_address::{PeerId, TransportAddr};
    ///
    /// let peer: PeerId = "12D3KooWQA9eZ7s8E7KvNJGG7AXRioyASFicECjdKL1DS2C1Duoo".parse()?;
    /// let address = TransportAddr::parse("/memory/7")?.with_peer(&peer);
    /// assert_eq!(address.as_str(), format!("/memory/7/p2p/{peer}"));
    /// assert_eq!(address.with_peer(&peer), address);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_peer(&self, peer: &PeerId) -> Self {
        let (place, _) = split_peer(&self.text);
        Self {
            text: format!("{place}{PEER_PREFIX}{peer}").into(),
        }
    }

    /// The same place without the `/p2p/<peer id>` at its end, or nothing if the address has no other component.
    #[must_use]
    pub fn without_peer(&self) -> Option<Self> {
        match split_peer(&self.text) {
            (_, None) => Some(self.clone()),
            ("", Some(_)) => None,
            (place, Some(_)) => Some(Self { text: place.into() }),
        }
    }

    /// Whether the address is known to stay within this machine: `/ip4/127.x`, `/ip6/::1`, `/memory`, `/unix`,
    /// `localhost`.
    ///
    /// For a relayed address this is said of the relay.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        label::is_loopback(&self.text)
    }

    /// A word for the transport, for tables and logs: `tcp`, `quic`, `ws`, `wss`, `webtransport`, `webrtc`, `memory`,
    /// `unix`, `udp`, `relay`, or `other`.
    #[must_use]
    pub fn transport_label(&self) -> &'static str {
        label::label(&self.text)
    }
}

impl fmt::Debug for TransportAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TransportAddr")
            .field(&format_args!("{}", self.text))
            .finish()
    }
}

impl fmt::Display for TransportAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl AsRef<str> for TransportAddr {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl FromStr for TransportAddr {
    type Err = TransportAddrError;

    fn from_str(text: &str) -> Result<Self, TransportAddrError> {
        Self::parse(text)
    }
}

/// Splits `/place/p2p/<id>` into `/place` and `<id>`, whether or not the latter is a peer id.
fn split_peer(text: &str) -> (&str, Option<&str>) {
    text.rsplit_once('/')
        .and_then(|(rest, id)| Some((rest.strip_suffix("/p2p")?, Some(id))))
        .unwrap_or((text, None))
}

fn check_length(text: &str, limit: usize) -> Result<(), TransportAddrError> {
    if text.len() > limit {
        return Err(TransportAddrError::TooLong {
            length: text.len(),
            limit,
        });
    }
    Ok(())
}
