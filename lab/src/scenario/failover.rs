//! Two providers of one capability, one of which ends under load.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use futures::StreamExt as _;
use o_address::{Address, PeerId};
use o_core::{Capability, Query};
use o_node::{Call, Node};
use serde_json::json;

use super::{Outcome, Size};
use crate::{
    figures::{millis, percentile},
    network::{Killable, agent, local, local_network, stop},
    plot::{Plot, Series},
    say,
};

const NAME: &str = "o://lab/worker";
const CAPABILITY: &str = "lab/work";
/// Callers at once, each with one call after the other.
const CALLERS: usize = 8;
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long calls are made before and after.
const AROUND: Duration = Duration::from_secs(1);
/// How often a call is tried in all.
const TRIES: usize = 20;

/// What the callers saw in one round.
#[derive(Debug, Default)]
struct Seen {
    calls: u64,
    /// First attempts that failed.
    failed: u64,
    /// Calls that succeeded at a later attempt.
    retried: u64,
    /// Calls that never did.
    lost: u64,
    /// From the end of the provider until each call that had failed was answered.
    recovery: Vec<Duration>,
}

/// A caller prefers the provider that it knows, and looks for another when a call fails.
pub(super) async fn run(size: &Size) -> anyhow::Result<Outcome> {
    let mut series = Vec::new();
    let mut rows = Vec::new();
    for kill in [true, false] {
        let how = if kill { "killed" } else { "stopped" };
        let mut points = Vec::new();
        for round in 1..=size.rounds {
            let seen = one_round(kill).await?;
            let worst = seen.recovery.iter().max().copied().unwrap_or_default();
            points.push((round as f64, millis(worst)));
            say(format_args!(
                "{how:<8} round {round:>2}  calls {:>6}  failed {:>3}  retried {:>3}  lost {:>3}  recovered after {:>7.1} ms",
                seen.calls,
                seen.failed,
                seen.retried,
                seen.lost,
                millis(worst),
            ));
            let p50 = percentile(&seen.recovery, 50).map(millis);
            rows.push(json!({
                "how": how, "round": round, "calls": seen.calls, "failed": seen.failed,
                "retried": seen.retried, "lost": seen.lost,
                "recovery_p50_ms": p50, "recovery_worst_ms": millis(worst),
            }));
        }
        series.push(Series {
            name: how.into(),
            points,
        });
    }
    let title = "Time until the slowest caller has another provider";
    Ok(Outcome {
        figures: json!({ "title": title, "callers": CALLERS, "rounds": rows }),
        plot: Plot {
            title: title.into(),
            x: "round".into(),
            y: "ms".into(),
            series,
        },
    })
}

async fn one_round(kill: bool) -> anyhow::Result<Seen> {
    let nodes = local_network(4).await?;
    let bootstrap = nodes[0].listen_addresses();
    let name: Address = NAME.parse()?;
    let provider = || -> anyhow::Result<_> {
        let hosting = agent(&name, CAPABILITY)?;
        Ok(Killable::start(local(&bootstrap).host(hosting)))
    };
    let (first, second) = (provider()?.await?, provider()?.await?);
    let capability: Capability = CAPABILITY.parse()?;
    let begun = Instant::now();
    while providers(&nodes[1], &capability).await.len() < 2 {
        let waited = begun.elapsed() < Duration::from_secs(30);
        anyhow::ensure!(waited, "the providers were not found in 30 s");
    }
    // Everybody begins with the one that will end.
    let ending = first.node.peer_id();
    let ended = Arc::new(Mutex::new(None));
    let until = Instant::now() + AROUND * 2;
    let callers = (0..CALLERS).map(|_| {
        let (node, name, capability) = (nodes[1].clone(), name.clone(), capability.clone());
        call_all_along(node, name, capability, ending, ended.clone(), until)
    });
    let mut callers: tokio::task::JoinSet<_> = callers.collect();
    tokio::time::sleep(AROUND).await;
    *ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    if kill {
        first.kill();
    } else {
        first.stop().await?;
    }
    let mut seen = Seen::default();
    while let Some(one) = callers.join_next().await {
        let one = one.context("a caller panicked")?;
        seen.calls += one.calls;
        seen.failed += one.failed;
        seen.retried += one.retried;
        seen.lost += one.lost;
        seen.recovery.extend(one.recovery);
    }
    second.stop().await?;
    stop(nodes).await?;
    Ok(seen)
}

async fn providers(node: &Node, capability: &Capability) -> Vec<PeerId> {
    let found = node.find(Query::Capability(capability.clone()));
    found
        .filter_map(async |item| item.ok().map(|provider| provider.peer))
        .collect()
        .await
}

/// One of the callers.
async fn call_all_along(
    node: Node,
    name: Address,
    capability: Capability,
    first: PeerId,
    ended: Arc<Mutex<Option<Instant>>>,
    until: Instant,
) -> Seen {
    let mut seen = Seen::default();
    let mut provider = first;
    while Instant::now() < until {
        seen.calls += 1;
        for attempt in 0..TRIES {
            let call = Call::to(name.pinned(provider), "who").params(());
            let answer = call.timeout(TIMEOUT).send::<String>(&node).await;
            if answer.is_ok() {
                if attempt > 0 {
                    seen.retried += 1;
                    let since = *ended.lock().unwrap_or_else(PoisonError::into_inner);
                    let since = since.map(|since| since.elapsed());
                    seen.recovery.extend(since);
                }
                break;
            }
            seen.failed += u64::from(attempt == 0);
            seen.lost += u64::from(attempt + 1 == TRIES);
            // The first that confirms and is another one.
            let mut found = node.find(Query::Capability(capability.clone()));
            while let Some(item) = found.next().await {
                if let Ok(other) = item
                    && other.peer != provider
                {
                    provider = other.peer;
                    break;
                }
            }
        }
    }
    seen
}
