//! The caller's second work: it calls whoever can do it, again and again, while one of them is killed.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use o_address::{Address, PeerId};
use o_core::{Body, CallError, Capability, Encoding};
use o_node::{AnyReply, AttemptOutcome, Node, TreeNode};

use super::{
    MORE_TIME,
    child::SPARE,
    event::{Event, Share, millis},
    wire::{KEYWORDS, KeywordsParams},
};
use crate::{exit::Failure, output::Output};

/// Calls before one of the agents is killed.
const CALLS: usize = 60;
/// Calls under way at once, and the pause before each.
const AT_ONCE: usize = 4;
const PAUSE: Duration = Duration::from_millis(5);
/// So many answers in a row from the same agent, and the other one is out of it.
const IN_A_ROW: usize = 30;
/// Longest call.
const LIMIT: Duration = Duration::from_secs(5);
/// How often the tree is looked at, and how long it may show somebody who is gone.
const LOOK: Duration = Duration::from_millis(50);
const GONE: Duration = Duration::from_secs(5);

/// Spreads calls over both agents, goes on while one of them is killed, and tells of both.
pub(super) async fn run(
    node: &Node,
    texts: &[String],
    limit: Duration,
    output: &Output,
) -> Result<(), Failure> {
    let capability: Capability = KEYWORDS
        .0
        .parse()
        .map_err(|e: o_core::CapabilityError| Failure::internal(e.to_string()))?;
    let bodies: Vec<Body> = texts
        .iter()
        .map(|text| body(text))
        .collect::<Result<_, _>>()?;
    let calls = || {
        let bodies = bodies.iter().cycle().cloned();
        let calls = stream::iter(bodies).map(|body| call(node, &capability, body));
        calls.buffer_unordered(AT_ONCE)
    };
    let begun = Instant::now();
    let mut tally = Tally::default();
    let mut spread = calls().take(CALLS);
    while let Some((reply, took)) = spread.next().await {
        tally.add(reply, took)?;
    }
    output.value(&Event::Spread {
        capability: capability.clone(),
        method: KEYWORDS.1.to_owned(),
        calls: tally.calls,
        by: tally.shares(),
        elapsed_ms: millis(begun.elapsed()),
    })?;

    let begun = Instant::now();
    let mut tally = Tally::default();
    let mut on = calls();
    while tally.in_a_row < IN_A_ROW || tally.last == tally.spare() {
        if begun.elapsed() > limit {
            let text = format!("both agents still answer after {limit:?}");
            return Err(Failure::internal(text).hint(MORE_TIME));
        }
        if let Some((reply, took)) = on.next().await {
            tally.add(reply, took)?;
        }
    }
    output.value(&Event::FailedOver {
        calls: tally.calls,
        failed: tally.failed,
        again: tally.again,
        by: tally.shares(),
        slowest_ms: millis(tally.slowest),
        elapsed_ms: millis(begun.elapsed()),
    })
}

fn body(text: &str) -> Result<Body, Failure> {
    let text = text.to_owned();
    let body = serde_json::to_vec(&KeywordsParams { text });
    let body = body.map_err(|error| Failure::internal(error.to_string()))?;
    Ok(Body::new(Encoding::Json, body))
}

async fn call(node: &Node, capability: &Capability, body: Body) -> (AnyReply, Duration) {
    tokio::time::sleep(PAUSE).await;
    let begun = Instant::now();
    let call = node.any(capability.clone()).method(KEYWORDS.1);
    let reply = call.idempotent().timeout(LIMIT).traced(body).await;
    (reply, begun.elapsed())
}

/// Who has answered.
#[derive(Default)]
struct Tally {
    calls: usize,
    failed: usize,
    again: usize,
    by: HashMap<PeerId, (Address, usize)>,
    last: Option<PeerId>,
    in_a_row: usize,
    slowest: Duration,
}

impl Tally {
    /// # Errors
    /// Nobody can do it at all.
    fn add(&mut self, reply: AnyReply, took: Duration) -> Result<(), Failure> {
        if let Err(error @ CallError::NoProviders { .. }) = reply.reply {
            return Err(error.into());
        }
        self.calls += 1;
        self.slowest = self.slowest.max(took);
        self.failed += usize::from(reply.reply.is_err());
        self.again += usize::from(reply.trace.len() > 1);
        let mut trace = reply.trace.into_iter();
        let answered = trace.find(|attempt| attempt.outcome == AttemptOutcome::Answered);
        let Some(answered) = answered else {
            return Ok(());
        };
        let (_, calls) = self
            .by
            .entry(answered.peer)
            .or_insert_with(|| (answered.address, 0));
        *calls += 1;
        self.in_a_row = match self.last.replace(answered.peer) == Some(answered.peer) {
            true => self.in_a_row + 1,
            false => 1,
        };
        Ok(())
    }

    /// The agent that is killed, if it has answered.
    fn spare(&self) -> Option<PeerId> {
        let mut all = self.by.iter();
        all.find(|(_, (address, _))| address.name() == SPARE)
            .map(|(peer, _)| *peer)
    }

    fn shares(&self) -> Vec<Share> {
        let all = self.by.iter().map(|(peer, (address, calls))| Share {
            address: address.clone(),
            peer_id: *peer,
            calls: *calls,
        });
        let mut all: Vec<_> = all.collect();
        all.sort_by(|one, other| one.address.cmp(&other.address));
        all
    }
}

/// Tells of the tree whenever it has changed; ends when whoever was killed has left it, once `killed` says
/// that there is somebody to wait for.
pub(super) async fn watch(
    node: &Node,
    leader: PeerId,
    output: &Output,
    killed: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let leader = Address::node().pinned(leader);
    let mut shown: Vec<(Address, PeerId)> = Vec::new();
    let mut until: Option<Instant> = None;
    let mut killed = std::pin::pin!(killed);
    loop {
        // A tree that cannot be seen now can be seen later.
        let nodes: Vec<TreeNode> = node.tree_below(&leader, 3).await.unwrap_or_default();
        let now: Vec<_> = nodes.iter().map(|n| (n.name.clone(), n.peer)).collect();
        let there = now.iter().any(|(name, _)| name.name() == SPARE);
        if !now.is_empty() && now != shown {
            shown = now;
            output.value(&Event::Tree { nodes })?;
        }
        match until {
            Some(until) if !there || until <= Instant::now() => return Ok(()),
            Some(_) => tokio::time::sleep(LOOK).await,
            None => tokio::select! {
                () = killed.as_mut() => until = Some(Instant::now() + GONE),
                () = tokio::time::sleep(LOOK) => {}
            },
        }
    }
}
