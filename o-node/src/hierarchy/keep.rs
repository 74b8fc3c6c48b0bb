//! A parent's watch over its children.

use std::{sync::Arc, time::Instant};

use super::Hierarchy;

/// Looks after the children until it is dropped: whoever is silent for too long is one no more.
///
/// A child whose connection has gone is given up after one heartbeat and a half: one that goes on
/// would have come back by then.
pub(crate) async fn keep(hierarchy: Arc<Hierarchy>) {
    let heartbeat = hierarchy.config.heartbeat;
    let mut tick = tokio::time::interval(heartbeat / 2);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let now = Instant::now();
        let silent = hierarchy.lock().silent(hierarchy.patience(), now);
        for peer in silent {
            hierarchy.child_gone(&peer, "it was not heard any more", false);
        }
        let quiet = hierarchy.lock().silent(heartbeat * 3 / 2, now);
        for peer in quiet {
            if hierarchy.peers.get(&peer).is_none() {
                hierarchy.child_gone(&peer, "its connection is gone", false);
            }
        }
    }
}
