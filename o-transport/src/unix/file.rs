//! The file of a listening socket: private from its first moment, and gone with its listener.

use std::{
    fs::{self, DirBuilder, Metadata, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use futures::FutureExt;
use tokio::net::{UnixListener, UnixStream};

use super::path::MAX_PATH;

/// A socket file that is ours. It is removed when this is dropped, unless another one stands there.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    /// Listens at `path`, in place of a file that a dead server has left.
    ///
    /// Nobody else can connect at any moment: the socket gets its mode in a directory that only this
    /// user can enter, and its name after that.
    ///
    /// # Errors
    /// `AddrInUse` when somebody listens there or the file is no socket, and what the system says.
    pub(super) fn bind(path: &Path) -> io::Result<(UnixListener, Self)> {
        let private = Private::beside(path)?;
        let socket = private.0.join("s");
        let listener = UnixListener::bind(&socket)?;
        fs::set_permissions(&socket, Permissions::from_mode(0o600))?;
        let identity = identity(&fs::symlink_metadata(&socket)?);
        for _ in 0..3 {
            // Unlike renaming, this replaces nothing.
            match fs::hard_link(&socket, path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    take_away_stale(path, &private.0.join("old"))?;
                }
                done => {
                    done?;
                    let path = path.to_owned();
                    return Ok((listener, Self { path, identity }));
                }
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|m| identity(&m) == self.identity);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "a socket file stays behind");
        }
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Moves the socket of a server that is no longer there from `path` to `old`.
fn take_away_stale(path: &Path, old: &Path) -> io::Result<()> {
    let gone = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    };
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) => return gone(error),
    };
    // Connecting to a Unix socket is done at once or refused at once.
    let refused = found.file_type().is_socket()
        && matches!(
            UnixStream::connect(path).now_or_never(),
            Some(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused
        );
    if !refused {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    if let Err(error) = fs::rename(path, old) {
        return gone(error);
    }
    if identity(&fs::symlink_metadata(old)?) != identity(&found) {
        // Another server was quicker to replace it: that one is put back.
        if let Err(error) = fs::hard_link(old, path) {
            tracing::warn!(path = %path.display(), %error, "a live server has lost its socket file");
        }
        return Err(io::ErrorKind::AddrInUse.into());
    }
    fs::remove_file(old)
}

/// A directory that only this user can enter; removed with what is left in it.
struct Private(PathBuf);

impl Private {
    fn beside(path: &Path) -> io::Result<Self> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let name = format!(".o{:016x}", u64::from_ne_bytes(random));
        let parent = path.parent().unwrap_or(Path::new("/"));
        let private = parent.join(name);
        if private.as_os_str().len() + "/s".len() > MAX_PATH {
            let why = "the directory of a Unix socket has a path longer than 82 bytes";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        DirBuilder::new().mode(0o700).create(&private)?;
        Ok(Self(private))
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        for name in ["s", "old"] {
            let _ = fs::remove_file(self.0.join(name));
        }
        let _ = fs::remove_dir(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(path: &Path) -> io::ErrorKind {
        SocketFile::bind(path).unwrap_err().kind()
    }

    #[tokio::test]
    async fn it_is_private_and_goes_with_its_listener() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a.sock");
        let (listener, file) = SocketFile::bind(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
        UnixStream::connect(&path).await.unwrap();
        assert_eq!(kind(&path), io::ErrorKind::AddrInUse);
        drop((listener, file));
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn one_of_a_dead_server_is_replaced_and_anything_else_is_not() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let (listener, file) = SocketFile::bind(&path).unwrap();
        UnixStream::connect(&path).await.unwrap();
        // What stands there now is somebody else's.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "mine").unwrap();
        drop((listener, file));
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        assert_eq!(kind(&path), io::ErrorKind::AddrInUse);
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
        let nowhere = home.path().join("none/a.sock");
        assert_eq!(kind(&nowhere), io::ErrorKind::NotFound);
    }
}
