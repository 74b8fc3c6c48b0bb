//! The stream behind the handshake: pieces of any size, full records, cuts and forgeries.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use super::*;

/// Counts writes to the stream below, and can turn a bit in what is read.
struct Watched {
    inner: Compat<DuplexStream>,
    writes: usize,
    flip: bool,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        if let Poll::Ready(Ok(count @ 6..)) = read
            && self.flip
        {
            buf[count - 1] ^= 1;
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes += 1;
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

type Stream = TlsStream<Watched>;

/// Two ends over a pipe of `size` bytes.
async fn ends(size: usize) -> (Stream, Stream) {
    let (one, two) = tokio::io::duplex(size);
    let [one, two] = [one, two].map(|pipe| Watched {
        inner: pipe.compat(),
        writes: 0,
        flip: false,
    });
    let (a, b) = (ours("a"), ours("b"));
    let (dialed, accepted) =
        in_time(async { futures::join!(dial(a.client, one), accept(b.server, two)) }).await;
    (dialed.unwrap().1, accepted.unwrap().1)
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

#[tokio::test]
async fn bytes_pass_both_ways_however_they_are_cut() {
    // Pieces around the size of a record, through a pipe that takes less than one.
    let sizes = [1, 12, 16_383, 16_384, 16_385, 5, 300_000, 40_000, 7];
    let all = pattern(sizes.iter().sum());
    let (one, two) = ends(5_000).await;
    let one_way = |stream: Stream| {
        let all = all.clone();
        async move {
            let (mut reading, mut writing) = stream.split();
            let write = async {
                let mut rest = &all[..];
                for size in sizes {
                    let (now, later) = rest.split_at(size);
                    writing.write_all(now).await.unwrap();
                    writing.flush().await.unwrap();
                    rest = later;
                }
                writing.close().await.unwrap();
            };
            let mut back = Vec::new();
            let read = async { reading.read_to_end(&mut back).await.unwrap() };
            futures::join!(write, read);
            assert!(back == all);
        }
    };
    in_time(async { futures::join!(one_way(one), one_way(two)) }).await;
}

#[tokio::test]
async fn small_writes_wait_for_a_flush_and_leave_together() {
    let (mut one, mut two) = ends(64 << 10).await;
    let before = one.stream().writes;
    for _ in 0..50 {
        one.write_all(&[7; 100]).await.unwrap();
    }
    assert_eq!(one.stream().writes, before);
    one.flush().await.unwrap();
    assert_eq!(one.stream().writes, before + 1);
    let mut got = vec![0; 5_000];
    in_time(two.read_exact(&mut got)).await.unwrap();
    assert!(got.iter().all(|byte| *byte == 7));
}

#[tokio::test]
async fn a_writer_that_never_flushes_is_held() {
    let (mut one, _two) = ends(1_000).await;
    let mut taken = 0;
    let held = std::future::poll_fn(|cx| {
        loop {
            match Pin::new(&mut one).poll_write(cx, &[7; 64 << 10]) {
                Poll::Ready(count) => taken += count.unwrap(),
                Poll::Pending => return Poll::Ready(()),
            }
            assert!(taken < 1 << 20);
        }
    });
    in_time(held).await;
}

#[tokio::test]
async fn small_records_that_leave_slowly_do_not_pile_up() {
    let pipe = 1_000;
    let (mut one, mut two) = ends(pipe).await;
    let (mut sealed, mut read) = (0_usize, 0);
    for _ in 0..20_000 {
        std::future::poll_fn(|cx| {
            // As many answers of twelve bytes, each a record of its own, as are taken.
            while Pin::new(&mut one).poll_write(cx, &[7; 12]).is_ready() {
                sealed += 12 + 22;
                let _ = Pin::new(&mut one).poll_flush(cx);
            }
            let mut some = [0; 100];
            if let Poll::Ready(count) = Pin::new(two.stream_mut()).poll_read(cx, &mut some) {
                read += count.unwrap();
            }
            Poll::Ready(())
        })
        .await;
        assert!(sealed - read <= pipe + (192 << 10), "{sealed} and {read}");
        // The pipe gives so much to one turn of a task and no more.
        tokio::task::yield_now().await;
    }
    assert!(read > 1 << 20);
}

#[tokio::test]
async fn a_stream_that_is_cut_is_no_orderly_end() {
    let (mut one, mut two) = ends(64 << 10).await;
    one.write_all(b"half").await.unwrap();
    one.flush().await.unwrap();
    drop(one);
    let mut got = Vec::new();
    let error = in_time(two.read_to_end(&mut got)).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(got, b"half");
}

#[tokio::test]
async fn a_record_that_was_changed_is_refused() {
    let (mut one, mut two) = ends(64 << 10).await;
    two.stream_mut().flip = true;
    one.write_all(b"pay one").await.unwrap();
    one.flush().await.unwrap();
    let error = in_time(two.read(&mut [0; 9])).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn an_idle_stream_holds_no_buffers() {
    let (mut one, mut two) = ends(256 << 10).await;
    one.write_all(&pattern(200_000)).await.unwrap();
    one.flush().await.unwrap();
    let mut got = vec![0; 200_000];
    in_time(two.read_exact(&mut got)).await.unwrap();
    let waits = std::future::poll_fn(|cx| {
        Poll::Ready(Pin::new(&mut two).poll_read(cx, &mut [0; 9]).is_pending())
    });
    assert!(waits.await);
    assert_eq!((one.buffered(), two.buffered()), (0, 0));
}
