//! Bytes in the clear, with few calls to the kernel: small pieces are gathered, large ones pass by.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::io::{AsyncRead, AsyncWrite};

use crate::plaintext::Mark;

/// What is gathered in each direction, in bytes. A piece that is longer is neither copied nor held.
const SMALL: usize = 8 << 10;

/// A connection in plaintext, which is known as one until it is dropped.
#[derive(Debug)]
pub(super) struct PlainStream<S> {
    inner: S,
    /// Taken from `write`, and not yet written. At most `SMALL`.
    unwritten: Vec<u8>,
    /// Read ahead: `filled` bytes, of which `taken` have been given out. `SMALL` long.
    ahead: Box<[u8]>,
    filled: usize,
    taken: usize,
    _mark: Mark,
}

impl<S: AsyncRead + AsyncWrite + Unpin> PlainStream<S> {
    pub(super) fn new(inner: S, mark: Mark) -> Self {
        Self {
            inner,
            unwritten: Vec::new(),
            ahead: vec![0; SMALL].into(),
            filled: 0,
            taken: 0,
            _mark: mark,
        }
    }

    #[cfg(test)]
    pub(super) fn into_inner(self) -> S {
        self.inner
    }

    /// Writes what was gathered.
    fn write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unwritten.is_empty() {
            let inner = Pin::new(&mut self.inner);
            let count = some(ready!(inner.poll_write(cx, &self.unwritten))?)?;
            self.unwritten.drain(..count.min(self.unwritten.len()));
        }
        Poll::Ready(Ok(()))
    }
}

fn some(count: usize) -> io::Result<usize> {
    match count {
        0 => Err(io::ErrorKind::WriteZero.into()),
        count => Ok(count),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for PlainStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.taken == this.filled {
            if buf.len() >= SMALL {
                return Pin::new(&mut this.inner).poll_read(cx, buf);
            }
            let inner = Pin::new(&mut this.inner);
            this.filled = ready!(inner.poll_read(cx, &mut this.ahead))?;
            this.taken = 0;
        }
        let rest = &this.ahead[this.taken..this.filled];
        let count = rest.len().min(buf.len());
        buf[..count].copy_from_slice(&rest[..count]);
        this.taken += count;
        Poll::Ready(Ok(count))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for PlainStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.unwritten.len() + buf.len() <= SMALL {
            this.unwritten.extend_from_slice(buf);
            return Poll::Ready(Ok(buf.len()));
        }
        if buf.len() < SMALL {
            ready!(this.write_out(cx))?;
            this.unwritten.extend_from_slice(buf);
            return Poll::Ready(Ok(buf.len()));
        }
        loop {
            let both = [IoSlice::new(&this.unwritten), IoSlice::new(buf)];
            let inner = Pin::new(&mut this.inner);
            let count = match this.unwritten.is_empty() {
                true => ready!(inner.poll_write(cx, buf)),
                false => ready!(inner.poll_write_vectored(cx, &both)),
            };
            let count = some(count?)?;
            let before = this.unwritten.len();
            this.unwritten.drain(..count.min(before));
            if count > before {
                return Poll::Ready(Ok(count - before));
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.write_out(cx))?;
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.write_out(cx))?;
        Pin::new(&mut this.inner).poll_close(cx)
    }
}
