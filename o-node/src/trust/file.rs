//! The file in which roots are remembered: JSON, by network and by name.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use o_address::PeerId;
use serde::{Deserialize, Serialize};

/// Longest file that is read, in bytes: as long as 1,024 roots of 32 networks.
const MAX_FILE: u64 = 4 << 20;

/// By network, by name, the root.
pub(super) type Networks = BTreeMap<String, BTreeMap<String, Root>>;

/// The key of a root, and those that it succeeded as far as this was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub(super) struct Root {
    pub(super) key: PeerId,
    /// The oldest first.
    pub(super) former: Vec<PeerId>,
}

/// How it is written: a key that has succeeded no other stands alone.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Key(PeerId),
    Rotated { key: PeerId, former: Vec<PeerId> },
}

impl From<Written> for Root {
    fn from(written: Written) -> Self {
        match written {
            Written::Key(key) => Self::new(key),
            Written::Rotated { key, former } => Self { key, former },
        }
    }
}

impl From<Root> for Written {
    fn from(Root { key, former }: Root) -> Self {
        match former.is_empty() {
            true => Self::Key(key),
            false => Self::Rotated { key, former },
        }
    }
}

impl Root {
    pub(super) fn new(key: PeerId) -> Self {
        Self {
            key,
            former: Vec::new(),
        }
    }
}

/// Why the file of roots cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustFileError {
    /// It cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It holds something else than roots.
    #[error("{}: not a file of trusted roots: {source}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// It is longer than such a file can be.
    #[error("{}: over {MAX_FILE} bytes, the most that is read", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
}

/// What a file holds; nothing where there is none.
pub(super) fn read(path: &Path) -> Result<Networks, TrustFileError> {
    let io = |source| TrustFileError::Io {
        path: path.to_owned(),
        source,
    };
    let mut text = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(MAX_FILE + 1).read_to_end(&mut text).map_err(io)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Networks::new()),
        Err(error) => return Err(io(error)),
    };
    let path = path.to_owned();
    if text.len() as u64 > MAX_FILE {
        return Err(TrustFileError::TooLarge { path });
    }
    serde_json::from_slice(&text).map_err(|source| TrustFileError::Malformed { path, source })
}

/// Changes a file, alone: whoever else changes it waits. It is replaced whole, or, where there is nothing to change
/// after all, not at all.
pub(super) fn update<T, E>(
    path: &Path,
    change: impl FnOnce(&mut Networks) -> Result<T, E>,
) -> Result<Result<T, E>, TrustFileError> {
    let written = (|| {
        let directory = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(directory)?;
        let lock = private().open(path.with_extension("lock"))?;
        lock.lock()?;
        let mut networks = match read(path) {
            Ok(networks) => networks,
            Err(error) => return Ok(Err(error)),
        };
        let changed = match change(&mut networks) {
            Ok(changed) => changed,
            refused => return Ok(Ok(refused)),
        };
        let text = serde_json::to_vec_pretty(&networks)?;
        let new = path.with_extension("new");
        let mut file = private().open(&new)?;
        file.set_len(0)?;
        file.write_all(&text)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        Ok(Ok(Ok(changed)))
    })();
    written.map_err(|source: io::Error| TrustFileError::Io {
        path: path.to_owned(),
        source,
    })?
}

/// Made for this user only.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
