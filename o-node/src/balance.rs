//! Which of several providers a call goes to, by what was observed of each.

use std::{fmt, time::Duration};

use o_address::PeerId;

/// Latencies below this are taken for equal, in seconds: what is behind them is noise, and no reason for
/// an uneven load.
const LEAST_LATENCY: f64 = 0.005;
/// What is assumed where nobody's latency is known, in seconds.
const ASSUMED_LATENCY: f64 = 0.01;
/// Of two costs that differ by no more than this factor, who was picked less lately wins.
const EQUAL: f64 = 1.5;
/// Who succeeds less often than this part of how often the best does is passed over.
const GOOD: f64 = 0.85;
/// One pick in so many goes to those that are passed over, who may have got better.
const EXPLORE: u64 = 128;

/// What is known of a candidate.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Standing {
    /// How long its answers take; `None` where it has not answered yet.
    pub(crate) latency: Option<Duration>,
    /// The share of calls of the method that succeed.
    pub(crate) success: f64,
    /// Calls that were balanced onto it and have not ended.
    pub(crate) in_flight: usize,
    /// How often it was picked lately.
    pub(crate) picked: f64,
    /// How much longer it is set aside, after failures.
    pub(crate) aside: Option<Duration>,
    /// Whether it was set aside and has not succeeded since: one call at a time.
    pub(crate) on_trial: bool,
}

impl Standing {
    fn is_available(&self) -> bool {
        self.aside.is_none() && !(self.on_trial && self.in_flight > 0)
    }

    /// What a call is expected to cost there, in seconds; `latency` where none was measured.
    fn cost(&self, latency: f64) -> f64 {
        let known = self.latency.map_or(latency, |known| known.as_secs_f64());
        let waiting = 1.0 + u32::try_from(self.in_flight).map_or(f64::MAX, f64::from);
        known.max(LEAST_LATENCY) * waiting / self.success.max(0.01).powi(2)
    }
}

/// A candidate that was picked out of several, by its index.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Picked {
    pub(crate) index: usize,
    pub(crate) rival: Option<usize>,
    pub(crate) cost: f64,
    pub(crate) rival_cost: Option<f64>,
    pub(crate) reason: Reason,
}

/// Why a provider was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The call was pinned to it.
    Pinned,
    /// There was no other.
    Only,
    /// Of two that were drawn it costs less: latency × calls in flight / success².
    Cheaper,
    /// Of two that were drawn and cost about the same it was picked less lately.
    LessUsed,
    /// It did worse than others, and may have got better.
    Explored,
    /// All are set aside after failures.
    AllAside,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pinned => "pinned",
            Self::Only => "the only one",
            Self::Cheaper => "cheaper",
            Self::LessUsed => "as cheap, and less used",
            Self::Explored => "tried again",
            Self::AllAside => "all are set aside",
        })
    }
}

/// Which provider a call went to, and why.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Choice {
    /// Who was chosen.
    pub peer: PeerId,
    /// Out of how many.
    pub candidates: usize,
    /// What the call was expected to cost, in seconds: latency × (in flight + 1) / success².
    pub score: f64,
    /// Whom it was compared with, and what that one was expected to cost.
    pub rival: Option<(PeerId, f64)>,
    /// What decided.
    pub reason: Reason,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, cost {:.1} ms", self.reason, self.score * 1e3)?;
        if let Some((rival, cost)) = &self.rival {
            write!(f, " against {:.1} ms of {}", cost * 1e3, rival.short())?;
        }
        write!(f, ", of {}", self.candidates)
    }
}

/// Picks one of `candidates`; `random` decides which two are compared.
///
/// Who is set aside, or did clearly worse than the best, is left out, but for one pick in 128; if
/// nobody is left, all those are compared. Power of two choices: Mitzenmacher, 2001.
pub(crate) fn pick(candidates: &[Standing], random: u64) -> Option<Picked> {
    let available = |standing: &&Standing| standing.is_available();
    let best = candidates.iter().filter(available).map(|c| c.success);
    let least = best.fold(0.0, f64::max) * GOOD;
    let indices = |wanted: &dyn Fn(&Standing) -> bool| -> Vec<usize> {
        let all = candidates.iter().enumerate();
        all.filter(|(_, c)| wanted(c))
            .map(|(index, _)| index)
            .collect()
    };
    let good = indices(&|c| c.is_available() && c.success >= least);
    let worse = indices(&|c| c.is_available() && c.success < least && c.in_flight == 0);
    let latency = median(candidates);
    // The high bits choose whether, the others among whom.
    if !worse.is_empty() && (random >> 57).is_multiple_of(EXPLORE) {
        return compare(candidates, &worse, random, latency).map(|picked| Picked {
            reason: Reason::Explored,
            ..picked
        });
    }
    if !good.is_empty() {
        return compare(candidates, &good, random, latency);
    }
    let all = indices(&|_| true);
    compare(candidates, &all, random, latency).map(|picked| match picked.reason {
        Reason::Only => picked,
        _ => Picked {
            reason: Reason::AllAside,
            ..picked
        },
    })
}

/// Draws two and takes the better one.
fn compare(all: &[Standing], among: &[usize], random: u64, latency: f64) -> Option<Picked> {
    let one = draw(among, random & 0x1fff_ffff, None)?;
    let cost = |index: usize| all.get(index).map_or(f64::MAX, |c| c.cost(latency));
    let picked = |index: usize| all.get(index).map_or(0.0, |c| c.picked);
    let Some(other) = draw(among, (random >> 29) & 0x1fff_ffff, Some(one)) else {
        return Some(Picked {
            index: one,
            rival: None,
            cost: cost(one),
            rival_cost: None,
            reason: Reason::Only,
        });
    };
    let (index, rival, reason) = if cost(one) > cost(other) * EQUAL {
        (other, one, Reason::Cheaper)
    } else if cost(other) > cost(one) * EQUAL {
        (one, other, Reason::Cheaper)
    } else if picked(other) < picked(one) {
        (other, one, Reason::LessUsed)
    } else {
        (one, other, Reason::LessUsed)
    };
    Some(Picked {
        index,
        rival: Some(rival),
        cost: cost(index),
        rival_cost: Some(cost(rival)),
        reason,
    })
}

/// One of `among`, by a number below 2^29; not the one that was drawn before.
fn draw(among: &[usize], random: u64, but: Option<usize>) -> Option<usize> {
    let without = usize::from(but.is_some());
    let count = among
        .len()
        .checked_sub(without)
        .filter(|count| *count > 0)?;
    let at = usize::try_from((random * count as u64) >> 29).unwrap_or(0);
    let drawn = among.get(at).copied();
    // The last one stands in for the one that may not be drawn again.
    if drawn.is_some() && drawn == but {
        among.last().copied()
    } else {
        drawn
    }
}

/// The median of the latencies that are known, in seconds.
fn median(candidates: &[Standing]) -> f64 {
    let known = candidates.iter().filter_map(|candidate| candidate.latency);
    let mut known: Vec<_> = known.collect();
    let middle = known.len() / 2;
    if known.is_empty() {
        return ASSUMED_LATENCY;
    }
    known.select_nth_unstable(middle).1.as_secs_f64()
}

/// Pseudo-random numbers, from a state that is advanced for each: SplitMix64.
pub(crate) fn mix(state: u64) -> u64 {
    let mut mixed = state.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests;
