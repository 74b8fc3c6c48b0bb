//! A substream of a connection in memory: two pipes, one for each direction.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::io::{AsyncRead, AsyncWrite};
use tokio::time::Sleep;

use super::pipe::Pipe;

/// Both directions; each is named by the end that writes to it.
#[derive(Debug)]
pub(super) struct Pipes([Pipe; 2]);

impl Pipes {
    pub(super) fn new(capacity: usize, latency: Duration, stalled: bool) -> Self {
        let pipe = || Pipe::new(capacity, latency, stalled);
        Self([pipe(), pipe()])
    }

    pub(super) fn both(&self) -> &[Pipe; 2] {
        &self.0
    }

    fn written_by(&self, end: End) -> &Pipe {
        &self.0[end as usize]
    }

    /// One end reads and writes no more. The other reads what was written before, then the end.
    pub(super) fn shut(&self, end: End) {
        self.written_by(end).finish();
        self.written_by(end.other()).abandon();
    }
}

/// Which end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Dialer,
    Listener,
}

impl End {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Dialer => Self::Listener,
            Self::Listener => Self::Dialer,
        }
    }
}

#[derive(Debug)]
pub(super) struct MemorySubstream {
    pipes: Arc<Pipes>,
    end: End,
    timer: Option<Pin<Box<Sleep>>>,
}

impl MemorySubstream {
    pub(super) fn new(pipes: Arc<Pipes>, end: End) -> Self {
        Self {
            pipes,
            end,
            timer: None,
        }
    }
}

impl AsyncRead for MemorySubstream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let Self { pipes, end, timer } = self.get_mut();
        pipes.written_by(end.other()).poll_read(cx, timer, buffer)
    }
}

impl AsyncWrite for MemorySubstream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.pipes.written_by(self.end).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pipes.written_by(self.end).poll_flush()
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pipes.written_by(self.end).finish();
        Poll::Ready(Ok(()))
    }
}

impl Drop for MemorySubstream {
    fn drop(&mut self) {
        self.pipes.shut(self.end);
    }
}
