//! Which neighbor is asked what, and when: plain functions of the time.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use o_address::PeerId;

/// Questions that are asked at once.
const AT_ONCE: usize = 32;
/// Questions that one neighbor is asked at once: one that answers slowly holds up no others.
const EACH: usize = 4;
/// Questions that wait. What does not fit is wanted again, by the next proof of life.
const MAX_WAITING: usize = 256;
/// Questions that wait for one neighbor.
const EACH_WAITING: usize = 16;
/// How soon the same is asked again.
const PAUSE: Duration = Duration::from_secs(5);
/// Questions that are remembered as asked lately.
const MAX_ASKED: usize = 1024;
/// How long a neighbor is not asked that told too much that is bad.
const SILENCE: Duration = Duration::from_secs(60);
/// Neighbors that are remembered for that.
const MAX_SHUNNED: usize = 256;

/// Of whom somebody is asked; everybody is `None`.
pub(super) type Of = Option<PeerId>;

/// The questions to neighbors.
#[derive(Debug, Default)]
pub(super) struct Pulls {
    waiting: VecDeque<(PeerId, Of)>,
    /// How many questions each neighbor has not answered yet.
    open: HashMap<PeerId, usize>,
    /// When each was begun last, of one peer.
    asked: HashMap<PeerId, Instant>,
    /// Until when these are not asked.
    shunned: HashMap<PeerId, Instant>,
}

impl Pulls {
    /// Takes in that a neighbor should be asked.
    pub(super) fn want(&mut self, from: PeerId, of: Of, now: Instant) {
        self.shunned.retain(|_, until| now < *until);
        if self.shunned.contains_key(&from) || self.waiting.len() >= MAX_WAITING {
            return;
        }
        let waiting = self.waiting.iter().filter(|(waiting, _)| *waiting == from);
        if waiting.count() >= EACH_WAITING || self.waiting.contains(&(from, of)) {
            return;
        }
        // The first neighbors are each asked for everything.
        if let Some(of) = of {
            let recent = |at: &Instant| now.saturating_duration_since(*at) < PAUSE;
            if self.asked.get(&of).is_some_and(recent) {
                return;
            }
            if self.asked.len() >= MAX_ASKED {
                self.asked.retain(|_, at| recent(at));
            }
            if self.asked.len() >= MAX_ASKED {
                return;
            }
            self.asked.insert(of, now);
        }
        self.waiting.push_back((from, of));
    }

    /// The questions that may be asked now.
    pub(super) fn begin(&mut self) -> Vec<(PeerId, Of)> {
        let mut room = AT_ONCE.saturating_sub(self.open.values().sum());
        let (open, mut begun) = (&mut self.open, Vec::new());
        self.waiting.retain(|(from, of)| {
            let asked = open.get(from).copied().unwrap_or(0);
            let begins = room > 0 && asked < EACH;
            if begins {
                room -= 1;
                open.insert(*from, asked + 1);
                begun.push((*from, *of));
            }
            !begins
        });
        begun
    }

    /// A neighbor has answered, or will not; `bad` says that it told too much that nobody should believe.
    pub(super) fn ended(&mut self, from: PeerId, bad: bool, now: Instant) {
        if let Some(open) = self.open.get_mut(&from) {
            *open = open.saturating_sub(1);
            if *open == 0 {
                self.open.remove(&from);
            }
        }
        if bad && self.shunned.len() < MAX_SHUNNED {
            self.shunned.insert(from, now + SILENCE);
            self.waiting.retain(|(waiting, _)| *waiting != from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u8) -> PeerId {
        PeerId::from_bytes(&[0, 2, 7, number]).unwrap()
    }

    #[test]
    fn who_answers_slowly_holds_up_nobody_else() {
        let (mut pulls, now) = (Pulls::default(), Instant::now());
        for of in 10..40 {
            pulls.want(peer(1), Some(peer(of)), now);
        }
        pulls.want(peer(2), Some(peer(50)), now);
        let begun = pulls.begin();
        assert_eq!(begun.len(), EACH + 1);
        assert_eq!(begun.last(), Some(&(peer(2), Some(peer(50)))));
        assert!(pulls.begin().is_empty());
        pulls.ended(peer(1), false, now);
        assert_eq!(pulls.begin(), [(peer(1), Some(peer(10 + 4)))]);
    }

    #[test]
    fn the_same_is_asked_again_only_after_a_while_and_liars_are_not_asked() {
        let (mut pulls, now) = (Pulls::default(), Instant::now());
        let mut ask = |from, of, at| {
            pulls.want(peer(from), of, at);
            let begun = pulls.begin().len();
            for _ in 0..begun {
                pulls.ended(peer(from), from == 9, at);
            }
            begun
        };
        let of = Some(peer(5));
        assert_eq!(
            [ask(1, of, now), ask(2, of, now), ask(2, of, now + PAUSE)],
            [1, 0, 1]
        );
        assert_eq!([ask(1, None, now), ask(2, None, now)], [1, 1]);
        assert_eq!(ask(9, None, now), 1);
        assert_eq!(
            [ask(9, None, now + PAUSE), ask(9, None, now + SILENCE)],
            [0, 1]
        );
    }

    #[test]
    fn what_waits_is_bounded() {
        let (mut pulls, now) = (Pulls::default(), Instant::now());
        for of in 0..100 {
            pulls.want(peer(1), Some(peer(of)), now);
        }
        assert_eq!(pulls.waiting.len(), EACH_WAITING);
        // The same is not asked twice.
        pulls.want(peer(2), None, now);
        pulls.want(peer(2), None, now);
        assert_eq!(pulls.waiting.len(), EACH_WAITING + 1);
        for from in 3..200 {
            for of in 200..=255 {
                pulls.want(peer(from), Some(peer(of)), now + PAUSE * u32::from(from));
            }
        }
        assert_eq!(pulls.waiting.len(), MAX_WAITING);
        let mut busy = Pulls::default();
        for from in 0..100 {
            busy.want(peer(from), None, now);
        }
        assert_eq!(busy.begin().len(), AT_ONCE);
    }
}
