//! What happens in a node, for those who want to watch.

use std::fmt;

use futures::stream::BoxStream;
use o_address::{Address, PeerId, TransportAddr};

use crate::{DenyReason, Direction, NodeState};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The node changed its state.
    State(NodeState),
    /// The node listens here; the address carries the peer id.
    Listening(TransportAddr),
    /// The node no longer listens here.
    ListenerClosed(TransportAddr),
    /// A connection to `peer` is up.
    Connected {
        /// Who, proved by the handshake.
        peer: PeerId,
        /// Where.
        address: TransportAddr,
        /// Who dialed.
        direction: Direction,
        /// Whether its bytes are in the clear: only over a Unix socket, between processes of one user
        /// that both want it.
        plaintext: bool,
    },
    /// A connection to `peer` is gone.
    Disconnected {
        /// Who.
        peer: PeerId,
        /// Why, in words.
        reason: String,
    },
    /// A connection was not allowed.
    Denied {
        /// Who, if the handshake came that far.
        peer: Option<PeerId>,
        /// Who dialed.
        direction: Direction,
        /// Why.
        reason: DenyReason,
    },
    /// An agent is hosted now.
    Hosted(Address),
    /// An agent is no longer hosted.
    Withdrawn(Address),
    /// A source of discovery has taken a name and its capabilities. Whether another node holds
    /// them yet is the source's matter.
    Announced(Address),
    /// This node is now a child of another one.
    Attached {
        /// The parent's name.
        name: Address,
        /// Who it is.
        peer: PeerId,
    },
    /// This node is a child of that one no longer.
    Detached {
        /// The former parent's name.
        name: Address,
        /// Who it is.
        peer: PeerId,
        /// Why, in words.
        reason: String,
    },
    /// Another node is now a child of this one.
    ChildJoined {
        /// Its name.
        name: Address,
        /// Who it is.
        peer: PeerId,
    },
    /// A child is one no longer: it left, or it is not heard any more.
    ChildLost {
        /// Its name.
        name: Address,
        /// Who it is.
        peer: PeerId,
        /// Why, in words.
        reason: String,
    },
    /// The root of this node's hierarchy has another key than the one that is remembered, and nothing
    /// vouches for it: it was not joined.
    RootChanged {
        /// The root's name.
        name: Address,
        /// The key that is remembered.
        remembered: PeerId,
        /// The key that was presented.
        presented: PeerId,
    },
}

/// A subscriber was too slow and missed this many events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} events were missed")]
pub struct Lagged(pub u64);

/// Events from the moment of subscribing on. Ends with the node.
pub type EventStream = BoxStream<'static, Result<Event, Lagged>>;

/// Passes events on. Never blocks the publisher: a slow subscriber gets [`Lagged`].
pub trait Events: fmt::Debug + Send + Sync + 'static {
    /// Tells every subscriber.
    fn publish(&self, event: Event);

    /// Events from now on.
    fn subscribe(&self) -> EventStream;
}
