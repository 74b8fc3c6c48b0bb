//! Gossip's errands: neighbors to connect with, to ask what they know and whether they are there.

mod nearby;
mod pulls;

use std::{
    collections::{BTreeSet, VecDeque},
    ops::Bound,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, join_all},
    stream,
    stream::FuturesUnordered,
};
use o_address::{Address, PeerId, TransportAddr};
use o_core::{
    Body, CallError, Caller, Encoding, IncomingCall, MethodSpec, OutgoingCall, Reply, Shape,
};
use o_discovery::swarm::gossip::{Handle, Learned, Told, Want};
use o_pool::{AcquireError, Pool};
use o_protocol::{decode_body, encode_body, params_schema, result_schema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::{nearby::Nearby, pulls::Pulls};
use crate::{dialer::NodeDialer, pinned::PinnedCaller, swarm::Errands};

/// The method of a node that tells its neighbors what it knows of others.
const KNOWN: &str = "gossip.known";
/// Neighbors that are looked after at once.
const AT_ONCE: usize = 16;
/// Peers whose connection broke and that wait to be dialed; what becomes of more is heard from others.
const MAX_CHECKS: usize = 1024;
/// How often neighbors are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// In so many looks each neighbor is asked once whether it is there.
const ROUND: usize = 4;
/// How long a neighbor may take to tell what it knows.
const PATIENCE: Duration = Duration::from_secs(10);
/// Records that are verified before others get their turn.
const BATCH: usize = 32;

/// Parameters of [`KNOWN`].
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
struct KnownRequest {
    /// Of whom; of everybody where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    of: Option<PeerId>,
}

/// Whether a method is gossip's.
pub(crate) fn is_reserved(method: &str) -> bool {
    method == KNOWN
}

/// The methods of a node that takes part.
pub(crate) fn specs() -> impl Iterator<Item = MethodSpec> {
    let mut spec = MethodSpec::new(KNOWN, Shape::Server);
    spec.description =
        "Tells what was announced by gossip: signed records, and when each peer was heard.".into();
    spec.idempotent = true;
    spec.params = Some(params_schema::<KnownRequest>());
    spec.result = Some(result_schema::<Told>());
    std::iter::once(spec)
}

/// Answers a neighbor that asks what is known here.
pub(crate) fn answer(handle: &Handle, call: &IncomingCall) -> Result<Reply, CallError> {
    let encoding = call.body.encoding;
    let request: KnownRequest =
        decode_body(&call.body).map_err(|error| CallError::InvalidParams {
            message: error.to_string(),
        })?;
    if !call.shape.streams_out() {
        return Err(CallError::WrongShape {
            method: Shape::Server,
            call: call.shape,
        });
    }
    let items = handle.tell(request.of.as_ref()).into_iter();
    let items = items.map(move |told| {
        encode_body(encoding, &told).map_err(|error| CallError::Internal {
            message: error.to_string(),
        })
    });
    Ok(Reply::Stream(stream::iter(items).boxed()))
}

/// Does what gossip wants of the node.
pub(crate) struct Gossiper {
    errands: Errands,
    nearby: Nearby,
    pool: Pool<NodeDialer>,
    caller: Arc<PinnedCaller>,
    /// Neighbors whose connections are kept open.
    kept: BTreeSet<PeerId>,
    /// The neighbor that was asked last whether it is there.
    probed: Option<PeerId>,
    /// Whether new neighbors are being connected with.
    joining: bool,
    pulls: Pulls,
}

/// An errand that has been run.
enum Done {
    Joined,
    Pulled { from: PeerId, bad: bool },
    Other,
}

impl Gossiper {
    pub(crate) fn new(mut errands: Errands, pool: Pool<NodeDialer>, caller: PinnedCaller) -> Self {
        Self {
            nearby: Nearby::of(&mut errands),
            errands,
            pool,
            caller: Arc::new(caller),
            kept: BTreeSet::new(),
            probed: None,
            joining: false,
            pulls: Pulls::default(),
        }
    }

    /// Runs until the Swarm task has ended.
    pub(crate) async fn run(mut self) {
        // Whoever answers slowly holds up neither the questions to others nor the looking after them.
        let mut pulling: FuturesUnordered<BoxFuture<'static, Done>> = FuturesUnordered::new();
        let mut looking: FuturesUnordered<BoxFuture<'static, Done>> = FuturesUnordered::new();
        let mut look = tokio::time::interval(LOOK);
        // Nor do they hold up what is wanted besides.
        let mut checks = VecDeque::new();
        loop {
            let done = tokio::select! {
                want = self.errands.wants.recv() => match want {
                    Some(Want::Check { peer, addresses }) => {
                        if checks.len() < MAX_CHECKS {
                            checks.push_back((peer, addresses));
                        }
                        None
                    }
                    Some(Want::Pull { from, of }) => {
                        self.pulls.want(from, of, Instant::now());
                        None
                    }
                    Some(_) => None,
                    None => return,
                },
                Some(done) = looking.next() => Some(done),
                Some(done) = pulling.next() => Some(done),
                // Whoever comes to the local network does not wait to be looked at.
                () = self.nearby.changed(), if !self.joining => {
                    looking.extend(self.join());
                    None
                }
                _ = look.tick() => {
                    self.keep_neighbors();
                    looking.extend(self.join());
                    let room = AT_ONCE.saturating_sub(looking.len());
                    looking.extend(self.probes(room));
                    None
                }
            };
            match done {
                Some(Done::Joined) => self.joining = false,
                Some(Done::Pulled { from, bad }) => self.pulls.ended(from, bad, Instant::now()),
                Some(Done::Other) | None => {}
            }
            while looking.len() < AT_ONCE {
                let Some((peer, addresses)) = checks.pop_front() else {
                    break;
                };
                let handle = self.errands.handle.clone();
                looking.push(check(handle, self.pool.clone(), peer, addresses).boxed());
            }
            let begun = self.pulls.begin();
            let handle = &self.errands.handle;
            let pull = |(from, of)| pull(handle.clone(), self.caller.clone(), from, of).boxed();
            pulling.extend(begun.into_iter().map(pull));
        }
    }

    /// Connects with as many as are lacking.
    fn join(&mut self) -> Option<BoxFuture<'static, Done>> {
        let lacking = self.errands.handle.lacking();
        if lacking == 0 || self.joining {
            return None;
        }
        let handle = &self.errands.handle;
        let mut candidates = handle.candidates(lacking);
        let room = lacking - candidates.len();
        if room > 0 {
            let neighbors = handle.neighbors();
            let known = |peer: &PeerId| {
                neighbors.contains(peer) || candidates.iter().any(|(known, _)| known == peer)
            };
            let near = self.nearby.take(room, |peer| !known(peer), Instant::now());
            candidates.extend(near);
        }
        if candidates.is_empty() {
            return None;
        }
        self.joining = true;
        let pool = self.pool.clone();
        let joining = async move {
            let dials = candidates.iter().map(|(peer, addresses)| {
                let pool = &pool;
                async move {
                    if let Err(error) = pool.acquire(*peer, addresses).await {
                        tracing::debug!(%peer, %error, "no neighbor");
                    }
                }
            });
            join_all(dials).await;
            // Both sides say that they take part once they are connected.
            tokio::time::sleep(LOOK).await;
            Done::Joined
        };
        Some(joining.boxed())
    }

    /// Asks the next neighbors whether they are there, at most so many. A machine that goes without a packet
    /// closes no connection, and its silence is noticed by heartbeats the later the more nodes there are.
    fn probes(&mut self, room: usize) -> Vec<BoxFuture<'static, Done>> {
        let handle = &self.errands.handle;
        let neighbors: BTreeSet<_> = handle.neighbors().into_iter().collect();
        let after = self.probed.map_or(Bound::Unbounded, Bound::Excluded);
        let next = neighbors.range((after, Bound::Unbounded));
        let next = next.chain(&neighbors);
        let due = neighbors.len().div_ceil(ROUND).min(room);
        let next: Vec<PeerId> = next.take(due).copied().collect();
        self.probed = next.last().copied().or(self.probed);
        let probe = |peer| probe(handle.clone(), self.caller.clone(), peer).boxed();
        next.into_iter().map(probe).collect()
    }

    /// Sees to it that connections to neighbors are not closed because nobody calls.
    fn keep_neighbors(&mut self) {
        let limit = self.errands.handle.max_kept();
        let neighbors: BTreeSet<_> = self.errands.handle.neighbors().into_iter().collect();
        for peer in self.kept.difference(&neighbors) {
            self.pool.unprotect(peer);
        }
        self.kept.retain(|peer| neighbors.contains(peer));
        for peer in neighbors {
            if self.kept.len() >= limit {
                return;
            }
            if !self.kept.contains(&peer) && self.pool.protect(peer).is_ok() {
                self.kept.insert(peer);
            }
        }
    }
}

