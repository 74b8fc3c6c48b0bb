//! A key in a file: made once, readable by its owner only, locked while in use.

#[cfg(test)]
mod tests;

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use tracing::info;
use zeroize::Zeroizing;

use super::{KeyError, Keypair};

/// The most bytes of a key file that are looked at: enough to tell an RSA key from rubbish.
const READ_LIMIT: u64 = 4096;

/// A key file and the lock on it, which goes with this value.
///
/// The file holds libp2p's protobuf form of the private key, 68 bytes, unencrypted; go-libp2p and
/// js-libp2p read and write the same. On Unix it has mode 0600, and one that others can open is
/// refused. The lock is on the file itself and advisory there: it stops another node from running
/// with the same key, not somebody from copying it. On Windows it also stops other programs from
/// reading the file.
#[derive(Debug)]
pub struct KeyFile {
    path: PathBuf,
    keys: Keypair,
    created: bool,
    /// Holds the lock.
    _file: File,
}

impl KeyFile {
    /// Locks and reads the key at `path`; if there is none, a new one is made, with the directories
    /// above it.
    ///
    /// The file appears whole or not at all, and a file that is there is never replaced, also when
    /// two processes start at the same time.
    ///
    /// # Errors
    /// When the key is in use, open to others, or no key, and when the system refuses.
    pub fn open_or_create(path: &Path) -> Result<Self, KeyError> {
        match Self::open(path) {
            Err(KeyError::NotFound { .. }) => {}
            done => return done,
        }
        let created = create(path)?;
        let file = Self {
            created,
            ..Self::open(path)?
        };
        if created {
            info!(path = %path.display(), peer = %file.keys.peer_id(), "key created");
        }
        Ok(file)
    }

    /// Locks and reads the key at `path`.
    ///
    /// # Errors
    /// When there is none, and as for [`open_or_create`](Self::open_or_create).
    pub fn open(path: &Path) -> Result<Self, KeyError> {
        let file = open_regular(path)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => KeyError::InUse { path: path.into() },
            TryLockError::Error(source) => io_error("lock", path, source),
        })?;
        Ok(Self {
            path: path.into(),
            keys: read_key(&file, path)?,
            created: false,
            _file: file,
        })
    }

    /// Reads the key at `path` without a lock, also while a node uses it: to show whose it is.
    ///
    /// # Errors
    /// When there is none, when it is open to others or no key, and when the system refuses.
    pub fn read(path: &Path) -> Result<Keypair, KeyError> {
        read_key(&open_regular(path)?, path)
    }

    /// The key.
    #[must_use]
    pub fn keypair(&self) -> &Keypair {
        &self.keys
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the key was made just now.
    #[must_use]
    pub fn created(&self) -> bool {
        self.created
    }
}

fn open_regular(path: &Path) -> Result<File, KeyError> {
    let missing = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => KeyError::NotFound { path: path.into() },
        _ => io_error("open", path, source),
    };
    // Before opening, because opening a pipe waits for its other end.
    if !fs::metadata(path).map_err(missing)?.is_file() {
        return Err(KeyError::NotAFile { path: path.into() });
    }
    File::open(path).map_err(missing)
}

fn read_key(file: &File, path: &Path) -> Result<Keypair, KeyError> {
    check_mode(file, path)?;
    // Its capacity is enough from the start: a buffer that grows leaves copies behind.
    let capacity = usize::try_from(READ_LIMIT).unwrap_or_default() + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    file.take(READ_LIMIT)
        .read_to_end(&mut bytes)
        .map_err(|source| io_error("read", path, source))?;
    Keypair::from_protobuf(&bytes).map_err(|source| KeyError::Invalid {
        path: path.into(),
        source,
    })
}

/// Makes a key at `path`, or leaves what somebody else has put there in the meantime. Says which.
fn create(path: &Path) -> Result<bool, KeyError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create_directories(directory)
        .map_err(|source| io_error("create the directory", directory, source))?;

    let keys = Keypair::generate();
    // The name is unique because the key is new, and short whatever the name of the key file is.
    let draft = Draft(directory.join(format!(".{}.new", keys.peer_id())));
    let written = draft.write(&keys.to_protobuf());
    written.map_err(|source| io_error("write", &draft.0, source))?;
    let created = match draft.publish(path) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        Err(source) => return Err(io_error("create", path, source)),
    };
    drop(draft);
    sync_directory(directory).map_err(|source| io_error("sync", directory, source))?;
    Ok(created)
}

/// A key file under another name, removed when dropped.
struct Draft(PathBuf);

impl Draft {
    fn write(&self, key: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        private_file(&mut options);
        let mut file = options.open(&self.0)?;
        file.write_all(key)?;
        file.sync_all()
    }

    /// Gives the file its name. Unlike renaming, linking never replaces another file.
    fn publish(&self, path: &Path) -> io::Result<()> {
        match fs::hard_link(&self.0, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists && !path.exists() => {
                // Some file systems have no links.
                fs::rename(&self.0, path)
            }
            done => done,
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After a rename it is gone already, and there is nobody to tell about another failure.
        let _ = fs::remove_file(&self.0);
    }
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> KeyError {
    KeyError::Io {
        action,
        path: path.into(),
        source,
    }
}

#[cfg(unix)]
fn check_mode(file: &File, path: &Path) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt;

    let metadata = file
        .metadata()
        .map_err(|source| io_error("read the mode of", path, source))?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(KeyError::Exposed {
        path: path.into(),
        mode,
    })
}

#[cfg(not(unix))]
fn check_mode(_: &File, _: &Path) -> Result<(), KeyError> {
    Ok(())
}

#[cfg(unix)]
fn private_file(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;

    options.mode(0o600);
}

#[cfg(not(unix))]
fn private_file(_: &mut OpenOptions) {}

#[cfg(unix)]
fn create_directories(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;

    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
}

#[cfg(not(unix))]
fn create_directories(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).create(directory)
}

/// Makes the new name in `directory` survive a crash.
#[cfg(unix)]
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}
