//! The limits of a session.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Largest frame that may be sent before the other side's HELLO has arrived, in bytes; no HELLO may
/// announce less.
///
/// Fixed by the wire, like the two below.
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
    /// Silence after which a ping is sent, whether calls run or not. While frames arrive there are no
    /// pings. Default 15 s.
    #[serde(with = "humantime_serde")]
    pub ping_after: Duration,
    /// How long a ping may stay unanswered before the connection counts as lost. Default 15 s.
    #[serde(with = "humantime_serde")]
    pub ping_timeout: Duration,
    /// Bytes gathered for one write to the stream; one frame more than this may be gathered.
    /// Default 64 KiB.
    pub write_buffer: usize,
    /// How long a write may make no progress before the connection counts as lost. Default 30 s.
    #[serde(with = "humantime_serde")]
    pub write_timeout: Duration,
    /// How long the last bytes may take when the session has ended. Default 1 s.
    #[serde(with = "humantime_serde")]
    pub linger: Duration,
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
            write_buffer: 64 * 1024,
            write_timeout: Duration::from_secs(30),
            linger: Duration::from_secs(1),
        }
    }
}

/// A limit of a [`SessionConfig`] that would let nothing through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` must not be zero")]
#[non_exhaustive]
pub struct SessionConfigError {
    /// The name of the field.
    pub field: &'static str,
}

impl SessionConfig {
    /// Checks what the types cannot. Limits below what the wire assumes are raised, not refused.
    ///
    /// # Errors
    /// Names the first field that is zero.
    pub fn validate(&self) -> Result<(), SessionConfigError> {
        let fields = [
            ("max_frame", self.max_frame == 0),
            ("max_calls", self.max_calls == 0),
            ("initial_credit", self.initial_credit == 0),
            ("max_body", self.max_body == 0),
            ("max_buffered", self.max_buffered == 0),
            ("send_buffer", self.send_buffer == 0),
            ("max_outgoing", self.max_outgoing == 0),
            ("max_control", self.max_control == 0),
            ("hello_timeout", self.hello_timeout.is_zero()),
            ("ping_after", self.ping_after.is_zero()),
            ("ping_timeout", self.ping_timeout.is_zero()),
            ("write_buffer", self.write_buffer == 0),
            ("write_timeout", self.write_timeout.is_zero()),
            ("linger", self.linger.is_zero()),
        ];
        match fields.into_iter().find(|(_, zero)| *zero) {
            Some((field, _)) => Err(SessionConfigError { field }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_a_zero_is_named() {
        assert_eq!(SessionConfig::default().validate(), Ok(()));
        let config = SessionConfig {
            linger: Duration::ZERO,
            ..SessionConfig::default()
        };
        let error = config.validate().unwrap_err();
        assert_eq!(error.to_string(), "`linger` must not be zero");
        let config = SessionConfig {
            write_buffer: 0,
            ..SessionConfig::default()
        };
        assert_eq!(config.validate().unwrap_err().field, "write_buffer");
    }
}
