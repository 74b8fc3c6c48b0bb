//! What everybody holds of multicast DNS: the known peers as a `Discovery`.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Instant,
};

use async_trait::async_trait;
use futures::{StreamExt, stream};
use o_address::{PeerId, TransportAddr};
use o_core::{
    Discovery, DiscoveryError, Provider, ProviderStream, Query, SignedRecord, SignedTombstone,
    Source,
};
use tokio::{sync::watch, time::timeout_at};

use super::Peers;

/// The peers on the local network. Cloning is cheap.
///
/// `find` yields every known peer once; in the first moments after the start (`settle_time`) it
/// also waits for those that are about to answer. Where nobody did, it yields `NoNetwork`. A query whose name has a pin yields only that
/// peer. mDNS announces peers, not names: announcing and withdrawing do nothing and succeed.
#[derive(Clone, Debug)]
pub struct Handle {
    peers: watch::Receiver<Peers>,
    settled: Instant,
}

impl Handle {
    pub(super) fn new(peers: watch::Receiver<Peers>, settled: Instant) -> Self {
        Self { peers, settled }
    }

    /// Who is known now, and where.
    pub fn peers(&self) -> Vec<(PeerId, Vec<TransportAddr>)> {
        let peers = self.peers.borrow();
        let peers = peers.iter();
        peers
            .map(|(peer, addresses)| (*peer, addresses.to_vec()))
            .collect()
    }

    /// Waits until somebody comes, goes or moves; for ever once the Swarm task has ended.
    ///
    /// # Cancel safety
    /// Nothing is lost: the next call ends at once if something has changed meanwhile.
    pub async fn changed(&mut self) {
        if self.peers.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

#[async_trait]
impl Discovery for Handle {
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
        let search = Search {
            peers: self.peers.clone(),
            settled: self.settled,
            pin,
            seen: BTreeSet::new(),
            next: VecDeque::new(),
            over: false,
            told: false,
        };
        stream::unfold(search, |mut search| async move {
            let item = search.next().await?;
            Some((item, search))
        })
        .boxed()
    }
}

/// A search that is under way.
struct Search {
    peers: watch::Receiver<Peers>,
    settled: Instant,
    pin: Option<PeerId>,
    seen: BTreeSet<PeerId>,
    next: VecDeque<Provider>,
    over: bool,
    /// Whether it was said that nobody is there.
    told: bool,
}

impl Search {
    async fn next(&mut self) -> Option<Result<Provider, DiscoveryError>> {
        loop {
            self.take_known();
            if let Some(provider) = self.next.pop_front() {
                return Some(Ok(provider));
            }
            let found_it = self.pin.is_some() && !self.seen.is_empty();
            if self.over && self.peers.borrow().is_empty() && !self.told {
                self.told = true;
                return Some(Err(DiscoveryError::NoNetwork));
            }
            if self.over || found_it {
                return None;
            }
            match timeout_at(self.settled.into(), self.peers.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => {
                    (self.over, self.told) = (true, true);
                    return Some(Err(DiscoveryError::Shutdown));
                }
                Err(_) => self.over = true, // One last look, then the end.
            }
        }
    }

    /// Queues the peers that have not been yielded.
    fn take_known(&mut self) {
        for (peer, addresses) in self.peers.borrow_and_update().iter() {
            if self.pin.is_none_or(|pin| pin == *peer) && self.seen.insert(*peer) {
                self.next
                    .push_back(Provider::hint(*peer, addresses.to_vec(), Source::Mdns));
            }
        }
    }
}
