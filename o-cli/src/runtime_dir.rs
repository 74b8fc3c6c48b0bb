//! The nodes of this user that run on this machine: one file each, as long as the node lives.

use std::{
    env, fs,
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use o_address::{Address, PeerId, TransportAddr};
use o_core::NetworkId;
use serde::{Deserialize, Serialize};

use crate::paths;

/// The most nodes that are read; a client needs only some of them to be on the network.
const MAX_NODES: usize = 64;
/// The most bytes of a file that are read.
const MAX_FILE: u64 = 64 * 1024;

/// What a running node says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunningNode {
    pub(crate) pid: u32,
    pub(crate) address: Address,
    pub(crate) peer_id: PeerId,
    pub(crate) network: NetworkId,
    pub(crate) listen: Vec<TransportAddr>,
}

/// The file of this node, which is removed when this is dropped.
///
/// It is locked meanwhile. A process that is gone has no locks, so that a file without one is
/// known to be stale whatever became of the process id in it.
///
/// Its name is never used again, and only who has it locked puts another file in its place: so a file
/// that is stale and still at its path can be removed without hitting anything newer.
#[derive(Debug)]
pub(crate) struct Registration {
    path: PathBuf,
    node: RunningNode,
    lock: File,
}

impl Registration {
    /// Writes the file of a node.
    pub(crate) fn new(node: &RunningNode) -> io::Result<Self> {
        Self::in_directory(&create_directory()?, node)
    }

    fn in_directory(directory: &Path, node: &RunningNode) -> io::Result<Self> {
        // Process ids come again, times do not.
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = since.unwrap_or_default().as_nanos();
        let name = format!("{}.{}-{now:x}.json", node.peer_id, node.pid);
        let path = directory.join(name);
        let lock = write(&path, node)?;
        let node = node.clone();
        Ok(Self { path, node, lock })
    }

    /// Replaces what the file says, if that is something else.
    pub(crate) fn update(&mut self, node: &RunningNode) -> io::Result<()> {
        if self.node != *node {
            self.lock = write(&self.path, node)?;
            self.node.clone_from(node);
        }
        Ok(())
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // Before the lock goes with `lock`. A file that is gone already is what is wanted.
        let _ = fs::remove_file(&self.path);
    }
}

/// Makes the file appear whole, locked, and readable by its owner only.
fn write(path: &Path, node: &RunningNode) -> io::Result<File> {
    let text = serde_json::to_vec(node)?;
    let temporary = path.with_extension("tmp");
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&temporary)?;
    let written = file
        .try_lock()
        .map_err(io::Error::from)
        .and_then(|()| file.write_all(&text))
        .and_then(|()| fs::rename(&temporary, path));
    if let Err(error) = written {
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    Ok(file)
}

/// The running nodes on `network`, those that started last first. Files of nodes that are gone are
/// removed.
///
/// # Errors
/// When others could have written there.
pub(crate) fn running(network: &NetworkId) -> io::Result<Vec<RunningNode>> {
    let directory = directory();
    check(&directory)?;
    Ok(running_in(&directory, network))
}

fn running_in(directory: &Path, network: &NetworkId) -> Vec<RunningNode> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let mut files: Vec<_> = paths
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .map(|path| {
            (
                path.metadata()
                    .and_then(|metadata| metadata.modified())
                    .ok(),
                path,
            )
        })
        .collect();
    files.sort_by(|a, b| b.cmp(a));
    let nodes = files
        .into_iter()
        .filter_map(|(_, path)| read(&path, File::open(&path).ok()?));
    nodes
        .filter(|node| node.network == *network)
        .take(MAX_NODES)
        .collect()
}

/// What the file that was found at a path says, or `None` when nobody stands behind it.
fn read(path: &Path, mut file: File) -> Option<RunningNode> {
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {}
        // While it has this lock, nobody else puts a file in its place.
        Ok(()) if is_at(&file, path).ok()? => {
            tracing::debug!(path = %path.display(), "removed the file of a node that is gone");
            let _ = fs::remove_file(path);
            return None;
        }
        // Its owner has said something newer meanwhile.
        Ok(()) => file = File::open(path).ok()?,
        Err(TryLockError::Error(error)) => {
            tracing::debug!(path = %path.display(), %error, "a lock cannot be tested");
        }
    }
    let mut text = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut text).ok()?;
    let node = serde_json::from_slice(&text);
    node.inspect_err(|error| tracing::debug!(path = %path.display(), %error, "not understood"))
        .ok()
}

/// Whether this very file is what stands at a path.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let (this, that) = (file.metadata()?, fs::symlink_metadata(path)?);
    Ok((this.dev(), this.ino()) == (that.dev(), that.ino()))
}

/// Elsewhere files have no number that the standard library knows.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> io::Result<bool> {
    Ok(true)
}

/// `$XDG_RUNTIME_DIR/o`, or where there is no such variable a directory of this user's below the
/// temporary one.
pub(crate) fn directory() -> PathBuf {
    match paths::absolute(env::var_os("XDG_RUNTIME_DIR")) {
        Some(runtime) => runtime.join("o"),
        None => env::temp_dir().join(format!("o-{}", user())),
    }
}

