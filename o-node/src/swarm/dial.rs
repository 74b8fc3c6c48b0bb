//! Dials that somebody waits for.

use std::collections::HashMap;

use libp2p::swarm::{ConnectionId, DialError as SwarmDialError};
use o_address::PeerId;
use o_core::{DenyReason, DialError};
use o_transport::{WrongPeer, find_cause, flatten_error, from_peer_id, io_error_kind};

use super::{denied_reason, handle::DialCommand};
use crate::link::{Fresh, Link};

/// By connection; the Swarm's limit on pending connections bounds it.
#[derive(Debug, Default)]
pub(super) struct Dials(HashMap<ConnectionId, DialCommand>);

impl Dials {
    pub(super) fn insert(&mut self, connection: ConnectionId, dial: DialCommand) {
        self.0.insert(connection, dial);
    }

    /// Hands the link to who waits for it; gives it back if nobody does. One that nobody waits for any
    /// longer is closed if it comes `late`: another address of the peer was faster.
    pub(super) fn opened(
        &mut self,
        connection: ConnectionId,
        link: Link,
        late: impl FnOnce(&Link) -> bool,
    ) -> Option<Link> {
        let Some(dial) = self.0.remove(&connection) else {
            return Some(link);
        };
        // What cannot be sent comes back, and closes when it is dropped.
        let fresh = dial.reply.send(Ok(Fresh::new(link))).err()?.ok()?;
        if late(fresh.link()) {
            return None;
        }
        Some(fresh.keep())
    }

    /// The connection is gone before a call session began on it.
    pub(super) fn closed(&mut self, connection: ConnectionId, peer: &libp2p::PeerId) {
        if let (Some(dial), Ok(peer)) = (self.0.remove(&connection), from_peer_id(peer)) {
            let reason = "the connection was closed before a HELLO".into();
            dial.fail(DialError::Refused {
                peer,
                reason,
                certain: false,
            });
        }
    }

    pub(super) fn unsupported(&mut self, connection: ConnectionId, peer: &libp2p::PeerId) {
        if let (Some(dial), Ok(peer)) = (self.0.remove(&connection), from_peer_id(peer)) {
            dial.fail(DialError::WrongProtocol { peer });
        }
    }

    pub(super) fn failed(
        &mut self,
        connection: ConnectionId,
        found: Option<PeerId>,
        error: SwarmDialError,
    ) {
        let Some(dial) = self.0.remove(&connection) else {
            return;
        };
        // Without an expected peer there is none to name, unless the handshake has proved one.
        let error = match dial.peer.or(found) {
            Some(peer) => dial_error(peer, error),
            None => anonymous_error(&error),
        };
        dial.fail(error);
    }
}

fn anonymous_error(error: &SwarmDialError) -> DialError {
    let denied = match error {
        SwarmDialError::Denied { cause } => denied_reason(Some(cause)),
        _ => None,
    };
    match denied {
        Some(DenyReason::Limit { limit }) => DialError::Busy { limit },
        Some(reason) => DialError::FailedAt {
            reason: format!("refused by this node: {reason}"),
        },
        None => DialError::FailedAt {
            reason: reason_of(error),
        },
    }
}

fn reason_of(error: &SwarmDialError) -> String {
    match error {
        SwarmDialError::Transport(errors) => {
            let each = errors
                .iter()
                .map(|(address, error)| format!("{address}: {}", flatten_error(error)));
            each.collect::<Vec<_>>().join("; ")
        }
        other => flatten_error(other),
    }
}

fn dial_error(peer: PeerId, error: SwarmDialError) -> DialError {
    let wrong = |found: Option<PeerId>| match found {
        Some(found) => DialError::WrongPeer {
            expected: peer,
            found,
        },
        None => DialError::Failed {
            peer,
            reason: "another peer answered".into(),
        },
    };
    match error {
        SwarmDialError::NoAddresses => DialError::NoAddresses { peer },
        SwarmDialError::WrongPeerId { obtained, .. } => wrong(from_peer_id(&obtained).ok()),
        SwarmDialError::LocalPeerId { .. } => DialError::Failed {
            peer,
            reason: "this node itself answered".into(),
        },
        SwarmDialError::Denied { cause } => match denied_reason(Some(&cause)) {
            Some(DenyReason::Limit { limit }) => DialError::Busy { limit },
            Some(reason) => {
                let reason = format!("by this node: {reason}");
                DialError::Refused {
                    peer,
                    reason,
                    certain: true,
                }
            }
            None => DialError::Failed {
                peer,
                reason: flatten_error(&cause),
            },
        },
        SwarmDialError::Transport(ref errors) => {
            let found = errors
                .iter()
                .find_map(|(_, error)| find_cause::<WrongPeer>(error));
            if let Some(found) = found {
                return wrong(Some(found.found));
            }
            let timed_out = errors
                .iter()
                .all(|(_, error)| io_error_kind(error) == Some(std::io::ErrorKind::TimedOut));
            let reason = reason_of(&error);
            let reason = if timed_out && !errors.is_empty() {
                format!("no answer in time: {reason}")
            } else {
                reason
            };
            DialError::Failed { peer, reason }
        }
        other => DialError::Failed {
            peer,
            reason: reason_of(&other),
        },
    }
}
