//! Why a call failed, with a stable code, whether to try again, and what to do next.

mod code;

use std::time::Duration;

use bytes::Bytes;
use o_address::{Address, PeerId};

pub use self::code::ErrorCode;
use crate::{Capability, Shape};

/// An error of somebody else's making, kept as a source.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Why a call failed. Different causes are different variants, so that callers can act on them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// Nobody answers to this address: no record, no parent that knows it, or the peer that was
    /// asked does not host it.
    #[error("nobody found at {address}")]
    NotFound {
        /// The address.
        address: Address,
    },
    /// Nobody has this capability, as far as anybody could be asked.
    #[error("nobody found who can do {capability}")]
    NoProviders {
        /// The capability.
        capability: Capability,
    },
    /// Who it is is known, but none of its transport addresses answered.
    #[error("{address} was found but cannot be reached: {reason}")]
    Unreachable {
        /// The address.
        address: Address,
        /// What was tried, in words.
        reason: String,
    },
    /// No peer is known that could be asked who has the address.
    #[error("{address} cannot be looked up: no network: no peer is known that could be asked")]
    NoNetwork {
        /// The address.
        address: Address,
    },
    /// The other side, or our own policy, does not want this connection or call.
    #[error("refused: {reason}")]
    Refused {
        /// Who refused, if known.
        peer: Option<PeerId>,
        /// The reason that was given.
        reason: String,
        /// `false` when the connection was closed without a word, which looks like a refusal.
        certain: bool,
    },
    /// The deadline passed. Whether the method ran is not known.
    #[error("timed out after {after:?}")]
    TimedOut {
        /// How long the call had been under way where the deadline was noticed.
        after: Duration,
    },
    /// The method ran and returned an error of its own.
    #[error("{message}")]
    Failed {
        /// What the method says.
        message: String,
        /// Whether the method says that trying again may help.
        retryable: bool,
        /// Details for programs, encoded as the call was.
        data: Bytes,
    },
    /// A limit on calls, queues or memory was reached. Nothing ran.
    #[error("busy: {reason}")]
    Busy {
        /// Which limit.
        reason: String,
    },
    /// Somebody who may do so cancelled the call.
    #[error("cancelled")]
    Cancelled,
    /// The connection ended in the middle of the call. Whether the method ran is not known.
    #[error("connection lost: {reason}")]
    ConnectionLost {
        /// How it ended.
        reason: String,
    },
    /// The agent is there and does not have this method.
    #[error("no method `{method}` at this address")]
    UnknownMethod {
        /// The method that was asked for.
        method: String,
    },
    /// The parameters do not fit the method. Nothing ran.
    #[error("invalid parameters: {message}")]
    InvalidParams {
        /// What does not fit.
        message: String,
    },
    /// The answer is not what the caller expected.
    #[error("invalid reply: {message}")]
    InvalidReply {
        /// What does not fit.
        message: String,
    },
    /// A frame, body or header is over a limit.
    #[error("too large: {what}")]
    TooLarge {
        /// What is over which limit.
        what: String,
    },
    /// The other side lacks something that the call marked as essential.
    #[error("not supported there: {what}")]
    Unsupported {
        /// What it lacks.
        what: String,
    },
    /// The other side broke the protocol.
    #[error("protocol violation: {reason}")]
    Protocol {
        /// What it did.
        reason: String,
    },
    /// The node is stopping and takes no new calls.
    #[error("shutting down")]
    ShuttingDown,
    /// The method has another shape than the call.
    #[error("the method is {method}, the call is {call}")]
    WrongShape {
        /// The method's shape.
        method: Shape,
        /// The call's shape.
        call: Shape,
    },
    /// A bug, here or there.
    #[error("internal error: {message}")]
    Internal {
        /// What went wrong.
        message: String,
    },
    /// A code that this version does not know, from a newer peer.
    #[error("error {number}: {message}")]
    UnknownCode {
        /// The code's number.
        number: u16,
        /// What the peer says.
        message: String,
        /// Whether the peer says that trying again may help.
        retryable: bool,
    },
}

