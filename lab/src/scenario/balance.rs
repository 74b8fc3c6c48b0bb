//! Many providers of one capability: how the load is spread over equal ones, and how much of it goes to
//! those that fail.

use std::{collections::HashMap, time::Duration};

use futures::{StreamExt as _, stream};
use o_address::PeerId;
use o_core::{Body, CallError, Capability, Encoding};
use o_node::{Hosting, Keypair, MemoryDiscovery, Methods, Node, Preset};
use serde_json::{Value, json};

use super::{Outcome, Size};
use crate::{
    network::stop,
    plot::{Plot, Series},
    rng::Rng,
    say,
};

const CAPABILITY: &str = "lab/work";
/// Of a hundred providers so many fail half of their calls.
const FAILING_PERCENT: usize = 30;
/// Calls of the experiment with those that fail, and how many are counted together.
const CALLS: usize = 1000;
const TOGETHER: usize = 100;
/// From so many calls on traffic should go to the others.
const LEARNED: usize = 200;
/// Calls to each of the equal ones, on average.
const EACH: usize = 100;
/// Calls under way at once.
const AT_ONCE: [usize; 2] = [1, 16];

/// A network of its own, on 127.0.0.1 with a directory in memory: finding is not what is measured.
struct Market {
    directory: MemoryDiscovery,
    honest: Vec<PeerId>,
    nodes: Vec<Node>,
}

impl Market {
    async fn open(honest: usize, failing: usize) -> anyhow::Result<Self> {
        let directory = MemoryDiscovery::default();
        let mut nodes = Vec::new();
        for n in 0..honest + failing {
            let hosting =
                Hosting::new(format!("o://lab/worker-{n}").parse()?, work(n >= honest, n))
                    .capability(CAPABILITY.parse()?);
            nodes.push(start(&directory, Some(hosting)).await?);
        }
        let honest = nodes.iter().take(honest).map(Node::peer_id).collect();
        Ok(Self {
            directory,
            honest,
            nodes,
        })
    }

    /// Calls of a caller that knows nobody yet: whom each attempt went to, in the order of the answers,
    /// and how many calls came to nothing.
    async fn calls(&self, count: usize, at_once: usize) -> anyhow::Result<(Vec<PeerId>, usize)> {
        let caller = start(&self.directory, None).await?;
        let capability: Capability = CAPABILITY.parse()?;
        let calls = (0..count).map(|_| {
            let body = Body::new(Encoding::Json, b"null".as_slice());
            caller.any(capability.clone()).idempotent().traced(body)
        });
        let (mut went_to, mut failed) = (Vec::new(), 0);
        let mut replies = stream::iter(calls).buffer_unordered(at_once);
        while let Some(reply) = replies.next().await {
            went_to.extend(reply.trace.iter().map(|attempt| attempt.peer));
            failed += usize::from(reply.reply.is_err());
        }
        drop(replies);
        stop(vec![caller]).await?;
        Ok((went_to, failed))
    }
}

async fn start(directory: &MemoryDiscovery, hosting: Option<Hosting>) -> anyhow::Result<Node> {
    let builder = Node::builder(Keypair::generate(), Preset::Local).configure(|config| {
        config.dht.enabled = false;
        config.gossip.enabled = false;
    });
    let builder = builder.discovery(directory.clone());
    let builder = hosting.into_iter().fold(builder, o_node::NodeBuilder::host);
    Ok(builder.start().await?)
}

/// Takes a millisecond, and fails half of its calls if it is one of those.
fn work(fails: bool, seed: usize) -> Methods {
    let rng = std::sync::Mutex::new(Rng::new(seed as u64));
    let rng = std::sync::Arc::new(rng);
    Methods::new()
        .unary("work", move |_, ()| {
            let mut rng = rng
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            let fail = fails && rng.number() & 1 == 1;
            async move {
                tokio::time::sleep(Duration::from_millis(1)).await;
                match fail {
                    true => Err(CallError::Failed {
                        message: "it does not work today".into(),
                        retryable: true,
                        data: bytes::Bytes::new(),
                    }),
                    false => Ok(()),
                }
            }
        })
        .idempotent()
}

