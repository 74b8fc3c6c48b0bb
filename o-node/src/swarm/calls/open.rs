//! How to close a connection without a look through those of all peers.

use std::collections::HashSet;

use libp2p::{
    PeerId,
    swarm::{CloseConnection, ConnectionId, FromSwarm},
};

/// The connections that are open. The Swarm finds a single one only by asking each peer's, but all
/// those of one peer at once; and most peers have one. To close all would also end a dial of that peer,
/// so while anybody is being dialed it has to look. The limits bound what is in here.
#[derive(Debug, Default)]
pub(super) struct Open {
    connections: HashSet<ConnectionId>,
    /// Peers with more than one.
    several: HashSet<PeerId>,
    /// Dials under way.
    dialing: HashSet<ConnectionId>,
}

impl Open {
    pub(super) fn dial(&mut self, connection: ConnectionId) {
        self.dialing.insert(connection);
    }

    pub(super) fn on_swarm_event(&mut self, event: &FromSwarm<'_>) {
        match event {
            FromSwarm::DialFailure(failed) => {
                self.dialing.remove(&failed.connection_id);
            }
            FromSwarm::ConnectionEstablished(up) => {
                self.dialing.remove(&up.connection_id);
                self.opened(up.peer_id, up.connection_id, up.other_established);
            }
            FromSwarm::ConnectionClosed(closed) => {
                let (peer, connection) = (closed.peer_id, closed.connection_id);
                self.closed(peer, connection, closed.remaining_established);
            }
            _ => {}
        }
    }

    fn opened(&mut self, peer: PeerId, connection: ConnectionId, others: usize) {
        self.connections.insert(connection);
        if others > 0 {
            self.several.insert(peer);
        }
    }

    fn closed(&mut self, peer: PeerId, connection: ConnectionId, others: usize) {
        self.connections.remove(&connection);
        if others < 2 {
            self.several.remove(&peer);
        }
    }

    /// What closes this connection and no other; nothing if it is closed already.
    pub(super) fn close(&self, peer: &PeerId, connection: ConnectionId) -> Option<CloseConnection> {
        if !self.connections.contains(&connection) {
            None
        } else if self.several.contains(peer) || !self.dialing.is_empty() {
            Some(CloseConnection::One(connection))
        } else {
            Some(CloseConnection::All)
        }
    }
}

#[cfg(test)]
mod tests {
    use libp2p::swarm::DialFailure;

    use super::*;

    #[test]
    fn a_peers_only_connection_is_closed_as_all_of_them_and_never_another_one() {
        let mut open = Open::default();
        let (peer, other) = (PeerId::random(), PeerId::random());
        let [first, second, third] = [1, 2, 3].map(ConnectionId::new_unchecked);
        let close = |open: &Open, peer, connection| match open.close(peer, connection) {
            Some(CloseConnection::All) => "all",
            Some(CloseConnection::One(one)) if one == connection => "one",
            Some(CloseConnection::One(_)) => "another",
            None => "none",
        };
        open.opened(peer, first, 0);
        open.opened(other, third, 0);
        assert_eq!(close(&open, &peer, first), "all");
        open.opened(peer, second, 1);
        assert_eq!(close(&open, &peer, first), "one");
        assert_eq!(close(&open, &other, third), "all");
        // Nor does a dial.
        let dial = ConnectionId::new_unchecked(4);
        open.dial(dial);
        assert_eq!(close(&open, &other, third), "one");
        let error = libp2p::swarm::DialError::Aborted;
        open.on_swarm_event(&FromSwarm::DialFailure(DialFailure {
            peer_id: None,
            error: &error,
            connection_id: dial,
        }));
        assert_eq!(close(&open, &other, third), "all");
        // A later connection of the same peer does not end in place of one that has gone.
        open.closed(peer, first, 1);
        assert_eq!(close(&open, &peer, first), "none");
        assert_eq!(close(&open, &peer, second), "all");
        open.closed(peer, second, 0);
        open.closed(other, third, 0);
        assert!(open.connections.is_empty() && open.several.is_empty() && open.dialing.is_empty());
    }
}
