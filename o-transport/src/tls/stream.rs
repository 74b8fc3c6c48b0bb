//! An encrypted stream whose records are full when there is much to send.

use std::{
    fmt,
    io::{self, IoSlice, Read, Write},
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::io::{AsyncRead, AsyncWrite};
use rustls::Connection;

/// The most bytes that a record carries.
const RECORD: usize = 16 << 10;
/// What a sealed record has beside its bytes: header, inner type and tag; the same in all ciphers of
/// TLS 1.3 (RFC 8446, section 5.2).
const OVERHEAD: usize = 5 + 1 + 16;

/// Sealed bytes above which nothing more is taken until the stream below has taken some.
const MOST_UNSENT: usize = 128 << 10;

/// The most taken by one write, so that sealed bytes have a bound.
const MOST_AT_ONCE: usize = 256 << 10;

/// A buffer of staged bytes that is kept for the next ones; a larger one is given back.
const KEPT: usize = 2 << 10;

/// What rustls takes from a stream in one read.
const SMALL_READ: usize = 4 << 10;

/// What is read at once as long as there is much.
const LARGE_READ: usize = 32 << 10;

/// The session behind a finished handshake, over the stream that it was made on.
///
/// Writes are staged until a record is full; a flush seals and sends the rest. So a header and the
/// body behind it are one record, and many small frames are one, and one call to the kernel takes
/// many records. Without a flush nothing is sent for certain, as [`AsyncWrite`] says.
pub(super) struct TlsStream<C> {
    stream: C,
    session: Connection,
    /// Written and not sealed: less than a record.
    staged: Vec<u8>,
    /// Sealed and not sent, in sealed bytes; alerts and changes of keys are not counted.
    unsent: usize,
    ahead: Ahead,
    closing: bool,
}

/// Bytes read from the stream before rustls takes them.
#[derive(Default)]
struct Ahead {
    /// Empty, or [`LARGE_READ`] bytes as long as reads of it find something.
    buffer: Vec<u8>,
    from: usize,
    until: usize,
    /// Whether the last small read was full.
    more: bool,
}

impl<C> fmt::Debug for TlsStream<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream")
            .field("staged", &self.staged.len())
            .field("unsent", &self.unsent)
            .field("ahead", &(self.ahead.until - self.ahead.from))
            .finish_non_exhaustive()
    }
}

/// A stream for code that does not wait: what is not ready would block.
struct Now<'a, 'b, C> {
    stream: &'a mut C,
    cx: &'a mut Context<'b>,
}

fn now<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

fn later<T>(result: io::Result<T>) -> Poll<io::Result<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        result => Poll::Ready(result),
    }
}

impl<C: AsyncRead + Unpin> Read for Now<'_, '_, C> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        now(Pin::new(&mut *self.stream).poll_read(self.cx, buf))
    }
}

impl<C: AsyncWrite + Unpin> Write for Now<'_, '_, C> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        now(Pin::new(&mut *self.stream).poll_write(self.cx, buf))
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        now(Pin::new(&mut *self.stream).poll_write_vectored(self.cx, bufs))
    }

    fn flush(&mut self) -> io::Result<()> {
        now(Pin::new(&mut *self.stream).poll_flush(self.cx))
    }
}

impl Ahead {
    /// Gives rustls the next bytes; 0 at the end of the stream.
    fn feed<C: AsyncRead + Unpin>(
        &mut self,
        session: &mut Connection,
        mut stream: Now<'_, '_, C>,
    ) -> Poll<io::Result<usize>> {
        if self.from == self.until && !self.more {
            let count = ready!(later(session.read_tls(&mut stream)))?;
            self.more = count >= SMALL_READ;
            return Poll::Ready(Ok(count));
        }
        if self.from == self.until {
            self.buffer.resize(LARGE_READ, 0);
            let read = later(stream.read(&mut self.buffer));
            if read.is_pending() {
                // An idle connection holds no buffer.
                *self = Self::default();
            }
            (self.from, self.until) = (0, ready!(read)?);
        }
        let mut arrived = self.buffer.get(self.from..self.until).unwrap_or_default();
        let count = session.read_tls(&mut arrived)?;
        self.from += count;
        Poll::Ready(Ok(count))
    }
}

impl<C> TlsStream<C> {
    pub(super) fn new(stream: C, mut session: Connection) -> Self {
        // What waits here has a bound of its own.
        session.set_buffer_limit(None);
        Self {
            stream,
            session,
            staged: Vec::new(),
            unsent: 0,
            ahead: Ahead::default(),
            closing: false,
        }
    }

    /// Seals what is staged.
    fn seal(&mut self) -> io::Result<()> {
        if !self.staged.is_empty() {
            self.session.writer().write_all(&self.staged)?;
            self.unsent += self.staged.len() + OVERHEAD;
            self.clear();
        }
        Ok(())
    }

    fn clear(&mut self) {
        if self.staged.capacity() > KEPT {
            self.staged = Vec::new();
        } else {
            self.staged.clear();
        }
    }
}

impl<C: AsyncWrite + Unpin> TlsStream<C> {
    /// Sends what is sealed.
    fn send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            let stream = &mut self.stream;
            match ready!(later(self.session.write_tls(&mut Now { stream, cx })))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.unsent = self.unsent.saturating_sub(count),
            }
        }
        self.unsent = 0;
        Poll::Ready(Ok(()))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<C> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        loop {
            if let Poll::Ready(read) = later(this.session.reader().read(buf)) {
                return Poll::Ready(read);
            }
            let stream = &mut this.stream;
            ready!(this.ahead.feed(&mut this.session, Now { stream, cx }))?;
            let processed = this.session.process_new_packets();
            if this.session.wants_write() {
                // An alert, or the answer to a change of keys. Reading does not wait for it.
                let _ = this.send(cx)?;
            }
            processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for TlsStream<C> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.unsent >= MOST_UNSENT && this.send(cx)?.is_pending() {
            return Poll::Pending;
        }
        let buf = buf.get(..MOST_AT_ONCE).unwrap_or(buf);
        let all = this.staged.len() + buf.len();
        let whole = all - all % RECORD;
        if whole == 0 {
            this.staged.extend_from_slice(buf);
            return Poll::Ready(Ok(buf.len()));
        }
        // Less than a record is staged, so it goes out with the first one.
        let (now, rest) = buf.split_at(whole - this.staged.len());
        let records = [IoSlice::new(&this.staged), IoSlice::new(now)];
        let sealed = this.session.writer().write_vectored(&records)?;
        debug_assert_eq!(sealed, whole, "there is no limit");
        this.unsent += whole + whole / RECORD * OVERHEAD;
        this.staged.clear();
        this.staged.extend_from_slice(rest);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.seal()?;
        ready!(this.send(cx))?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.seal()?;
        if !this.closing {
            this.closing = true;
            this.session.send_close_notify();
        }
        ready!(this.send(cx))?;
        Pin::new(&mut this.stream).poll_close(cx)
    }
}

#[cfg(test)]
impl<C> TlsStream<C> {
    pub(super) fn session(&self) -> &Connection {
        &self.session
    }

    pub(super) fn stream(&self) -> &C {
        &self.stream
    }

    pub(super) fn stream_mut(&mut self) -> &mut C {
        &mut self.stream
    }

    /// Bytes of memory that buffers of its own hold, small ones apart.
    pub(super) fn buffered(&self) -> usize {
        let staged = self.staged.capacity();
        self.ahead.buffer.capacity() + if staged > KEPT { staged } else { 0 }
    }
}
