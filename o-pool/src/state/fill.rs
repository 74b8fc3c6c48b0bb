//! Whom to dial of our own accord, when there are too few connections.

use o_address::{PeerId, TransportAddr};
use o_core::DialError;
use tokio::time::Instant;

use super::PoolState;
use crate::Link;

impl<L: Link, T: Clone> PoolState<L, T> {
    /// How many peers more should be connected than are, or are being dialed.
    pub(crate) fn missing(&self) -> usize {
        if self.closed {
            return 0;
        }
        let new = |peer: &&PeerId| !self.peers.contains_key(*peer);
        let coming = self.dials.keys().filter(new).count();
        let there = self.peers.len() + coming;
        self.config.min_connections.saturating_sub(there)
    }

    /// Those of `known` to dial now: as many as are missing, neither connected nor being dialed, whose
    /// last dial did not fail just now, and nobody who has refused us.
    pub(crate) fn choose(
        &self,
        known: Vec<(PeerId, Vec<TransportAddr>)>,
        now: Instant,
    ) -> Vec<(PeerId, Vec<TransportAddr>)> {
        let mut chosen: Vec<(PeerId, Vec<TransportAddr>)> = Vec::new();
        let missing = self.missing();
        for (peer, addresses) in known.into_iter().take(self.config.max_backoffs) {
            if chosen.len() >= missing {
                break;
            }
            let taken = self.peers.contains_key(&peer)
                || self.dials.contains_key(&peer)
                || self.unwelcome.contains(&peer)
                || chosen.iter().any(|(other, _)| *other == peer);
            if taken || self.backoffs.pauses(&peer, now) {
                continue;
            }
            chosen.push((peer, addresses));
        }
        chosen
    }

    /// A dial of our own accord begins.
    pub(crate) fn count_fill(&mut self) {
        self.totals.fills_total += 1;
    }

    /// Forgets what speaks against dialing a peer.
    pub(super) fn reached(&mut self, peer: &PeerId) {
        self.backoffs.clear(peer);
        self.unwelcome.retain(|other| other != peer);
    }

    /// A peer that does not want us, or cannot talk to us, is not bothered again.
    pub(super) fn remember_refusal(&mut self, peer: PeerId, error: &DialError) {
        let refused = matches!(
            error,
            DialError::Refused { certain: true, .. } | DialError::WrongProtocol { .. }
        );
        if refused && !self.unwelcome.contains(&peer) {
            if self.unwelcome.len() >= self.config.max_backoffs {
                self.unwelcome.pop_front();
            }
            self.unwelcome.push_back(peer);
        }
    }
}
