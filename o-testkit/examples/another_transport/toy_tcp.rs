//! A transport of one's own: plain TCP on this machine. It is a toy and NOT secure.
//!
//! Nothing is encrypted, and the proof of who is at the other end is only as good as the signer: the
//! example uses one without a key. Even with a real one, whoever sits in between could pass the
//! proof on and change what follows. What it shows is which parts a transport has.
//!
//! A connection is two sockets: one that says nothing after the handshake and whose end is the
//! connection's, and one that carries the only substream. Calls need no more than one.

use std::{
    collections::HashMap,
    fmt, io,
    net::{Ipv4Addr, SocketAddrV4},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use futures::io::{AsyncRead, AsyncWrite};
use o_address::{PeerId, TransportAddr};
use o_core::{
    Attempt, Connection, ConnectionError, ConnectionGater, DenyReason, DialError, Direction,
    ErrorCode, ListenError, Listener, Signer, Stage, Substream, Transport, Verifier,
};
use o_protocol::Goodbye;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc, oneshot},
};
use tokio_util::{
    compat::{Compat, TokioAsyncReadCompatExt},
    sync::{CancellationToken, WaitForCancellationFutureOwned},
};

/// How long a handshake may take, and how many run at once.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_HANDSHAKES: usize = 64;
/// Connections that wait to be accepted.
const BACKLOG: usize = 64;
/// Longest message of a handshake, in bytes.
const MAX_MESSAGE: usize = 1024;
/// For what the proofs are signed.
const DOMAIN: &str = "o-toy-tcp/1";

/// Listens and dials on 127.0.0.1, at addresses `/ip4/127.0.0.1/tcp/<port>/o-toy`.
#[derive(Clone, Debug)]
pub(crate) struct ToyTcp {
    signer: Arc<dyn Signer>,
    verifier: Arc<dyn Verifier>,
    gater: Option<Arc<dyn ConnectionGater>>,
}

impl ToyTcp {
    /// The transport of whoever `signer` signs for.
    pub(crate) fn new(signer: impl Signer, verifier: impl Verifier) -> Self {
        Self {
            signer: Arc::new(signer),
            verifier: Arc::new(verifier),
            gater: None,
        }
    }

    /// The same with a policy.
    #[must_use]
    pub(crate) fn gater(mut self, gater: impl ConnectionGater) -> Self {
        self.gater = Some(Arc::new(gater));
        self
    }

    fn allow(&self, attempt: &Attempt<'_>) -> Result<(), DenyReason> {
        self.gater
            .as_ref()
            .map_or(Ok(()), |gater| gater.allow(attempt))
    }

    async fn dial_one(
        &self,
        peer: PeerId,
        address: &TransportAddr,
        port: u16,
    ) -> Result<ToyConnection, DialError> {
        let allow = |stage| {
            let attempt = Attempt::new(stage, Direction::Outbound)
                .peer(&peer)
                .remote(address);
            self.allow(&attempt).map_err(|reason| {
                let reason = reason.to_string();
                DialError::Refused {
                    peer,
                    reason,
                    certain: true,
                }
            })
        };
        allow(Stage::Pending)?;
        let failed = |error: io::Error| DialError::Failed {
            peer,
            reason: error.to_string(),
        };
        let shake = async {
            let place = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
            let mut control = TcpStream::connect(place).await?;
            control.write_u64(0).await?;
            let found = self.prove(&mut control).await?;
            if found != peer {
                return Ok(Err(found));
            }
            // The ticket joins the second socket to the first.
            let ticket = control.read_u64().await?;
            let mut data = TcpStream::connect(place).await?;
            data.write_u64(ticket).await?;
            Ok(Ok((control, data)))
        };
        let shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, shake).await;
        let shaken = shaken
            .map_err(|_| DialError::TimedOut {
                peer,
                after: HANDSHAKE_TIMEOUT,
            })?
            .map_err(failed)?;
        let (control, data) = shaken.map_err(|found| DialError::WrongPeer {
            expected: peer,
            found,
        })?;
        allow(Stage::Established)?;
        Ok(ToyConnection::new(
            peer,
            address.clone(),
            Direction::Outbound,
            control,
            data,
        ))
    }

    /// Tells the other side who we are, and learns who it is. This is where a real transport has a
    /// handshake that also agrees on keys, and binds the proof to them.
    async fn prove(&self, socket: &mut TcpStream) -> io::Result<PeerId> {
        let ours = nonce();
        send(socket, &ours).await?;
        let theirs = receive(socket).await?;
        let signed = self
            .signer
            .sign(DOMAIN, b"nonce", &theirs)
            .map_err(io::Error::other)?;
        send(socket, &signed).await?;
        let envelope = receive(socket).await?;
        let proof = self
            .verifier
            .verify(DOMAIN, b"nonce", &envelope)
            .map_err(io::Error::other)?;
        if proof.payload != ours[..] {
            return Err(io::Error::other("the proof is one for somebody else"));
        }
        Ok(proof.peer)
    }
}

