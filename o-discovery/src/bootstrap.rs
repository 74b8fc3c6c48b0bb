//! A fixed list of peers, each of which may be the one that is sought.

use async_trait::async_trait;
use futures::{StreamExt, stream};
use o_address::{PeerId, TransportAddr};
use o_core::{
    Discovery, DiscoveryError, Provider, ProviderStream, Query, SignedRecord, SignedTombstone,
    Source,
};

/// The peers on the bootstrap list.
///
/// It knows nothing about names: `find` yields every peer of the list as an unconfirmed hint,
/// because each may itself be the provider, and whoever asked finds out by asking that peer. A
/// query whose name has a pin yields only that peer. Announcing and withdrawing do nothing and
/// succeed.
#[derive(Clone, Debug, Default)]
pub struct BootstrapDiscovery {
    peers: Vec<(PeerId, Vec<TransportAddr>)>,
}

/// Why a bootstrap list was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BootstrapError {
    /// An address does not say whose it is.
    #[error("{address} does not end in /p2p/ and a peer id")]
    NoPeer {
        /// The address.
        address: TransportAddr,
    },
    /// More than [`BootstrapDiscovery::MAX_ADDRESSES`].
    #[error("more than {limit} bootstrap addresses")]
    TooMany {
        /// The limit.
        limit: usize,
    },
}

impl BootstrapDiscovery {
    /// Most addresses of the list.
    pub const MAX_ADDRESSES: usize = 1024;

    /// Takes addresses that end in `/p2p/<peer id>`; several may belong to one peer.
    ///
    /// # Errors
    /// When an address names no peer, or there are too many.
    pub fn new(addresses: impl IntoIterator<Item = TransportAddr>) -> Result<Self, BootstrapError> {
        let mut peers: Vec<(PeerId, Vec<TransportAddr>)> = Vec::new();
        for (index, address) in addresses.into_iter().enumerate() {
            if index >= Self::MAX_ADDRESSES {
                return Err(BootstrapError::TooMany {
                    limit: Self::MAX_ADDRESSES,
                });
            }
            let Some(peer) = address.peer_id() else {
                return Err(BootstrapError::NoPeer { address });
            };
            match peers.iter_mut().find(|(known, _)| *known == peer) {
                Some((_, known)) if known.contains(&address) => {}
                Some((_, known)) => known.push(address),
                None => peers.push((peer, vec![address])),
            }
        }
        Ok(Self { peers })
    }

    /// The peers with their addresses, in the order of the list.
    pub fn peers(&self) -> impl Iterator<Item = (PeerId, &[TransportAddr])> {
        self.peers
            .iter()
            .map(|(peer, addresses)| (*peer, addresses.as_slice()))
    }
}

#[async_trait]
impl Discovery for BootstrapDiscovery {
    async fn announce(&self, _record: &SignedRecord) -> Result<(), DiscoveryError> {
        Ok(())
    }

    async fn withdraw(&self, _tombstone: &SignedTombstone) -> Result<(), DiscoveryError> {
        Ok(())
    }

    fn find(&self, query: Query) -> ProviderStream {
        let pin = match &query {
            Query::Name(address) => address.pin(),
            _ => None,
        };
        let peers = self
            .peers()
            .filter(|(peer, _)| pin.is_none_or(|pin| pin == *peer));
        let hints: Vec<_> = peers
            .map(|(peer, addresses)| {
                Ok(Provider::hint(peer, addresses.to_vec(), Source::Bootstrap))
            })
            .collect();
        stream::iter(hints).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "12D3KooWQA9eZ7s8E7KvNJGG7AXRioyASFicECjdKL1DS2C1Duoo";
    const TWO: &str = "12D3KooWRawPbxPtP1eZaJpumGnyWX2DcUyd3RQnydr3eAto4Az7";

    fn list() -> BootstrapDiscovery {
        let texts = [
            format!("/ip4/127.0.0.1/tcp/1/p2p/{ONE}"),
            format!("/ip4/127.0.0.1/tcp/2/p2p/{TWO}"),
            format!("/ip4/127.0.0.1/tcp/3/p2p/{ONE}"),
            format!("/ip4/127.0.0.1/tcp/1/p2p/{ONE}"),
        ];
        BootstrapDiscovery::new(texts.iter().map(|text| text.parse().unwrap())).unwrap()
    }

    async fn found(query: Query) -> Vec<Provider> {
        list().find(query).map(Result::unwrap).collect().await
    }

    #[tokio::test]
    async fn every_peer_is_a_hint_once_with_all_its_addresses() {
        let hints = found(Query::Capability("text/summarize".parse().unwrap())).await;
        let peers: Vec<_> = hints.iter().map(|hint| hint.peer.to_string()).collect();
        assert_eq!(peers, [ONE, TWO]);
        assert_eq!(hints[0].addresses.len(), 2);
        for hint in hints {
            assert_eq!(hint.sources, [Source::Bootstrap]);
            assert!(!hint.confirmed && hint.record.is_none());
        }
    }

    #[tokio::test]
    async fn a_pin_leaves_only_that_peer() {
        let pinned: o_address::Address = format!("o://a/b#{TWO}").parse().unwrap();
        let hints = found(Query::Name(pinned)).await;
        assert_eq!(hints.len(), 1);
        assert_eq!(hints[0].peer.to_string(), TWO);
    }

    #[test]
    fn an_address_without_a_peer_is_refused() {
        let address: TransportAddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
        let refused = BootstrapDiscovery::new([address.clone()]).unwrap_err();
        assert_eq!(refused, BootstrapError::NoPeer { address });
    }

    #[test]
    fn the_list_is_bounded() {
        let address: TransportAddr = format!("/ip4/127.0.0.1/tcp/1/p2p/{ONE}").parse().unwrap();
        let full = std::iter::repeat_n(address.clone(), BootstrapDiscovery::MAX_ADDRESSES);
        assert!(BootstrapDiscovery::new(full).is_ok());
        let more = std::iter::repeat_n(address, BootstrapDiscovery::MAX_ADDRESSES + 1);
        assert_eq!(
            BootstrapDiscovery::new(more).unwrap_err(),
            BootstrapError::TooMany { limit: 1024 }
        );
    }
}
