//! Which peers have a connection that is not encrypted, for whoever shows connections.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use o_address::PeerId;

/// The peers with a connection in plaintext, over a Unix socket. Cheap to clone; clones share it. It
/// holds as many peers as there are such connections.
#[derive(Clone, Debug, Default)]
pub struct PlaintextPeers(Arc<Mutex<HashMap<PeerId, usize>>>);

impl PlaintextPeers {
    /// Whether any connection over a Unix socket to `peer` is in plaintext.
    #[must_use]
    pub fn contains(&self, peer: &PeerId) -> bool {
        self.lock().contains_key(peer)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PeerId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a connection, until the mark is dropped.
    #[cfg(all(feature = "unix", unix))]
    pub(crate) fn mark(&self, peer: PeerId) -> Mark {
        let mut peers = self.lock();
        let count = peers.entry(peer).or_default();
        *count = count.saturating_add(1);
        drop(peers);
        Mark {
            peers: self.clone(),
            peer,
        }
    }
}

/// A connection in plaintext that is there.
#[cfg(all(feature = "unix", unix))]
#[derive(Debug)]
pub(crate) struct Mark {
    peers: PlaintextPeers,
    peer: PeerId,
}

#[cfg(all(feature = "unix", unix))]
impl Drop for Mark {
    fn drop(&mut self) {
        let mut peers = self.peers.lock();
        if let Some(count) = peers.get_mut(&self.peer) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                peers.remove(&self.peer);
            }
        }
    }
}

#[cfg(all(test, feature = "unix", unix))]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_there_until_its_last_connection_is_gone() {
        let (peers, peer) = (
            PlaintextPeers::default(),
            crate::Keypair::generate().peer_id(),
        );
        assert!(!peers.contains(&peer));
        let (first, second) = (peers.mark(peer), peers.mark(peer));
        drop(first);
        assert!(peers.contains(&peer));
        drop(second);
        assert!(!peers.contains(&peer) && peers.lock().is_empty());
    }
}
