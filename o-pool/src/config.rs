//! The pool's limits and times.

use std::{ops::RangeInclusive, time::Duration};

use serde::{Deserialize, Serialize};

/// No count in a configuration may be larger.
const MAX_COUNT: usize = 1_000_000;
/// No time in a configuration may be longer.
const MAX_TIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The limits and times of a [`Pool`](crate::Pool). Times are written as in `1m 30s`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct PoolConfig {
    /// Connections in the pool, at most. At the limit a new one takes the place of the least
    /// recently used one that may go; when none may, it is refused. What is being closed no
    /// longer counts. Default 512, of about 45 KiB each with an encrypted connection underneath
    /// and less than 1 KiB in the pool itself.
    pub max_connections: usize,
    /// Peers that should be connected, at least. Each `poll_interval`, when there are fewer, as many of the
    /// peers that the dialer knows are dialed, but none whose dial failed just now and none that has
    /// refused us; and no connection is closed for idleness. At most `low_water`. Default 0.
    pub min_connections: usize,
    /// Above this number of connections, the least recently used ones are closed. Default: three
    /// quarters of `max_connections`.
    pub high_water: Option<usize>,
    /// Closing the least recently used connections stops at this number. Default: half of
    /// `max_connections`, or `high_water` if that is lower.
    pub low_water: Option<usize>,
    /// Connections to one peer, at most. Both sides dialing at once makes two. Default 4.
    pub max_links_per_peer: usize,
    /// A connection that we dialed is closed when it has had neither lease nor call for this
    /// long, and so is any connection to a peer to which there is a newer one as good. One to which
    /// there is a better one goes when it has had neither for `poll_interval`. Default 60 s.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// A connection younger than this does not count as least recently used. Default 20 s.
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
    /// How often idle, superfluous, dead and missing connections are looked for, and so how much later
    /// than said they may be closed or dialed. Each time it costs a fraction of a
    /// microsecond per connection. Default 1 s.
    #[serde(with = "humantime_serde")]
    pub poll_interval: Duration,
    /// Dials under way at a time; the others queue. Default 32.
    pub max_dialing: usize,
    /// Callers that wait for a dial, in all; more are refused. Also the bound on dials in the
    /// queue. Default 4096, of less than 1 KiB each, and the caller's future.
    pub max_waiters: usize,
    /// Callers that wait for the dial of one peer; more are refused. Default 1024.
    pub max_waiters_per_peer: usize,
    /// Addresses given to one dial; the rest is ignored. Default 32, of at most 1.1 KB each.
    pub max_addresses: usize,
    /// Pause after the first failed dial of a peer. Default 1 s.
    #[serde(with = "humantime_serde")]
    pub backoff_base: Duration,
    /// Each further failure makes the pause this many times longer. At least 1, default 2.
    pub backoff_factor: f64,
    /// The longest pause. A peer that was not dialed for this long after its pause starts from
    /// `backoff_base` again. Default 60 s.
    #[serde(with = "humantime_serde")]
    pub backoff_max: Duration,
    /// The part of each pause that chance may take away, so that peers do not dial in step:
    /// from 0, none, to 1, all of it. Default 0.5.
    pub backoff_jitter: f64,
    /// Peers whose failures are remembered; the one whose pause ends first is forgotten for a new
    /// one. Default 1024, of less than 1 KiB each with a handful of addresses.
    pub max_backoffs: usize,
    /// Peers that can be protected from eviction. Default 256.
    pub max_protected: usize,
    /// Makes the jitter the same in every run, for tests. Default: different in every run.
    #[serde(skip)]
    pub jitter_seed: Option<u64>,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            max_connections: 512,
            min_connections: 0,
            high_water: None,
            low_water: None,
            max_links_per_peer: 4,
            idle_timeout: Duration::from_secs(60),
            grace: Duration::from_secs(20),
            poll_interval: Duration::from_secs(1),
            max_dialing: 32,
            max_waiters: 4096,
            max_waiters_per_peer: 1024,
            max_addresses: 32,
            backoff_base: Duration::from_secs(1),
            backoff_factor: 2.0,
            backoff_max: Duration::from_secs(60),
            backoff_jitter: 0.5,
            max_backoffs: 1024,
            max_protected: 256,
            jitter_seed: None,
        }
    }
}

impl PoolConfig {
    /// The high water mark in force, with the default worked out.
    pub fn high(&self) -> usize {
        self.high_water
            .unwrap_or((self.max_connections - self.max_connections / 4).max(1))
    }

    /// The low water mark in force, with the default worked out.
    pub fn low(&self) -> usize {
        self.low_water
            .unwrap_or((self.max_connections / 2).min(self.high()))
    }

