//! What is sent and what is signed in the handshake `/o-plain/1`.

use std::io;

use libp2p::identity::{self, ed25519};

use super::PlainError;

pub(super) const NONCE_LEN: usize = 32;
const KEY_LEN: usize = 32;
pub(super) const SIGNATURE_LEN: usize = 64;

/// What a signature is for, so that none made for anything else is one here.
const DOMAIN: &[u8] = b"o-plain/1 handshake";

/// Which end signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Dialer,
    Listener,
}

impl Role {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Dialer => Self::Listener,
            Self::Listener => Self::Dialer,
        }
    }

    fn byte(self) -> u8 {
        match self {
            Self::Dialer => 1,
            Self::Listener => 2,
        }
    }
}

/// What each end says first: a nonce of its own, and the key that it will prove.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hello {
    pub(super) nonce: [u8; NONCE_LEN],
    pub(super) key: [u8; KEY_LEN],
}

impl Hello {
    pub(super) const LEN: usize = NONCE_LEN + KEY_LEN;

    pub(super) fn new(nonce: [u8; NONCE_LEN], keys: &identity::Keypair) -> io::Result<Self> {
        let public = keys.public().try_into_ed25519().map_err(io::Error::other)?;
        let key = public.to_bytes();
        Ok(Self { nonce, key })
    }

    pub(super) fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let (nonce, key) = bytes.split_at_mut(NONCE_LEN);
        nonce.copy_from_slice(&self.nonce);
        key.copy_from_slice(&self.key);
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let (mut nonce, mut key) = ([0; NONCE_LEN], [0; KEY_LEN]);
        let (first, second) = bytes.split_at(NONCE_LEN);
        nonce.copy_from_slice(first);
        key.copy_from_slice(second);
        Self { nonce, key }
    }

    pub(super) fn public_key(&self) -> Result<ed25519::PublicKey, PlainError> {
        ed25519::PublicKey::try_from_bytes(&self.key)
            .map_err(|error| PlainError::BadKey(error.into()))
    }
}

/// What both ends have said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transcript {
    dialer: Hello,
    listener: Hello,
}

impl Transcript {
    pub(super) fn new(dialer: &Hello, listener: &Hello) -> Self {
        Self {
            dialer: *dialer,
            listener: *listener,
        }
    }

    /// The bytes that the end of this role signs.
    pub(super) fn to_sign(self, role: Role) -> Vec<u8> {
        let Self { dialer, listener } = self;
        let role = [role.byte()];
        let parts: [&[u8]; 6] = [
            DOMAIN,
            &role,
            &dialer.nonce,
            &listener.nonce,
            &dialer.key,
            &listener.key,
        ];
        parts.concat()
    }
}

/// A number that nobody has used before.
pub(super) fn nonce() -> io::Result<[u8; NONCE_LEN]> {
    let mut nonce = [0; NONCE_LEN];
    getrandom::fill(&mut nonce).map_err(io::Error::other)?;
    Ok(nonce)
}
