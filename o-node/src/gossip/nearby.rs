//! Peers on the local network that may become neighbors.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    time::{Duration, Instant},
};

use o_address::{PeerId, TransportAddr};

use crate::swarm::Errands;

/// After which time somebody is dialed again who has not become a neighbor: it may belong to another
/// network, or let nobody in.
const PAUSE: Duration = Duration::from_secs(60);

/// Whom multicast tells of, and who of them was dialed.
#[derive(Debug)]
pub(super) struct Nearby {
    #[cfg(feature = "mdns")]
    mdns: Option<o_discovery::swarm::mdns::Handle>,
    tried: HashMap<PeerId, Instant>,
}

impl Nearby {
    pub(super) fn of(errands: &mut Errands) -> Self {
        #[cfg(not(feature = "mdns"))]
        let _ = errands;
        Self {
            #[cfg(feature = "mdns")]
            mdns: errands.mdns.take(),
            tried: HashMap::new(),
        }
    }

    /// Waits until others are there.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) async fn changed(&mut self) {
        #[cfg(feature = "mdns")]
        if let Some(mdns) = &mut self.mdns {
            return mdns.changed().await;
        }
        std::future::pending().await
    }

    /// At most so many that are wanted and were not dialed lately, in an order that nobody can foresee.
    pub(super) fn take(
        &mut self,
        limit: usize,
        is_wanted: impl Fn(&PeerId) -> bool,
        now: Instant,
    ) -> Vec<(PeerId, Vec<TransportAddr>)> {
        self.tried
            .retain(|_, at| now.saturating_duration_since(*at) < PAUSE);
        let mut peers = self.peers();
        peers.retain(|(peer, _)| is_wanted(peer) && !self.tried.contains_key(peer));
        let order = RandomState::new();
        peers.sort_by_cached_key(|(peer, _)| order.hash_one(peer));
        peers.truncate(limit);
        self.tried
            .extend(peers.iter().map(|(peer, _)| (*peer, now)));
        peers
    }

    fn peers(&self) -> Vec<(PeerId, Vec<TransportAddr>)> {
        #[cfg(feature = "mdns")]
        return self.mdns.iter().flat_map(|mdns| mdns.peers()).collect();
        #[cfg(not(feature = "mdns"))]
        Vec::new()
    }
}
