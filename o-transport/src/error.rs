//! Why there is no transport, and the one error of a dial that this crate adds.

use o_address::PeerId;
use o_core::BoxError;

/// Why a configuration gives no transport.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The configuration asks for something that this program was built without.
    #[error("`{feature}` is turned on but not compiled in: build with the feature `{feature}`")]
    NotCompiledIn {
        /// The Cargo feature that has it.
        feature: &'static str,
    },
    /// A value is out of its bounds or contradicts another one.
    #[error("configuration `{field}`: {reason}")]
    Invalid {
        /// The field, with dots from [`TransportConfig`](crate::TransportConfig) down.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Something that the system or the key is needed for did not work.
    #[error("cannot set up {part}")]
    Setup {
        /// Which part of the transport.
        part: &'static str,
        /// What it says.
        #[source]
        source: BoxError,
    },
}

/// Another peer answers at the address of a dialed peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{expected} was dialed and {found} answered")]
pub struct WrongPeer {
    /// The peer in the address.
    pub expected: PeerId,
    /// The peer that proved itself.
    pub found: PeerId,
}