impl Drop for Gossiper {
    fn drop(&mut self) {
        for peer in &self.kept {
            self.pool.unprotect(peer);
        }
    }
}

/// Asks a neighbor what it knows, and takes it in.
async fn pull(handle: Handle, caller: Arc<PinnedCaller>, from: PeerId, of: Option<PeerId>) -> Done {
    let (max_told, max_bad) = (handle.max_told(), handle.max_bad());
    let asking = async {
        let params = encode_body(Encoding::Cbor, &KnownRequest { of }).unwrap_or_default();
        let call = OutgoingCall::server_streaming(Address::node().pinned(from), KNOWN, params);
        let Reply::Stream(told) = caller.call(call.timeout(PATIENCE)).await? else {
            return Ok(Learned::default());
        };
        let mut batches = told.take(max_told).chunks(BATCH);
        let mut all = Learned::default();
        while let Some(batch) = batches.next().await {
            let batch: Vec<Body> = batch.into_iter().collect::<Result<_, _>>()?;
            let (read, unreadable): (Vec<_>, Vec<_>) = batch
                .iter()
                .map(decode_body::<Told>)
                .partition(Result::is_ok);
            let learned = handle.learn(read.into_iter().flatten());
            all.believed += learned.believed;
            all.bad += learned.bad + unreadable.len();
            if all.bad >= max_bad {
                return Ok(all);
            }
            tokio::task::yield_now().await;
        }
        Ok::<_, CallError>(all)
    };
    let mut bad = false;
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(Ok(learned)) => {
            tracing::debug!(%from, ?of, ?learned, "asked what is known");
            bad = learned.bad >= max_bad;
        }
        Ok(Err(error)) => tracing::debug!(%from, %error, "a neighbor tells nothing"),
        Err(_) => tracing::debug!(%from, "a neighbor told nothing in time"),
    }
    if bad {
        tracing::warn!(peer = %from, bad = max_bad, "a peer tells too much that is bad: not asked for a minute");
    }
    Done::Pulled { from, bad }
}

