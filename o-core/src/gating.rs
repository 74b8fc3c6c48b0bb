//! Which connections may exist.

use std::{borrow::Cow, fmt, sync::Arc};

use o_address::{Address, PeerId, TransportAddr};

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Before any byte: outbound, the peer may be known; inbound, only its network address.
    Pending,
    /// The handshake has proved the peer.
    Established,
}

/// Who dialed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The other side did.
    Inbound,
    /// We did.
    Outbound,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        })
    }
}

/// A connection that somebody wants.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Attempt<'a> {
    /// How far it has come.
    pub stage: Stage,
    /// Who dialed.
    pub direction: Direction,
    /// The other side: proved when established, only intended when pending and outbound.
    pub peer: Option<&'a PeerId>,
    /// The other side's transport address, where one is known.
    pub remote: Option<&'a TransportAddr>,
    /// Whether it runs through a relay.
    pub relayed: bool,
    /// On whose behalf, where somebody said so ([`Connector`](crate::Connector)). The word of a program
    /// of this node, never of a peer.
    pub caller: Option<&'a Address>,
    /// Whom it is for in the end, where somebody said so.
    pub target: Option<&'a Address>,
}

impl<'a> Attempt<'a> {
    /// A direct connection of which nothing else is known yet.
    pub fn new(stage: Stage, direction: Direction) -> Self {
        Self {
            stage,
            direction,
            peer: None,
            remote: None,
            relayed: false,
            caller: None,
            target: None,
        }
    }

    /// The same, to or from `peer`.
    #[must_use]
    pub fn peer(mut self, peer: &'a PeerId) -> Self {
        self.peer = Some(peer);
        self
    }

    /// The same, wanted by `caller` to reach `target`.
    #[must_use]
    pub fn on_behalf(mut self, caller: &'a Address, target: &'a Address) -> Self {
        self.caller = Some(caller);
        self.target = Some(target);
        self
    }

    /// The same, at this transport address.
    #[must_use]
    pub fn remote(mut self, remote: &'a TransportAddr) -> Self {
        self.remote = Some(remote);
        self
    }
}

/// Decides which connections may exist. Runs inside the swarm's poll: answer at once.
///
/// It is asked at each [`Stage`]. What it refuses once the peer is proved is told to the peer as
/// "refused"; what it refuses before is cut without a word.
///
/// A [`Transport`](crate::Transport) beside libp2p's hands over an inbound connection with its peer
/// proved: there [`Stage::Pending`] is asked with the remote address when the handshake is done, right
/// before [`Stage::Established`]. A refusal keeps its meaning and costs a handshake.
///
/// Over a connection the other side may call, whoever dialed. So for each call that comes over one which
/// this node dialed it is asked whether the peer might have come by itself: [`Direction::Inbound`],
/// [`Stage::Established`]. A refusal there ends the call and not the connection.
///
/// Who asks for a connection to a target on behalf of a caller ([`Connector`](crate::Connector)) has
/// both in the attempt, at both stages, also when a connection is there already and nothing is dialed. A
/// refusal there ends the request, and touches no connection.
pub trait ConnectionGater: fmt::Debug + Send + Sync + 'static {
    /// Whether the connection may exist.
    ///
    /// # Errors
    /// Why not.
    fn allow(&self, attempt: &Attempt<'_>) -> Result<(), DenyReason>;
}

impl<T: ConnectionGater + ?Sized> ConnectionGater for Arc<T> {
    fn allow(&self, attempt: &Attempt<'_>) -> Result<(), DenyReason> {
        (**self).allow(attempt)
    }
}

/// Why a connection may not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DenyReason {
    /// The peer is on the block list.
    #[error("the peer is blocked")]
    Blocked,
    /// There is an allow list and the peer is not on it.
    #[error("the peer is not on the allow list")]
    NotAllowed,
    /// The peer is neither parent, child nor leader of this node.
    #[error("the peer is neither parent, child nor leader")]
    NotRelated,
    /// A counting limit is reached.
    #[error("limit reached: {limit}")]
    Limit {
        /// Which limit.
        limit: &'static str,
    },
    /// A policy of the user's own.
    #[error("{reason}")]
    Policy {
        /// What it says; told to the peer.
        reason: Cow<'static, str>,
    },
}

impl DenyReason {
    /// Whether it is a counting limit: those are cut hard, nobody answers.
    pub fn is_limit(&self) -> bool {
        matches!(self, Self::Limit { .. })
    }
}
