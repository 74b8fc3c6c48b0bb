//! A TCP proxy that cuts connections when so many bytes have passed it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use o_address::{PeerId, TransportAddr};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From who dialed to who listens.
    There,
    /// And back.
    Back,
}

/// Stands in front of a listener. What it cuts is gone for both ends, without a last word.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: TransportAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    there: AtomicU64,
    back: AtomicU64,
    /// After how many more bytes of which way the connection that they are on is cut, once.
    armed: Mutex<Option<(Way, u64)>>,
    cuts: AtomicUsize,
    /// One for each connection, those that have ended too.
    connections: Mutex<Vec<CancellationToken>>,
}

/// Where a proxy dials from.
pub(crate) const FROM: &str = "127.0.0.2";

async fn dial(port: u16) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(FROM.parse().unwrap(), 0))?;
    socket
        .connect(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port))
        .await
}

impl Proxy {
    /// In front of the peer at this address, which is TCP on 127.0.0.1.
    pub(crate) async fn start(target: &TransportAddr, peer: PeerId) -> Self {
        let text = target.without_peer().unwrap_or_else(|| target.clone());
        let port = text.to_string();
        let port: u16 = port.rsplit('/').next().unwrap().parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let accepting = tokio::spawn({
            let shared = shared.clone();
            async move {
                while let Ok((near, _)) = listener.accept().await {
                    if let Ok(far) = dial(port).await {
                        shared.carry(near, far);
                    }
                }
            }
        });
        let address: TransportAddr = format!("/ip4/127.0.0.1/tcp/{own}").parse().unwrap();
        Self {
            address: address.with_peer(&peer),
            shared,
            accepting,
        }
    }

    /// Where to dial instead.
    pub(crate) fn address(&self) -> &TransportAddr {
        &self.address
    }

    /// How many bytes have gone that way.
    pub(crate) fn passed(&self, way: Way) -> u64 {
        self.shared.counter(way).load(Ordering::Relaxed)
    }

    /// Cuts the connection on which so many more bytes have gone that way, right behind them. With 0
    /// the next byte ends it and does not arrive.
    pub(crate) fn arm(&self, way: Way, bytes: u64) {
        *self.shared.armed.lock().unwrap() = Some((way, bytes));
    }

    /// Cuts nothing by itself any more. Returns whether it still would have.
    pub(crate) fn disarm(&self) -> bool {
        self.shared.armed.lock().unwrap().take().is_some()
    }

    /// Cuts one of the connections that are there now, if any is; which one, `choice` decides.
    pub(crate) fn cut_one(&self, choice: usize) {
        let mut connections = self.shared.connections.lock().unwrap();
        connections.retain(|connection| !connection.is_cancelled());
        if !connections.is_empty() {
            let chosen = choice % connections.len();
            connections.swap_remove(chosen).cancel();
            self.shared.cuts.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many connections it has cut.
    pub(crate) fn cuts(&self) -> usize {
        self.shared.cuts.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        for connection in self.shared.connections.lock().unwrap().drain(..) {
            connection.cancel();
        }
    }
}

impl Shared {
    fn counter(&self, way: Way) -> &AtomicU64 {
        match way {
            Way::There => &self.there,
            Way::Back => &self.back,
        }
    }

    fn carry(self: &Arc<Self>, near: TcpStream, far: TcpStream) {
        // Small frames go on their way at once, as they would without a proxy.
        for socket in [&near, &far] {
            let _ = socket.set_nodelay(true);
        }
        let alive = CancellationToken::new();
        self.connections.lock().unwrap().push(alive.clone());
        let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
        let shared = self.clone();
        // Both halves of both sockets are dropped together, which closes them.
        tokio::spawn(async move {
            let carried = async {
                tokio::join!(
                    shared.pump(near_in, far_out, Way::There, &alive),
                    shared.pump(far_in, near_out, Way::Back, &alive),
                )
            };
            alive.run_until_cancelled(carried).await;
            alive.cancel();
        });
    }

    async fn pump(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        way: Way,
        alive: &CancellationToken,
    ) {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let length = from.read(&mut buffer).await.unwrap_or(0);
            let (let_through, cut) = self.judge(way, length);
            if to.write_all(&buffer[..let_through]).await.is_err() || cut || length == 0 {
                alive.cancel();
                return;
            }
        }
    }

    /// How many of these bytes may pass, and whether the connection ends after them.
    fn judge(&self, way: Way, length: usize) -> (usize, bool) {
        let mut armed = self.armed.lock().unwrap();
        let mut let_through = length;
        let mut cut = false;
        if let Some((armed_way, left)) = &mut *armed
            && *armed_way == way
            && length > 0
        {
            if length as u64 >= *left {
                let_through = usize::try_from(*left).unwrap();
                cut = true;
                *armed = None;
                self.cuts.fetch_add(1, Ordering::Relaxed);
            } else {
                *left -= length as u64;
            }
        }
        self.counter(way)
            .fetch_add(let_through as u64, Ordering::Relaxed);
        (let_through, cut)
    }
}
