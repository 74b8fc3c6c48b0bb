//! Sends many frames with one flush.

#[cfg(test)]
mod tests;

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::io::{AsyncRead, AsyncWrite};

/// Bytes after which a flush is no longer put off, so that the peer gets to work while more is
/// written. Eight frames of yamux.
const AT_MOST: usize = 128 << 10;

/// A stream whose flushes wait until there is nothing more to write.
///
/// yamux flushes after each frame, and each flush is a message of Noise or a record of TLS, and a
/// call to the kernel. But it turns to reading before it waits, always, and only when it has nothing
/// more to write. So a flush does nothing, and a read flushes first.
///
/// No byte stays behind: whenever a read or write here returns `Pending`, and in `poll_close`, what
/// was written has been flushed or the stream below has the waker to go on with it.
#[derive(Debug)]
pub(super) struct Coalesce<C> {
    inner: C,
    /// Bytes written since the last flush was complete.
    unflushed: usize,
}

impl<C> Coalesce<C> {
    pub(super) fn new(inner: C) -> Self {
        Self {
            inner,
            unflushed: 0,
        }
    }
}

impl<C: AsyncWrite + Unpin> Coalesce<C> {
    /// Flushes what was written. Nothing to flush costs nothing.
    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unflushed > 0 {
            ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
            self.unflushed = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> AsyncRead for Coalesce<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        // A flush that takes longer does not hold up reading: two ends that both write much would
        // wait for each other.
        if let Poll::Ready(Err(error)) = self.flush(cx) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Coalesce<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.inner).poll_write(cx, buf) {
            Poll::Ready(Ok(count)) => {
                self.unflushed = self.unflushed.saturating_add(count);
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                // yamux may wait now without a read.
                if let Poll::Ready(Err(error)) = self.flush(cx) {
                    return Poll::Ready(Err(error));
                }
                Poll::Pending
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unflushed < AT_MOST {
            return Poll::Ready(Ok(()));
        }
        self.flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.flush(cx))?;
        Pin::new(&mut self.inner).poll_close(cx)
    }
}
