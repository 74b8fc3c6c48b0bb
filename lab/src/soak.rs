//! Many nodes in one process under churn, calls and partitions that follow from a seed.

mod agent;
mod calls;
mod fleet;
mod plan;
mod report;
mod run;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use o_core::{Priority, Shape};

use self::{
    calls::Ended,
    fleet::{Fleet, Sample},
    plan::{Action, CallPlan, LONG, Plan},
    run::Run,
};
pub use self::{
    plan::Config,
    report::{Counts, Report},
};
use crate::warn;

/// How long all nodes may take to reach each other again.
const HEALING: Duration = Duration::from_secs(60);
/// How long the numbers may take to come to rest.
const QUIET: Duration = Duration::from_secs(30);
/// How many tasks more than at first there may be at rest, for each node: its connections for the
/// table come and go.
const MORE_TASKS: usize = 8;
/// How much more memory than at first may be taken at rest: what the allocator keeps of the peak.
const MORE_MEMORY: u64 = 64 * 1024 * 1024;

/// Runs it. An error means that the run itself could not go on; what it found is in the report.
///
/// # Errors
/// A node that does not start.
///
/// # Cancel safety
/// Dropping the future drops the nodes.
pub async fn run(config: Config) -> anyhow::Result<Report> {
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let before = tasks();
    let fleet = Arc::new(Fleet::new(&config)?);
    let mut report = Report::new(&config);
    for index in 0..fleet.len() {
        fleet.start(index).await?;
    }
    warn(format_args!("{} nodes are up, warming up", fleet.len()));
    warm_up(&fleet, &config, &mut report).await;
    let baseline = at_rest(&fleet, None).await;
    warn(format_args!("baseline: {baseline:?}"));

    let mut run = Run::new(fleet.clone(), report);
    run.follow(&config).await;
    let mut report = run.finish().await;
    report.healed_in = all_reach_all(&fleet, &mut report, HEALING).await;
    let end = at_rest(&fleet, Some(baseline)).await;
    compare(&mut report, baseline, end, fleet.len());
    for index in 0..fleet.len() {
        if let Err(error) = fleet.stop(index).await {
            report.fail(format!("{error:#}"));
        }
    }
    report.stopped(&fleet);
    drop(fleet);
    let deadline = Instant::now() + Duration::from_secs(10);
    while tasks() > before && Instant::now() < deadline {
        tokio::time::sleep(crate::network::LOOK).await;
    }
    report.tasks_left = tasks().saturating_sub(before);
    if report.tasks_left > 0 {
        let left = report.tasks_left;
        report.fail(format!("{left} tasks are left when all nodes have stopped"));
    }
    Ok(report)
}

/// Calls of every kind between all pairs, so that what is made once is made before the baseline.
async fn warm_up(fleet: &Arc<Fleet>, config: &Config, report: &mut Report) {
    if all_reach_all(fleet, report, HEALING).await.is_none() {
        return;
    }
    let length = config.length.min(Duration::from_secs(5));
    let warming = Config {
        length,
        seed: !config.seed,
        ..config.clone()
    };
    let calls: Vec<_> = Plan::new(&warming)
        .filter_map(|(_, action)| match action {
            Action::Call(call) => Some(call),
            _ => None,
        })
        .collect();
    for calls in calls.chunks(64) {
        let calls = calls.iter().filter_map(|call| {
            let node = fleet.node(call.from)?;
            Some(calls::make(node, fleet.name(call.to), call.clone()))
        });
        futures::future::join_all(calls).await;
    }
}

/// Waits until every node has called every other one, and says how long it took.
async fn all_reach_all(
    fleet: &Arc<Fleet>,
    report: &mut Report,
    limit: Duration,
) -> Option<Duration> {
    let begun = Instant::now();
    let all = 0..fleet.len();
    let mut missing: Vec<_> = all
        .clone()
        .flat_map(|from| all.clone().map(move |to| (from, to)))
        .filter(|(from, to)| from != to)
        .collect();
    let mut last = String::new();
    while begun.elapsed() < limit {
        let mut failed = Vec::new();
        for pairs in missing.chunks(64) {
            let calls = pairs.iter().map(|pair| async {
                let Some(node) = fleet.node(pair.0) else {
                    return Some((*pair, "the caller is down".to_owned()));
                };
                match calls::make(node, fleet.name(pair.1), greeting(*pair)).await {
                    Ended::Replied(_) => None,
                    other => Some((*pair, format!("{other:?}"))),
                }
            });
            failed.extend(futures::future::join_all(calls).await.into_iter().flatten());
        }
        if failed.is_empty() {
            return Some(begun.elapsed());
        }
        last = failed
            .first()
            .map(|found| found.1.clone())
            .unwrap_or_default();
        missing = failed.into_iter().map(|(pair, _)| pair).collect();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    report.fail(format!(
        "after {limit:?} {} pairs of nodes cannot call, {:?} of them: {last}",
        missing.len(),
        missing.first(),
    ));
    None
}

fn greeting((from, to): (usize, usize)) -> CallPlan {
    CallPlan {
        from,
        to,
        shape: Shape::Unary,
        priority: Priority::Normal,
        size: 32,
        items: 1,
        linger: Duration::ZERO,
        deadline: LONG,
        cancel_after: None,
        seed: from as u64,
    }
}

/// Waits until nothing runs and the connections of calls are closed, or at most [`QUIET`].
async fn at_rest(fleet: &Arc<Fleet>, baseline: Option<Sample>) -> Sample {
    let deadline = Instant::now() + QUIET;
    let mut quiet_since = Instant::now();
    let mut last = fleet.sample();
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let sample = fleet.sample();
        if (sample.tasks, sample.links) != (last.tasks, last.links) {
            quiet_since = Instant::now();
        }
        last = sample;
        let rested = quiet_since.elapsed() > Duration::from_secs(5);
        let back = baseline
            .is_none_or(|at_first| sample.tasks <= at_first.tasks + MORE_TASKS * fleet.len());
        if rested && back || Instant::now() > deadline {
            return sample;
        }
    }
}

fn compare(report: &mut Report, baseline: Sample, end: Sample, nodes: usize) {
    report.samples = Some((baseline, end));
    let mut grew = |what: &str, from: u64, to: u64, more: u64| {
        if to > from + more {
            report.fail(format!("{what} grew from {from} to {to} at rest"));
        }
    };
    let tasks = (MORE_TASKS * nodes) as u64;
    grew("tasks", baseline.tasks as u64, end.tasks as u64, tasks);
    grew("memory", baseline.resident, end.resident, MORE_MEMORY);
    grew("handlers", 0, end.handlers, 0);
    grew("leases", 0, end.leases as u64, 0);
    grew("waiters", 0, end.waiters as u64, 0);
    let links = baseline.links as u64;
    grew("links", links, end.links as u64, 2 * nodes as u64);
}
