//! A signer and a verifier that agree with each other and prove nothing.

use bytes::{BufMut, Bytes, BytesMut};
use o_address::PeerId;
use o_core::{SignError, Signer, Verified, Verifier, VerifyError};

const MAGIC: &[u8] = b"o-fake-envelope\0";
const CHECK: usize = 8;

/// Signs for a peer without a key: a checksum that anybody can compute. Deterministic.
#[derive(Clone, Debug)]
pub struct FakeSigner {
    peer: PeerId,
}

impl FakeSigner {
    /// Signs for this peer.
    pub fn new(peer: PeerId) -> Self {
        Self { peer }
    }
}

impl Signer for FakeSigner {
    fn peer(&self) -> PeerId {
        self.peer
    }

    fn sign(&self, domain: &str, payload_type: &[u8], payload: &[u8]) -> Result<Bytes, SignError> {
        let mut envelope = BytesMut::from(MAGIC);
        for part in [self.peer.as_bytes(), payload_type, payload] {
            let length = u32::try_from(part.len()).map_err(|error| SignError(error.into()))?;
            envelope.put_u32(length);
            envelope.put_slice(part);
        }
        let check = checksum(domain, &envelope);
        envelope.put_u64(check);
        Ok(envelope.freeze())
    }
}

/// Checks what a [`FakeSigner`] made.
#[derive(Clone, Copy, Debug, Default)]
pub struct FakeVerifier;

impl Verifier for FakeVerifier {
    fn verify(
        &self,
        domain: &str,
        payload_type: &[u8],
        envelope: &[u8],
    ) -> Result<Verified, VerifyError> {
        let malformed = || VerifyError::Malformed;
        let end = envelope.len().checked_sub(CHECK).ok_or_else(malformed)?;
        let (signed, check) = envelope.split_at(end);
        let mut rest = signed.strip_prefix(MAGIC).ok_or_else(malformed)?;
        let mut part = || -> Option<&[u8]> {
            let (length, after) = rest.split_first_chunk::<4>()?;
            let (part, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
            rest = after;
            Some(part)
        };
        let (peer, kind, payload) = (part(), part(), part());
        let (Some(peer), Some(kind), Some(payload), []) = (peer, kind, payload, rest) else {
            return Err(VerifyError::Malformed);
        };
        let peer = PeerId::from_bytes(peer).map_err(|_| VerifyError::Malformed)?;
        if kind != payload_type {
            return Err(VerifyError::WrongType);
        }
        if checksum(domain, signed).to_be_bytes() != check {
            return Err(VerifyError::BadSignature);
        }
        Ok(Verified {
            peer,
            payload: Bytes::copy_from_slice(payload),
        })
    }
}

/// FNV-1a, 64 bits: two texts of one length that differ in one byte always differ in it.
fn checksum(domain: &str, signed: &[u8]) -> u64 {
    let domain_length = (domain.len() as u64).to_be_bytes();
    let bytes = domain_length.iter().chain(domain.as_bytes()).chain(signed);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
