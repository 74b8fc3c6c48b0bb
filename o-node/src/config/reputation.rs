//! What is kept of peers that were called, and how calls are spread over providers.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

/// What this node keeps of each peer that it has called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ReputationConfig {
    /// Where it is kept from one run to the next. Default: nowhere.
    pub file: Option<PathBuf>,
    /// How often the file is written, if there is something new. Default 30 s.
    #[serde(with = "humantime_serde")]
    pub save_interval: Duration,
    /// After which time an observation counts half. Default 10 min.
    #[serde(with = "humantime_serde")]
    pub half_life: Duration,
    /// How long a peer is first set aside that could not be called; it doubles with each failure.
    /// Default 1 s.
    #[serde(with = "humantime_serde")]
    pub set_aside: Duration,
    /// How long it is set aside at most. Default 1 min.
    #[serde(with = "humantime_serde")]
    pub max_set_aside: Duration,
    /// Connections to and from peers with a lower score are refused, until it has decayed; from 0 to
    /// 1, where one that is not known has 0.67. Default 0: nobody is refused.
    pub min_score: f64,
    /// Peers that are remembered, of about 1 KiB each; those that were not called for the longest are
    /// forgotten. Default 10,000.
    pub max_peers: usize,
    /// Methods of one peer that are told apart. Default 16.
    pub max_methods: usize,
}

impl Default for ReputationConfig {
    fn default() -> Self {
        Self {
            file: None,
            save_interval: Duration::from_secs(30),
            half_life: Duration::from_secs(600),
            set_aside: Duration::from_secs(1),
            max_set_aside: Duration::from_secs(60),
            min_score: 0.0,
            max_peers: 10_000,
            max_methods: 16,
        }
    }
}

/// Calls that go to whoever has a capability.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct BalanceConfig {
    /// How long providers that were found are not looked for again; it is done in the background at
    /// half of it. Default 30 s.
    #[serde(with = "humantime_serde")]
    pub provider_lifetime: Duration,
    /// How long it is remembered that there are none. Default 1 s.
    #[serde(with = "humantime_serde")]
    pub nobody_lifetime: Duration,
    /// How long the first call waits for more providers when one is found. Default 20 ms.
    #[serde(with = "humantime_serde")]
    pub settle: Duration,
    /// How long a call waits for the first provider where none is known: a source that is stuck, or a peer
    /// that never answers, holds it up no longer. A search goes on for twice as long. Default 5 s.
    #[serde(with = "humantime_serde")]
    pub search_patience: Duration,
    /// How long connecting to one provider may take while there are others. Default 2 s.
    #[serde(with = "humantime_serde")]
    pub connect_patience: Duration,
    /// Capabilities whose providers are remembered. Default 256.
    pub max_capabilities: usize,
    /// Providers that are remembered of one capability, of about 2 KiB each. Default 256.
    pub max_providers: usize,
    /// Providers that one call is offered to at most. Default 16.
    pub max_attempts: usize,
}

impl Default for BalanceConfig {
    fn default() -> Self {
        Self {
            provider_lifetime: Duration::from_secs(30),
            nobody_lifetime: Duration::from_secs(1),
            settle: Duration::from_millis(20),
            search_patience: Duration::from_secs(5),
            connect_patience: Duration::from_secs(2),
            max_capabilities: 256,
            max_providers: 256,
            max_attempts: 16,
        }
    }
}
