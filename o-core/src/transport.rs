//! Connections between proved peers, and the substreams on them.

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::io::{AsyncRead, AsyncWrite};
use o_address::{PeerId, TransportAddr};

use crate::{BoxError, DenyReason, Direction};

/// Bytes in both directions, reliable and in order.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + 'static> ByteStream for T {}

/// One of the streams on a connection. An end of file on it proves nothing about the other side.
pub type Substream = Pin<Box<dyn ByteStream>>;

/// Dials and listens. Several stand side by side in one node, each with its own addresses.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Whether addresses of this form are this transport's.
    fn handles(&self, address: &TransportAddr) -> bool;

    /// Connects to `peer` at whichever of `addresses` answers first.
    ///
    /// # Errors
    /// When none does, or when another peer answers.
    ///
    /// # Cancel safety
    /// Dropping the future ends the attempt.
    async fn dial(
        &self,
        peer: PeerId,
        addresses: &[TransportAddr],
    ) -> Result<Arc<dyn Connection>, DialError>;

    /// Takes connections at `address`, which may leave a port or number open with a zero.
    ///
    /// # Errors
    /// When the address cannot be had.
    ///
    /// # Cancel safety
    /// Dropping the future opens nothing.
    async fn listen(&self, address: &TransportAddr) -> Result<Box<dyn Listener>, ListenError>;
}

/// Where connections arrive. Dropping it closes the socket.
#[async_trait]
pub trait Listener: fmt::Debug + Send + 'static {
    /// Where it really listens, with the port that was given.
    fn address(&self) -> TransportAddr;

    /// The next connection whose peer is proved; `None` when the listener has closed.
    ///
    /// # Cancel safety
    /// Dropping the future loses no connection.
    async fn accept(&mut self) -> Option<Arc<dyn Connection>>;
}

/// A connection to one proved peer. Dropping the last handle closes it.
#[async_trait]
pub trait Connection: fmt::Debug + Send + Sync + 'static {
    /// Who is at the other end, proved with its key.
    fn peer(&self) -> PeerId;

    /// Where it is.
    fn remote(&self) -> TransportAddr;

    /// Who dialed.
    fn direction(&self) -> Direction;

    /// Opens a substream.
    ///
    /// # Errors
    /// When the connection is closed or at its limit of substreams.
    ///
    /// # Cancel safety
    /// Dropping the future opens nothing, or resets what it has opened.
    async fn open(&self) -> Result<Substream, ConnectionError>;

    /// The next substream that the other side opens.
    ///
    /// # Errors
    /// When the connection is closed.
    ///
    /// # Cancel safety
    /// Dropping the future loses no substream.
    async fn accept(&self) -> Result<Substream, ConnectionError>;

    /// Closes the connection and all its substreams. Closing twice is no error.
    async fn close(&self);
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// Nobody told where the peer is, or no transport handles its addresses.
    #[error("no usable address for peer {peer}")]
    NoAddresses {
        /// The peer.
        peer: PeerId,
    },
    /// A policy, ours or theirs, does not want it.
    #[error("connection to {peer} refused: {reason}")]
    Refused {
        /// The peer.
        peer: PeerId,
        /// The reason that was given.
        reason: String,
        /// `false` when it was closed without a word.
        certain: bool,
    },
    /// Somebody else answered.
    #[error("{expected} was dialed and {found} answered")]
    WrongPeer {
        /// Who was dialed.
        expected: PeerId,
        /// Who answered.
        found: PeerId,
    },
    /// Nobody answered in time.
    #[error("dialing {peer} timed out after {after:?}")]
    TimedOut {
        /// The peer.
        peer: PeerId,
        /// The limit.
        after: Duration,
    },
    /// No address could be reached.
    #[error("dialing {peer} failed: {reason}")]
    Failed {
        /// The peer.
        peer: PeerId,
        /// What each address said, in words.
        reason: String,
    },
    /// An address was dialed without a peer id, and nobody answered.
    #[error("{reason}")]
    FailedAt {
        /// What it said, in words.
        reason: String,
    },
    /// The peer is there and speaks something else.
    #[error("{peer} does not speak our protocol")]
    WrongProtocol {
        /// The peer.
        peer: PeerId,
    },
    /// A limit of our own.
    #[error("too many connections: {limit}")]
    Busy {
        /// Which limit.
        limit: &'static str,
    },
    /// The peer is there and has no room for the connection.
    #[error("{peer} is busy: {reason}")]
    PeerBusy {
        /// The peer.
        peer: PeerId,
        /// The reason that was given.
        reason: String,
    },
    /// A failed dial is recent; the next try comes after this pause.
    #[error("the last dial is recent, next try in {retry_in:?}: {reason}")]
    BackingOff {
        /// The peer.
        peer: PeerId,
        /// Time until a dial is tried again.
        retry_in: Duration,
        /// What the last dial said.
        reason: String,
        /// Whether it said that the peer refuses us, for certain.
        refused: bool,
    },
    /// The node has shut down.
    #[error("the node has shut down")]
    Shutdown,
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// No transport that is compiled in and turned on handles addresses of this form.
    #[error("no transport for this address: {reason}")]
    Unsupported {
        /// Which transport it would take.
        reason: String,
    },
    /// Somebody else has it.
    #[error("the address is in use")]
    InUse,
    /// The system says no.
    #[error("the system refused")]
    Failed(#[source] BoxError),
}

/// Why a connection gives no substream.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// It is closed.
    #[error("connection closed: {reason}")]
    Closed {
        /// How it ended.
        reason: String,
    },
    /// It was refused by the other side's policy.
    #[error("refused: {reason}")]
    Refused {
        /// The reason that was given.
        reason: DenyReason,
    },
    /// It is at its limit of substreams.
    #[error("too many substreams")]
    Busy,
}