/// Suspects a neighbor that does not answer.
async fn probe(handle: Handle, caller: Arc<PinnedCaller>, peer: PeerId) -> Done {
    let patience = handle.probe_timeout();
    let params = encode_body(Encoding::Cbor, &()).unwrap_or_default();
    let call = OutgoingCall::unary(Address::node().pinned(peer), "ping", params);
    let answer = tokio::time::timeout(patience, caller.call(call.timeout(patience))).await;
    // Whoever refuses is there. A connection that breaks is looked after by `check`.
    if matches!(answer, Err(_) | Ok(Err(CallError::TimedOut { .. }))) {
        tracing::debug!(%peer, "a neighbor is silent");
        handle.suspect(peer).await;
    }
    Done::Other
}

/// Sees whether a peer can be reached whose connection broke.
async fn check(
    handle: Handle,
    pool: Pool<NodeDialer>,
    peer: PeerId,
    addresses: Vec<TransportAddr>,
) -> Done {
    match pool.acquire(peer, &addresses).await {
        Ok(_) => {}
        // That says something about this node, and nothing about the peer.
        Err(AcquireError::Closed | AcquireError::Busy { .. }) => {}
        Err(error) => {
            tracing::debug!(%peer, %error, "a neighbor is not reached");
            handle.suspect(peer).await;
        }
    }
    Done::Other
}
