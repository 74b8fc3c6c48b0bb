//! The end of the control socket that answers.

use std::{fs, io, path::PathBuf, time::Instant};

use futures::{StreamExt, stream::FuturesUnordered};
use o_address::{Address, PeerId};
use o_core::NetworkId;
use o_node::Node;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use super::{MAX_CLIENTS, MAX_REQUEST, PATIENCE, Request, answer};
use crate::{exit::Failure, runtime_dir};

/// What does not change while a node is served.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) address: Address,
    pub(crate) network: NetworkId,
    pub(crate) since: Instant,
}

/// The socket of this node, which is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Control {
    path: PathBuf,
    listener: socket::Listener,
}

impl Control {
    /// Opens the socket of a node; one that a killed process has left makes room.
    ///
    /// # Errors
    /// It cannot be opened, or another process answers on it.
    pub(crate) async fn open(peer: &PeerId) -> io::Result<Self> {
        Self::at(runtime_dir::create_directory()?.join(format!("{peer}.sock"))).await
    }

    async fn at(path: PathBuf) -> io::Result<Self> {
        if socket::is_answered(&path).await {
            let taken = "another process answers on it";
            return Err(io::Error::new(io::ErrorKind::AddrInUse, taken));
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = socket::listen(&path)?;
        Ok(Self { path, listener })
    }

    /// Answers until the future is dropped.
    pub(crate) async fn serve(&self, node: &Node, facts: &Facts) {
        let mut clients = FuturesUnordered::new();
        loop {
            tokio::select! {
                Some(()) = clients.next() => {}
                client = self.listener.accept(), if clients.len() < MAX_CLIENTS => match client {
                    Ok(client) if socket::is_own(&client) => clients.push(serve(client, node, facts)),
                    Ok(_) => tracing::warn!("another user asked at the control socket"),
                    Err(error) => {
                        tracing::debug!(%error, "the control socket");
                        // Such as too many open files, which passes.
                        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    }
                },
            }
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // One that is gone already is what is wanted.
        let _ = fs::remove_file(&self.path);
    }
}

async fn serve(client: socket::Stream, node: &Node, facts: &Facts) {
    match tokio::time::timeout(PATIENCE, respond(client, node, facts)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a client of the control socket"),
        Err(_) => tracing::debug!("a client of the control socket took too long"),
    }
}

async fn respond(client: socket::Stream, node: &Node, facts: &Facts) -> io::Result<()> {
    let mut client = BufReader::new(client);
    let mut line = String::new();
    (&mut client).take(MAX_REQUEST).read_line(&mut line).await?;
    let lines = match serde_json::from_str(line.trim()) {
        Ok(Request::Peers {}) => answer::peers(node),
        Ok(Request::Status {}) => vec![answer::status(node, facts)],
        Err(error) => {
            let failure = Failure::usage(format!("no request: {error}"));
            vec![failure.to_json()]
        }
    };
    let lines = lines.into_iter().map(|line| json!(line).to_string() + "\n");
    client
        .write_all(lines.collect::<String>().as_bytes())
        .await?;
    client.shutdown().await
}

#[cfg(unix)]
pub(super) mod socket {
    //! Unix sockets of this user's.

    use std::{fs, io, os::unix::fs::PermissionsExt, path::Path};

    pub(crate) use tokio::net::{UnixListener, UnixStream as Stream};

    /// A listening socket.
    #[derive(Debug)]
    pub(crate) struct Listener(UnixListener);

    impl Listener {
        pub(crate) async fn accept(&self) -> io::Result<Stream> {
            Ok(self.0.accept().await?.0)
        }
    }

    /// Its directory lets nobody else in, also before its own mode is set.
    pub(crate) fn listen(path: &Path) -> io::Result<Listener> {
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(Listener(listener))
    }

    pub(crate) async fn connect(path: &Path) -> io::Result<Stream> {
        Stream::connect(path).await
    }

    pub(crate) async fn is_answered(path: &Path) -> bool {
        connect(path).await.is_ok()
    }

    /// Whether the other end is a process of this user.
    pub(crate) fn is_own(stream: &Stream) -> bool {
        let user = rustix::process::getuid().as_raw();
        stream.peer_cred().is_ok_and(|other| other.uid() == user)
    }
}

#[cfg(not(unix))]
pub(super) mod socket {
    //! Where there are no Unix sockets there is no control socket.

    use std::{io, path::Path};

    pub(crate) type Stream = tokio::io::DuplexStream;

    /// Nothing.
    #[derive(Debug)]
    pub(crate) struct Listener;

    impl Listener {
        pub(crate) async fn accept(&self) -> io::Result<Stream> {
            std::future::pending().await
        }
    }

    pub(crate) fn listen(_: &Path) -> io::Result<Listener> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) async fn connect(_: &Path) -> io::Result<Stream> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) async fn is_answered(_: &Path) -> bool {
        false
    }

    pub(crate) fn is_own(_: &Stream) -> bool {
        true
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::{
        os::unix::{fs::PermissionsExt, net::UnixListener},
        path::Path,
    };

    use o_core::Node as _;
    use o_node::{Keypair, Preset};

    use super::*;

    #[expect(clippy::unwrap_used, reason = "part of a test")]
    async fn ask(path: &Path, request: &[u8]) -> String {
        let mut stream = socket::connect(path).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn it_answers_its_own_user_and_bad_requests_get_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sock");
        // What a killed process has left is replaced.
        drop(UnixListener::bind(&path).unwrap());
        let control = Control::at(path.clone()).await.unwrap();
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let node = Node::builder(Keypair::generate(), Preset::Memory);
        let node = node.start().await.unwrap();
        let facts = Facts {
            address: "o://a".parse().unwrap(),
            network: NetworkId::default(),
            since: Instant::now(),
        };
        let asking = async {
            let status = ask(&path, b"{\"request\":\"status\"}\n").await;
            let status: serde_json::Value = serde_json::from_str(&status).unwrap();
            assert_eq!(status["peer_id"], json!(node.peer_id().to_string()));
            assert_eq!(ask(&path, b"{\"request\":\"peers\"}\n").await, "");
            for request in [
                &b"{\"request\":\"stop\"}\n"[..],
                b"nonsense\n",
                &[b'x'; 4096],
            ] {
                let error = ask(&path, request).await;
                assert!(error.contains("\"usage\""), "{error}");
            }
            // Somebody lives there.
            assert!(Control::at(path.clone()).await.is_err());
        };
        tokio::select! {
            () = control.serve(&node, &facts) => {}
            () = asking => {}
        }
        drop(control);
        assert!(!path.exists());
        node.stop().await.unwrap();
    }
}
