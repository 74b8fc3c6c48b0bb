//! What is known of one peer, as a state machine: observations and `now` in, a score and a standing out.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    ReputationConfig,
    outcome::{CallCounts, Outcome},
};
use crate::balance::Standing;

/// What unknown peers are given: as if two calls had succeeded and one had failed.
const PRIOR: (f64, f64) = (2.0, 1.0);
/// How many of its latest calls a method is judged by, about.
const MEMORY: f64 = 20.0;
/// How fast picks are forgotten, and a latency that is not measured again.
const FADE: Duration = Duration::from_secs(10);
/// Connections take all of their calls with them: within this time that is one failure.
const ONE_LOSS: Duration = Duration::from_secs(1);
/// Beyond so many doublings every backoff is at its most.
const MAX_DOUBLINGS: u32 = 16;

/// Good and bad observations, which fade.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) good: f64,
    pub(super) bad: f64,
}

impl Tally {
    pub(super) fn fade(&mut self, elapsed: Duration, half_life: Duration) {
        let factor = faded(1.0, elapsed, half_life);
        self.good *= factor;
        self.bad *= factor;
    }
}

/// What is left of a value after some time.
pub(super) fn faded(value: f64, elapsed: Duration, half_life: Duration) -> f64 {
    value * (-elapsed.as_secs_f64() / half_life.as_secs_f64().max(1e-9)).exp2()
}

/// Setting a peer aside after failures: each doubles the time, a success ends it.
#[derive(Clone, Copy, Debug, Default)]
struct Backoff {
    failures: u32,
    until: Option<Instant>,
}

impl Backoff {
    fn failed(&mut self, patience: u32, config: &ReputationConfig, now: Instant) {
        // Calls that were under way when it was set aside tell nothing new.
        if self.until.is_some_and(|until| now < until) {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        let Some(doublings) = self.failures.checked_sub(patience.max(1)) else {
            return;
        };
        let factor = 1 << doublings.min(MAX_DOUBLINGS);
        let time = config.set_aside.saturating_mul(factor);
        self.until = now.checked_add(time.min(config.max_set_aside));
    }

    fn left(&self, now: Instant) -> Option<Duration> {
        let left = self.until?.checked_duration_since(now)?;
        (!left.is_zero()).then_some(left)
    }
}

/// What is known of one method of a peer.
#[derive(Clone, Debug)]
pub(super) struct Method {
    pub(super) name: Arc<str>,
    /// In seconds; `None` before the first answer.
    pub(super) latency: Option<f64>,
    pub(super) tally: Tally,
    pub(super) calls: u64,
    /// Those that were answered, in this run.
    pub(super) succeeded: u64,
    /// How often it was picked lately.
    picked: f64,
    picked_at: Instant,
    lost_at: Option<Instant>,
    /// When something was last observed of it.
    at: Instant,
    backoff: Backoff,
}

impl Method {
    pub(super) fn new(name: Arc<str>, now: Instant) -> Self {
        Self {
            name,
            latency: None,
            tally: Tally::default(),
            calls: 0,
            succeeded: 0,
            picked: 0.0,
            picked_at: now,
            lost_at: None,
            at: now,
            backoff: Backoff::default(),
        }
    }

    fn observe(
        &mut self,
        outcome: Outcome,
        took: Duration,
        config: &ReputationConfig,
        at: Instant,
    ) {
        let elapsed = at.saturating_duration_since(self.at);
        // Where nothing has faded yet that could be noticed, nothing is computed.
        if elapsed > config.half_life / 256 {
            self.tally.fade(elapsed, config.half_life);
        }
        self.at = at;
        self.calls = self.calls.saturating_add(1);
        let bad = match outcome {
            Outcome::Succeeded => 0.0,
            Outcome::Failed | Outcome::TimedOut => 1.0,
            Outcome::Lied => 4.0,
            Outcome::Lost => {
                let since = self.lost_at.replace(at);
                let apart =
                    since.is_none_or(|since| at.saturating_duration_since(since) > ONE_LOSS);
                f64::from(u8::from(apart))
            }
            // Nothing ran: that is a matter of the peer, not of the method.
            Outcome::Unreachable | Outcome::Refused | Outcome::Busy | Outcome::Mistaken => return,
        };
        if outcome == Outcome::Succeeded {
            self.tally.good += 1.0;
            self.succeeded = self.succeeded.saturating_add(1);
            self.backoff = Backoff::default();
        } else {
            self.tally.bad += bad;
            if matches!(outcome, Outcome::Failed | Outcome::TimedOut) {
                // One failure may be the caller's own; of two in a row the peer has the blame.
                self.backoff.failed(2, config, at);
            } else if outcome == Outcome::Lied {
                self.backoff.failed(1, config, at);
            }
        }
        let sum = self.tally.good + self.tally.bad;
        if sum > MEMORY {
            self.tally.good *= MEMORY / sum;
            self.tally.bad *= MEMORY / sum;
        }
        if matches!(outcome, Outcome::Succeeded | Outcome::TimedOut) {
            self.latency = Some(averaged(self.latency, took));
        }
    }

