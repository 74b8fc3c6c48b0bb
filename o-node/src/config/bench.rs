//! What measuring by others may cost a node.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The built-in methods `bench.echo`, `bench.upload` and `bench.download`, by which others measure
/// the connection to this node. They touch no agent. Beside these limits those of the session hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct BenchConfig {
    /// Whether they are there. On by default, off in the preset `public`.
    pub enabled: bool,
    /// Largest body that `bench.echo` sends back, in bytes. Default 16 MiB.
    pub max_echo: usize,
    /// Most bytes that one upload or download moves. Default 1 GiB; none of them is kept.
    pub max_bytes: u64,
    /// Uploads and downloads at once; more are answered `busy`. Default 16.
    pub max_streams: usize,
    /// Of these, by one peer. Default 4.
    pub max_streams_per_peer: usize,
    /// How long one upload or download may take. Default 60 s.
    #[serde(with = "humantime_serde")]
    pub max_time: Duration,
}

impl Default for BenchConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            max_echo: 16 * 1024 * 1024,
            max_bytes: 1024 * 1024 * 1024,
            max_streams: 16,
            max_streams_per_peer: 4,
            max_time: Duration::from_secs(60),
        }
    }
}
