//! What is turned on, in which order of preference, and with which limits.

#[cfg(test)]
mod tests;

use std::{fmt::Debug, ops::RangeInclusive, time::Duration};

use serde::{Deserialize, Serialize};

use crate::BuildError;

/// The transports of a node. The default has none turned on; presets are made of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TransportConfig {
    /// `/ip4/…/tcp/…` and `/ip6/…/tcp/…`.
    pub tcp: TcpConfig,
    /// `/ip4/…/udp/…/quic-v1` and the same over IPv6.
    pub quic: QuicConfig,
    /// `/ip4/…/tcp/…/ws` and the same over IPv6.
    pub websocket: WebSocketConfig,
    /// `/unix/…`, within this machine.
    pub unix: UnixConfig,
    /// `/memory/…`, within this process.
    pub memory: MemoryConfig,
    /// Dialing `/dns/…`, `/dns4/…`, `/dns6/…` and `/dnsaddr/…`.
    pub dns: DnsConfig,
    /// The handshakes that are offered and accepted, the preferred one first. Default: Noise. QUIC
    /// does not ask: TLS 1.3 is part of it.
    pub security: Vec<Security>,
    /// Substreams on every transport but QUIC, which has its own.
    pub yamux: YamuxConfig,
    /// The longest time from the first byte to a connection that is secured and multiplexed, name
    /// resolution included, for each address that is dialed and each connection that is accepted.
    /// 100 ms to 10 min, default 10 s.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// The same for dialing a loopback address, where nobody is far: how long a dead QUIC address
    /// costs, which refuses nothing. `connect_timeout` holds too. 100 ms to 10 min, default 2 s.
    #[serde(with = "humantime_serde")]
    pub loopback_timeout: Duration,
    /// The same for dialing a private or link-local address (RFC 1918, fc00::/7, 169.254.0.0/16,
    /// fe80::/10). 100 ms to 10 min, default 3 s.
    #[serde(with = "humantime_serde")]
    pub lan_timeout: Duration,
}

impl Default for TransportConfig {
    fn default() -> Self {
        Self {
            tcp: TcpConfig::default(),
            quic: QuicConfig::default(),
            websocket: WebSocketConfig::default(),
            unix: UnixConfig::default(),
            memory: MemoryConfig::default(),
            dns: DnsConfig::default(),
            security: vec![Security::Noise],
            yamux: YamuxConfig::default(),
            connect_timeout: Duration::from_secs(10),
            loopback_timeout: Duration::from_secs(2),
            lan_timeout: Duration::from_secs(3),
        }
    }
}

/// TCP. Also the sockets that WebSocket runs over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TcpConfig {
    /// Whether it is turned on. Default: no.
    pub enabled: bool,
    /// Sends small segments at once (`TCP_NODELAY`). Without it a small call can wait 40 ms for the
    /// acknowledgment of the one before. Default: yes.
    pub nodelay: bool,
    /// The most connections that the kernel keeps until they are accepted. 1 to 65 535, default
    /// 1024.
    pub backlog: u32,
}

impl Default for TcpConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            nodelay: true,
            backlog: 1024,
        }
    }
}

/// QUIC.
///
/// Its flow control holds per connection, so that a peer can make this node buffer
/// `connection_window` bytes at most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct QuicConfig {
    /// Whether it is turned on. Default: no.
    pub enabled: bool,
    /// A connection on which nothing arrives for this long is dead; the shorter time of the two
    /// ends counts. 1 s to 10 min, default 10 s.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// Time between two packets that keep an idle connection alive. 100 ms up to, but not including,
    /// `idle_timeout`; default 5 s.
    #[serde(with = "humantime_serde")]
    pub keep_alive: Duration,
    /// The most substreams that the other end may have open. Over it the other end waits. 16 to
    /// 1024, default 256.
    pub max_streams: u32,
    /// Bytes that may arrive unread on one substream. 64 KiB to 64 MiB, default 2 MiB.
    pub stream_window: u32,
    /// Bytes that may arrive unread on a connection, on all its substreams together. `stream_window`
    /// to 64 MiB, default 8 MiB.
    pub connection_window: u32,
}

impl Default for QuicConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            idle_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(5),
            max_streams: 256,
            stream_window: 2 << 20,
            connection_window: 8 << 20,
        }
    }
}

/// WebSocket over TCP, without TLS of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct WebSocketConfig {
    /// Whether it is turned on. Default: no.
    pub enabled: bool,
    /// The longest WebSocket frame, in bytes. It is buffered whole before anybody has proved who he
    /// is, so every connection can cost that much. 128 KiB to 16 MiB, default 1 MiB.
    pub max_frame: usize,
}

impl Default for WebSocketConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            max_frame: 1 << 20,
        }
    }
}

/// Unix sockets: `/unix/tmp/a.sock`, or `/unix/%2Ftmp%2Fa.sock`, is the file `/tmp/a.sock`.
///
/// The file has the mode 0600: only processes of the same user, and root, can connect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct UnixConfig {
    /// Whether it is turned on. Default: no.
    pub enabled: bool,
    /// Whether connections to processes of the same user that want the same are not encrypted: both
    /// ends prove their keys, and the bytes that follow are in the clear. With everybody else, and on
    /// every other transport, all is encrypted as ever. Default: no.
    pub plaintext: bool,
}

/// Connections within this process, for tests and for several nodes in one program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct MemoryConfig {
    /// Whether it is turned on. Default: no.
    pub enabled: bool,
}