impl CallError {
    /// A failure of the method itself, not worth trying again.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed {
            message: message.into(),
            retryable: false,
            data: Bytes::new(),
        }
    }

    /// The stable code; `Failed` for a number that this version does not know.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NotFound { .. } => ErrorCode::NotFound,
            Self::Unreachable { .. } | Self::NoNetwork { .. } => ErrorCode::Unreachable,
            Self::Refused { .. } => ErrorCode::Refused,
            Self::TimedOut { .. } => ErrorCode::TimedOut,
            Self::Failed { .. } | Self::UnknownCode { .. } => ErrorCode::Failed,
            Self::Busy { .. } => ErrorCode::Busy,
            Self::Cancelled => ErrorCode::Cancelled,
            Self::ConnectionLost { .. } => ErrorCode::ConnectionLost,
            Self::UnknownMethod { .. } => ErrorCode::UnknownMethod,
            Self::InvalidParams { .. } => ErrorCode::InvalidParams,
            Self::InvalidReply { .. } => ErrorCode::InvalidReply,
            Self::TooLarge { .. } => ErrorCode::TooLarge,
            Self::Unsupported { .. } => ErrorCode::Unsupported,
            Self::Protocol { .. } => ErrorCode::Protocol,
            Self::ShuttingDown => ErrorCode::ShuttingDown,
            Self::WrongShape { .. } => ErrorCode::WrongShape,
            Self::NoProviders { .. } => ErrorCode::NoProviders,
            Self::Internal { .. } => ErrorCode::Internal,
        }
    }

    /// The number on the wire; differs from `code().number()` only for a newer peer's code.
    pub fn number(&self) -> u16 {
        match self {
            Self::UnknownCode { number, .. } => *number,
            other => other.code().number(),
        }
    }

    /// Whether the same call may succeed later. For `TimedOut` and `ConnectionLost` the method may
    /// have run already: try again only what is idempotent.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Failed { retryable, .. } | Self::UnknownCode { retryable, .. } => *retryable,
            Self::Refused { certain, .. } => !certain,
            Self::Unreachable { .. }
            | Self::NoNetwork { .. }
            | Self::TimedOut { .. }
            | Self::Busy { .. }
            | Self::ConnectionLost { .. }
            | Self::ShuttingDown => true,
            _ => false,
        }
    }

    /// Whether it is certain that the method did not run.
    pub fn is_before_execution(&self) -> bool {
        matches!(
            self,
            Self::NotFound { .. }
                | Self::NoProviders { .. }
                | Self::Unreachable { .. }
                | Self::NoNetwork { .. }
                | Self::Refused { certain: true, .. }
                | Self::Busy { .. }
                | Self::UnknownMethod { .. }
                | Self::InvalidParams { .. }
                | Self::Unsupported { .. }
                | Self::ShuttingDown
                | Self::WrongShape { .. }
        )
    }

    /// What to do next, in one sentence.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => {
                "check the spelling and the network, and that the agent is serving"
            }
            Self::NoProviders { .. } => {
                "check the spelling and the network, and that somebody serves this capability"
            }
            Self::Unreachable { .. } => {
                "check that the agent still runs and that its listen addresses can be dialed from here"
            }
            Self::NoNetwork { .. } => "give the node a bootstrap peer, or connect it to a peer",
            Self::Refused { certain: true, .. } => {
                "use the network that the reason names, or ask the operator of that node to allow this peer"
            }
            Self::Refused { .. } => {
                "the peer closed the connection without a reason: it may refuse this peer, or run no agents"
            }
            Self::TimedOut { .. } => {
                "give the call more time, or ask the agent whether it is overloaded"
            }
            Self::Failed {
                retryable: true, ..
            } => "try again later",
            Self::Failed { .. } => "read the message of the method",
            Self::Busy { .. } => "try again after a pause",
            Self::Cancelled => "nothing to do: the call was cancelled",
            Self::ConnectionLost { .. } => "try again if the method is safe to run twice",
            Self::UnknownMethod { .. } => "list the methods with `o describe`",
            Self::InvalidParams { .. } => {
                "compare the parameters with the schema that `o describe` shows"
            }
            Self::InvalidReply { .. } => {
                "the agent and the caller disagree about the result's type"
            }
            Self::TooLarge { .. } => "send less at once, or stream it",
            Self::Unsupported { .. } => "the other side needs a newer version",
            Self::Protocol { .. } => "the other side runs something else, or has a bug",
            Self::ShuttingDown => "try another provider, or try again after its restart",
            Self::WrongShape { .. } => "call the method with the shape that `o describe` shows",
            Self::Internal { .. } | Self::UnknownCode { .. } => {
                "report it, with the logs of both sides"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_read_back() {
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_number(code.number()), Some(*code));
        }
        let mut names: Vec<_> = ErrorCode::ALL.iter().map(|code| code.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ErrorCode::ALL.len());
    }

    #[test]
    fn a_newer_peers_code_keeps_its_number() {
        let error = CallError::UnknownCode {
            number: 900,
            message: "new".into(),
            retryable: true,
        };
        assert_eq!((error.number(), error.is_retryable()), (900, true));
    }
}
