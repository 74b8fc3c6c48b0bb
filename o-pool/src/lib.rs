//! Which connection to use: one dial per peer at a time, leases, eviction, backoff, health.
//!
//! A [`Pool`] stands between the callers and whoever dials. A caller asks for a lease on a
//! connection to a peer; the pool hands out the live one that it has, or dials, once for all who
//! ask meanwhile. It knows no network stack: a [`Dialer`] makes connections, a [`Link`] is one.
//!
//! - **One dial per peer.** Its outcome is everybody's. It goes on while at least one caller
//!   waits, and is dropped with the last.
//! - **Leases.** While a [`Lease`] is held, its connection is not evicted. Any number of leases
//!   share a connection, which may have been dialed by either side.
//! - **Eviction.** What we dialed is closed after an idle time; above the high water mark the
//!   least recently used connections are closed until the low one is reached.
//! - **A better connection.** Of several to one peer, calls that begin take the one of highest rank;
//!   those of lower rank are closed as soon as their own have ended.
//! - **Minimum.** While fewer peers are connected than [`PoolConfig::min_connections`] says, known ones
//!   are dialed.
//! - **Backoff.** After a failed dial the next ones are refused for a growing, jittered pause,
//!   unless they bring an address that was not tried.
//! - **Health.** A dead connection is noticed when it dies and again when it is asked for, and
//!   the next caller dials anew.
//!
//! The pool spawns nothing. [`Pool::new`] returns a future beside the pool, which evicts and
//! watches; whoever makes the pool runs it.

mod backoff;
mod config;
mod error;
mod lease;
mod link;
mod pool;
mod state;
mod stats;

pub use crate::{
    config::{PoolConfig, PoolConfigError},
    error::{AcquireError, PoolFull},
    lease::Lease,
    link::{Dialer, Link},
    pool::Pool,
    stats::PoolStats,
};
