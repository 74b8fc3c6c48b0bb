//! Why there is no key.

use std::{io, path::PathBuf};

/// Why bytes are no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyDecodeError {
    /// There are more or fewer bytes than a key has.
    #[error("a private Ed25519 key in protobuf form has {expected} bytes, not {found}")]
    WrongLength {
        /// How many it has.
        expected: usize,
        /// How many there are; of a long file only the first are counted.
        found: usize,
    },
    /// It is a libp2p key of another kind.
    #[error("only Ed25519 keys (type 1) can be used, this one is of type {key_type}")]
    WrongType {
        /// libp2p's number of the kind: 0 is RSA, 2 Secp256k1, 3 ECDSA.
        key_type: u8,
    },
    /// The bytes are no key, or one whose halves do not belong together.
    #[error("not a private Ed25519 key in protobuf form")]
    Malformed,
}

/// Why a key cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// There is no such file.
    #[error("there is no key file {}", path.display())]
    NotFound {
        /// The file.
        path: PathBuf,
    },
    /// A directory, pipe or device stands there.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// What stands there.
        path: PathBuf,
    },
    /// Another process, or another part of this one, uses the key.
    #[error("key file {} is in use: stop the node that has it, or choose another key", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Others than the owner may read or change the key.
    #[error(
        "key file {path} is open to others (mode {mode:04o}): run `chmod 600 {path}`, or make a new key if others may have read it",
        path = path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds something else than a key. It is left as it is.
    #[error("key file {} cannot be used: move it away to have a new key made", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: KeyDecodeError,
    },
    /// A configured seed is empty, and so a key that everybody has.
    #[error("the seed is empty: give one that nobody guesses, or none for a random key")]
    EmptySeed,
    /// The system says no.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file or directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}