/// Whoever can write there can send clients to a node of his own: it has to be this user's only.
/// One that is not there yet is fine.
fn check(directory: &Path) -> io::Result<()> {
    match fs::symlink_metadata(directory) {
        Ok(metadata) => check_owner(directory, &metadata),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// The same, made if it is not there, and nobody else's.
pub(crate) fn create_directory() -> io::Result<PathBuf> {
    let directory = directory();
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(&directory)?;
    check(&directory)?;
    Ok(directory)
}

#[cfg(unix)]
fn user() -> u32 {
    rustix::process::getuid().as_raw()
}

#[cfg(not(unix))]
fn user() -> &'static str {
    "user"
}

#[cfg(unix)]
fn check_owner(directory: &Path, metadata: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    if metadata.is_dir() && metadata.uid() == user() && metadata.mode() & 0o077 == 0 {
        return Ok(());
    }
    let message = match metadata.is_dir() && metadata.uid() == user() {
        true => format!(
            "{0} is open to others (mode {1:04o}) and not used: chmod 700 {0}",
            directory.display(),
            metadata.mode() & 0o7777
        ),
        false => format!(
            "{} is no directory of this user and not used",
            directory.display()
        ),
    };
    Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
}

#[cfg(not(unix))]
fn check_owner(_: &Path, _: &fs::Metadata) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "12D3KooWQA9eZ7s8E7KvNJGG7AXRioyASFicECjdKL1DS2C1Duoo";

    fn node(pid: u32, network: &str) -> RunningNode {
        RunningNode {
            pid,
            address: "o://a/b".parse().unwrap(),
            peer_id: PEER.parse().unwrap(),
            network: network.parse().unwrap(),
            listen: vec![
                format!("/ip4/127.0.0.1/tcp/{pid}/p2p/{PEER}")
                    .parse()
                    .unwrap(),
            ],
        }
    }

    #[test]
    fn nodes_are_seen_while_they_run_and_on_their_network_only() {
        let directory = tempfile::tempdir().unwrap();
        let main = NetworkId::default();
        let mut here = Registration::in_directory(directory.path(), &node(1, "main")).unwrap();
        let _other = Registration::in_directory(directory.path(), &node(2, "other")).unwrap();
        assert_eq!(running_in(directory.path(), &main), [node(1, "main")]);
        let more = RunningNode {
            listen: Vec::new(),
            ..node(1, "main")
        };
        here.update(&more).unwrap();
        assert_eq!(running_in(directory.path(), &main), [more]);
        drop(here);
        assert_eq!(running_in(directory.path(), &main), []);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_is_its_owners_only() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let here = Registration::in_directory(directory.path(), &node(1, "main")).unwrap();
        let mode = here.path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_a_killed_process_left_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("left.json");
        fs::write(&path, serde_json::to_vec(&node(1, "main")).unwrap()).unwrap();
        assert_eq!(running_in(directory.path(), &NetworkId::default()), []);
        assert!(!path.exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_was_replaced_is_not_taken_for_the_stale_one() {
        let directory = tempfile::tempdir().unwrap();
        let main = NetworkId::default();
        let mut here = Registration::in_directory(directory.path(), &node(1, "main")).unwrap();
        let path = here.path.clone();
        // Between opening and looking, the server says something newer.
        let opened = File::open(&path).unwrap();
        let more = RunningNode {
            listen: Vec::new(),
            ..node(1, "main")
        };
        here.update(&more).unwrap();
        assert_eq!(read(&path, opened), Some(more.clone()));
        assert_eq!(running_in(directory.path(), &main), [more]);
    }

    #[test]
    fn a_successor_with_the_same_process_id_has_a_file_of_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let main = NetworkId::default();
        let first = Registration::in_directory(directory.path(), &node(1, "main")).unwrap();
        let path = first.path.clone();
        // It is killed: its file stays without a lock.
        let left = fs::read(&path).unwrap();
        drop(first);
        fs::write(&path, left).unwrap();
        let opened = File::open(&path).unwrap();
        let _second = Registration::in_directory(directory.path(), &node(1, "main")).unwrap();
        assert_eq!(read(&path, opened), None);
        assert!(!path.exists());
        assert_eq!(running_in(directory.path(), &main), [node(1, "main")]);
    }

    #[cfg(unix)]
    #[test]
    fn a_directory_that_is_open_to_others_is_not_trusted() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("o");
        assert!(check(&directory).is_ok());
        fs::create_dir(&directory).unwrap();
        for (mode, trusted) in [
            (0o700, true),
            (0o755, false),
            (0o720, false),
            (0o1777, false),
        ] {
            fs::set_permissions(&directory, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(check(&directory).is_ok(), trusted, "{mode:o}");
        }
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).unwrap();
        // Nor is one that somebody else may exchange.
        let link = parent.path().join("link");
        symlink(&directory, &link).unwrap();
        assert!(check(&link).is_err());
    }
}
