//! The leader of a tree is killed: what its children can still do, and how soon all is as before.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, bail};
use futures::{StreamExt as _, future::join_all, stream};
use o_address::Address;
use o_core::NetworkId;
use o_discovery::registry::{Entry, Registry, SearchRequest};
use o_node::{CallerExt as _, EnvelopeVerifier, Node};
use o_protocol::{Call, verify_record};
use serde_json::json;

use super::{Outcome, Size};
use crate::{
    figures::millis,
    members::{Driven, Member, Plan, observer},
    plot::{Plot, Series},
    rng::Rng,
    say,
};

/// For how long there is no leader.
const OUTAGE: Duration = Duration::from_secs(8);
/// Names that each child knows: it has called them before.
const KNOWN: usize = 5;
/// How often the registry is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Longest time that anything may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Processes that start at once.
const STARTING: usize = 4;
/// For how long children come and go.
const CHURN: Duration = Duration::from_secs(60);

/// For each number of children: the leader is killed while they call each other, and comes back with
/// its key.
pub(super) async fn run(size: &Size) -> anyhow::Result<Outcome> {
    let mut rows = Vec::new();
    let mut series = [
        ("a new agent is registered", Vec::new()),
        ("all children are registered again", Vec::new()),
    ];
    for count in &size.nodes {
        let row = one(*count, size.time(CHURN)).await?;
        say(format_args!(
            "{count:>3} children  calls answered {} of {} ({:.2} %)  new agent registered {:.0} ms after the leader is back  all back {:.0} ms  exact {:.0} ms after {} were replaced in a minute",
            row.calls.answered,
            row.calls.answered + row.calls.failed,
            row.percent(),
            millis(row.registered),
            millis(row.back),
            millis(row.exact),
            row.replaced,
        ));
        series[0].1.push((*count as f64, millis(row.registered)));
        series[1].1.push((*count as f64, millis(row.back)));
        rows.push(json!({
            "children": count,
            "answered": row.calls.answered,
            "failed": row.calls.failed,
            "answered_percent": row.percent(),
            "registered_after_ms": millis(row.registered),
            "all_back_after_ms": millis(row.back),
            "replaced_in_a_minute": row.replaced,
            "registry_exact_after_ms": millis(row.exact),
        }));
    }
    let title = "After the leader was killed and came back";
    let series = series.map(|(name, points)| Series {
        name: name.to_owned(),
        points,
    });
    Ok(Outcome {
        figures: json!({ "title": title, "outage_ms": millis(OUTAGE), "by_children": rows }),
        plot: Plot {
            title: title.into(),
            x: "children".into(),
            y: "ms".into(),
            series: series.into(),
        },
    })
}

struct Row {
    calls: Driven,
    /// From when the leader listens again.
    registered: Duration,
    back: Duration,
    /// Children that were killed and replaced after that, and how long after the last of them the registry
    /// held exactly those that were there.
    replaced: usize,
    exact: Duration,
}

impl Row {
    fn percent(&self) -> f64 {
        let all = (self.calls.answered + self.calls.failed).max(1);
        100.0 * self.calls.answered as f64 / all as f64
    }
}

async fn one(count: usize, time: Duration) -> anyhow::Result<Row> {
    let mut plan = Plan {
        name: "o://lab".into(),
        seed: "leader".into(),
        ..Plan::default()
    };
    let leader = Member::start(&plan).await?;
    plan.listen = leader.address.without_peer();
    let home = leader.address.clone();
    let child = |name: String| Plan {
        seed: format!("leader {name}"),
        name,
        parent: Some(home.clone()),
        ..Plan::default()
    };
    let plans: Vec<_> = (0..count).map(|n| child(format!("o://lab/n{n}"))).collect();
    let children: Vec<_> = stream::iter(plans.iter().map(Member::start))
        .buffer_unordered(STARTING)
        .collect()
        .await;
    let mut children: Vec<Member> = children.into_iter().collect::<Result<_, _>>()?;
    let everybody: Vec<_> = children.iter().chain([&leader]).collect();
    let asking = observer(&everybody).await?;
    registered(&asking, &leader, count + 1).await?;
    let late = child("o://lab/late".into());
    let mut rng = Rng::new(3);
    let known = drawn(&children, &mut rng);
    // So that they are known.
    calls(&asking, &children, &known, Duration::from_secs(2)).await?;

    leader.kill().await?;
    let calls = calls(&asking, &children, &known, OUTAGE).await?;
    let leader = Member::start(&plan).await?;
    let begun = Instant::now();
    asking.connect(&leader.address).await?;
    let late = Member::start(&late).await?;
    let late_registered = async {
        found(&asking, &leader, &late.name).await?;
        anyhow::Ok(begun.elapsed())
    };
    let back = async {
        registered(&asking, &leader, count + 2).await?;
        anyhow::Ok(begun.elapsed())
    };
    let (registered, back) = futures::try_join!(late_registered, back)?;
    children.push(late);
    let replaced = churn(&mut children, &child, time, &mut rng).await?;
    let begun = Instant::now();
    exactly(&asking, &leader, &children).await?;
    let exact = begun.elapsed();
    Ok(Row {
        calls,
        registered,
        back,
        replaced,
        exact,
    })
}