pub(super) async fn run(size: &Size) -> anyhow::Result<Outcome> {
    let (mut series, mut rows) = (Vec::new(), Vec::new());
    for count in &size.nodes {
        let failing = count * FAILING_PERCENT / 100;
        let market = Market::open(count - failing, failing).await?;
        for at_once in AT_ONCE {
            let (points, row) = failing_ones(&market, size.rounds, at_once).await?;
            let name = format!("{failing} of {count} fail half, {at_once} at once");
            series.push(Series { name, points });
            rows.push(row);
        }
        stop(market.nodes).await?;
        let market = Market::open(*count, 0).await?;
        for at_once in AT_ONCE {
            rows.push(equal_ones(&market, at_once).await?);
        }
        stop(market.nodes).await?;
    }
    let title = "Attempts that go to honest providers";
    Ok(Outcome {
        figures: json!({ "title": title, "rows": rows }),
        plot: Plot {
            title: title.into(),
            x: "calls made".into(),
            y: "%".into(),
            series,
        },
    })
}

/// The share of the attempts that goes to the honest ones, by the calls that a caller has made.
async fn failing_ones(
    market: &Market,
    rounds: usize,
    at_once: usize,
) -> anyhow::Result<(Vec<(f64, f64)>, Value)> {
    let mut honest = [(0, 0); CALLS / TOGETHER];
    let mut lost = 0;
    for _ in 0..rounds {
        let (went_to, failed) = market.calls(CALLS, at_once).await?;
        lost += failed;
        for (slot, attempts) in honest.iter_mut().zip(went_to.chunks(TOGETHER)) {
            let good = attempts.iter().filter(|peer| market.honest.contains(peer));
            slot.0 += good.count();
            slot.1 += attempts.len();
        }
    }
    let percent = |(good, all): (usize, usize)| 100.0 * good as f64 / all.max(1) as f64;
    let points: Vec<_> = honest
        .iter()
        .enumerate()
        .map(|(at, slot)| (((at + 1) * TOGETHER) as f64, percent(*slot)))
        .collect();
    let learned = honest.iter().skip(LEARNED / TOGETHER);
    let learned = percent(learned.fold((0, 0), |sum, slot| (sum.0 + slot.0, sum.1 + slot.1)));
    say(format_args!(
        "{at_once:>2} at once  {} providers, {} of them fail half of their calls: {:.1} % of the first {TOGETHER} attempts go to the others, {learned:.1} % after {LEARNED}; {lost} of {} calls lost",
        market.nodes.len(),
        market.nodes.len() - market.honest.len(),
        points.first().map_or(0.0, |(_, percent)| *percent),
        rounds * CALLS,
    ));
    let row = json!({
        "providers": market.nodes.len(),
        "failing": market.nodes.len() - market.honest.len(),
        "at_once": at_once,
        "callers": rounds,
        "calls_each": CALLS,
        "lost": lost,
        "honest_percent_after_200": learned,
        "honest_percent": points,
    });
    Ok((points, row))
}

/// How evenly the load is spread over equal providers.
async fn equal_ones(market: &Market, at_once: usize) -> anyhow::Result<Value> {
    let (went_to, failed) = market.calls(EACH * market.nodes.len(), at_once).await?;
    let mut load: HashMap<PeerId, usize> = HashMap::new();
    for peer in &went_to {
        *load.entry(*peer).or_default() += 1;
    }
    let mean = went_to.len() as f64 / market.nodes.len() as f64;
    let most = load.values().max().copied().unwrap_or_default() as f64;
    let least = market
        .nodes
        .iter()
        .map(|node| load.get(&node.peer_id()).copied().unwrap_or_default());
    let least = least.min().unwrap_or_default() as f64;
    say(format_args!(
        "{at_once:>2} at once  {} equal providers, {} calls: most/mean {:.2}, least/mean {:.2}; {failed} lost",
        market.nodes.len(),
        went_to.len(),
        most / mean,
        least / mean,
    ));
    Ok(json!({
        "providers": market.nodes.len(),
        "failing": 0,
        "at_once": at_once,
        "calls": went_to.len(),
        "lost": failed,
        "max_over_mean": most / mean,
        "min_over_mean": least / mean,
    }))
}
