//! The key of a node: from a seed, from a file, or for this run only.

mod config;
mod error;
mod file;
#[cfg(test)]
mod tests;

use std::fmt;

use libp2p::identity;
use o_address::PeerId;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

pub use self::{
    config::{Identity, IdentityConfig, KeySource, Seed},
    error::{KeyDecodeError, KeyError},
    file::KeyFile,
};

/// Field 1 (key type) is a varint, field 2 (key) has 64 bytes.
const PROTOBUF_PREFIX: [u8; 4] = [0x08, ED25519, 0x12, 64];
const PROTOBUF_LEN: usize = PROTOBUF_PREFIX.len() + 64;
const ED25519: u8 = 1;

/// An Ed25519 key and the peer id that it proves. Its `Debug` shows the peer id only.
///
/// ```
/// use o_transport::Keypair;
///
/// let keys = Keypair::from_seed("olane");
/// assert_eq!(
///     keys.peer_id().to_string(),
///     "12D3KooWQA9eZ7s8E7KvNJGG7AXRioyASFicECjdKL1DS2C1Duoo",
/// );
/// ```
#[derive(Clone)]
pub struct Keypair {
    inner: identity::Keypair,
    peer: PeerId,
}

impl Keypair {
    /// A new key from the system's randomness.
    #[must_use]
    pub fn generate() -> Self {
        Self::new(identity::Keypair::generate_ed25519())
    }

    /// The key of a seed: SHA-256 of its UTF-8 bytes is the Ed25519 seed of RFC 8032.
    ///
    /// It is neither salted nor stretched, so the key is as hard to guess as the seed is.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "the only error is a length other than 32, which SHA-256 never has"
    )]
    pub fn from_seed(seed: &str) -> Self {
        let mut secret = Zeroizing::new([0; 32]);
        secret.copy_from_slice(&Sha256::digest(seed.as_bytes()));
        let inner = identity::Keypair::ed25519_from_bytes(&mut *secret);
        Self::new(inner.expect("an Ed25519 seed has 32 bytes"))
    }

    /// Reads libp2p's protobuf form of a private Ed25519 key, 68 bytes.
    ///
    /// # Errors
    /// When it is none, is another kind of key, or its public half does not fit the private one.
    pub fn from_protobuf(bytes: &[u8]) -> Result<Self, KeyDecodeError> {
        if let [0x08, key_type, 0x12, ..] = *bytes
            && key_type != ED25519
        {
            return Err(KeyDecodeError::WrongType { key_type });
        }
        if bytes.len() != PROTOBUF_LEN {
            return Err(KeyDecodeError::WrongLength {
                expected: PROTOBUF_LEN,
                found: bytes.len(),
            });
        }
        if !bytes.starts_with(&PROTOBUF_PREFIX) {
            return Err(KeyDecodeError::Malformed);
        }
        identity::Keypair::from_protobuf_encoding(bytes)
            .map(Self::new)
            .map_err(|_| KeyDecodeError::Malformed)
    }

    /// libp2p's protobuf form of the private key, 68 bytes, which are overwritten when dropped.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "only kinds of keys that this type never holds cannot be encoded"
    )]
    pub fn to_protobuf(&self) -> Zeroizing<Vec<u8>> {
        let bytes = self.inner.to_protobuf_encoding();
        Zeroizing::new(bytes.expect("an Ed25519 key has a protobuf form"))
    }

    /// The id that this key proves.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.peer
    }

    /// The key as libp2p has it, for behaviours that need one.
    #[must_use]
    pub fn libp2p(&self) -> &identity::Keypair {
        &self.inner
    }

    #[expect(
        clippy::expect_used,
        reason = "the id of an Ed25519 key is an identity multihash of 36 bytes, which is a peer id"
    )]
    fn new(inner: identity::Keypair) -> Self {
        let peer = PeerId::from_bytes(&inner.public().to_peer_id().to_bytes());
        Self {
            inner,
            peer: peer.expect("the id of an Ed25519 key is a peer id"),
        }
    }
}

impl fmt::Debug for Keypair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keypair")
            .field(&format_args!("{}", self.peer))
            .finish()
    }
}
