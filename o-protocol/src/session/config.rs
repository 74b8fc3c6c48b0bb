//! The limits of a session.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Largest frame that may be sent before the other side's HELLO has arrived, in bytes; no HELLO may
/// announce less.
pub const ASSUMED_MAX_FRAME: u32 = 80 * 1024;
/// Most calls at once before the other side's HELLO has arrived.
pub const ASSUMED_MAX_CALLS: u32 = 64;
/// Credit of each call before the other side's HELLO has arrived, in bytes; no HELLO may announce
/// less.
pub const ASSUMED_CREDIT: u32 = 64 * 1024;

/// The limits of a session: what one connection may cost. Every field is a bound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SessionConfig {
    /// Largest frame taken, in bytes, prefix included. At least [`ASSUMED_MAX_FRAME`]. Default
    /// 128 KiB; the read buffer of a connection grows to this.
    pub max_frame: u32,
    /// Most calls at once that the other side may have open, and that we open. More are answered
    /// `busy`. Default 1024.
    pub max_calls: u32,
    /// Bytes of bodies, and 64 for each item, that the other side may send for each call and direction
    /// before it gets more credit. At least [`ASSUMED_CREDIT`]. Default 256 KiB.
    pub initial_credit: u32,
    /// Largest body, in bytes. Default 16 MiB.
    pub max_body: usize,
    /// Received bodies that nobody has taken yet and parameters of calls that are being answered, over
    /// all calls, in bytes, 64 more for each item. A call that would exceed it ends: with `busy` if its method has not begun, with `too_large`
    /// otherwise. Default 32 MiB.
    pub max_buffered: usize,
    /// Bytes that one call may have waiting to be sent before its producer is held, 64 more for each
    /// item. One body more than this may wait. Default 256 KiB.
    pub send_buffer: usize,
    /// Bytes that all calls together may have waiting to be sent, 64 more for each item. Above it new
    /// calls of both sides end with `busy` and producers are held until an eighth of it is free, but
    /// a call with nothing waiting may always queue 64 KiB. One body more than this and those 64 KiB
    /// for each call may wait. At least `send_buffer`. Default 32 MiB.
    pub max_outgoing: usize,
    /// Bytes of control frames that may wait to be sent, most of them answers to the other side's;
    /// beyond it nothing is read. Default 64 KiB.
    pub max_control: usize,
    /// How long the other side may take for its HELLO. Default 10 s.
    #[serde(with = "humantime_serde")]
    pub hello_timeout: Duration,
    /// Silence, while calls run, after which a ping is sent. Default 15 s.
    #[serde(with = "humantime_serde")]
    pub ping_after: Duration,
    /// How long a ping may stay unanswered before the connection counts as lost. Default 15 s.
    #[serde(with = "humantime_serde")]
    pub ping_timeout: Duration,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            max_frame: 128 * 1024,
            max_calls: 1024,
            initial_credit: 256 * 1024,
            max_body: 16 * 1024 * 1024,
            max_buffered: 32 * 1024 * 1024,
            send_buffer: 256 * 1024,
            max_outgoing: 32 * 1024 * 1024,
            max_control: 64 * 1024,
            hello_timeout: Duration::from_secs(10),
            ping_after: Duration::from_secs(15),
            ping_timeout: Duration::from_secs(15),
        }
    }
}
