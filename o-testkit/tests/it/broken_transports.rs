//! The suite of transports finds what is broken in each of these.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use async_trait::async_trait;
use futures::io::{AsyncRead, AsyncWrite};
use o_address::{PeerId, TransportAddr};
use o_core::{
    Connection, ConnectionError, DialError, Direction, ListenError, Listener, Substream, Transport,
};
use o_testkit::{
    MemoryConfig, MemoryNetwork,
    conformance::{self, TransportEnd},
    test_peer,
};

use crate::support::{ends, failure_of};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Connects to whoever answers.
    AnyPeer,
    /// Tells everybody that one peer has dialed.
    LyingPeer,
    /// Closes nothing.
    DeafClose,
    /// Changes a byte now and then.
    Corrupt,
    /// Takes every byte, read or not.
    Greedy,
    /// Closing one direction of a substream closes both.
    BothHalves,
    /// Goes on listening without its listener.
    EternalListener,
    /// Says that it failed where nobody told it an address.
    VagueErrors,
}

#[derive(Debug)]
struct Broken<T> {
    fault: Fault,
    inner: T,
}

#[derive(Debug)]
struct BrokenListener {
    fault: Fault,
    inner: Option<Box<dyn Listener>>,
}

async fn found(fault: Fault) -> String {
    let mut config = MemoryConfig::default();
    config.backlog = 100_000;
    let make = ends(&MemoryNetwork::with_config(config));
    let broken = async || {
        let end = make().await;
        TransportEnd {
            transport: Arc::new(Broken {
                fault,
                inner: end.transport.clone(),
            }),
            ..end
        }
    };
    failure_of(conformance::transport(broken)).await
}

#[async_trait]
impl Transport for Broken<Arc<dyn Transport>> {
    fn handles(&self, address: &TransportAddr) -> bool {
        self.inner.handles(address)
    }

    async fn dial(
        &self,
        peer: PeerId,
        addresses: &[TransportAddr],
    ) -> Result<Arc<dyn Connection>, DialError> {
        let fault = self.fault;
        let inner = match self.inner.dial(peer, addresses).await {
            Err(DialError::WrongPeer { found, .. }) if fault == Fault::AnyPeer => {
                self.inner.dial(found, addresses).await?
            }
            Err(DialError::NoAddresses { peer }) if fault == Fault::VagueErrors => {
                return Err(DialError::Failed {
                    peer,
                    reason: "oh".into(),
                });
            }
            other => other?,
        };
        Ok(Arc::new(Broken { fault, inner }))
    }

    async fn listen(&self, address: &TransportAddr) -> Result<Box<dyn Listener>, ListenError> {
        let inner = Some(self.inner.listen(address).await?);
        Ok(Box::new(BrokenListener {
            fault: self.fault,
            inner,
        }))
    }
}

#[async_trait]
impl Listener for BrokenListener {
    fn address(&self) -> TransportAddr {
        self.inner.as_ref().unwrap().address()
    }

    async fn accept(&mut self) -> Option<Arc<dyn Connection>> {
        let inner = self.inner.as_mut().unwrap().accept().await?;
        Some(Arc::new(Broken {
            fault: self.fault,
            inner,
        }))
    }
}

impl Drop for BrokenListener {
    fn drop(&mut self) {
        if self.fault == Fault::EternalListener {
            std::mem::forget(self.inner.take());
        }
    }
}

#[async_trait]
impl Connection for Broken<Arc<dyn Connection>> {
    fn peer(&self) -> PeerId {
        match (self.fault, self.inner.direction()) {
            (Fault::LyingPeer, Direction::Inbound) => test_peer(77),
            _ => self.inner.peer(),
        }
    }

    fn remote(&self) -> TransportAddr {
        self.inner.remote()
    }

    fn direction(&self) -> Direction {
        self.inner.direction()
    }

    async fn open(&self) -> Result<Substream, ConnectionError> {
        let inner = self.inner.open().await?;
        Ok(Box::pin(BrokenStream {
            fault: self.fault,
            inner,
            waiting: Vec::new(),
            over: false,
        }))
    }

    async fn accept(&self) -> Result<Substream, ConnectionError> {
        let inner = self.inner.accept().await?;
        Ok(Box::pin(BrokenStream {
            fault: self.fault,
            inner,
            waiting: Vec::new(),
            over: false,
        }))
    }

    async fn close(&self) {
        if self.fault != Fault::DeafClose {
            self.inner.close().await;
        }
    }
}

struct BrokenStream {
    fault: Fault,
    inner: Substream,
    waiting: Vec<u8>,
    over: bool,
}

impl AsyncRead for BrokenStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.over {
            return Poll::Ready(Ok(0));
        }
        let read = self.inner.as_mut().poll_read(cx, buffer);
        if self.fault == Fault::Corrupt
            && let Poll::Ready(Ok(count)) = &read
            && *count > 1000
        {
            buffer[500] ^= 1;
        }
        read
    }
}

impl AsyncWrite for BrokenStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.fault != Fault::Greedy {
            return self.inner.as_mut().poll_write(cx, bytes);
        }
        self.waiting.extend_from_slice(bytes);
        // What does not fit waits here, however much it is.
        let _ = self.poll_flush(cx)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { inner, waiting, .. } = self.get_mut();
        while !waiting.is_empty() {
            let Poll::Ready(count) = inner.as_mut().poll_write(cx, waiting)? else {
                return Poll::Pending;
            };
            waiting.drain(..count);
        }
        inner.as_mut().poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.over = self.fault == Fault::BothHalves;
        self.inner.as_mut().poll_close(cx)
    }
}

macro_rules! finds {
    ($($name:ident: $fault:ident => $what:literal;)+) => {$(
        #[tokio::test(start_paused = true)]
        async fn $name() {
            let found = found(Fault::$fault).await;
            assert!(found.contains($what), "{found}");
        }
    )+};
}

finds! {
    a_dialer_that_takes_anybody: AnyPeer => "dialing somebody else than who listens";
    a_peer_that_is_not_proved: LyingPeer => "proof of who dialed: expected";
    a_close_that_wakes_nobody: DeafClose => "on a connection that was closed here: nothing happened";
    bytes_that_change: Corrupt => "other bytes came than were sent";
    a_buffer_without_a_bound: Greedy => "a writer whose reader sleeps is held";
    a_half_that_takes_the_other_along: BothHalves => "of which one direction is closed";
    a_listener_that_stays: EternalListener => "a listener that was dropped is gone";
    an_error_of_the_wrong_kind: VagueErrors => "expected `NoAddresses`";
}
