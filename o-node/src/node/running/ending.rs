//! How a node ends: it drains, says its last words, and closes everything.

use std::{
    sync::{PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use o_core::{Attempt, ConnectionGater, ErrorCode, Event, Events, Stage, StopError};
use o_protocol::{Goodbye, SessionEnd};
use o_transport::probe_fixed_port;

use super::Running;
use crate::{
    announce::withdraw,
    config::NodeConfig,
    tasks::{self, Tasks},
};

/// How long the socket of a QUIC listener may take to close: three times the time-out after which a
/// packet counts as lost, which is a second where a round trip has not been measured well.
const QUIC_DRAIN: Duration = Duration::from_secs(5);

impl Running {
    /// Withdraws what is announced, says goodbye to everybody and waits for the calls that run.
    pub(in crate::node) async fn drain(&self, config: &NodeConfig) -> Result<(), StopError> {
        let after = config.node.drain;
        let begun = Instant::now();
        // First: what others have been told is taken back over connections that a goodbye may end.
        let _ = tokio::time::timeout(after, self.withdraw_all(config)).await;
        self.dispatcher.leaving.store(true, Ordering::Relaxed);
        let mut goodbye = Goodbye::new(ErrorCode::ShuttingDown, "the node is stopping");
        goodbye.drain = after;
        for link in self.peers.all() {
            link.session.goodbye(&goodbye);
        }
        let left = after.saturating_sub(begun.elapsed());
        if Tasks::settle(left, || self.active_calls() == 0).await {
            return Ok(());
        }
        Err(StopError::Cancelled {
            calls: self.active_calls(),
            after,
        })
    }

    /// Leaves the tables of others, and waits no longer than `withdraw_timeout` for them.
    async fn withdraw_all(&self, config: &NodeConfig) {
        self.leaving.cancel();
        if let Some(hierarchy) = &self.hierarchy {
            hierarchy.leave().await;
        }
        self.swarm.leave().await;
        let records = {
            let builtin = &self.dispatcher.builtin;
            let mut records = builtin
                .records
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            records.forget_peer(&self.dispatcher.local)
        };
        let (discovery, signer) = (&self.finder.discovery, &*self.signer);
        withdraw(records, discovery, signer, &config.node).await;
    }

    /// Calls that run: those on connections in both directions, and those inside this process.
    fn active_calls(&self) -> usize {
        let links: usize = self
            .peers
            .all()
            .iter()
            .map(|link| link.session.active_calls())
            .sum();
        let local = self.dispatcher.local_calls.load(Ordering::Relaxed);
        // A served call whose connection has gone may still be ending.
        links.max(
            self.dispatcher
                .running
                .load(Ordering::Relaxed)
                .saturating_sub(local),
        ) + local
    }

    /// Whether the node stops and begins nothing new.
    pub(in crate::node) fn is_leaving(&self) -> bool {
        self.dispatcher.leaving.load(Ordering::Relaxed)
    }

    /// Ends every task and closes every socket.
    pub(in crate::node) async fn abort(&self) {
        for link in self.peers.all() {
            link.session.close(SessionEnd::Finished);
        }
        // The last words of each session need a moment on the wire.
        Tasks::settle(self.linger, || self.peers.all().is_empty()).await;
        self.pool.close_all();
        self.swarm.shutdown().await;
        self.tasks.shutdown().await;
        // Calls inside this process are the caller's to poll, who may be slow to.
        let local_calls = &self.dispatcher.local_calls;
        Tasks::settle(self.linger, || local_calls.load(Ordering::Relaxed) == 0).await;
        let ledger = self.ledger.clone();
        if let Some(Err(error)) = tasks::blocking(move || ledger.save()).await {
            tracing::warn!(%error, "what is known of peers could not be saved");
        }
        let addresses = self.addresses.send_replace(Vec::new());
        // QUIC keeps its socket until the peers have had time to hear of the end.
        let quic: Vec<_> = addresses
            .iter()
            .filter(|address| address.transport_label() == "quic")
            .collect();
        let free = || quic.iter().all(|address| probe_fixed_port(address).is_ok());
        if !Tasks::settle(QUIC_DRAIN, free).await {
            tracing::warn!(?quic, "not every port is free again");
        }
    }

    /// Asks the gater again about every connection and closes those that it no longer allows.
    pub(in crate::node) fn recheck(&self) {
        let gater = &self.dialer.outside.gater;
        for link in self.peers.all() {
            let mut attempt = Attempt::new(Stage::Established, link.direction);
            attempt = attempt.peer(&link.peer).remote(&link.remote);
            attempt.relayed = link.remote.transport_label() == "relay";
            let Err(reason) = gater.allow(&attempt) else {
                continue;
            };
            let text = reason.to_string();
            link.session
                .goodbye(&Goodbye::new(ErrorCode::Refused, text.clone()));
            link.session.close(SessionEnd::Refused {
                reason: text,
                certain: true,
            });
            let (peer, direction) = (Some(link.peer), link.direction);
            self.events.publish(Event::Denied {
                peer,
                direction,
                reason,
            });
        }
    }
}
