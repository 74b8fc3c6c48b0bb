//! Muxers driven within one task, over pipes in memory.

mod compatible;
mod hostile;

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use libp2p::core::{
    muxing::{StreamMuxer, StreamMuxerExt},
    upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade},
};
use tokio::io::DuplexStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

use super::*;

/// One end of a connection. `run` drives it, beside whatever else the same task does with it.
#[derive(Debug)]
pub(super) struct End<M>(Rc<RefCell<M>>);

impl<M> End<M>
where
    M: StreamMuxer + Unpin,
{
    pub(super) fn new(muxer: M) -> Self {
        Self(Rc::new(RefCell::new(muxer)))
    }

    pub(super) async fn open(&self) -> Result<M::Substream, M::Error> {
        poll_fn(|cx| self.0.borrow_mut().poll_outbound_unpin(cx)).await
    }

    pub(super) async fn accept(&self) -> Result<M::Substream, M::Error> {
        poll_fn(|cx| self.0.borrow_mut().poll_inbound_unpin(cx)).await
    }

    pub(super) async fn close(&self) -> Result<(), M::Error> {
        poll_fn(|cx| self.0.borrow_mut().poll_close_unpin(cx)).await
    }

    /// Until the connection ends, and with what.
    pub(super) async fn run(&self) -> M::Error {
        poll_fn(|cx| match self.0.borrow_mut().poll_unpin(cx) {
            Poll::Ready(Ok(event)) => panic!("{event:?}"),
            Poll::Ready(Err(error)) => Poll::Ready(error),
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}

/// Polls `work` until it is done, or until nothing more will ever happen: `None`.
///
/// Not within a runtime: Tokio's pipes make whoever does not return to it wait.
pub(super) fn until_idle<T>(work: impl Future<Output = T>) -> Option<T> {
    struct Flag(AtomicBool);

    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    let flag = Arc::new(Flag(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&flag));
    let mut work = pin!(work);
    let deadline = Instant::now() + DEADLINE;
    while flag.0.swap(false, Ordering::SeqCst) {
        if let Poll::Ready(output) = work.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(output);
        }
        assert!(Instant::now() < deadline, "it never rests");
    }
    None
}

/// No step of a test takes longer.
const DEADLINE: Duration = Duration::from_secs(60);

/// Polls `work` to its end. Fails at once when it stalls.
fn finish<T>(work: impl Future<Output = T>) -> T {
    until_idle(work).expect("it waits for what will never come")
}

type Pipe = Compat<DuplexStream>;

fn pipe() -> (Pipe, Pipe) {
    let (one, two) = tokio::io::duplex(64 << 10);
    (one.compat(), two.compat())
}

fn config(max_streams: usize, receive_window: usize) -> YamuxConfig {
    YamuxConfig {
        max_streams,
        receive_window,
        ..YamuxConfig::default()
    }
}

fn dialer(pipe: Pipe) -> End<Muxer<Pipe>> {
    let yamux = Yamux::new(&YamuxConfig::default());
    End::new(yamux.upgrade_outbound(pipe, PROTOCOL).into_inner().unwrap())
}

fn listener(pipe: Pipe, config: &YamuxConfig) -> End<Muxer<Pipe>> {
    let yamux = Yamux::new(config);
    End::new(yamux.upgrade_inbound(pipe, PROTOCOL).into_inner().unwrap())
}

type Theirs = libp2p::yamux::Muxer<Pipe>;

fn their_dialer(pipe: Pipe) -> End<Theirs> {
    let yamux = libp2p::yamux::Config::default();
    End::new(yamux.upgrade_outbound(pipe, PROTOCOL).into_inner().unwrap())
}

fn their_listener(pipe: Pipe) -> End<Theirs> {
    let yamux = libp2p::yamux::Config::default();
    End::new(yamux.upgrade_inbound(pipe, PROTOCOL).into_inner().unwrap())
}
