//! The balancer against made-up providers, on a made-up clock.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use super::*;
use crate::reputation::{Known, Outcome, ReputationConfig};

const MS: Duration = Duration::from_millis(1);

fn standing(latency: u64) -> Standing {
    Standing {
        latency: Some(MS * u32::try_from(latency).unwrap()),
        success: 1.0,
        ..Standing::default()
    }
}

/// How often each of these is picked in a thousand draws.
fn shares(candidates: &[Standing]) -> Vec<usize> {
    let mut shares = vec![0; candidates.len()];
    for n in 0..1000 {
        shares[pick(candidates, mix(n)).unwrap().index] += 1;
    }
    shares
}

#[test]
fn nobody_can_be_picked_of_nobody_and_the_only_one_always_is() {
    assert_eq!(pick(&[], 7), None);
    let aside = Standing {
        aside: Some(MS),
        ..standing(1)
    };
    for only in [standing(1), aside] {
        let picked = pick(&[only], 7).unwrap();
        assert_eq!((picked.index, picked.reason), (0, Reason::Only));
    }
}

#[test]
fn who_is_quicker_or_less_busy_wins_and_unknown_ones_are_tried() {
    assert_eq!(shares(&[standing(10), standing(50)]), [1000, 0]);
    let busy = Standing {
        in_flight: 4,
        ..standing(10)
    };
    assert_eq!(shares(&[busy, standing(20)]), [0, 1000]);
    let few = [standing(1), standing(5)];
    assert!(shares(&few).iter().all(|share| *share > 400));
    let unknown = Standing {
        latency: None,
        ..standing(0)
    };
    let used = Standing {
        picked: 3.0,
        ..standing(10)
    };
    assert_eq!(shares(&[used, unknown]), [0, 1000]);
}

#[test]
fn who_is_set_aside_is_left_out_unless_all_are() {
    let aside = Standing {
        aside: Some(MS),
        ..standing(1)
    };
    assert_eq!(shares(&[aside, standing(100)]), [0, 1000]);
    let all = shares(&[aside, aside]);
    assert_eq!(all.iter().sum::<usize>(), 1000);
    assert_eq!(pick(&[aside, aside], 7).unwrap().reason, Reason::AllAside);
    // On trial it gets one call, and no second one beside it.
    let trial = Standing {
        on_trial: true,
        ..standing(1)
    };
    assert_eq!(shares(&[trial, standing(100)]), [1000, 0]);
    let tried = Standing {
        in_flight: 1,
        ..trial
    };
    assert_eq!(shares(&[tried, standing(100)]), [0, 1000]);
}

#[test]
fn who_does_worse_is_tried_now_and_then_only() {
    let worse = Standing {
        success: 0.5,
        ..standing(1)
    };
    let shares = shares(&[worse, standing(1)]);
    assert!((5..40).contains(&shares[0]), "{shares:?}");
}

/// Providers, calls in flight to them, and a clock.
struct World {
    known: Vec<Known>,
    in_flight: Vec<usize>,
    config: ReputationConfig,
    method: Arc<str>,
    now: Instant,
    random: u64,
}

impl World {
    fn new(providers: usize) -> Self {
        let now = Instant::now();
        Self {
            known: vec![Known::new(now); providers],
            in_flight: vec![0; providers],
            config: ReputationConfig::default(),
            method: "m".into(),
            now,
            random: 0,
        }
    }

    fn number(&mut self) -> u64 {
        self.random += 1;
        mix(self.random)
    }

    fn begin(&mut self) -> usize {
        let standings = self.known.iter().zip(&self.in_flight);
        let standings: Vec<_> = standings
            .map(|(known, in_flight)| Standing {
                in_flight: *in_flight,
                ..known.standing("m", self.config.half_life, self.now)
            })
            .collect();
        let random = self.number();
        let index = pick(&standings, random).unwrap().index;
        self.known[index].picked(&self.method, 16, self.now);
        self.in_flight[index] += 1;
        index
    }

    fn end(&mut self, index: usize, outcome: Outcome) {
        self.in_flight[index] -= 1;
        // Between one and three milliseconds.
        let took = MS + Duration::from_micros(self.number() % 2000);
        self.known[index].observe(&self.method, outcome, took, &self.config, self.now);
    }

    /// So many calls, sixteen at a time; how many each provider got.
    fn calls(
        &mut self,
        calls: usize,
        mut outcome: impl FnMut(usize, u64) -> Outcome,
    ) -> Vec<usize> {
        let mut got = vec![0; self.known.len()];
        let mut open = VecDeque::new();
        for _ in 0..calls {
            if open.len() == 16 {
                let first = open.pop_front().unwrap();
                let random = self.number();
                self.end(first, outcome(first, random));
            }
            self.now += MS / 8;
            let index = self.begin();
            got[index] += 1;
            open.push_back(index);
        }
        for index in open {
            let random = self.number();
            self.end(index, outcome(index, random));
        }
        got
    }
}

#[test]
fn equal_providers_get_equal_shares() {
    for providers in [10, 100] {
        let mut world = World::new(providers);
        let got = world.calls(1000, |_, _| Outcome::Succeeded);
        let most = *got.iter().max().unwrap();
        let mean = 1000 / providers;
        assert!(most * 10 <= mean * 13, "{most} of {mean}: {got:?}");
    }
}

#[test]
fn those_that_fail_half_of_their_calls_are_avoided() {
    let mut world = World::new(100);
    let outcome = |index: usize, random: u64| match index < 30 && random.is_multiple_of(2) {
        true => Outcome::Failed,
        false => Outcome::Succeeded,
    };
    world.calls(200, outcome);
    let got = world.calls(1000, outcome);
    let honest: usize = got[30..].iter().sum();
    assert!(honest >= 950, "{honest} of 1000: {got:?}");
}

#[test]
fn a_provider_that_comes_back_gets_its_share_again() {
    let mut world = World::new(2);
    world.calls(100, |_, _| Outcome::Succeeded);
    let got = world.calls(100, |index, _| match index {
        0 => Outcome::Unreachable,
        _ => Outcome::Succeeded,
    });
    assert!(got[0] <= 17, "{got:?}");
    world.now += Duration::from_secs(2);
    let got = world.calls(200, |_, _| Outcome::Succeeded);
    assert!(got[0] > 60, "{got:?}");
}
