//! How long to leave a peer alone after its dial failed.

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use o_address::{PeerId, TransportAddr};
use o_core::DialError;
use tokio::time::Instant;

use crate::PoolConfig;

/// Bytes kept of what a failed dial said.
const MAX_REASON_LEN: usize = 256;

/// What the memory of failures says to a dial.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Go ahead, with these addresses.
    Dial(Vec<TransportAddr>),
    /// The pause is not over, and none of the addresses is new.
    Wait {
        /// Time until it is.
        retry_in: Duration,
        /// What the last dial said.
        reason: String,
        /// Whether that was a refusal.
        refused: bool,
    },
}

/// The peers whose last dial failed.
#[derive(Debug)]
pub(crate) struct Backoffs {
    base: Duration,
    factor: f64,
    max: Duration,
    jitter: f64,
    max_entries: usize,
    max_addresses: usize,
    random: SplitMix,
    entries: HashMap<PeerId, Backoff>,
}

#[derive(Debug)]
struct Backoff {
    failures: u32,
    until: Instant,
    reason: String,
    refused: bool,
    /// Addresses tried since the last pause was over, at most twice `max_addresses`: so many new
    /// ones may cut a pause short.
    tried: Vec<TransportAddr>,
}

impl Backoffs {
    pub(crate) fn new(config: &PoolConfig) -> Self {
        let seed = config
            .jitter_seed
            .unwrap_or_else(|| RandomState::new().hash_one(0_u64));
        Self {
            base: config.backoff_base,
            factor: config.backoff_factor,
            max: config.backoff_max,
            jitter: config.backoff_jitter,
            max_entries: config.max_backoffs,
            max_addresses: config.max_addresses,
            random: SplitMix(seed),
            entries: HashMap::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether to dial, and where: everywhere, or within a pause only where it was not tried.
    pub(crate) fn check(
        &self,
        peer: &PeerId,
        addresses: &[TransportAddr],
        now: Instant,
    ) -> Verdict {
        let Some(entry) = self.entries.get(peer).filter(|entry| now < entry.until) else {
            return Verdict::Dial(distinct(addresses, &[], self.max_addresses));
        };
        let room = self.max_tried().saturating_sub(entry.tried.len());
        let new = distinct(addresses, &entry.tried, self.max_addresses.min(room));
        if new.is_empty() {
            Verdict::Wait {
                retry_in: entry.until.saturating_duration_since(now),
                reason: entry.reason.clone(),
                refused: entry.refused,
            }
        } else {
            Verdict::Dial(new)
        }
    }

    /// Whether the last dial failed so lately that nobody should try again unasked.
    pub(crate) fn pauses(&self, peer: &PeerId, now: Instant) -> bool {
        self.entries
            .get(peer)
            .is_some_and(|entry| now < entry.until)
    }

    /// Begins or prolongs the pause after a dial that failed, if the failure is the peer's.
    pub(crate) fn failed(
        &mut self,
        peer: PeerId,
        tried: &[TransportAddr],
        error: &DialError,
        now: Instant,
    ) {
        if is_ours(error) {
            return;
        }
        if !self.entries.contains_key(&peer) {
            self.make_room(now);
        }
        let max_tried = self.max_tried();
        let entry = self.entries.entry(peer).or_insert(Backoff {
            failures: 0,
            until: now,
            reason: String::new(),
            refused: false,
            tried: Vec::new(),
        });
        if now >= entry.until {
            entry.tried.clear();
        }
        let room = max_tried.saturating_sub(entry.tried.len());
        let new = distinct(tried, &entry.tried, room);
        entry.tried.extend(new);
        entry.failures = entry.failures.saturating_add(1);
        entry.reason = shortened(error.to_string());
        entry.refused = matches!(error, DialError::Refused { certain: true, .. });
        let pause = pause(self.base, self.factor, self.max, entry.failures);
        entry.until = now + pause.mul_f64(1.0 - self.jitter * self.random.unit());
    }

    /// Forgets the failures of a peer that was reached.
    pub(crate) fn clear(&mut self, peer: &PeerId) {
        self.entries.remove(peer);
    }

    /// Forgets all failures.
    pub(crate) fn clear_all(&mut self) {
        self.entries.clear();
    }

    /// Forgets the failures of peers that nobody has dialed for long.
    pub(crate) fn expire(&mut self, now: Instant) {
        let max = self.max;
        self.entries.retain(|_, entry| now < entry.until + max);
    }

    fn max_tried(&self) -> usize {
        self.max_addresses.saturating_mul(2)
    }

    fn make_room(&mut self, now: Instant) {
        if self.entries.len() < self.max_entries {
            return;
        }
        self.expire(now);
        if self.entries.len() < self.max_entries {
            return;
        }
        let first = self
            .entries
            .iter()
            .min_by_key(|(peer, entry)| (entry.until, **peer))
            .map(|(peer, _)| *peer);
        if let Some(peer) = first {
            self.entries.remove(&peer);
        }
    }
}

/// The first `limit` addresses, without repetitions and without those in `except`.
pub(crate) fn distinct(
    addresses: &[TransportAddr],
    except: &[TransportAddr],
    limit: usize,
) -> Vec<TransportAddr> {
    let mut result = Vec::new();
    for address in addresses {
        if result.len() >= limit {
            break;
        }
        if !except.contains(address) && !result.contains(address) {
            result.push(address.clone());
        }
    }
    result
}

/// Whether the failure says something about us and nothing about the peer.
fn is_ours(error: &DialError) -> bool {
    matches!(
        error,
        DialError::NoAddresses { .. }
            | DialError::Busy { .. }
            | DialError::BackingOff { .. }
            | DialError::Shutdown
    )
}

/// The pause after so many failures in a row, before chance shortens it.
fn pause(base: Duration, factor: f64, max: Duration, failures: u32) -> Duration {
    let exponent = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
    // Infinity for many failures, which the limit takes in.
    let seconds = base.as_secs_f64() * factor.powi(exponent);
    Duration::from_secs_f64(seconds.min(max.as_secs_f64())).min(max)
}

fn shortened(mut text: String) -> String {
    if text.len() > MAX_REASON_LEN {
        let end = (0..=MAX_REASON_LEN)
            .rev()
            .find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or_default());
        text.push('…');
    }
    text
}

/// The generator SplitMix64 by Sebastiano Vigna: good enough to keep peers from dialing in step.
#[derive(Debug)]
struct SplitMix(u64);

impl SplitMix {
    /// From 0 to 1, without 1.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        // The upper 53 bits are what a float holds exactly.
        (z >> 11) as f64 / (1_u64 << 53) as f64
    }
}
