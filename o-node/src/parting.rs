//! A stream whose end both sides have seen before it counts as closed.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::io::{AsyncRead, AsyncWrite};

/// Reads in one poll while closing, so that a peer that talks on lets others run.
const BUDGET: usize = 16;

/// Closes in two steps: our end first, then it waits for the other side's.
///
/// Whoever ends a session closes its connection next, and a connection that closes may take with it
/// what the other side has received and not read yet: a goodbye, or the last reply. The other side
/// closes its end when it has read everything. Whoever closes must bound the wait; a session's driver
/// does.
#[derive(Debug)]
pub(crate) struct Parting<S> {
    stream: S,
    closed: bool,
}

impl<S> Parting<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            closed: false,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Parting<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Parting<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closed {
            ready!(Pin::new(&mut self.stream).poll_close(cx))?;
            self.closed = true;
        }
        let mut scratch = [0; 4096];
        for _ in 0..BUDGET {
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut scratch)) {
                Ok(count) if count > 0 => {}
                // It has ended, one way or another.
                _ => return Poll::Ready(Ok(())),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, time::Duration};

    use futures::io::AsyncWriteExt as _;

    use super::*;

    /// Reads as it is told to; `None` is an end, and nothing left means waiting.
    #[derive(Default)]
    struct Script {
        reads: VecDeque<Option<usize>>,
        closes: usize,
    }

    impl AsyncRead for Script {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            match self.reads.pop_front() {
                Some(read) => Poll::Ready(Ok(read.unwrap_or(0))),
                None => Poll::Pending,
            }
        }
    }

    impl AsyncWrite for Script {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.closes += 1;
            Poll::Ready(Ok(()))
        }
    }

    async fn close(reads: impl IntoIterator<Item = Option<usize>>) -> (bool, usize) {
        let mut stream = Parting::new(Script {
            reads: reads.into_iter().collect(),
            closes: 0,
        });
        let closed = tokio::time::timeout(Duration::from_millis(50), stream.close()).await;
        (closed.is_ok(), stream.stream.closes)
    }

    #[tokio::test]
    async fn closing_waits_for_the_other_sides_end() {
        assert_eq!(close([None]).await, (true, 1));
        let more = std::iter::repeat_n(Some(7), 100);
        assert_eq!(close(more.clone().chain([None])).await, (true, 1));
        assert_eq!(close(more).await, (false, 1));
        assert_eq!(close([]).await, (false, 1));
    }
}