    /// Whether every value is within its bounds and they fit together.
    ///
    /// # Errors
    /// The first field that is not, and what it should be.
    pub fn validate(&self) -> Result<(), PoolConfigError> {
        let counts = [
            ("max_connections", self.max_connections),
            ("max_links_per_peer", self.max_links_per_peer),
            ("max_dialing", self.max_dialing),
            ("max_waiters", self.max_waiters),
            ("max_waiters_per_peer", self.max_waiters_per_peer),
            ("max_addresses", self.max_addresses),
            ("max_backoffs", self.max_backoffs),
        ];
        for (field, count) in counts {
            check(field, count, 1..=MAX_COUNT, "must be from 1 to 1000000")?;
        }
        check(
            "max_protected",
            self.max_protected,
            0..=MAX_COUNT,
            "must be at most 1000000",
        )?;
        check(
            "high_water",
            self.high(),
            1..=self.max_connections,
            "must be from 1 to max_connections",
        )?;
        check(
            "low_water",
            self.low(),
            0..=self.high(),
            "must be at most high_water",
        )?;
        check(
            "min_connections",
            self.min_connections,
            0..=self.low(),
            "must be at most low_water",
        )?;
        self.validate_times()
    }

    fn validate_times(&self) -> Result<(), PoolConfigError> {
        let millisecond = Duration::from_millis(1);
        for (field, time) in [
            ("idle_timeout", self.idle_timeout),
            ("poll_interval", self.poll_interval),
            ("backoff_base", self.backoff_base),
        ] {
            check(
                field,
                time,
                millisecond..=MAX_TIME,
                "must be from 1 ms to 7 days",
            )?;
        }
        check(
            "grace",
            self.grace,
            Duration::ZERO..=MAX_TIME,
            "must be at most 7 days",
        )?;
        check(
            "backoff_max",
            self.backoff_max,
            self.backoff_base..=MAX_TIME,
            "must be from backoff_base to 7 days",
        )?;
        check(
            "backoff_factor",
            self.backoff_factor,
            1.0..=1000.0,
            "must be from 1 to 1000",
        )?;
        check(
            "backoff_jitter",
            self.backoff_jitter,
            0.0..=1.0,
            "must be from 0 to 1",
        )
    }
}

/// A value of a [`PoolConfig`] that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {rule}")]
#[non_exhaustive]
pub struct PoolConfigError {
    /// The field.
    pub field: &'static str,
    /// What it must be, in words.
    pub rule: &'static str,
}

fn check<T: PartialOrd>(
    field: &'static str,
    value: T,
    range: RangeInclusive<T>,
    rule: &'static str,
) -> Result<(), PoolConfigError> {
    if range.contains(&value) {
        Ok(())
    } else {
        Err(PoolConfigError { field, rule })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_alone_can_be_set() {
        for max_connections in [1, 2, 3, 50, 10_000] {
            let config = PoolConfig {
                max_connections,
                ..PoolConfig::default()
            };
            assert_eq!(config.validate(), Ok(()), "{max_connections}");
        }
        assert_eq!(
            (PoolConfig::default().high(), PoolConfig::default().low()),
            (384, 256)
        );
    }

    #[test]
    fn each_bound_is_checked() {
        fn refused(change: impl FnOnce(&mut PoolConfig)) -> Option<&'static str> {
            let mut config = PoolConfig::default();
            change(&mut config);
            config.validate().err().map(|error| error.field)
        }
        assert_eq!(refused(|c| c.max_connections = 0), Some("max_connections"));
        assert_eq!(refused(|c| c.max_dialing = usize::MAX), Some("max_dialing"));
        assert_eq!(refused(|c| c.high_water = Some(513)), Some("high_water"));
        assert_eq!(refused(|c| c.low_water = Some(385)), Some("low_water"));
        assert_eq!(
            refused(|c| c.min_connections = 257),
            Some("min_connections")
        );
        assert_eq!(
            refused(|c| c.poll_interval = Duration::ZERO),
            Some("poll_interval")
        );
        assert_eq!(
            refused(|c| c.idle_timeout = Duration::MAX),
            Some("idle_timeout")
        );
        assert_eq!(
            refused(|c| c.backoff_max = Duration::from_millis(1)),
            Some("backoff_max")
        );
        assert_eq!(
            refused(|c| c.backoff_factor = f64::NAN),
            Some("backoff_factor")
        );
        assert_eq!(refused(|c| c.backoff_jitter = 1.1), Some("backoff_jitter"));
        assert_eq!(refused(|_| ()), None);
    }

    #[test]
    fn it_is_data() {
        let config: PoolConfig =
            toml::from_str("max_connections = 50\nidle_timeout = \"10s\"").unwrap();
        assert_eq!(
            (config.max_connections, config.idle_timeout),
            (50, Duration::from_secs(10))
        );
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<PoolConfig>(&text).unwrap(), config);
        assert!(toml::from_str::<PoolConfig>("max_conections = 50").is_err());
    }
}
