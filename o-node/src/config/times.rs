//! Time-outs, and the bounds of what a node itself keeps.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Time-outs and limits of the node itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Times {
    /// How long a call may take that answers with one value and names no deadline. Default 30 s.
    #[serde(with = "humantime_serde")]
    pub call_timeout: Duration,
    /// How often calls whose deadline has passed are ended on connections whose own task is late: so
    /// much later than its deadline a call may end at most. Default 250 ms.
    #[serde(with = "humantime_serde")]
    pub deadline_check: Duration,
    /// How long a dial may take in all, up to the other side's HELLO. Default 15 s.
    #[serde(with = "humantime_serde")]
    pub dial_timeout: Duration,
    /// How long the nearest addresses of a peer are dialed before those that cost more are dialed beside
    /// them: this machine's before others, TCP before other transports, a relay last. Where the nearest
    /// ones fail, the others do not wait. Zero: all at once. Default 250 ms (RFC 8305, section 8).
    #[serde(with = "humantime_serde")]
    pub dial_stagger: Duration,
    /// How long `start` waits for its listeners. Default 10 s.
    #[serde(with = "humantime_serde")]
    pub start_timeout: Duration,
    /// How long `stop` waits for running calls. Default 5 s.
    #[serde(with = "humantime_serde")]
    pub drain: Duration,
    /// How long a record holds; it is announced anew at half of it. Default 1 h.
    #[serde(with = "humantime_serde")]
    pub record_lifetime: Duration,
    /// How long a name that was found is not looked up again. Default 60 s.
    #[serde(with = "humantime_serde")]
    pub route_lifetime: Duration,
    /// How long a name that nobody has is not looked up again. Default 1 s.
    #[serde(with = "humantime_serde")]
    pub absent_lifetime: Duration,
    /// How long a found peer may take to confirm what it offers. Default 5 s.
    #[serde(with = "humantime_serde")]
    pub confirm_timeout: Duration,
    /// How long the sources of discovery may take for one announcement. Default 60 s.
    #[serde(with = "humantime_serde")]
    pub announce_timeout: Duration,
    /// Pause before a source that failed is told of an announcement again; it doubles with each
    /// failure, up to half of `record_lifetime`. Default 5 s.
    #[serde(with = "humantime_serde")]
    pub announce_retry: Duration,
    /// How long the sources may take for all withdrawals together. Default 1 s.
    #[serde(with = "humantime_serde")]
    pub withdraw_timeout: Duration,
    /// Pause before a bootstrap peer that was lost or not reached is dialed again; the pool's backoff
    /// comes on top. Default 2 s.
    #[serde(with = "humantime_serde")]
    pub bootstrap_pause: Duration,
    /// How long a peer that dialed over a custom transport may take to open its call substream.
    /// Default 10 s.
    #[serde(with = "humantime_serde")]
    pub admit_timeout: Duration,
    /// How long a refused peer may take to read why. Default 1 s.
    #[serde(with = "humantime_serde")]
    pub refuse_timeout: Duration,
    /// How long a new connection is left to the call that it was made for before identify and ping begin
    /// on it; they begin at once where the other side does. Zero: at once. Default 20 ms.
    #[serde(with = "humantime_serde")]
    pub identify_delay: Duration,
    /// How long a connection without a call session is kept: it is discovery's, or nobody's. Default
    /// 10 s.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// How often libp2p's own ping is sent on each connection; one that does not answer is closed. It is
    /// for connections that carry no calls: on all others silence is noticed by `session.ping_after`.
    /// Default 1 h.
    #[serde(with = "humantime_serde")]
    pub ping_interval: Duration,
    /// Longest first step of an agent, up to where it first waits, for which its calls are begun on the
    /// task of the connection that they came over. The calls of one that takes longer run in tasks of
    /// their own, and so on several processors. Zero: every call is a task. Default 10 µs.
    #[serde(with = "humantime_serde")]
    pub quick_step: Duration,
    /// Memory that glibc's allocator keeps for the next body when one of up to this length is gone, in
    /// bytes; twice as much in all. It holds for the whole process, and larger values set before stay. Zero leaves the
    /// allocator as it is; 32 MiB at the most. Default 16 MiB, as long as a body may be.
    pub keep_memory: usize,
    /// Calls served at once over all connections; more are answered `busy`. Default 4096.
    pub max_calls: usize,
    /// Agents hosted. Default 256.
    pub max_agents: usize,
    /// Names whose routes are remembered. Default 1024.
    pub max_routes: usize,
    /// Peers that were reached or found lately and are remembered with up to eight addresses, to be dialed
    /// again. Default 256, of about 1 KiB each.
    pub max_known_peers: usize,
    /// Peers asked at once to confirm what they offer. Default 8.
    pub max_confirming: usize,
    /// Agents of one peer whose signatures are looked at; what it describes beyond them is left out.
    /// Default 1024.
    pub max_described: usize,
    /// Longest description of a peer that is read, in bytes. Default 1 MiB.
    pub max_description: usize,
    /// Announcements and withdrawals under way at once. Default 64.
    pub max_announcing: usize,
    /// Dials and listens that may wait for the Swarm task; who wants another one waits. Default 256.
    pub max_commands: usize,
    /// Events that a slow watcher may be behind; then it is told how many it lost. Default 1024, of
    /// about 200 bytes each.
    pub max_events: usize,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            call_timeout: Duration::from_secs(30),
            identify_delay: Duration::from_millis(20),
            quick_step: Duration::from_micros(10),
            deadline_check: Duration::from_millis(250),
            dial_timeout: Duration::from_secs(15),
            dial_stagger: Duration::from_millis(250),
            start_timeout: Duration::from_secs(10),
            drain: Duration::from_secs(5),
            record_lifetime: Duration::from_secs(3600),
            route_lifetime: Duration::from_secs(60),
            absent_lifetime: Duration::from_secs(1),
            confirm_timeout: Duration::from_secs(5),
            announce_timeout: Duration::from_secs(60),
            announce_retry: Duration::from_secs(5),
            withdraw_timeout: Duration::from_secs(1),
            bootstrap_pause: Duration::from_secs(2),
            admit_timeout: Duration::from_secs(10),
            refuse_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(10),
            ping_interval: Duration::from_secs(3600),
            keep_memory: 16 << 20,
            max_calls: 4096,
            max_agents: 256,
            max_routes: 1024,
            max_known_peers: 256,
            max_confirming: 8,
            max_described: 1024,
            max_description: 1024 * 1024,
            max_announcing: 64,
            max_commands: 256,
            max_events: 1024,
        }
    }
}
