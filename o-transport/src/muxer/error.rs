//! Why a connection with substreams ended.

use std::io;

use o_core::BoxError;
use yamux::{ConnectionError, FrameDecodeError};

use super::guard::Refused;

/// Why a connection with substreams ended: the innermost cause that a lost connection has when
/// yamux and not the network ended it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MuxerError {
    /// The peer closed it, or this side did.
    #[error("the connection was closed")]
    Closed,
    /// The peer opened more substreams than `max_streams` or sent more than its window, or a frame
    /// that has no place. This side told it so and ended the connection.
    #[error("the peer broke the rules of yamux: {reason}")]
    Violation {
        /// Which kind, as far as yamux says.
        reason: &'static str,
    },
    /// The peer sent a frame that yamux cannot read, or one longer than 1 MiB.
    #[error("the peer sent what is no frame of yamux")]
    Malformed(#[source] BoxError),
    /// This side opened a substream over `max_streams`, or has opened 2³¹ of them.
    #[error("this side opened one substream too many")]
    TooManyStreams,
    /// The stream below it failed.
    #[error("the connection below yamux failed")]
    Io(#[source] io::Error),
}

impl MuxerError {
    /// Not `From`, which would put a type of yamux into the public interface.
    pub(super) fn of(error: ConnectionError) -> Self {
        match error {
            ConnectionError::Io(error) | ConnectionError::Decode(FrameDecodeError::Io(error)) => {
                match error.downcast::<Refused>() {
                    Ok(refused) => Self::Violation {
                        reason: refused.reason(),
                    },
                    Err(error) => Self::Io(error),
                }
            }
            ConnectionError::Closed => Self::Closed,
            ConnectionError::TooManyStreams | ConnectionError::NoMoreStreamIds => {
                Self::TooManyStreams
            }
            other => Self::Malformed(Box::new(other)),
        }
    }
}
