//! Ends connections whose peer broke the rules, and keeps pings from stopping those who keep them.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::io::{AsyncRead, AsyncWrite};

use super::{
    headers::{GO_AWAY, Headers, PING},
    unread::Unread,
};

/// The reason in the last frame of an orderly end.
const NORMAL: u32 = 0;
/// The reason that yamux gives to whoever opens a substream too many by sending data.
const INTERNAL: u32 = 2;

/// Bytes that may wait here for the stream below: the rest of the longest frame that
/// `split_send_size` allows, and answers to pings.
const MAX_SPARE: usize = (256 << 10) + 4096;

/// What is between yamux and its stream, for three things that yamux does not do.
///
/// It answers a violation with a frame that says so and reads on, as if the other end would always
/// obey. After that frame this one reads no more: the next read fails with [`Refused`].
///
/// It reads nothing while the answer to a ping waits to be written. When both ends write more than
/// the path takes and ping each other, as they do every ten seconds, both wait for the other to read,
/// for ever. So while an answer is owed, what the stream does not take is taken here, in front of it,
/// up to [`MAX_SPARE`].
///
/// It bounds the bytes that wait to be read and not the frames that they came in, each of which costs
/// far more than a byte. Here they are counted, and too many are a violation.
#[derive(Debug)]
pub(super) struct Guard<C> {
    inner: C,
    written: Headers,
    read: Headers,
    refused: Option<Refused>,
    unread: Unread,
    /// Pings that have been read and not answered.
    owed: u32,
    /// Written by yamux and not taken by the stream.
    spare: VecDeque<u8>,
}

/// What the peer sent was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.reason())]
pub(super) enum Refused {
    /// By yamux, with this code.
    Yamux(u32),
    /// Here: frames upon frames that nobody has read.
    Frames,
}

impl Refused {
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Frames => "too many small frames that nobody has read",
            Self::Yamux(INTERNAL) => "too many substreams",
            Self::Yamux(_) => {
                "more than its window, too many substreams, or a frame that has no place"
            }
        }
    }
}

impl<C> Guard<C> {
    pub(super) fn new(inner: C, unread: Unread) -> Self {
        Self {
            inner,
            unread,
            written: Headers::default(),
            read: Headers::default(),
            refused: None,
            owed: 0,
            spare: VecDeque::new(),
        }
    }

    /// Looks for headers in what yamux wrote.
    fn on_written(&mut self, bytes: &[u8]) {
        let (refused, owed) = (&mut self.refused, &mut self.owed);
        self.written.pass(bytes, |header| match header.kind {
            GO_AWAY if header.length != NORMAL => {
                *refused = Some(Refused::Yamux(header.length));
            }
            PING if header.ack => *owed = owed.saturating_sub(1),
            _ => {}
        });
    }

    /// Looks for headers in what the peer sent.
    fn on_read(&mut self, bytes: &[u8]) {
        let (refused, owed, unread) = (&mut self.refused, &mut self.owed, &self.unread);
        self.read.pass(bytes, |header| {
            if unread.on_header(&header) {
                *refused = Some(Refused::Frames);
            }
            // yamux answers no other.
            if header.kind == PING && !header.ack && header.stream == 0 {
                *owed = owed.saturating_add(1);
            }
        });
    }
}

impl<C: AsyncWrite + Unpin> Guard<C> {
    /// Hands on what waits here.
    fn drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.spare.is_empty() {
            let (front, _) = self.spare.as_slices();
            match ready!(Pin::new(&mut self.inner).poll_write(cx, front))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => drop(self.spare.drain(..count)),
            }
        }
        // Seldom used: not worth the memory.
        self.spare = VecDeque::new();
        Poll::Ready(Ok(()))
    }

    fn hand_on(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.drain(cx))?;
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guard<C> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let drained = this.drain(cx)?;
        if let Some(refused) = this.refused {
            // The peer is told if that can be done at once. Whoever breaks rules is not waited for.
            if drained.is_ready() {
                let _ = Pin::new(&mut this.inner).poll_flush(cx);
            }
            return Poll::Ready(Err(io::Error::other(refused)));
        }
        let count = ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
        this.on_read(buf.get(..count).unwrap_or(buf));
        Poll::Ready(Ok(count))
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Guard<C> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let count = match this.hand_on(cx, buf) {
            Poll::Ready(count) => count?,
            Poll::Pending => {
                let room = MAX_SPARE.saturating_sub(this.spare.len());
                if this.owed == 0 || room == 0 {
                    return Poll::Pending;
                }
                let count = room.min(buf.len());
                this.spare.extend(buf.iter().take(count));
                count
            }
        };
        this.on_written(buf.get(..count).unwrap_or(buf));
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.drain(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.drain(cx))?;
        Pin::new(&mut self.inner).poll_close(cx)
    }
}
