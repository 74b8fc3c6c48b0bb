//! What a node tells of its peers: who is connected, and what was observed of whom.

use o_address::{PeerId, TransportAddr};
use o_core::Direction;

use super::Node;
use crate::reputation::PeerReputation;

/// A connection with a call session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// Who is at the other end.
    pub peer: PeerId,
    /// Where.
    pub remote: TransportAddr,
    /// Who dialed.
    pub direction: Direction,
    /// Whether its bytes are in the clear.
    pub plaintext: bool,
    /// Calls that are open, in both directions.
    pub active_calls: usize,
}

impl Node {
    /// What this node observed of `peer`; `None` if it never called it.
    pub fn reputation(&self, peer: &PeerId) -> Option<PeerReputation> {
        self.inner.ledger.report(peer)
    }

    /// Every peer that this node has called, those that were called last first. At most
    /// [`max_peers`](crate::ReputationConfig::max_peers) are remembered.
    pub fn peers_seen(&self) -> Vec<PeerReputation> {
        let mut seen = self.inner.ledger.reports();
        seen.retain(|peer| peer.peer != self.peer_id());
        seen.sort_by_key(|peer| std::cmp::Reverse(peer.last_seen));
        seen
    }

    /// The connections that carry calls now.
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        let Ok(running) = self.running() else {
            return Vec::new();
        };
        let links = running.peers.all();
        let rows = links.iter().map(|link| ConnectionInfo {
            peer: link.peer,
            remote: (*link.remote).clone(),
            direction: link.direction,
            plaintext: link.plaintext,
            active_calls: link.session.active_calls(),
        });
        rows.collect()
    }
}
