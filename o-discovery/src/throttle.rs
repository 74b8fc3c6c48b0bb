//! How much a peer may say.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use o_address::PeerId;

/// How long a peer is not listened to that said too much that is bad.
pub(crate) const SILENCE: Duration = Duration::from_secs(60);
/// How much may be said at once, in seconds' worth.
const BURST: u32 = 20;
/// How long a peer is not named again.
const NAMED_AGAIN: Duration = Duration::from_secs(3600);
/// Peers that are remembered; beyond them the one that was heard the longest ago is forgotten.
const MAX_PEERS: usize = 4096;

/// A bucket of tokens for each peer, and a count of what was bad.
#[derive(Debug)]
pub(crate) struct Throttle {
    per_second: u32,
    max_bad: u32,
    peers: HashMap<PeerId, Heard>,
}

#[derive(Debug)]
struct Heard {
    tokens: f64,
    at: Instant,
    bad: u32,
    /// When the first of these was.
    bad_since: Instant,
    silent_until: Option<Instant>,
    /// When it was named last.
    named: Option<Instant>,
}

/// What comes of something bad that a peer said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    /// It is counted.
    Counted,
    /// That was too much: the peer is not listened to for a while. It is to be named unless it was named a
    /// short time ago.
    Silenced { name: bool },
}

impl Throttle {
    pub(crate) fn new(per_second: u32, max_bad: u32) -> Self {
        Self {
            per_second: per_second.max(1),
            max_bad: max_bad.max(1),
            peers: HashMap::new(),
        }
    }

    fn heard(&mut self, peer: &PeerId, now: Instant) -> &mut Heard {
        if !self.peers.contains_key(peer) && self.peers.len() >= MAX_PEERS {
            let oldest = self.peers.iter().min_by_key(|(_, heard)| heard.at);
            if let Some(oldest) = oldest.map(|(peer, _)| *peer) {
                self.peers.remove(&oldest);
            }
        }
        let full = f64::from(self.per_second * BURST);
        self.peers.entry(*peer).or_insert(Heard {
            tokens: full,
            at: now,
            bad: 0,
            bad_since: now,
            silent_until: None,
            named: None,
        })
    }

    /// Whether the peer is not listened to at all.
    pub(crate) fn is_silent(&self, peer: &PeerId, now: Instant) -> bool {
        let until = self.peers.get(peer).and_then(|heard| heard.silent_until);
        until.is_some_and(|until| now < until)
    }

    /// Whether the peer may say something now.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn admit(&mut self, peer: &PeerId, now: Instant) -> Result<(), &'static str> {
        let (rate, full) = (
            f64::from(self.per_second),
            f64::from(self.per_second * BURST),
        );
        let heard = self.heard(peer, now);
        if heard.silent_until.is_some_and(|until| now < until) {
            return Err("too many bad records: not listened to for a minute");
        }
        heard.silent_until = None;
        let passed = now.saturating_duration_since(heard.at).as_secs_f64();
        heard.tokens = (heard.tokens + passed * rate).min(full);
        heard.at = now;
        if heard.tokens < 1.0 {
            return Err("too many announcements in a short time");
        }
        heard.tokens -= 1.0;
        Ok(())
    }

    /// Notes that a peer said something bad, which may be once too often within a minute.
    pub(crate) fn bad(&mut self, peer: &PeerId, now: Instant) -> Bad {
        let max_bad = self.max_bad;
        let heard = self.heard(peer, now);
        if now.saturating_duration_since(heard.bad_since) > SILENCE {
            (heard.bad, heard.bad_since) = (0, now);
        }
        heard.bad += 1;
        if heard.bad < max_bad {
            return Bad::Counted;
        }
        heard.bad = 0;
        heard.silent_until = Some(now + SILENCE);
        let lately = |at: Instant| now.saturating_duration_since(at) < NAMED_AGAIN;
        let name = !heard.named.is_some_and(lately);
        if name {
            heard.named = Some(now);
        }
        Bad::Silenced { name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::peer;

    #[test]
    fn who_says_too_much_waits_and_who_says_bad_things_waits_longer() {
        let now = Instant::now();
        let mut throttle = Throttle::new(10, 3);
        let admitted = (0..1000)
            .filter(|_| throttle.admit(&peer(1), now).is_ok())
            .count();
        assert_eq!(admitted, 200);
        assert!(throttle.admit(&peer(2), now).is_ok());
        let later = now + Duration::from_secs(1);
        let admitted = (0..1000)
            .filter(|_| throttle.admit(&peer(1), later).is_ok())
            .count();
        assert_eq!(admitted, 10);
        let too_often: Vec<_> = (0..3).map(|_| throttle.bad(&peer(2), now)).collect();
        let named = Bad::Silenced { name: true };
        assert_eq!(too_often, [Bad::Counted, Bad::Counted, named]);
        assert!(throttle.admit(&peer(2), later).is_err());
        assert!(throttle.is_silent(&peer(2), later) && !throttle.is_silent(&peer(1), later));
        assert!(throttle.admit(&peer(2), now + SILENCE).is_ok());
        // What was long ago is forgotten.
        let minutes = (3..9).map(|minute| throttle.bad(&peer(3), now + minute * SILENCE * 2));
        assert!(minutes.into_iter().all(|bad| bad == Bad::Counted));
        // Whoever goes on is silenced again, and named again an hour after it was.
        let mut again = |at| (0..3).map(|_| throttle.bad(&peer(2), at)).last();
        let silenced = |name| Some(Bad::Silenced { name });
        assert_eq!(again(now + 2 * SILENCE), silenced(false));
        assert_eq!(again(now + NAMED_AGAIN), silenced(true));
    }
}
