//! Nodes that end without a word and others that take their places, while agents are looked for.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use futures::{StreamExt as _, stream::FuturesUnordered};
use libp2p::{PeerId, identity::Keypair};
use o_discovery::swarm::dht::DhtConfig;
use tokio::time::{Instant, interval, sleep_until};

use super::{ONE_IN, Tally, announce, capability};
use crate::{
    bare::{Bare, Counts},
    rng::Rng,
};

const MINUTE: Duration = Duration::from_secs(60);

/// A search begins every so often; more than so many are not under way.
const SEARCH_EVERY: Duration = Duration::from_millis(50);
const SEARCHING: usize = 64;

/// The nodes, some of which are gone and not yet replaced.
struct Places {
    nodes: Vec<Option<Arc<Bare>>>,
    /// Of all nodes that there ever were.
    counts: Vec<Arc<Counts>>,
    rng: Rng,
}

impl Places {
    fn received(&self) -> u64 {
        self.counts.iter().map(|counts| counts.received()).sum()
    }

    /// A place whose node is there, one that announces or one that does not.
    fn some(&mut self, announces: Option<bool>) -> anyhow::Result<(usize, Arc<Bare>)> {
        for _ in 0..1000 {
            let index = self.rng.index(self.nodes.len());
            let fits = announces.is_none_or(|wanted| wanted == index.is_multiple_of(ONE_IN));
            if let Some(node) = self.nodes[index].as_ref().filter(|_| fits) {
                return Ok((index, node.clone()));
            }
        }
        anyhow::bail!("nobody is left")
    }
}

/// What comes of it.
pub(super) struct Churn {
    /// The searches for those agents that were there from the search's beginning to its end.
    pub(super) tally: Tally,
    /// Messages of a node in a minute.
    pub(super) per_minute: f64,
    /// Nodes that ended, and those in their places that had joined before the minute was over.
    pub(super) gone: usize,
    pub(super) replaced: usize,
}

impl Churn {
    /// Messages of a node in a minute that are the experiment's own searches. Refreshes and announcements are
    /// not in it: they come less often than it lasts.
    pub(super) fn searched(&self, search: f64, nodes: usize, time: Duration) -> f64 {
        let minutes = time.as_secs_f64() / 60.0;
        self.tally.searches as f64 * search / nodes as f64 / minutes
    }
}

/// Ten in a hundred nodes are replaced in a minute.
pub(super) async fn run(
    nodes: Vec<Bare>,
    announcers: &[usize],
    config: &DhtConfig,
    time: Duration,
) -> anyhow::Result<Churn> {
    let count = nodes.len();
    anyhow::ensure!(announcers.iter().all(|index| index.is_multiple_of(ONE_IN)));
    let mut places = Places {
        counts: nodes.iter().map(|node| node.counts.clone()).collect(),
        nodes: nodes.into_iter().map(|node| Some(Arc::new(node))).collect(),
        rng: Rng::new(2),
    };
    let before = places.received();
    let (mut gone, mut replaced) = (0, 0);
    let mut tally = Tally::default();
    let mut replacing = FuturesUnordered::new();
    let mut searching = FuturesUnordered::new();
    let mut ending = interval(MINUTE.div_f64(count as f64 * 0.1));
    let mut looking = interval(SEARCH_EVERY);
    let end = Instant::now() + time;
    loop {
        tokio::select! {
            () = sleep_until(end) => break,
            _ = ending.tick() => {
                let (index, node) = places.some(None)?;
                places.nodes[index] = None;
                drop(node);
                gone += 1;
                let mut others = Vec::new();
                for _ in 0..3 {
                    others.push(places.some(None)?.1);
                }
                replacing.push(replacement(index, others, config));
            }
            Some(new) = replacing.next() => {
                let (index, node): (usize, Option<Bare>) = new?;
                // Whoever it knew may all be gone: it stays away then.
                if let Some(node) = node {
                    replaced += 1;
                    places.counts.push(node.counts.clone());
                    places.nodes[index] = Some(Arc::new(node));
                }
            }
            _ = looking.tick(), if searching.len() < SEARCHING => {
                let (_, by) = places.some(Some(false))?;
                let (index, wanted) = places.some(Some(true))?;
                searching.push(search(by, index, wanted.peer));
            }
            Some((index, peer, found)) = searching.next() => {
                let still = places.nodes[index].as_ref().is_some_and(|node| node.peer == peer);
                if still {
                    tally.add(found);
                }
            }
        }
    }
    let messages = (places.received() - before) as f64;
    Ok(Churn {
        tally,
        per_minute: messages / count as f64 / time.as_secs_f64() * 60.0,
        gone,
        replaced,
    })
}

async fn search(
    by: Arc<Bare>,
    index: usize,
    peer: PeerId,
) -> (usize, PeerId, Option<crate::bare::Found>) {
    let found = by.search(&capability(index), &peer).await;
    (index, peer, found)
}

/// A node for an empty place, which announces what was announced there.
async fn replacement(
    index: usize,
    others: Vec<Arc<Bare>>,
    config: &DhtConfig,
) -> anyhow::Result<(usize, Option<Bare>)> {
    let keys = Keypair::generate_ed25519();
    let node = Bare::start(&keys, config.clone(), None)
        .await
        .context("a new node")?;
    let others: Vec<&Bare> = others.iter().map(AsRef::as_ref).collect();
    if node.join(&others).await.is_err() {
        return Ok((index, None));
    }
    if index.is_multiple_of(ONE_IN) {
        announce(&node, index).await?;
    }
    Ok((index, Some(node)))
}
