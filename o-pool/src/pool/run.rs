//! The future that evicts what nobody uses and notices what has died.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use futures::{
    StreamExt,
    future::{Abortable, Aborted, BoxFuture},
    stream::FuturesUnordered,
};
use o_address::PeerId;
use tokio::{
    sync::{Notify, watch},
    time::{self, Instant, MissedTickBehavior},
};
use tracing::debug;

use super::{Inner, close};
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
    let mut tick = time::interval(period);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let input = tokio::select! {
            biased;
            () = closed(&mut closing) => Input::Closed,
            Some(watched) = watching.next() => Input::Died(watched),
            () = wake.notified() => Input::Changed,
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
            Input::Tick => pool.tick(),
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

/// Resolves when the pool has been closed, or is gone.
pub(super) async fn closed(closed: &mut watch::Receiver<bool>) {
    // An error says that the pool is gone.
    let _ = closed.wait_for(|closed| *closed).await;
}