/// A number that was not used before; a real one is random.
fn nonce() -> [u8; 16] {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::UNIX_EPOCH
        .elapsed()
        .map_or(0, |since| since.as_nanos());
    (now ^ u128::from(COUNT.fetch_add(1, Ordering::Relaxed))).to_be_bytes()
}

async fn send(socket: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    socket.write_u16(length).await?;
    socket.write_all(message).await
}

async fn receive(socket: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = usize::from(socket.read_u16().await?);
    if length > MAX_MESSAGE {
        return Err(io::Error::other("a message that is too long"));
    }
    let mut message = vec![0; length];
    socket.read_exact(&mut message).await?;
    Ok(message)
}

fn port(address: &TransportAddr) -> Option<u16> {
    let place = address.without_peer()?;
    place
        .as_str()
        .strip_prefix("/ip4/127.0.0.1/tcp/")?
        .strip_suffix("/o-toy")?
        .parse()
        .ok()
}

#[expect(clippy::expect_used, reason = "a number between slashes is an address")]
fn address(port: u16) -> TransportAddr {
    format!("/ip4/127.0.0.1/tcp/{port}/o-toy")
        .parse()
        .expect("the shape of an address")
}

#[async_trait]
impl Transport for ToyTcp {
    fn handles(&self, address: &TransportAddr) -> bool {
        port(address).is_some()
    }

    async fn dial(
        &self,
        peer: PeerId,
        addresses: &[TransportAddr],
    ) -> Result<Arc<dyn Connection>, DialError> {
        let mut error = DialError::NoAddresses { peer };
        for address in addresses {
            let Some(port) = port(address) else { continue };
            match self.dial_one(peer, address, port).await {
                Ok(connection) => return Ok(Arc::new(connection)),
                Err(failed) => error = failed,
            }
        }
        Err(error)
    }

    async fn listen(&self, wanted: &TransportAddr) -> Result<Box<dyn Listener>, ListenError> {
        let port = port(wanted).ok_or_else(|| ListenError::Unsupported {
            reason: "not a toy address".into(),
        })?;
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => ListenError::InUse,
            _ => ListenError::Failed(error.into()),
        };
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .map_err(failed)?;
        let port = socket.local_addr().map_err(failed)?.port();
        let (accepted, arriving) = mpsc::channel(BACKLOG);
        let closed = CancellationToken::new();
        let door = Arc::new(Door {
            transport: self.clone(),
            accepted,
            tickets: Mutex::default(),
        });
        tokio::spawn(closed.clone().run_until_cancelled_owned(door.run(socket)));
        Ok(Box::new(ToyListener {
            port,
            arriving,
            closed,
        }))
    }
}

/// Takes sockets in and makes connections of them.
struct Door {
    transport: ToyTcp,
    accepted: mpsc::Sender<Arc<dyn Connection>>,
    /// Who waits for the second socket of a connection.
    tickets: Mutex<HashMap<u64, oneshot::Sender<TcpStream>>>,
}

impl Door {
    async fn run(self: Arc<Self>, listener: TcpListener) {
        let handshakes = Arc::new(Semaphore::new(MAX_HANDSHAKES));
        while let Ok(permit) = handshakes.clone().acquire_owned().await {
            let Ok((socket, _)) = listener.accept().await else {
                continue;
            };
            let door = self.clone();
            tokio::spawn(async move {
                if tokio::time::timeout(HANDSHAKE_TIMEOUT, door.admit(socket))
                    .await
                    .is_err()
                {
                    tracing::debug!("a handshake took too long");
                }
                drop(permit);
            });
        }
    }

