//! What happens in a soak and when: the same for the same seed.

use std::time::Duration;

use o_core::{Priority, Shape};

use crate::rng::Rng;

/// The size of a soak.
#[derive(Clone, Debug)]
pub struct Config {
    /// How many nodes, 2 to 64.
    pub nodes: usize,
    /// How long calls are made.
    pub length: Duration,
    /// From which everything follows.
    pub seed: u64,
    /// Calls begun in a second, on average.
    pub calls_per_second: u32,
    /// Whether names are found through the table alone, without the shared directory.
    pub dht_only: bool,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CallPlan {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) shape: Shape,
    pub(crate) priority: Priority,
    /// Bytes of one value or item.
    pub(crate) size: usize,
    /// Items of a stream, at least one.
    pub(crate) items: usize,
    /// How long the handler waits before it answers.
    pub(crate) linger: Duration,
    pub(crate) deadline: Duration,
    /// When the caller drops the call, if it does.
    pub(crate) cancel_after: Option<Duration>,
    /// From which the contents follow.
    pub(crate) seed: u64,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Call(CallPlan),
    Stop(usize),
    Start(usize),
    /// Cuts the nodes of these indices off from the others.
    Split(Vec<usize>),
    Heal,
}

/// The actions, each with the time since the begin.
#[derive(Debug)]
pub(crate) struct Plan {
    rng: Rng,
    nodes: usize,
    length: Duration,
    between_calls: Duration,
    between_stops: Duration,
    between_splits: Duration,
    call: Duration,
    stop: Duration,
    split: Duration,
    heal: Option<Duration>,
    /// When each node that is down starts again.
    down: Vec<(Duration, usize)>,
}

impl Plan {
    pub(crate) fn new(config: &Config) -> Self {
        let between_stops = (config.length / 10).min(Duration::from_secs(2));
        let between_splits = (config.length / 2).min(Duration::from_secs(15));
        Self {
            rng: Rng::new(config.seed),
            nodes: config.nodes,
            length: config.length,
            between_calls: Duration::from_secs(1) / config.calls_per_second.max(1),
            between_stops,
            between_splits,
            call: Duration::ZERO,
            stop: between_stops,
            split: between_splits / 2,
            heal: None,
            down: Vec::new(),
        }
    }

    fn call(&mut self) -> CallPlan {
        let rng = &mut self.rng;
        let from = rng.index(self.nodes);
        let to = (from + 1 + rng.index(self.nodes - 1)) % self.nodes;
        let shape = match rng.below(4) {
            0 => Shape::Unary,
            1 => Shape::Server,
            2 => Shape::Client,
            _ => Shape::Bidirectional,
        };
        let priority = match rng.below(3) {
            0 => Priority::Interactive,
            1 => Priority::Normal,
            _ => Priority::Bulk,
        };
        // Most are small, a few are large: as many below 16 bytes as above 16 KiB.
        let scale = rng.below(18);
        let size = rng.index(2 << scale);
        let items = 1 + rng.index(8);
        let linger = Duration::from_millis(if rng.chance(30) { rng.below(300) } else { 0 });
        let short = rng.chance(10);
        let deadline = if short {
            Duration::from_millis(5 + rng.below(200))
        } else {
            LONG
        };
        let cancel = rng.chance(10);
        CallPlan {
            from,
            to,
            shape,
            priority,
            size,
            items,
            linger,
            deadline,
            cancel_after: cancel.then(|| Duration::from_millis(rng.below(200))),
            seed: rng.number(),
        }
    }

    /// Stops a node that is up, if enough others are.
    fn stop(&mut self, at: Duration) -> Option<Action> {
        let node = self.rng.index(self.nodes);
        let is_down = self.down.iter().any(|(_, down)| *down == node);
        if is_down || self.down.len() >= self.nodes.div_ceil(4) {
            return None;
        }
        let again = at + self.rng.around(self.between_stops);
        self.down.push((again, node));
        Some(Action::Stop(node))
    }

    fn side(&mut self) -> Vec<usize> {
        let mut side: Vec<_> = (0..self.nodes).filter(|_| self.rng.chance(50)).collect();
        if side.is_empty() || side.len() == self.nodes {
            side = vec![0];
        }
        side
    }
}

/// The deadline of a call that is not meant to miss it.
pub(crate) const LONG: Duration = Duration::from_secs(10);

impl Iterator for Plan {
    type Item = (Duration, Action);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let start = self.down.iter().min().copied();
            let times = [
                Some(self.call),
                Some(self.stop),
                self.heal.is_none().then_some(self.split),
                self.heal,
                start.map(|(at, _)| at),
            ];
            let at = times.into_iter().flatten().min()?;
            if at >= self.length {
                return None;
            }
            if let Some((when, node)) = start.filter(|(when, _)| *when == at) {
                self.down.retain(|down| *down != (when, node));
                return Some((at, Action::Start(node)));
            }
            if self.heal == Some(at) {
                self.heal = None;
                self.split = at + self.rng.around(self.between_splits);
                return Some((at, Action::Heal));
            }
            if self.heal.is_none() && self.split == at {
                self.heal = Some(at + self.rng.around(self.between_splits / 4));
                return Some((at, Action::Split(self.side())));
            }
            if self.stop == at {
                self.stop = at + self.rng.around(self.between_stops);
                if let Some(stop) = self.stop(at) {
                    return Some((at, stop));
                }
                continue;
            }
            self.call = at + self.rng.around(self.between_calls);
            return Some((at, Action::Call(self.call())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(seed: u64) -> Config {
        Config {
            nodes: 8,
            length: Duration::from_secs(60),
            seed,
            calls_per_second: 50,
            dht_only: false,
        }
    }

    #[test]
    fn a_seed_always_gives_the_same_plan_and_another_seed_another() {
        let plan = |seed| Plan::new(&config(seed)).collect::<Vec<_>>();
        assert_eq!(plan(1), plan(1));
        assert_ne!(plan(1), plan(2));
    }

    #[test]
    fn a_plan_is_in_order_and_holds_everything() {
        let plan: Vec<_> = Plan::new(&config(3)).collect();
        assert!(plan.is_sorted_by_key(|(at, _)| *at));
        assert!(plan.iter().all(|(at, _)| *at < Duration::from_secs(60)));
        let mut up = [true; 8];
        let mut split = false;
        let (mut stops, mut splits, mut calls, mut cancels) = (0, 0, 0, 0);
        for (_, action) in &plan {
            match action {
                Action::Call(call) => {
                    assert!(call.from != call.to && call.from < 8 && call.to < 8);
                    calls += 1;
                    cancels += u32::from(call.cancel_after.is_some());
                }
                Action::Stop(node) => {
                    assert!(std::mem::replace(&mut up[*node], false));
                    assert!(up.iter().filter(|up| !**up).count() <= 2);
                    stops += 1;
                }
                Action::Start(node) => assert!(!std::mem::replace(&mut up[*node], true)),
                Action::Split(side) => {
                    assert!(!std::mem::replace(&mut split, true));
                    assert!(!side.is_empty() && side.len() < 8);
                    splits += 1;
                }
                Action::Heal => assert!(std::mem::replace(&mut split, false)),
            }
        }
        assert!((2500..3500).contains(&calls), "{calls}");
        assert!((200..400).contains(&cancels), "{cancels}");
        assert!(stops > 15 && splits >= 3, "{stops} {splits}");
    }
}
