//! Signing for a peer id, and checking who signed.

use std::fmt;

use bytes::Bytes;
use o_address::PeerId;

use crate::BoxError;

/// Signs with the key of one peer.
///
/// The result is an envelope (libp2p RFC 0002: key, payload type, payload, signature), over which
/// the domain is signed too, so that what is signed for one purpose proves nothing for another.
pub trait Signer: fmt::Debug + Send + Sync + 'static {
    /// Whose key it is.
    fn peer(&self) -> PeerId;

    /// Signs `payload` for `domain`.
    ///
    /// # Errors
    /// When the key cannot be used.
    fn sign(&self, domain: &str, payload_type: &[u8], payload: &[u8]) -> Result<Bytes, SignError>;
}

/// Checks envelopes.
pub trait Verifier: fmt::Debug + Send + Sync + 'static {
    /// Who signed `envelope` for `domain`, and what.
    ///
    /// # Errors
    /// Bytes that are no envelope; then `WrongType` for one of another type, before its signature is looked at;
    /// `BadSignature` for one of another domain, or with a bad signature.
    fn verify(
        &self,
        domain: &str,
        payload_type: &[u8],
        envelope: &[u8],
    ) -> Result<Verified, VerifyError>;
}

/// What an envelope proved to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Whose key signed.
    pub peer: PeerId,
    /// What was signed.
    pub payload: Bytes,
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
#[error("the key cannot sign")]
pub struct SignError(#[source] pub BoxError);

/// Why an envelope proves nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The bytes are no envelope.
    #[error("not a signed envelope")]
    Malformed,
    /// It was signed as something else.
    #[error("the envelope holds another kind of payload")]
    WrongType,
    /// The signature is not one of this key over this payload and domain.
    #[error("bad signature")]
    BadSignature,
}
