//! The events of a node as `o serve --json` writes them.

use std::collections::HashMap;

use o_address::PeerId;
use o_core::{Event, Lagged};
use serde_json::{Value, json};

/// How many connections each peer has. Two nodes that dial each other at the same time have two for
/// a while, of which readers of the events need not know. The node's limits bound it.
#[derive(Debug, Default)]
pub(super) struct Connections(HashMap<PeerId, usize>);

impl Connections {
    /// Takes note of an event; `false` for a connection that is not a peer's first, and for the end
    /// of one that is not its last.
    pub(super) fn is_news(&mut self, event: &Result<Event, Lagged>) -> bool {
        match event {
            // What was missed is not known: everything is news again.
            Err(Lagged(_)) => self.0.clear(),
            Ok(Event::Connected { peer, .. }) => {
                let count = self.0.entry(*peer).or_default();
                *count = count.saturating_add(1);
                return *count == 1;
            }
            Ok(Event::Disconnected { peer, .. }) => {
                let left = self.0.get(peer).map_or(0, |count| count.saturating_sub(1));
                if left > 0 {
                    self.0.insert(*peer, left);
                    return false;
                }
                self.0.remove(peer);
            }
            _ => {}
        }
        true
    }
}

/// An event, one line for programs; `None` for those that say nothing new.
pub(super) fn as_json(event: &Result<Event, Lagged>) -> Option<Value> {
    let event = match event {
        Ok(event) => event,
        Err(Lagged(missed)) => return Some(json!({ "event": "lagged", "missed": missed })),
    };
    Some(match event {
        Event::Listening(address) => json!({ "event": "listening", "listen": address }),
        Event::ListenerClosed(address) => json!({ "event": "listener_closed", "listen": address }),
        Event::Connected {
            peer,
            address,
            direction,
            plaintext,
        } => json!({
            "event": "connected",
            "peer": peer,
            "at": address,
            "direction": direction.to_string(),
            "plaintext": plaintext,
        }),
        Event::Disconnected { peer, reason } => {
            json!({ "event": "disconnected", "peer": peer, "reason": reason })
        }
        Event::Denied {
            peer,
            direction,
            reason,
        } => json!({
            "event": "denied",
            "peer": peer,
            "direction": direction.to_string(),
            "reason": reason.to_string(),
        }),
        Event::Hosted(address) => json!({ "event": "hosted", "address": address }),
        Event::Withdrawn(address) => json!({ "event": "withdrawn", "address": address }),
        Event::Announced(address) => json!({ "event": "announced", "address": address }),
        Event::Attached { name, peer } => {
            json!({ "event": "attached", "parent": name, "peer": peer })
        }
        Event::Detached { name, peer, reason } => {
            json!({ "event": "detached", "parent": name, "peer": peer, "reason": reason })
        }
        Event::ChildJoined { name, peer } => {
            json!({ "event": "child_joined", "child": name, "peer": peer })
        }
        Event::ChildLost { name, peer, reason } => {
            json!({ "event": "child_lost", "child": name, "peer": peer, "reason": reason })
        }
        Event::RootChanged {
            name,
            remembered,
            presented,
        } => json!({
            "event": "root_changed",
            "root": name,
            "remembered": remembered,
            "presented": presented,
        }),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use o_core::Direction;

    use super::*;

    #[test]
    fn a_second_connection_of_a_peer_is_no_news() {
        let peer = o_node::Keypair::from_seed("peer").peer_id();
        let connected = || {
            Ok(Event::Connected {
                peer,
                address: "/ip4/127.0.0.1/tcp/1".parse().unwrap(),
                direction: Direction::Inbound,
                plaintext: false,
            })
        };
        let disconnected = || {
            Ok(Event::Disconnected {
                peer,
                reason: String::new(),
            })
        };
        let mut connections = Connections::default();
        let mut is_news = |event| connections.is_news(&event);
        assert!(is_news(connected()));
        assert!(!is_news(connected()));
        assert!(!is_news(disconnected()));
        assert!(is_news(disconnected()));
        // Again, and after something was missed.
        assert!(is_news(connected()));
        assert!(is_news(Err(Lagged(3))));
        assert!(is_news(disconnected()));
        assert!(is_news(connected()));
    }
}