/// A tenth of the children, at least two, is killed and replaced within a minute; how many.
async fn churn(
    children: &mut Vec<Member>,
    child: &impl Fn(String) -> Plan,
    time: Duration,
    rng: &mut Rng,
) -> anyhow::Result<usize> {
    let replaced = (children.len() / 10).max(2);
    let pause = time / u32::try_from(2 * replaced)?;
    for n in 0..replaced {
        let victim = rng.index(children.len());
        children.swap_remove(victim).kill().await?;
        tokio::time::sleep(pause).await;
        children.push(Member::start(&child(format!("o://lab/again{n}"))).await?);
        tokio::time::sleep(pause).await;
    }
    Ok(replaced)
}

/// Names of children that each child knows, drawn at random.
fn drawn(children: &[Member], rng: &mut Rng) -> Vec<Vec<Address>> {
    let one = |rng: &mut Rng| children[rng.index(children.len())].name.clone();
    let each = children
        .iter()
        .map(|_| (0..KNOWN).map(|_| one(rng)).collect());
    each.collect()
}

/// Waits until the leader's registry holds the leader and these, and nobody else.
async fn exactly(asking: &Node, leader: &Member, children: &[Member]) -> anyhow::Result<()> {
    let at = Registry::address().pinned(leader.peer);
    let mut request = SearchRequest::default();
    request.all = vec!["below:o://lab".into()];
    let there: BTreeSet<_> = children.iter().chain([leader]).map(|m| m.peer).collect();
    let begun = Instant::now();
    let mut held = BTreeSet::new();
    while begun.elapsed() < PATIENCE {
        if let Ok(found) = asking.stream_typed::<Entry>(&at, "search", &request).await {
            let found: Vec<_> = found.collect().await;
            let found = found.into_iter().flatten().filter_map(|entry| {
                let (now, network) = (SystemTime::now(), NetworkId::default());
                verify_record(entry.record.0, &EnvelopeVerifier, now, &network).ok()
            });
            held = found.map(|record| record.record().peer).collect();
            if held == there {
                return Ok(());
            }
        }
        tokio::time::sleep(LOOK).await;
    }
    bail!("the registry holds at last {held:?} and not {there:?}")
}

/// All children call those that they know for so long.
async fn calls(
    asking: &Node,
    children: &[Member],
    known: &[Vec<Address>],
    time: Duration,
) -> anyhow::Result<Driven> {
    let time_ms = u64::try_from(time.as_millis())?;
    let driving = children.iter().zip(known).map(|(child, known)| {
        let target = child.name.pinned(child.peer);
        let call = Call::to(&target, "drive").params((known, time_ms));
        call.timeout(time + PATIENCE).send::<Driven>(asking)
    });
    let mut sum = Driven::default();
    for driven in join_all(driving).await {
        let driven = driven?;
        sum.answered += driven.answered;
        sum.failed += driven.failed;
    }
    Ok(sum)
}

/// Waits until the leader's registry holds so many.
async fn registered(asking: &Node, leader: &Member, count: usize) -> anyhow::Result<()> {
    let at = Registry::address().pinned(leader.peer);
    let begun = Instant::now();
    let mut last = None;
    while begun.elapsed() < PATIENCE {
        let status = asking
            .call_typed::<serde_json::Value>(&at, "status", &())
            .await;
        match status {
            Ok(status) if status["entries"] == count => return Ok(()),
            other => last = Some(other),
        }
        tokio::time::sleep(LOOK).await;
    }
    bail!("the registry holds at last: {last:?}, not {count}")
}

/// Waits until the leader's registry itself holds a name.
async fn found(asking: &Node, leader: &Member, name: &Address) -> anyhow::Result<()> {
    let at = Registry::address().pinned(leader.peer);
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let mut request = SearchRequest::default();
        request.name = Some(name.to_string());
        let search = asking.stream_typed::<Entry>(&at, "search", &request);
        if let Ok(mut found) = search.await
            && found.next().await.is_some_and(|found| found.is_ok())
        {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(anyhow::anyhow!("{name} is never registered")).context("after the leader was back")
}
