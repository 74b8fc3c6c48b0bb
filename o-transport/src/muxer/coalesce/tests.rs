//! Nothing that was written stays unflushed, whatever the stream below does.

use std::{
    cell::RefCell,
    collections::VecDeque,
    rc::Rc,
    task::{Poll::*, Waker},
};

use futures::{
    future::{Either, select},
    io::{AsyncReadExt, AsyncWriteExt},
};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade};
use proptest::prelude::*;

use super::*;
use crate::{
    YamuxConfig,
    muxer::{
        MuxerError, PROTOCOL, Yamux,
        tests::{End, until_idle},
    },
};

/// One direction of a pipe that passes nothing on before it is flushed.
#[derive(Debug, Default)]
struct Lane {
    written: Vec<u8>,
    flushed: VecDeque<u8>,
    reader: Option<Waker>,
    closed: bool,
}

/// One end of a stream that takes bytes in odd portions and often says `Pending` first.
#[derive(Debug)]
struct Stingy {
    out: Rc<RefCell<Lane>>,
    into: Rc<RefCell<Lane>>,
    /// What the next calls do: 0 is `Pending`, more is how many bytes at once.
    script: Vec<u8>,
    step: usize,
    flushes: usize,
    /// Which calls said `Pending` the last time: reading, writing, flushing, closing. The next one of
    /// the kind does not.
    waited: [bool; 4],
    /// The last call of `poll_flush` was to be repeated, and a waker knows.
    flushing: bool,
}

fn pipe(script: &[u8]) -> (Stingy, Stingy) {
    let (one, two) = <(Rc<RefCell<Lane>>, Rc<RefCell<Lane>>)>::default();
    let end = |out: &Rc<_>, into: &Rc<_>, step| Stingy {
        out: Rc::clone(out),
        into: Rc::clone(into),
        script: script.to_vec(),
        step,
        flushes: 0,
        waited: [false; 4],
        flushing: false,
    };
    (end(&one, &two, 0), end(&two, &one, 1))
}

impl Stingy {
    /// How many bytes now, or `Pending` with a promise to wake.
    fn portion(&mut self, kind: usize, cx: &mut Context<'_>) -> Poll<usize> {
        self.step += 1;
        let portion = self.script[self.step % self.script.len()];
        self.waited[kind] = portion == 0 && !self.waited[kind];
        if self.waited[kind] {
            cx.waker().wake_by_ref();
            return Pending;
        }
        Ready(usize::from(portion.max(1)) * 7)
    }
}

impl AsyncRead for Stingy {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let portion = ready!(self.portion(0, cx));
        let mut lane = self.into.borrow_mut();
        let count = portion.min(buf.len()).min(lane.flushed.len());
        if count == 0 && !lane.closed {
            lane.reader = Some(cx.waker().clone());
            return Pending;
        }
        for (place, byte) in buf.iter_mut().zip(lane.flushed.drain(..count)) {
            *place = byte;
        }
        Ready(Ok(count))
    }
}

impl AsyncWrite for Stingy {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(self.portion(1, cx)).min(buf.len());
        self.out.borrow_mut().written.extend(&buf[..count]);
        Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushing = true;
        ready!(self.portion(2, cx));
        self.flushing = false;
        self.flushes += 1;
        let mut lane = self.out.borrow_mut();
        let bytes = std::mem::take(&mut lane.written);
        lane.flushed.extend(bytes);
        if let Some(reader) = lane.reader.take() {
            reader.wake();
        }
        Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Without a flush: that is for who closes it.
        ready!(self.portion(3, cx));
        let mut lane = self.out.borrow_mut();
        lane.closed = true;
        if let Some(reader) = lane.reader.take() {
            reader.wake();
        }
        Ready(Ok(()))
    }
}

#[derive(Clone, Debug)]
enum Step {
    Write(usize),
    Flush,
    Read,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1_usize..200).prop_map(Step::Write),
        2 => Just(Step::Flush),
        2 => Just(Step::Read),
        1 => Just(Step::Close),
    ]
}

fn script() -> impl Strategy<Value = Vec<u8>> {
    // At least one that is not `Pending`.
    (prop::collection::vec(0_u8..4, 0..12), 1_u8..40).prop_map(|(mut script, last)| {
        script.push(last);
        script
    })
}

