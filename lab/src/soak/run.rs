//! Follows the plan of a soak and takes in how each call ended.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use o_core::CallError;
use tokio::{task::JoinSet, time::timeout};

use super::{
    calls::{self, Ended, SLACK},
    fleet::Fleet,
    plan::{Action, CallPlan, Config, LONG, Plan},
    report::Report,
};
use crate::warn;

/// Most calls at once; what the plan asks for beyond that is left out and counted.
const MAX_CALLS: usize = 512;

/// The part of a soak that follows the plan.
pub(super) struct Run {
    fleet: Arc<Fleet>,
    report: Report,
    calls: JoinSet<(CallPlan, bool, Duration, Ended)>,
    changes: JoinSet<anyhow::Result<()>>,
    begun: Instant,
    divided: bool,
}

impl Run {
    pub(super) fn new(fleet: Arc<Fleet>, report: Report) -> Self {
        Self {
            fleet,
            report,
            calls: JoinSet::new(),
            changes: JoinSet::new(),
            begun: Instant::now(),
            divided: false,
        }
    }

    pub(super) async fn follow(&mut self, config: &Config) {
        let mut next_line = Duration::from_secs(1);
        for (at, action) in Plan::new(config) {
            while self.begun.elapsed() < at {
                let wait = at.min(next_line).saturating_sub(self.begun.elapsed());
                tokio::time::sleep(wait).await;
                if self.begun.elapsed() >= next_line {
                    next_line += Duration::from_secs(1);
                    self.progress();
                }
            }
            self.collect();
            self.act(action).await;
        }
    }

    async fn act(&mut self, action: Action) {
        let fleet = self.fleet.clone();
        match action {
            Action::Call(plan) => self.call(plan),
            Action::Stop(node) => {
                self.report.stops += 1;
                self.changes.spawn(async move { fleet.stop(node).await });
            }
            Action::Start(node) => {
                self.changes.spawn(async move { fleet.start(node).await });
            }
            Action::Split(side) => {
                self.report.splits += 1;
                self.divided = true;
                fleet.divide(&side).await;
            }
            Action::Heal => {
                self.divided = false;
                fleet.divide(&[]).await;
            }
        }
    }

    fn call(&mut self, plan: CallPlan) {
        let Some(node) = self.fleet.node(plan.from) else {
            return;
        };
        if self.calls.len() >= MAX_CALLS {
            self.report.counts.left_out += 1;
            return;
        }
        self.report.counts.begun += 1;
        let fleet = self.fleet.clone();
        let target = fleet.name(plan.to);
        self.calls.spawn(async move {
            let begun = Instant::now();
            let ended = calls::make(node, target, plan.clone()).await;
            let settled = fleet.settled(plan.from, plan.to, begun);
            (plan, settled, begun.elapsed(), ended)
        });
    }

    /// Takes in what has ended.
    fn collect(&mut self) {
        while let Some(call) = self.calls.try_join_next() {
            self.ended(call);
        }
        while let Some(change) = self.changes.try_join_next() {
            self.changed(change);
        }
    }

    fn ended(&mut self, call: Result<(CallPlan, bool, Duration, Ended), tokio::task::JoinError>) {
        let (plan, settled, took, ended) = match call {
            Ok(call) => call,
            Err(error) => return self.report.fail(format!("a call panicked: {error}")),
        };
        let counts = &mut self.report.counts;
        let what = match ended {
            Ended::Replied(bytes) => {
                counts.replied += 1;
                counts.bytes += bytes as u64;
                return;
            }
            Ended::Cancelled => {
                counts.cancelled += 1;
                return;
            }
            Ended::Never => "never ended".to_owned(),
            Ended::Wrong(what) => what,
            Ended::Failed(error) => {
                counts.count_error(&error);
                let short = plan.deadline < LONG;
                if may_happen(&error) && !(settled && unexplained(&error, short)) {
                    return;
                }
                format!("{error:?}, settled: {settled}")
            }
        };
        let at = self.begun.elapsed();
        self.report
            .fail(format!("at {at:.1?} after {took:.1?}: {what}; {plan:?}"));
    }

    fn changed(&mut self, change: Result<anyhow::Result<()>, tokio::task::JoinError>) {
        match change {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.report.fail(format!("{error:#}")),
            Err(error) => self.report.fail(format!("a change panicked: {error}")),
        }
    }

    fn progress(&mut self) {
        let sample = self.fleet.sample();
        self.report.watch(&sample);
        let counts = &self.report.counts;
        warn(format_args!(
            "{:>4.0} s  up {:>2}{}  running {:>3}  ended {:>6}  replied {:>6}  cancelled {:>5}  errors {:>5}  tasks {:>4}  links {:>4}  {:>4} MiB  failures {}",
            self.begun.elapsed().as_secs_f64(),
            self.fleet.up(),
            if self.divided { " divided" } else { "" },
            self.calls.len(),
            counts.begun - self.calls.len() as u64,
            counts.replied,
            counts.cancelled,
            counts.errors.values().sum::<u64>(),
            sample.tasks,
            sample.links,
            sample.resident >> 20,
            self.report.failed(),
        ));
    }

    /// Heals, starts everybody, and waits for what still runs.
    pub(super) async fn finish(mut self) -> Report {
        self.fleet.divide(&[]).await;
        let limit = LONG + 2 * SLACK;
        while let Ok(Some(call)) = timeout(limit, self.calls.join_next()).await {
            self.ended(call);
        }
        while let Ok(Some(change)) = timeout(limit, self.changes.join_next()).await {
            self.changed(change);
        }
        let (calls, changes) = (self.calls.len(), self.changes.len());
        if calls + changes > 0 {
            self.report
                .fail(format!("{calls} calls and {changes} changes never ended"));
        }
        for index in 0..self.fleet.len() {
            let started = self.fleet.start(index).await.context("at the end");
            self.changed(Ok(started));
        }
        self.report
    }
}

/// Errors that nodes which come and go may give; all others are faults.
fn may_happen(error: &CallError) -> bool {
    matches!(
        error,
        CallError::NotFound { .. }
            | CallError::Unreachable { .. }
            | CallError::Refused { .. }
            | CallError::TimedOut { .. }
            | CallError::Busy { .. }
            | CallError::Cancelled
            | CallError::ConnectionLost { .. }
            | CallError::ShuttingDown
    )
}

/// Errors that nothing explains when both nodes are up and nothing changed between them.
fn unexplained(error: &CallError, short_deadline: bool) -> bool {
    match error {
        CallError::Busy { .. } => false,
        CallError::TimedOut { .. } => !short_deadline,
        _ => true,
    }
}
