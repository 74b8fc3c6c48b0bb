//! What a session tells its owner: notices, what calls received, how it ended.

use o_core::{Body, CallError};

use super::CallId;

/// Something that the owner of the session should look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// The other side has said HELLO.
    Hello,
    /// The other side takes no new calls.
    Goodbye,
    /// The other side has opened this call and its parameters are here.
    Incoming(CallId),
    /// [`Session::take`](super::Session::take) has something new.
    Readable(CallId),
    /// [`Session::send`](super::Session::send) would take something again.
    Writable(CallId),
    /// This call of the other side's is over, answered or not: stop working on it.
    Gone(CallId),
    /// The session is over; every call has ended.
    Closed,
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionEnd {
    /// Both sides were done.
    #[error("closed")]
    Finished,
    /// A policy does not want the connection.
    #[error("refused: {reason}")]
    Refused {
        /// The reason that was given.
        reason: String,
        /// `false` when the stream ended before a HELLO, without a word.
        certain: bool,
    },
    /// The other side has no room for the connection.
    #[error("busy: {reason}")]
    Busy {
        /// The limit that it named.
        reason: String,
    },
    /// The stream or the connection ended.
    #[error("connection lost: {reason}")]
    Lost {
        /// How.
        reason: String,
    },
    /// One side broke the protocol.
    #[error("protocol violation: {reason}")]
    Protocol {
        /// What it did.
        reason: String,
    },
    /// The other side stopped.
    #[error("the other side is shutting down")]
    ShuttingDown,
}

impl SessionEnd {
    /// What this means for a call that was open.
    pub fn as_call_error(&self) -> CallError {
        match self.clone() {
            Self::Finished => CallError::ConnectionLost {
                reason: "closed".into(),
            },
            Self::Refused { reason, certain } => CallError::Refused {
                peer: None,
                reason,
                certain,
            },
            Self::Busy { reason } => CallError::Busy { reason },
            Self::Lost { reason } => CallError::ConnectionLost { reason },
            Self::Protocol { reason } => CallError::Protocol { reason },
            Self::ShuttingDown => CallError::ConnectionLost {
                reason: "the other side shut down".into(),
            },
        }
    }
}

/// Why something could not be sent on a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// Wait for [`Notice::Writable`].
    Full,
    /// The call is over.
    Gone,
    /// The body is over the limit.
    TooLarge,
}

/// What a call received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// An item; `last` when nothing comes after it.
    Item {
        /// The item.
        body: Body,
        /// Whether the call, or the caller's stream, ended with it.
        last: bool,
    },
    /// The end, without a further item.
    End,
    /// The call failed.
    Failed(CallError),
}