    fn latency(&self, now: Instant) -> Option<Duration> {
        let idle = now.saturating_duration_since(self.at);
        let seconds = faded(self.latency?, idle.saturating_sub(FADE), FADE);
        Duration::try_from_secs_f64(seconds).ok()
    }
}

/// An exponential average that follows slower answers faster than quicker ones.
fn averaged(average: Option<f64>, took: Duration) -> f64 {
    let took = took.as_secs_f64();
    match average {
        None => took,
        Some(average) if took > average => average + (took - average) / 2.0,
        Some(average) => average + (took - average) / 8.0,
    }
}

/// What is known of one peer.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(super) counts: CallCounts,
    pub(super) tally: Tally,
    /// Over all methods, in seconds.
    pub(super) latency: Option<f64>,
    pub(super) methods: Vec<Method>,
    /// When something was last observed, and whether anything was.
    pub(super) at: Instant,
    /// How long before `at` that was: it may have been in an earlier run.
    pub(super) before: Duration,
    pub(super) observed: bool,
    /// Whether it was since it was last saved.
    pub(super) changed: bool,
    backoff: Backoff,
    /// Lies, faded since `lied_at`: they weigh on every method.
    pub(super) lied: f64,
    lied_at: Instant,
}

impl Known {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            counts: CallCounts::default(),
            tally: Tally::default(),
            latency: None,
            methods: Vec::new(),
            at: now,
            before: Duration::ZERO,
            observed: false,
            changed: false,
            backoff: Backoff::default(),
            lied: 0.0,
            lied_at: now,
        }
    }

    /// A call has ended at `now`, after `took`.
    pub(crate) fn observe(
        &mut self,
        method: &Arc<str>,
        outcome: Outcome,
        took: Duration,
        config: &ReputationConfig,
        now: Instant,
    ) {
        self.count(outcome, config, now);
        if outcome == Outcome::Succeeded {
            self.latency = Some(averaged(self.latency, took));
        }
        let method = self.method(method, config.max_methods, now);
        method.observe(outcome, took, config, now);
    }

    /// Something was observed of it at `now`, whatever the method.
    pub(crate) fn count(&mut self, outcome: Outcome, config: &ReputationConfig, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at);
        if elapsed > config.half_life / 256 {
            self.tally.fade(elapsed, config.half_life);
        }
        (self.at, self.before) = (now, Duration::ZERO);
        (self.observed, self.changed) = (true, true);
        self.counts.add(outcome);
        self.tally.bad += outcome.weight();
        if outcome == Outcome::Lied {
            self.lied = self.lies(config.half_life, now) + 1.0;
            self.lied_at = now;
        }
        if outcome == Outcome::Succeeded {
            self.tally.good += 1.0;
            self.backoff = Backoff::default();
        } else if outcome.is_of_connection() {
            self.backoff.failed(1, config, now);
        }
    }

    /// How often it has lied, the more recent the more.
    pub(super) fn lies(&self, half_life: Duration, now: Instant) -> f64 {
        let elapsed = now.saturating_duration_since(self.lied_at);
        faded(self.lied, elapsed, half_life)
    }

    /// A call was given up after this time, because another was quicker or nobody waited for it: it would
    /// have taken at least so long.
    pub(crate) fn gave_up(&mut self, method: &Arc<str>, took: Duration, max: usize, now: Instant) {
        let method = self.method(method, max, now);
        if method
            .latency
            .is_none_or(|known| known < took.as_secs_f64())
        {
            method.latency = Some(averaged(method.latency, took));
            method.at = now;
        }
    }

    /// How many calls of a method were answered, as far as is known: the count begins anew with the row.
    pub(super) fn succeeded(&self, method: &str) -> u64 {
        let known = self.methods.iter().find(|known| &*known.name == method);
        known.map_or(0, |known| known.succeeded)
    }

    /// The balancer has picked it for a call.
    pub(crate) fn picked(&mut self, method: &Arc<str>, max: usize, now: Instant) {
        let method = self.method(method, max, now);
        let elapsed = now.saturating_duration_since(method.picked_at);
        method.picked = faded(method.picked, elapsed, FADE) + 1.0;
        method.picked_at = now;
    }

    /// What the balancer wants to know.
    pub(crate) fn standing(&self, method: &str, half_life: Duration, now: Instant) -> Standing {
        let known = self.methods.iter().find(|known| &*known.name == method);
        let aside = self.backoff.left(now);
        let failures = self.backoff.failures;
        let honest = 1.0 / (1.0 + self.lies(half_life, now));
        let Some(known) = known else {
            let mut tally = self.tally;
            tally.fade(now.saturating_duration_since(self.at), half_life);
            return Standing {
                success: hopeful(tally) * honest,
                aside,
                on_trial: failures > 0,
                ..Standing::default()
            };
        };
        let mut tally = known.tally;
        tally.fade(now.saturating_duration_since(known.at), half_life);
        let elapsed = now.saturating_duration_since(known.picked_at);
        Standing {
            latency: known.latency(now),
            success: hopeful(tally) * honest,
            picked: faded(known.picked, elapsed, FADE),
            aside: aside.max(known.backoff.left(now)),
            on_trial: failures > 0 || known.backoff.until.is_some(),
            in_flight: 0,
        }
    }

    /// How well it did, from 0 to 1: the expected value of the beta distribution of its good and bad
    /// calls (Jøsang and Ismail, "The Beta Reputation System", 2002), which are forgotten with
    /// `half_life`.
    pub(crate) fn score(&self, half_life: Duration, now: Instant) -> f64 {
        let mut tally = self.tally;
        tally.fade(now.saturating_duration_since(self.at), half_life);
        (tally.good + PRIOR.0) / (tally.good + tally.bad + PRIOR.0 + PRIOR.1)
    }

    /// How much longer calls go elsewhere, if there is an elsewhere.
    pub(crate) fn aside(&self, now: Instant) -> Option<Duration> {
        self.backoff.left(now)
    }

    /// The row of a method; of too many, the one that was not called for the longest makes room.
    fn method(&mut self, name: &Arc<str>, max: usize, now: Instant) -> &mut Method {
        let at = self.methods.iter().position(|known| known.name == *name);
        let at = at.unwrap_or_else(|| {
            if self.methods.len() >= max.max(1) {
                let idle = self
                    .methods
                    .iter()
                    .enumerate()
                    .min_by_key(|(_, known)| known.at);
                if let Some((idle, _)) = idle {
                    self.methods.swap_remove(idle);
                }
            }
            self.methods.push(Method::new(name.clone(), now));
            self.methods.len() - 1
        });
        &mut self.methods[at]
    }
}

