//! What the pool has and has done, in numbers.

use serde::Serialize;

/// What a pool has now and has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PoolStats {
    /// Connections in the pool now.
    pub connections: usize,
    /// Those of them that the other side dialed.
    pub inbound: usize,
    /// Leases held now on connections in the pool.
    pub leases: usize,
    /// Dials under way now.
    pub dialing: usize,
    /// Dials that wait for one of the `max_dialing` places.
    pub queued: usize,
    /// Callers that wait for a dial now.
    pub waiters: usize,
    /// Peers whose last dial failed.
    pub backing_off: usize,
    /// Dials begun.
    pub dials_total: u64,
    /// Dials that failed.
    pub dials_failed: u64,
    /// Dials dropped because nobody waited for them any longer.
    pub dials_cancelled: u64,
    /// Dials begun because there were fewer connections than `min_connections`.
    pub fills_total: u64,
    /// Leases given at once on a connection that was there already.
    pub reused_total: u64,
    /// Connections taken in that the pool had not dialed.
    pub adopted_total: u64,
    /// Connections closed because nobody used them.
    pub evicted_idle: u64,
    /// Connections closed because there were too many.
    pub evicted_lru: u64,
    /// Connections closed because there was a better one to the same peer.
    pub evicted_duplicate: u64,
    /// Connections found dead.
    pub lost_total: u64,
    /// Requests that a limit or a pause refused.
    pub refused_total: u64,
}