    async fn admit(&self, mut socket: TcpStream) -> io::Result<()> {
        let from = address(socket.peer_addr()?.port());
        let ticket = socket.read_u64().await?;
        if ticket != 0 {
            let waiting = self.tickets().remove(&ticket);
            // Nobody waits for a ticket that was made up.
            return waiting.map_or(Ok(()), |waiting| waiting.send(socket).or(Ok(())));
        }
        let knock = Attempt::new(Stage::Pending, Direction::Inbound).remote(&from);
        if self.transport.allow(&knock).is_err() {
            return Ok(()); // Cut without a word.
        }
        let peer = self.transport.prove(&mut socket).await?;
        let (sender, second) = oneshot::channel();
        let ticket = u64::from_be_bytes(nonce()[8..].try_into().map_err(io::Error::other)?).max(1);
        self.tickets().insert(ticket, sender);
        let _torn = Torn { door: self, ticket };
        socket.write_u64(ticket).await?;
        let data = second.await.map_err(io::Error::other)?;

        let arrived = Attempt::new(Stage::Established, Direction::Inbound);
        let allowed = self.transport.allow(&arrived.peer(&peer).remote(&from));
        let connection = ToyConnection::new(peer, from, Direction::Inbound, socket, data);
        match allowed {
            Ok(()) => {
                // A listener that is gone takes nobody in.
                let _ = self.accepted.send(Arc::new(connection)).await;
            }
            Err(reason) if reason.is_limit() => {}
            Err(reason) => {
                // The dialer waits for a word on its substream.
                let goodbye = Goodbye::new(ErrorCode::Refused, reason.to_string());
                let substream = connection.accept().await.map_err(io::Error::other)?;
                o_protocol::refuse(substream, &goodbye, Duration::from_secs(1)).await;
            }
        }
        Ok(())
    }

    fn tickets(&self) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<TcpStream>>> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a ticket back when its handshake ends, however it does.
struct Torn<'a> {
    door: &'a Door,
    ticket: u64,
}

impl Drop for Torn<'_> {
    fn drop(&mut self) {
        self.door.tickets().remove(&self.ticket);
    }
}

#[derive(Debug)]
struct ToyListener {
    port: u16,
    arriving: mpsc::Receiver<Arc<dyn Connection>>,
    closed: CancellationToken,
}

#[async_trait]
impl Listener for ToyListener {
    fn address(&self) -> TransportAddr {
        address(self.port)
    }

    async fn accept(&mut self) -> Option<Arc<dyn Connection>> {
        self.arriving.recv().await
    }
}

impl Drop for ToyListener {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}

struct ToyConnection {
    peer: PeerId,
    remote: TransportAddr,
    direction: Direction,
    /// Waits for whoever opens or accepts it, according to the direction.
    substream: Mutex<Option<ToySubstream>>,
    closed: CancellationToken,
}

impl ToyConnection {
    fn new(
        peer: PeerId,
        remote: TransportAddr,
        direction: Direction,
        mut control: TcpStream,
        data: TcpStream,
    ) -> Self {
        let closed = CancellationToken::new();
        let (watched, ended) = (closed.clone(), closed.clone());
        tokio::spawn(async move {
            // Nothing comes on it any more but its end.
            let _ = watched.run_until_cancelled(control.read_u8()).await;
            ended.cancel();
        });
        let substream = ToySubstream {
            data: data.compat(),
            reading: Box::pin(closed.clone().cancelled_owned()),
            closed: closed.clone(),
        };
        Self {
            peer,
            remote,
            direction,
            substream: Mutex::new(Some(substream)),
            closed,
        }
    }

    fn take(&self) -> Option<Substream> {
        let substream = self
            .substream
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()?;
        Some(Box::pin(substream))
    }

    fn is_closed(&self) -> ConnectionError {
        ConnectionError::Closed {
            reason: "the connection has ended".into(),
        }
    }
}

impl fmt::Debug for ToyConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToyConnection")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Connection for ToyConnection {
    fn peer(&self) -> PeerId {
        self.peer
    }

    fn remote(&self) -> TransportAddr {
        self.remote.clone()
    }

    fn direction(&self) -> Direction {
        self.direction
    }

    async fn open(&self) -> Result<Substream, ConnectionError> {
        if self.closed.is_cancelled() {
            return Err(self.is_closed());
        }
        let ours = self.direction == Direction::Outbound;
        ours.then(|| self.take())
            .flatten()
            .ok_or(ConnectionError::Busy)
    }

    async fn accept(&self) -> Result<Substream, ConnectionError> {
        if self.direction == Direction::Inbound
            && !self.closed.is_cancelled()
            && let Some(substream) = self.take()
        {
            return Ok(substream);
        }
        self.closed.cancelled().await;
        Err(self.is_closed())
    }

    async fn close(&self) {
        self.closed.cancel();
    }
}

impl Drop for ToyConnection {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}

/// The second socket, as long as the connection lives.
struct ToySubstream {
    data: Compat<TcpStream>,
    reading: Pin<Box<WaitForCancellationFutureOwned>>,
    closed: CancellationToken,
}

impl AsyncRead for ToySubstream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        // What has arrived is read first, also when the connection has ended meanwhile.
        match Pin::new(&mut self.data).poll_read(cx, buffer) {
            Poll::Pending => self.reading.as_mut().poll(cx).map(|()| Ok(0)),
            ready => ready,
        }
    }
}

impl AsyncWrite for ToySubstream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.closed.is_cancelled() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut self.data).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.data).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.data).poll_close(cx)
    }
}
