//! The same things between our muxer and libp2p's, both ways, and between two of ours.

use futures::{
    future::{Either, join_all, select},
    io::{AsyncReadExt, AsyncWriteExt},
};

use super::*;

/// Does `work` while both ends are driven, and closes `near` after it: that ends both.
async fn with<A, B, T>(near: &End<A>, far: &End<B>, work: impl Future<Output = T>) -> T
where
    A: StreamMuxer + Unpin,
    B: StreamMuxer + Unpin,
{
    let ends = async { futures::join!(near.run(), far.run()) };
    let output = match select(pin!(work), pin!(ends)).await {
        Either::Left((output, _)) => output,
        Either::Right((ends, _)) => panic!("{ends:?}"),
    };
    // The far end may have something left to say, and find nobody there.
    let (closed, _) = futures::join!(near.close(), far.run());
    closed.unwrap();
    output
}

fn body(seed: usize, size: usize) -> Vec<u8> {
    (0..size).map(|at| ((at + seed) % 251) as u8).collect()
}

/// All at once, each answered only after its writing half was closed.
async fn many_substreams<A, B>(near: End<A>, far: End<B>)
where
    A: StreamMuxer<Substream: Unpin> + Unpin,
    B: StreamMuxer<Substream: Unpin> + Unpin,
{
    const COUNT: usize = 100;
    let asking = async {
        let mut streams = Vec::new();
        for _ in 0..COUNT {
            streams.push(near.open().await.unwrap());
        }
        let asked = streams.into_iter().enumerate();
        join_all(asked.map(|(at, mut stream)| async move {
            let bytes = body(at, 20_000 + at);
            stream.write_all(&bytes).await.unwrap();
            stream.close().await.unwrap();
            let mut back = Vec::new();
            stream.read_to_end(&mut back).await.unwrap();
            assert!(back == bytes, "{at}");
        }))
        .await;
    };
    let answering = async {
        let mut streams = Vec::new();
        for _ in 0..COUNT {
            streams.push(far.accept().await.unwrap());
        }
        join_all(streams.into_iter().map(|mut stream| async move {
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.unwrap();
            stream.write_all(&all).await.unwrap();
            stream.close().await.unwrap();
        }))
        .await;
    };
    let both = async { futures::join!(asking, answering) };
    with(&near, &far, both).await;
}

/// More than the largest window, both ways at the same time, and substreams opened by both ends.
async fn large_bodies<A, B>(near: End<A>, far: End<B>)
where
    A: StreamMuxer<Substream: Unpin> + Unpin,
    B: StreamMuxer<Substream: Unpin> + Unpin,
{
    const SIZE: usize = 1 << 20;
    async fn swap(stream: impl AsyncRead + AsyncWrite, mine: usize, other: usize) {
        let (mut reading, mut writing) = stream.split();
        let write = async {
            writing.write_all(&body(mine, SIZE)).await.unwrap();
            writing.close().await.unwrap();
        };
        let read = async {
            let mut all = Vec::new();
            reading.read_to_end(&mut all).await.unwrap();
            assert!(all == body(other, SIZE));
        };
        futures::join!(write, read);
    }
    let one = async {
        let (opened, accepted) = futures::join!(
            async {
                let mut stream = near.open().await.unwrap();
                // A substream shows itself with its first bytes.
                stream.write_all(&[1]).await.unwrap();
                stream
            },
            near.accept()
        );
        let mut accepted = accepted.unwrap();
        accepted.read_exact(&mut [0]).await.unwrap();
        futures::join!(swap(opened, 1, 2), swap(accepted, 3, 4));
    };
    let two = async {
        let (opened, accepted) = futures::join!(
            async {
                let mut stream = far.open().await.unwrap();
                stream.write_all(&[1]).await.unwrap();
                stream
            },
            far.accept()
        );
        let mut accepted = accepted.unwrap();
        accepted.read_exact(&mut [0]).await.unwrap();
        futures::join!(swap(accepted, 2, 1), swap(opened, 4, 3));
    };
    with(&near, &far, async { futures::join!(one, two) }).await;
}

/// A dropped substream ends the other half of it, and only that.
async fn dropped_substreams<A, B>(near: End<A>, far: End<B>)
where
    A: StreamMuxer<Substream: Unpin> + Unpin,
    B: StreamMuxer<Substream: Unpin> + Unpin,
{
    let work = async {
        let mut stays = near.open().await.unwrap();
        stays.write_all(b"one").await.unwrap();
        let mut other = far.accept().await.unwrap();
        // More of them than can be open at once.
        for _ in 0..600 {
            let mut stream = near.open().await.unwrap();
            stream.write_all(b"x").await.unwrap();
            let mut taken = far.accept().await.unwrap();
            drop(stream);
            let mut all = Vec::new();
            taken.read_to_end(&mut all).await.unwrap();
            assert_eq!(all, b"x");
        }
        let mut three = [0; 3];
        other.read_exact(&mut three).await.unwrap();
        other.write_all(b"two").await.unwrap();
        stays.read_exact(&mut three).await.unwrap();
        assert_eq!(&three, b"two");
    };
    with(&near, &far, work).await;
}

/// Nobody reads one substream: its writer is held at the window, the others are not.
async fn a_reader_that_stops<A, B>(near: End<A>, far: End<B>)
where
    A: StreamMuxer<Substream: Unpin> + Unpin,
    B: StreamMuxer<Substream: Unpin> + Unpin,
{
    let work = async {
        let mut stalled = near.open().await.unwrap();
        stalled.write_all(&[0]).await.unwrap();
        let unread = far.accept().await.unwrap();
        let mut other = near.open().await.unwrap();
        other.write_all(&[0]).await.unwrap();
        let mut read = far.accept().await.unwrap();
        let mut taken = 1;
        // Each echo lets everything happen that can; nothing is left to be taken long before.
        for _ in 0..200 {
            poll_fn(|cx| {
                while let Poll::Ready(count) = Pin::new(&mut stalled).poll_write(cx, &[7; 5000]) {
                    taken += count.unwrap();
                }
                Poll::Ready(())
            })
            .await;
            other.write_all(&[9; 100]).await.unwrap();
            read.read_exact(&mut [0; 100]).await.unwrap();
        }
        drop(unread);
        taken
    };
    let taken = with(&near, &far, work).await;
    assert_eq!(taken, YamuxConfig::INITIAL_WINDOW);
}

macro_rules! between_all {
    ($($name:ident)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn ours_dials_theirs() {
                let (near, far) = pipe();
                finish(super::$name(dialer(near), their_listener(far)));
            }

            #[test]
            fn theirs_dials_ours() {
                let (near, far) = pipe();
                finish(super::$name(their_dialer(near), listener(far, &YamuxConfig::default())));
            }

            #[test]
            fn ours_dials_ours() {
                let (near, far) = pipe();
                finish(super::$name(dialer(near), listener(far, &YamuxConfig::default())));
            }
        }
    )*};
}

between_all!(many_substreams large_bodies dropped_substreams a_reader_that_stops);