proptest! {
    #[test]
    fn whoever_waits_has_been_flushed(
        script in script(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let (near, far) = pipe(&script);
        let mut near = Coalesce::new(near);
        let mut cx = Context::from_waker(Waker::noop());
        for step in steps {
            let near = &mut near;
            let waits = match step {
                Step::Write(count) => {
                    Pin::new(&mut *near).poll_write(&mut cx, &vec![1; count]).is_pending()
                }
                Step::Flush => {
                    prop_assert!(Pin::new(&mut *near).poll_flush(&mut cx).is_ready());
                    false
                }
                Step::Read => Pin::new(&mut *near).poll_read(&mut cx, &mut [0; 9]).is_pending(),
                Step::Close => {
                    let closed = Pin::new(&mut *near).poll_close(&mut cx).is_ready();
                    prop_assert!(!closed || far.into.borrow().written.is_empty());
                    if closed {
                        break;
                    }
                    true
                }
            };
            let flushed = far.into.borrow().written.is_empty();
            prop_assert!(!waits || flushed || near.inner.flushing, "{:?}", near);
        }
    }

    /// Two muxers over a stream that delivers only what was flushed: a byte left behind would be
    /// waited for without end.
    #[test]
    fn an_echo_over_two_muxers_never_stalls(
        script in script(),
        sizes in prop::collection::vec(0_usize..3000, 1..5),
    ) {
        let (near, far) = pipe(&script);
        let yamux = Yamux::new(&YamuxConfig::default());
        let near = End::new(yamux.clone().upgrade_outbound(near, PROTOCOL).into_inner().unwrap());
        let far = End::new(yamux.upgrade_inbound(far, PROTOCOL).into_inner().unwrap());
        let work = async {
            for size in &sizes {
                let bytes = vec![*size as u8; *size + 1];
                let ours = async {
                    let mut stream = near.open().await.unwrap();
                    stream.write_all(&bytes).await.unwrap();
                    stream.close().await.unwrap();
                    let mut back = Vec::new();
                    stream.read_to_end(&mut back).await.unwrap();
                    assert!(back == bytes);
                };
                let theirs = async {
                    let mut stream = far.accept().await.unwrap();
                    let mut all = Vec::new();
                    stream.read_to_end(&mut all).await.unwrap();
                    stream.write_all(&all).await.unwrap();
                    stream.close().await.unwrap();
                };
                futures::join!(ours, theirs);
            }
        };
        let driving = async { futures::join!(near.run(), far.run()) };
        let all = async {
            match select(std::pin::pin!(work), std::pin::pin!(driving)).await {
                Either::Left(_) => {}
                Either::Right((ends, _)) => panic!("{ends:?}"),
            }
            futures::join!(near.close(), far.run())
        };
        let end = until_idle(all);
        prop_assert!(matches!(end, Some((Ok(()), MuxerError::Closed))), "{:?}", end);
    }
}

#[test]
fn flushes_wait_for_a_read_or_for_enough() {
    let (near, far) = pipe(&[200]);
    let mut near = Coalesce::new(near);
    let mut cx = Context::from_waker(Waker::noop());
    let flush = |near: &mut Coalesce<Stingy>, cx: &mut Context<'_>| {
        assert!(Pin::new(&mut *near).poll_flush(cx).is_ready());
    };
    for _ in 0..20 {
        assert!(
            Pin::new(&mut near)
                .poll_write(&mut cx, &[1; 100])
                .is_ready()
        );
        flush(&mut near, &mut cx);
    }
    assert_eq!(near.inner.flushes, 0);
    assert!(
        Pin::new(&mut near)
            .poll_read(&mut cx, &mut [0; 9])
            .is_pending()
    );
    assert_eq!(near.inner.flushes, 1);
    assert_eq!(far.into.borrow().flushed.len(), 2000);
    // Nothing new, nothing flushed.
    assert!(
        Pin::new(&mut near)
            .poll_read(&mut cx, &mut [0; 9])
            .is_pending()
    );
    assert_eq!(near.inner.flushes, 1);

    let mut written = 0;
    while near.inner.flushes == 1 {
        assert!(
            Pin::new(&mut near)
                .poll_write(&mut cx, &[1; 1000])
                .is_ready()
        );
        written += 1000;
        flush(&mut near, &mut cx);
    }
    assert!((AT_MOST..AT_MOST + 1000).contains(&written), "{written}");
}
