//! Filling the routing table: who is next to this node, and somebody at every distance.
//!
//! Kademlia's own bootstrap looks for the twenty nearest peers of a random key at every distance, on
//! each of its disjoint paths: 1,200 messages among a thousand nodes. Entries far away need not be the
//! nearest to anything, so a few are looked for here. Kademlia still begins one by itself while it
//! knows fewer than twenty peers, and cannot be told not to; of that only its first step is used.

use std::{
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use libp2p::{
    PeerId,
    kad::{KBucketKey, QueryId},
};
use o_core::DiscoveryError;
use tracing::debug;

use super::{Behaviour, DhtConfig, Reply};

/// Peers that each path of a query for those far away has to hear of.
const FAR: NonZeroUsize = NonZeroUsize::new(4).unwrap();

/// Random peer ids in which one for each distance is looked for. Those at distances that none is found
/// for are so near that the query for the neighbors has met them.
const DRAWS: usize = 4096;

/// The least time between two refreshes that Kademlia asks for: it does for each of its first twenty
/// peers.
const PAUSE: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Refresh {
    running: Option<Running>,
    /// When the last one began.
    begun: Option<Instant>,
    /// When the next one is due.
    due: Option<Instant>,
}

#[derive(Debug)]
struct Running {
    query: QueryId,
    /// Keys that are still to be looked for; none yet while the neighbors are.
    far: Option<Vec<PeerId>>,
    /// Whether the neighbors were found.
    near: bool,
    waiting: Vec<Reply>,
}

impl Refresh {
    /// Begins at once, anew if one is under way: whoever asks may have made a peer known since then.
    pub(super) fn ask(
        &mut self,
        kad: &mut Behaviour,
        reply: Reply,
        local: PeerId,
        limits: &DhtConfig,
        now: Instant,
    ) {
        if kad.kbuckets().next().is_none() {
            let _ = reply.send(Err(DiscoveryError::NoNetwork));
            return;
        }
        let mut waiting = self.stop(kad);
        if waiting.len() >= limits.max_searches {
            let _ = reply.send(Err(DiscoveryError::Busy {
                limit: "max_searches",
            }));
        } else {
            waiting.push(reply);
        }
        self.begin(kad, waiting, local, now);
    }

    /// Kademlia has looked for the neighbors by itself, and would go on: the rest is done here.
    pub(super) fn on_bootstrap(
        &mut self,
        kad: &mut Behaviour,
        id: &QueryId,
        local: PeerId,
        now: Instant,
    ) {
        if let Some(mut query) = kad.query_mut(id) {
            query.finish();
        }
        let lately = self.begun.is_some_and(|begun| now < begun + PAUSE);
        if self.running.is_some() || lately {
            return;
        }
        let far = far_away(kad, local);
        if far.is_empty() {
            return; // Nobody is known at any distance yet: the next time may come at once.
        }
        self.begun = Some(now);
        self.go_on(kad, far, true, Vec::new());
    }

    /// A query for the nearest peers has ended.
    pub(super) fn on_found(
        &mut self,
        kad: &mut Behaviour,
        id: &QueryId,
        found: bool,
        local: PeerId,
        limits: &DhtConfig,
    ) {
        let Some(running) = self.running.take_if(|running| running.query == *id) else {
            return;
        };
        let Running {
            far, near, waiting, ..
        } = running;
        let (far, near) = match far {
            None => (far_away(kad, local), found),
            Some(far) => (far, near),
        };
        let waiting = self.go_on(kad, far, near, waiting);
        let after = limits.query_timeout;
        for reply in waiting {
            let done = near.then_some(()).ok_or(DiscoveryError::TimedOut { after });
            let _ = reply.send(done);
        }
    }

    pub(super) fn on_tick(
        &mut self,
        kad: &mut Behaviour,
        local: PeerId,
        limits: &DhtConfig,
        now: Instant,
    ) {
        if let Some(running) = &mut self.running {
            running.waiting.retain(|reply| !reply.is_closed());
        }
        let due = *self.due.get_or_insert(now + limits.bootstrap_interval);
        if now >= due && self.running.is_none() {
            self.begin(kad, Vec::new(), local, now);
        }
        if now >= due {
            self.due = Some(now + limits.bootstrap_interval);
        }
    }

    fn begin(&mut self, kad: &mut Behaviour, waiting: Vec<Reply>, local: PeerId, now: Instant) {
        debug!("refreshing the routing table");
        self.begun = Some(now);
        self.running = Some(Running {
            query: kad.get_closest_peers(local),
            far: None,
            near: false,
            waiting,
        });
    }

    /// Looks for the next one far away; gives those who wait back if there is none.
    fn go_on(
        &mut self,
        kad: &mut Behaviour,
        mut far: Vec<PeerId>,
        near: bool,
        waiting: Vec<Reply>,
    ) -> Vec<Reply> {
        let Some(next) = far.pop() else {
            return waiting;
        };
        self.running = Some(Running {
            query: kad.get_n_closest_peers(next, FAR),
            far: Some(far),
            near,
            waiting,
        });
        Vec::new()
    }

    /// Ends what is under way; who waits for it.
    fn stop(&mut self, kad: &mut Behaviour) -> Vec<Reply> {
        let Some(running) = self.running.take() else {
            return Vec::new();
        };
        if let Some(mut query) = kad.query_mut(&running.query) {
            query.finish();
        }
        running.waiting
    }
}

/// A peer id at each distance at which peers are known, but for that of the nearest ones.
fn far_away(kad: &mut Behaviour, local: PeerId) -> Vec<PeerId> {
    let here = KBucketKey::from(local);
    let buckets: Vec<_> = kad.kbuckets().skip(1).collect();
    let mut found = vec![None; buckets.len()];
    for _ in 0..DRAWS {
        if found.iter().all(Option::is_some) {
            break;
        }
        let peer = PeerId::random();
        let distance = here.distance(&KBucketKey::from(peer));
        if let Some(at) = buckets.iter().position(|bucket| bucket.contains(&distance)) {
            found[at].get_or_insert(peer);
        }
    }
    found.into_iter().flatten().collect()
}
