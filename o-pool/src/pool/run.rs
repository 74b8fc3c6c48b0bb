//! The future that evicts what nobody uses and notices what has died.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use futures::{
    FutureExt, StreamExt,
    future::{Abortable, Aborted, BoxFuture},
    stream::FuturesUnordered,
};
use o_address::PeerId;
use tokio::{
    sync::{Notify, watch},
    time::{self, Instant, MissedTickBehavior},
};
use tracing::debug;

use super::{Inner, Pool, close};
use crate::{Dialer, Link};

/// A connection that is watched, by its peer and serial number.
type Watched = Result<(PeerId, u64), Aborted>;

/// The connections that are watched until they die; at most as many as are in the pool, and those
/// that have just left it.
type Watching = FuturesUnordered<BoxFuture<'static, Watched>>;

/// What `run` waits for.
enum Input {
    Closed,
    Died(Watched),
    Changed,
    Filled,
    Tick,
}

/// Looks after the pool until it is closed or gone.
pub(super) async fn run<D: Dialer>(
    pool: Weak<Inner<D>>,
    wake: Arc<Notify>,
    mut closing: watch::Receiver<bool>,
    period: Duration,
) {
    let mut watching = Watching::new();
    let mut filling: Option<BoxFuture<'static, ()>> = None;
    let mut tick = time::interval(period);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let input = tokio::select! {
            biased;
            () = closed(&mut closing) => Input::Closed,
            Some(watched) = watching.next() => Input::Died(watched),
            () = wake.notified() => Input::Changed,
            () = filled(&mut filling) => Input::Filled,
            _ = tick.tick() => Input::Tick,
        };
        let Some(pool) = pool.upgrade() else { return };
        match input {
            Input::Closed => return,
            Input::Died(Err(Aborted)) => (),
            Input::Died(Ok((peer, serial))) => {
                debug!(%peer, "connection is gone");
                pool.lock().died(&peer, serial);
            }
            Input::Changed => pool.changed(&watching),
            Input::Filled => filling = None,
            Input::Tick => {
                pool.tick();
                if filling.is_none() && pool.lock().missing() > 0 {
                    filling = Some(fill(Pool { inner: pool }).boxed());
                }
            }
        }
    }
}

impl<D: Dialer> Inner<D> {
    /// Watches the new connections, and makes room if they are too many.
    fn changed(&self, watching: &Watching) {
        let (new, closing) = {
            let mut state = self.lock();
            let closing = state.trim(Instant::now());
            (state.take_unwatched(), closing)
        };
        for (entry, registration) in new {
            let (peer, serial) = (entry.peer, entry.serial);
            let dead = entry.link.closed();
            let watch = async move {
                dead.await;
                (peer, serial)
            };
            watching.push(Box::pin(Abortable::new(watch, registration)));
        }
        close(closing);
    }

    fn tick(&self) {
        let closing = self.lock().sweep(Instant::now());
        close(closing);
    }
}

/// Dials as many of the known peers as are missing, once.
async fn fill<D: Dialer>(pool: Pool<D>) {
    let known = pool.inner.dialer.known().await;
    let chosen = pool.inner.lock().choose(known, Instant::now());
    let dials = chosen.into_iter().map(async |(peer, addresses)| {
        pool.inner.lock().count_fill();
        if let Err(error) = pool.acquire(peer, &addresses).await {
            debug!(%peer, %error, "not connected to one more");
        }
    });
    futures::future::join_all(dials).await;
}

async fn filled(filling: &mut Option<BoxFuture<'static, ()>>) {
    match filling {
        Some(filling) => filling.await,
        None => std::future::pending().await,
    }
}

/// Resolves when the pool has been closed, or is gone.
pub(super) async fn closed(closed: &mut watch::Receiver<bool>) {
    // An error says that the pool is gone.
    let _ = closed.wait_for(|closed| *closed).await;
}
