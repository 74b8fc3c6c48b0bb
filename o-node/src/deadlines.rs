//! Holds calls to their deadlines when the task of their connection does not come round to it.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::peers::Peers;

/// Ends calls whose deadline has passed, on every connection, once in each `period`.
///
/// A session's driver keeps time, too, and to the millisecond. But libp2p polls it in the task of its
/// connection, which waits for the Swarm task whenever that is behind with the connection's events,
/// and polls nothing meanwhile. A timer for each call would be paid by every call; this is paid for
/// by connections.
pub(crate) async fn keep(peers: Arc<Peers>, period: Duration) {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = Instant::now().into_std();
        for link in peers.due(now) {
            link.session.expire(now);
        }
    }
}