/// Names in addresses that are dialed, resolved as the operating system is set up to.
///
/// A `/dnsaddr/…` that leads to a WebSocket address cannot be dialed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct DnsConfig {
    /// Whether it is turned on. Default: no.
    pub enabled: bool,
}

/// A handshake that proves who the peer is and encrypts what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Security {
    /// `/noise`: the one that every libp2p implementation has.
    Noise,
    /// `/tls/1.0.0`: TLS 1.3 with self-signed certificates.
    Tls,
}

/// Substreams over one byte stream, by yamux.
///
/// A substream may always send 256 KiB that nobody has read: yamux fixes that. While its reader
/// keeps up, that window doubles until it fits the path. What a peer can make this node buffer on a
/// connection is `receive_window`, once more as much for the frames that it comes in (128 bytes are
/// counted for each; small ones cost more than they carry), and up to 1 MiB for the one that is being read.
///
/// Our own protocols have about 70 substreams open at once at the most: two for calls, 32 each way
/// for the DHT, a few for identify and ping. `max_streams` leaves room for as many of an
/// application's own: 128 × 256 KiB = 32 MiB. The other 16 MiB of the default are for windows that
/// grow, enough for 160 MB/s to one reader 100 ms away. Calls never need more: a session has limits
/// of its own below that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct YamuxConfig {
    /// The most substreams of a connection, opened from either end. A substream more **ends the
    /// whole connection**, so that whoever opens substreams must count below it. 64 to 1024,
    /// default 128.
    pub max_streams: usize,
    /// Bytes that may arrive unread on a connection, on all its substreams together: 256 KiB for
    /// each of `max_streams`, and what is over is for the windows of busy ones to grow. Without any
    /// over, a substream brings no more than 256 KiB in a round trip. Frames that wait unread may cost
    /// as much again, 128 bytes each; a peer that leaves more of them is cut off. 256 KiB ×
    /// `max_streams` to 1 GiB, default 48 MiB.
    pub receive_window: usize,
    /// The longest body of a frame that is sent, in bytes. Longer ones have less overhead, and
    /// another substream's frame waits longer behind each. 1 KiB to 256 KiB, default 16 KiB.
    pub split_send_size: usize,
}

impl YamuxConfig {
    /// The window that every substream has from the start, in bytes. Fixed by yamux.
    pub const INITIAL_WINDOW: usize = 256 << 10;
}

impl Default for YamuxConfig {
    fn default() -> Self {
        Self {
            max_streams: 128,
            receive_window: 48 << 20,
            split_send_size: 16 << 10,
        }
    }
}

impl TransportConfig {
    /// Checks every value against its bounds, whether or not its transport is turned on.
    ///
    /// # Errors
    /// [`BuildError::Invalid`] for the first value that is out of bounds.
    pub fn validate(&self) -> Result<(), BuildError> {
        let seconds = Duration::from_secs;
        let timeouts = Duration::from_millis(100)..=seconds(600);
        within("connect_timeout", self.connect_timeout, timeouts.clone())?;
        within("loopback_timeout", self.loopback_timeout, timeouts.clone())?;
        within("lan_timeout", self.lan_timeout, timeouts)?;
        within("tcp.backlog", self.tcp.backlog, 1..=65_535)?;
        let frames = 128 << 10..=16 << 20;
        within("websocket.max_frame", self.websocket.max_frame, frames)?;
        let yamux = &self.yamux;
        within("yamux.max_streams", yamux.max_streams, 64..=1024)?;
        let least = YamuxConfig::INITIAL_WINDOW * yamux.max_streams;
        within(
            "yamux.receive_window",
            yamux.receive_window,
            least..=1 << 30,
        )?;
        let split = 1 << 10..=YamuxConfig::INITIAL_WINDOW;
        within("yamux.split_send_size", yamux.split_send_size, split)?;

        let quic = &self.quic;
        let idle = seconds(1)..=seconds(600);
        within("quic.idle_timeout", quic.idle_timeout, idle)?;
        let keep_alive = Duration::from_millis(100)..=quic.idle_timeout - Duration::from_millis(1);
        within("quic.keep_alive", quic.keep_alive, keep_alive)?;
        within("quic.max_streams", quic.max_streams, 16..=1024)?;
        let window = 64 << 20;
        within("quic.stream_window", quic.stream_window, 64 << 10..=window)?;
        let whole = quic.stream_window..=window;
        within("quic.connection_window", quic.connection_window, whole)?;
        self.validate_security()
    }

    fn validate_security(&self) -> Result<(), BuildError> {
        let field = "security";
        let needed = self.tcp.enabled || self.websocket.enabled || self.memory.enabled;
        let needed = needed || self.unix.enabled;
        if needed && self.security.is_empty() {
            let reason = "it is empty, and no connection goes without: name noise, tls or both";
            return Err(BuildError::Invalid {
                field,
                reason: reason.to_owned(),
            });
        }
        let mut rest = self.security.as_slice();
        while let Some((first, others)) = rest.split_first() {
            if others.contains(first) {
                return Err(BuildError::Invalid {
                    field,
                    reason: format!("{first:?} stands there twice"),
                });
            }
            rest = others;
        }
        Ok(())
    }
}

fn within<T>(field: &'static str, value: T, allowed: RangeInclusive<T>) -> Result<(), BuildError>
where
    T: PartialOrd + Debug,
{
    if allowed.contains(&value) {
        return Ok(());
    }
    let (low, high) = allowed.into_inner();
    Err(BuildError::Invalid {
        field,
        reason: format!("{value:?} is not within {low:?} to {high:?}"),
    })
}
