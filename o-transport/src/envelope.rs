//! Signing for a purpose, and checking who signed: libp2p's signed envelopes.
//!
//! The format is [libp2p RFC 0002](https://github.com/libp2p/specs/blob/master/RFC/0002-signed-envelopes.md).

#[cfg(test)]
mod tests;

use bytes::Bytes;
use libp2p::core::{SignedEnvelope, signed_envelope::ReadPayloadError};
use o_address::PeerId;
use o_core::{SignError, Signer, Verified, Verifier, VerifyError};

use crate::{Keypair, from_peer_id};

impl Signer for Keypair {
    fn peer(&self) -> PeerId {
        self.peer_id()
    }

    fn sign(&self, domain: &str, payload_type: &[u8], payload: &[u8]) -> Result<Bytes, SignError> {
        let (payload_type, payload) = (payload_type.to_vec(), payload.to_vec());
        SignedEnvelope::new(self.libp2p(), domain.to_owned(), payload_type, payload)
            .map(|envelope| envelope.into_protobuf_encoding().into())
            .map_err(|error| SignError(error.into()))
    }
}

/// Checks libp2p's signed envelopes.
///
/// It reads what it is given and allocates no more than a small multiple of that; how long an
/// envelope may be is for the caller to limit. Two envelopes with different bytes may prove the same
/// (unknown fields are skipped, as protobuf wants it), so an envelope is not to be known by its
/// bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct EnvelopeVerifier;

impl Verifier for EnvelopeVerifier {
    fn verify(
        &self,
        domain: &str,
        payload_type: &[u8],
        envelope: &[u8],
    ) -> Result<Verified, VerifyError> {
        let envelope =
            SignedEnvelope::from_protobuf_encoding(envelope).map_err(|_| VerifyError::Malformed)?;
        let (payload, key) = envelope
            .payload_and_signing_key(domain.to_owned(), payload_type)
            .map_err(|error| match error {
                ReadPayloadError::UnexpectedPayloadType { .. } => VerifyError::WrongType,
                ReadPayloadError::InvalidSignature => VerifyError::BadSignature,
            })?;
        Ok(Verified {
            peer: from_peer_id(&key.to_peer_id()).map_err(|_| VerifyError::Malformed)?,
            payload: Bytes::copy_from_slice(payload),
        })
    }
}
