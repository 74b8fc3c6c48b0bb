//! Where the key of a node comes from.

use std::{fmt, path::PathBuf};

use o_address::PeerId;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

use super::{KeyError, KeyFile, Keypair};

/// What stands for a seed wherever it would be shown.
const HIDDEN: &str = "(hidden)";

/// Which key a node has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct IdentityConfig {
    /// Where the key comes from. Default: a new one for every run.
    pub key: KeySource,
}

/// Where a key comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum KeySource {
    /// A new key for every run.
    #[default]
    Ephemeral,
    /// The key of a seed, see [`Keypair::from_seed`].
    Seed(Seed),
    /// A key file, which is made if it is not there, see [`KeyFile`].
    File(PathBuf),
}

/// A seed that a key is made of. It is shown and written as `(hidden)`, which is refused when read,
/// so that a configuration can be printed and a printed one is not taken for the real one.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed(Zeroizing<String>);

impl Seed {
    /// A seed.
    #[must_use]
    pub fn new(seed: impl Into<String>) -> Self {
        Self(Zeroizing::new(seed.into()))
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Seed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

impl<'de> Deserialize<'de> for Seed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seed = String::deserialize(deserializer)?;
        if seed == HIDDEN {
            return Err(de::Error::custom(
                "the seed of this configuration was hidden when it was printed; put it back",
            ));
        }
        Ok(Self::new(seed))
    }
}

impl IdentityConfig {
    /// An identity whose key comes from `key`.
    #[must_use]
    pub fn new(key: KeySource) -> Self {
        Self { key }
    }

    /// Makes, derives or reads the key; a key file stays locked until the [`Identity`] is dropped.
    ///
    /// # Errors
    /// For an empty seed, and for whatever is wrong with a key file.
    pub fn open(&self) -> Result<Identity, KeyError> {
        let (keys, file) = match &self.key {
            KeySource::Ephemeral => (Keypair::generate(), None),
            KeySource::Seed(seed) if seed.0.is_empty() => return Err(KeyError::EmptySeed),
            KeySource::Seed(seed) => (Keypair::from_seed(&seed.0), None),
            KeySource::File(path) => {
                let file = KeyFile::open_or_create(path)?;
                (file.keypair().clone(), Some(file))
            }
        };
        Ok(Identity { keys, file })
    }
}

/// The key that a node runs with, and the lock on its file if it has one.
#[derive(Debug)]
pub struct Identity {
    keys: Keypair,
    file: Option<KeyFile>,
}

impl Identity {
    /// The key.
    #[must_use]
    pub fn keypair(&self) -> &Keypair {
        &self.keys
    }

    /// The id that the key proves.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.keys.peer_id()
    }

    /// The key file, if the key comes from one.
    #[must_use]
    pub fn file(&self) -> Option<&KeyFile> {
        self.file.as_ref()
    }
}

impl From<Keypair> for Identity {
    fn from(keys: Keypair) -> Self {
        Self { keys, file: None }
    }
}