/// The share of calls that succeed, where nothing is held against whom nothing is known of.
fn hopeful(tally: Tally) -> f64 {
    (tally.good + 1.0) / (tally.good + tally.bad + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const S: Duration = Duration::from_secs(1);

    struct Peer(Known, ReputationConfig, Instant);

    impl Peer {
        fn new() -> Self {
            let now = Instant::now();
            Self(Known::new(now), ReputationConfig::default(), now)
        }

        fn see(&mut self, outcome: Outcome) -> &mut Self {
            self.0.observe(&"m".into(), outcome, MS, &self.1, self.2);
            self
        }

        fn after(&mut self, time: Duration) -> &mut Self {
            self.2 += time;
            self
        }

        fn score(&self) -> f64 {
            self.0.score(self.1.half_life, self.2)
        }

        fn standing(&self) -> Standing {
            self.0.standing("m", self.1.half_life, self.2)
        }
    }

    #[test]
    fn a_score_begins_in_the_upper_middle_and_moves_with_what_is_seen() {
        let mut peer = Peer::new();
        assert!((peer.score() - 2.0 / 3.0).abs() < 1e-9);
        for _ in 0..30 {
            peer.see(Outcome::Succeeded);
        }
        assert!(peer.score() > 0.95);
        let [mut failing, mut lying] = [Peer::new(), Peer::new()];
        for _ in 0..3 {
            failing.see(Outcome::Failed);
            lying.see(Outcome::Lied);
        }
        assert!(failing.score() > 0.5, "{}", failing.score());
        assert!(lying.score() < 0.2, "{}", lying.score());
        // Whatever it lied about, no method of it is as good as it was.
        let told = Arc::from("told");
        lying
            .0
            .observe(&told, Outcome::Succeeded, MS, &lying.1, lying.2);
        let after = lying.0.standing("told", lying.1.half_life, lying.2);
        assert!(after.success < 0.3, "{after:?}");
        let later = lying.2 + 20 * lying.1.half_life;
        assert!(lying.0.standing("told", lying.1.half_life, later).success > 0.9);
        // What the caller did wrong says nothing.
        let before = lying.score();
        assert!((lying.see(Outcome::Mistaken).score() - before).abs() < 1e-9);
        assert_eq!((lying.0.counts.calls(), lying.0.counts.failures()), (2, 3));
    }

    #[test]
    fn what_was_seen_is_forgotten_by_halves_and_the_counts_are_not() {
        let mut peer = Peer::new();
        for _ in 0..10 {
            peer.see(Outcome::Lost);
        }
        let low = peer.score();
        assert!(low < 0.2);
        peer.after(S * 600);
        assert!((peer.score() - 2.0 / 8.0).abs() < 1e-9, "{}", peer.score());
        peer.after(S * 36_000);
        assert!((peer.score() - 2.0 / 3.0).abs() < 1e-3);
        assert_eq!(peer.0.counts.lost, 10);
    }

    #[test]
    fn who_fails_is_set_aside_ever_longer_until_a_success() {
        let mut peer = Peer::new();
        let mut times = Vec::new();
        for _ in 0..9 {
            peer.see(Outcome::Unreachable);
            let left = peer.standing().aside.unwrap();
            // Those that were under way do not count again.
            peer.see(Outcome::Unreachable);
            assert_eq!(peer.standing().aside, Some(left));
            times.push(left.as_secs());
            peer.after(left);
            let standing = peer.standing();
            assert_eq!((standing.aside, standing.on_trial), (None, true));
        }
        assert_eq!(times, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert!(!peer.see(Outcome::Succeeded).standing().on_trial);
        // A method that fails once is given another chance at once, and not after the second time.
        assert_eq!(peer.see(Outcome::Failed).standing().aside, None);
        assert_eq!(peer.see(Outcome::Failed).standing().aside, Some(S));
        // It is the method that is set aside, not the peer.
        assert_eq!(peer.0.aside(peer.2), None);
    }

    #[test]
    fn a_connection_that_takes_many_calls_with_it_is_one_failure_of_the_method() {
        let mut peer = Peer::new();
        for _ in 0..16 {
            peer.see(Outcome::Lost);
        }
        assert!((peer.standing().success - 0.5).abs() < 1e-9);
        peer.after(S * 2).see(Outcome::Lost);
        assert!(peer.standing().success < 0.4);
    }

    #[test]
    fn latency_follows_slow_answers_fast_and_fades_when_nothing_is_measured() {
        let mut peer = Peer::new();
        peer.see(Outcome::Succeeded);
        assert_eq!(peer.standing().latency, Some(MS));
        peer.0
            .observe(&"m".into(), Outcome::Succeeded, MS * 101, &peer.1, peer.2);
        assert_eq!(peer.standing().latency, Some(MS * 51));
        peer.see(Outcome::Succeeded);
        assert!(peer.standing().latency.unwrap() > MS * 40);
        peer.after(S * 60);
        assert!(peer.standing().latency.unwrap() < MS * 3);
        // Given up after a second: it is at least so slow.
        peer.0.gave_up(&"m".into(), S, 16, peer.2);
        assert!(peer.standing().latency.unwrap() > MS * 500);
    }

    #[test]
    fn methods_are_bounded_and_judged_each_by_itself() {
        let mut peer = Peer::new();
        for n in 0..100 {
            let method: Arc<str> = format!("m{n}").into();
            peer.0
                .observe(&method, Outcome::Failed, MS, &peer.1, peer.2);
            peer.after(MS);
        }
        assert_eq!(peer.0.methods.len(), peer.1.max_methods);
        assert!(peer.0.methods.iter().any(|method| &*method.name == "m99"));
        peer.see(Outcome::Succeeded);
        assert!((peer.standing().success - 1.0).abs() < 1e-9);
    }

    #[test]
    fn picks_are_counted_and_fade() {
        let mut peer = Peer::new();
        for _ in 0..4 {
            peer.0.picked(&"m".into(), 16, peer.2);
        }
        assert!((peer.standing().picked - 4.0).abs() < 1e-9);
        peer.after(FADE);
        assert!((peer.standing().picked - 2.0).abs() < 1e-9);
    }
}
