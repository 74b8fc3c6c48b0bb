//! Substreams over one byte stream: yamux, with limits of our own.
//!
//! libp2p's wrapper of the same implementation lets one connection buffer 1 GiB and flushes after
//! every frame. On the wire the two are the same.

mod coalesce;
mod error;
mod guard;
mod headers;
#[cfg(test)]
mod tests;
mod unread;

use std::{
    collections::VecDeque,
    future, iter, mem,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use futures::io::{AsyncRead, AsyncWrite};
use libp2p::core::{
    muxing::{StreamMuxer, StreamMuxerEvent},
    upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo},
};
use yamux::{Connection, Mode};

pub use self::error::MuxerError;
use self::{
    coalesce::Coalesce,
    guard::Guard,
    unread::{Substream, Unread},
};
use crate::YamuxConfig;

/// What yamux is called on the wire.
const PROTOCOL: &str = "/yamux/1.0.0";

/// Inbound substreams that nobody has taken yet. One more is reset. A peer with this same
/// implementation opens no more before some are answered.
const MAX_WAITING: usize = 256;

/// Inbound substreams taken from the connection before other work gets its turn.
const MAX_AT_ONCE: usize = 32;

/// The upgrade of a secured connection to one with substreams.
#[derive(Clone, Debug)]
pub(crate) struct Yamux {
    config: yamux::Config,
    /// What the frames that wait on a connection may cost beside their bytes.
    budget: usize,
}

impl Yamux {
    /// The configuration must have been validated: yamux panics on a window that is too small for
    /// its substreams.
    pub(crate) fn new(config: &YamuxConfig) -> Self {
        let mut yamux = yamux::Config::default();
        // The one before the other: each setter checks against what the other one is then.
        yamux
            .set_max_connection_receive_window(None)
            .set_max_num_streams(config.max_streams)
            .set_max_connection_receive_window(Some(config.receive_window))
            .set_split_send_size(config.split_send_size);
        Self {
            config: yamux,
            budget: config.receive_window,
        }
    }

    fn start<C>(self, stream: C, mode: Mode) -> Muxer<C>
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        let unread = Unread::new(self.budget);
        let stream = Guard::new(Coalesce::new(stream), unread.clone());
        Muxer {
            connection: Connection::new(stream, self.config, mode),
            unread,
            waiting: VecDeque::new(),
            taker: None,
        }
    }
}

impl UpgradeInfo for Yamux {
    type Info = &'static str;
    type InfoIter = iter::Once<Self::Info>;

    fn protocol_info(&self) -> Self::InfoIter {
        iter::once(PROTOCOL)
    }
}

impl<C> InboundConnectionUpgrade<C> for Yamux
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    type Output = Muxer<C>;
    type Error = MuxerError;
    type Future = future::Ready<Result<Self::Output, Self::Error>>;

    fn upgrade_inbound(self, stream: C, _: Self::Info) -> Self::Future {
        future::ready(Ok(self.start(stream, Mode::Server)))
    }
}

impl<C> OutboundConnectionUpgrade<C> for Yamux
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    type Output = Muxer<C>;
    type Error = MuxerError;
    type Future = future::Ready<Result<Self::Output, Self::Error>>;

    fn upgrade_outbound(self, stream: C, _: Self::Info) -> Self::Future {
        future::ready(Ok(self.start(stream, Mode::Client)))
    }
}

/// A connection with substreams.
#[derive(Debug)]
pub(crate) struct Muxer<C> {
    connection: Connection<Guard<Coalesce<C>>>,
    unread: Unread,
    /// What arrived while the connection was driven for other reasons: yamux makes progress only by
    /// giving out the next inbound substream. At most [`MAX_WAITING`].
    waiting: VecDeque<Substream>,
    /// Who asked for an inbound substream when there was none.
    taker: Option<Waker>,
}

impl<C> Muxer<C>
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    /// Drives the connection until a substream arrives, it ends, or there is nothing left to do.
    fn poll_connection(&mut self, cx: &mut Context<'_>) -> Poll<Result<Substream, MuxerError>> {
        self.connection
            .poll_next_inbound(cx)
            .map(|next| match next {
                Some(Ok(stream)) => Ok(Substream::new(stream, self.unread.clone())),
                Some(Err(error)) => Err(MuxerError::of(error)),
                None => Err(MuxerError::Closed),
            })
    }

    fn keep(&mut self, stream: Substream) {
        if self.waiting.len() < MAX_WAITING {
            self.waiting.push_back(stream);
        } else {
            // Dropping it resets it.
            tracing::debug!(
                ?stream,
                "nobody takes inbound substreams: one more was reset"
            );
        }
        if let Some(taker) = self.taker.take() {
            taker.wake();
        }
    }
}

impl<C> StreamMuxer for Muxer<C>
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    type Substream = Substream;
    type Error = MuxerError;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        if let Some(stream) = self.waiting.pop_front() {
            return Poll::Ready(Ok(stream));
        }
        let next = self.poll_connection(cx);
        if next.is_pending() {
            self.taker = Some(cx.waker().clone());
        }
        next
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        self.connection
            .poll_new_outbound(cx)
            .map_ok(|stream| Substream::new(stream, self.unread.clone()))
            .map_err(MuxerError::of)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // Nobody will take them any more.
        drop(mem::take(&mut self.waiting));
        self.connection.poll_close(cx).map_err(MuxerError::of)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        for _ in 0..MAX_AT_ONCE {
            match self.poll_connection(cx) {
                Poll::Ready(Ok(stream)) => self.keep(stream),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
