//! Checks what the types of a configuration cannot.

use std::time::Duration;

use humantime_serde::re::humantime::format_duration;
use o_address::TransportAddr;
use o_core::{ListenError, StartError};
use o_transport::{can_listen, unsupported_reason};

use super::NodeConfig;
use crate::memory;

/// Longest name of a program in a HELLO, in bytes; fixed by the wire.
const MAX_AGENT: usize = 128;
/// Most bootstrap peers: each is kept connected, and the pool protects at least as many. A few are
/// enough to enter a network of any size, which then knows the others.
const MAX_BOOTSTRAP: usize = 64;
/// Longest that one measurement may be allowed to take.
const MAX_BENCH: Duration = Duration::from_secs(3600);
/// Longest time that can be set: what is added to a clock must not overflow it.
const MAX_TIME: Duration = Duration::from_secs(365 * 24 * 3600);
/// Most places of a queue that can be set: they are set aside when the node starts, and a bigger one
/// would fill the memory before it helped anybody.
const MAX_QUEUE: usize = 1_000_000;

fn bad<T>(reason: impl Into<String>) -> Result<T, StartError> {
    let reason = reason.into();
    Err(StartError::Config { reason })
}

impl NodeConfig {
    /// Whether a node can run with it; a node that starts checks the same.
    ///
    /// # Errors
    /// [`StartError::Config`] with the name of the first field that is out of its bounds.
    pub fn validate(&self) -> Result<(), StartError> {
        if let Err(error) = self.pool.validate() {
            return bad(error.to_string());
        }
        if let Err(error) = self.transport.validate() {
            return bad(o_transport::flatten_error(&error));
        }
        if let Err(error) = self.session.validate() {
            return bad(format!("session: {error}"));
        }
        if let Err(reason) = self.hierarchy.check() {
            return bad(reason);
        }
        self.check_lists()?;
        self.check_times()?;
        self.check_far_times()?;
        self.check_counts()
    }

    /// Whether a transport of libp2p that is turned on takes each address of `listen`, as far as that
    /// can be said without opening it. What a custom transport takes is not known here.
    ///
    /// # Errors
    /// [`StartError::Listen`] with the first address that none takes, as a node that starts says it.
    pub fn check_listen(&self) -> Result<(), StartError> {
        let taken = |address: &&TransportAddr| can_listen(&self.transport, address);
        match self.listen.iter().find(|address| !taken(address)) {
            Some(address) => Err(StartError::Listen {
                address: address.clone(),
                source: ListenError::Unsupported {
                    reason: unsupported_reason(&self.transport, address),
                },
            }),
            None => Ok(()),
        }
    }

    fn check_lists(&self) -> Result<(), StartError> {
        if self.agent.len() > MAX_AGENT {
            let bytes = self.agent.len();
            return bad(format!(
                "`agent` has {bytes} bytes: it may have at most {MAX_AGENT}"
            ));
        }
        if self.bootstrap.len() > MAX_BOOTSTRAP {
            let count = self.bootstrap.len();
            return bad(format!(
                "`bootstrap` has {count} peers: it may have at most {MAX_BOOTSTRAP}"
            ));
        }
        if let Some(peer) = self.bootstrap.iter().find(|peer| peer.peer_id().is_none()) {
            return bad(format!(
                "the bootstrap address {peer} must end in /p2p/ and a peer id"
            ));
        }
        Ok(())
    }

    /// A stop without a drain, and routes that are not remembered, make sense: those may be zero.
    fn check_times(&self) -> Result<(), StartError> {
        let node = &self.node;
        if node.record_lifetime < Duration::from_secs(10) {
            let time = format_duration(node.record_lifetime);
            return bad(format!(
                "`record_lifetime` is {time}: it must be at least 10s"
            ));
        }
        let times = [
            ("call_timeout", node.call_timeout),
            ("deadline_check", node.deadline_check),
            ("dial_timeout", node.dial_timeout),
            ("start_timeout", node.start_timeout),
            ("confirm_timeout", node.confirm_timeout),
            ("announce_timeout", node.announce_timeout),
            ("announce_retry", node.announce_retry),
            ("withdraw_timeout", node.withdraw_timeout),
            ("bootstrap_pause", node.bootstrap_pause),
            ("admit_timeout", node.admit_timeout),
            ("refuse_timeout", node.refuse_timeout),
            ("idle_timeout", node.idle_timeout),
            ("ping_interval", node.ping_interval),
            ("max_time", self.bench.max_time),
            ("save_interval", self.reputation.save_interval),
            ("half_life", self.reputation.half_life),
            ("connect_patience", self.balance.connect_patience),
            ("search_patience", self.balance.search_patience),
        ];
        #[cfg(feature = "gossip")]
        if self.gossip.heartbeat < Duration::from_millis(100) {
            let time = format_duration(self.gossip.heartbeat);
            return bad(format!("`heartbeat` is {time}: it must be at least 100ms"));
        }
        let least = self.reputation.min_score;
        if !(0.0..=1.0).contains(&least) {
            return bad(format!("`min_score` is {least}: it must be from 0 to 1"));
        }
        if node.keep_memory > memory::MOST {
            return bad("`keep_memory` must be at most 32 MiB");
        }
        if self.bench.max_time > MAX_BENCH {
            let time = format_duration(self.bench.max_time);
            return bad(format!("`max_time` is {time}: it must be at most 1h"));
        }
        match times.into_iter().find(|(_, time)| time.is_zero()) {
            Some((field, _)) => bad(format!("`{field}` must not be zero")),
            None => Ok(()),
        }
    }

    fn check_far_times(&self) -> Result<(), StartError> {
        let (node, session) = (&self.node, &self.session);
        let times = [
            ("call_timeout", node.call_timeout),
            ("quick_step", node.quick_step),
            ("identify_delay", node.identify_delay),
            ("dial_stagger", node.dial_stagger),
            ("deadline_check", node.deadline_check),
            ("dial_timeout", node.dial_timeout),
            ("start_timeout", node.start_timeout),
            ("drain", node.drain),
            ("record_lifetime", node.record_lifetime),
            ("route_lifetime", node.route_lifetime),
            ("absent_lifetime", node.absent_lifetime),
            ("head_start", self.discovery.head_start),
            ("confirm_timeout", node.confirm_timeout),
            ("announce_timeout", node.announce_timeout),
            ("announce_retry", node.announce_retry),
            ("withdraw_timeout", node.withdraw_timeout),
            ("bootstrap_pause", node.bootstrap_pause),
            ("admit_timeout", node.admit_timeout),
            ("refuse_timeout", node.refuse_timeout),
            ("idle_timeout", node.idle_timeout),
            ("ping_interval", node.ping_interval),
            ("hello_timeout", session.hello_timeout),
            ("ping_after", session.ping_after),
            ("ping_timeout", session.ping_timeout),
            ("write_timeout", session.write_timeout),
            ("linger", session.linger),
            ("save_interval", self.reputation.save_interval),
            ("half_life", self.reputation.half_life),
            ("set_aside", self.reputation.set_aside),
            ("max_set_aside", self.reputation.max_set_aside),
            ("provider_lifetime", self.balance.provider_lifetime),
            ("nobody_lifetime", self.balance.nobody_lifetime),
            ("settle", self.balance.settle),
            ("connect_patience", self.balance.connect_patience),
            ("search_patience", self.balance.search_patience),
        ];
        let times = times.into_iter().chain(self.table_times());
        let times = times.chain(self.gossip_times()).chain(self.store_times());
        let mut times = times.chain(self.neighbor_times());
        match times.find(|(_, time)| *time > MAX_TIME) {
            Some((field, time)) => {
                let days = time.as_secs().div_ceil(24 * 3600);
                bad(format!("`{field}` is {days} days: it must be at most 365"))
            }
            None => Ok(()),
        }
    }

    #[cfg(feature = "kad")]
    fn table_times(&self) -> [(&'static str, Duration); 6] {
        let table = &self.dht.table;
        [
            ("provider_ttl", table.provider_ttl),
            ("republish_interval", table.republish_interval),
            ("retry_interval", table.retry_interval),
            ("query_timeout", table.query_timeout),
            ("answer_timeout", table.answer_timeout),
            ("bootstrap_interval", table.bootstrap_interval),
        ]
    }

    #[cfg(not(feature = "kad"))]
    fn table_times(&self) -> [(&'static str, Duration); 0] {
        []
    }

    #[cfg(feature = "store")]
    fn store_times(&self) -> [(&'static str, Duration); 1] {
        [("grace", self.registry.grace)]
    }

    #[cfg(not(feature = "store"))]
    fn store_times(&self) -> [(&'static str, Duration); 0] {
        []
    }

    #[cfg(feature = "gossip")]
    fn gossip_times(&self) -> [(&'static str, Duration); 3] {
        let gossip = &self.gossip;
        [
            ("heartbeat", gossip.heartbeat),
            ("suspicion", gossip.suspicion),
            ("probe_timeout", gossip.probe_timeout),
        ]
    }

    #[cfg(not(feature = "gossip"))]
    fn gossip_times(&self) -> [(&'static str, Duration); 0] {
        []
    }

    #[cfg(feature = "mdns")]
    fn neighbor_times(&self) -> [(&'static str, Duration); 3] {
        let mdns = &self.mdns;
        [
            ("query_interval", mdns.query_interval),
            ("ttl", mdns.ttl),
            ("settle_time", mdns.settle_time),
        ]
    }

    #[cfg(not(feature = "mdns"))]
    fn neighbor_times(&self) -> [(&'static str, Duration); 0] {
        []
    }

    /// Nothing inbound, no agents and no routes make sense: those may be zero.
    fn check_counts(&self) -> Result<(), StartError> {
        let (limits, node) = (&self.limits, &self.node);
        let counts = [
            ("max_connections", limits.max_connections),
            ("max_per_peer", limits.max_per_peer),
            ("max_refusing", limits.max_refusing),
            ("max_calls", node.max_calls),
            ("max_confirming", node.max_confirming),
            ("max_described", node.max_described),
            ("max_description", node.max_description),
            ("max_announcing", node.max_announcing),
            ("max_commands", node.max_commands),
            ("max_events", node.max_events),
            ("max_peers", self.reputation.max_peers),
            ("max_methods", self.reputation.max_methods),
            ("max_capabilities", self.balance.max_capabilities),
            ("max_providers", self.balance.max_providers),
            ("max_attempts", self.balance.max_attempts),
        ];
        let mut counts = counts.into_iter().chain(self.gossip_counts());
        if let Some((field, _)) = counts.find(|(_, count)| *count == 0) {
            return bad(format!("`{field}` must be at least 1"));
        }
        let queues = [
            ("max_commands", node.max_commands),
            ("max_events", node.max_events),
        ];
        match queues.into_iter().find(|(_, places)| *places > MAX_QUEUE) {
            Some((field, places)) => bad(format!(
                "`{field}` is {places}: it must be at most {MAX_QUEUE}"
            )),
            None => Ok(()),
        }
    }
}

impl NodeConfig {
    #[cfg(feature = "gossip")]
    fn gossip_counts(&self) -> [(&'static str, usize); 4] {
        let gossip = &self.gossip;
        [
            ("neighbors", gossip.neighbors),
            ("missed_beats", gossip.missed_beats as usize),
            ("max_bad", gossip.max_bad as usize),
            ("max_told", gossip.max_told),
        ]
    }

    #[cfg(not(feature = "gossip"))]
    fn gossip_counts(&self) -> [(&'static str, usize); 0] {
        []
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Preset;

    /// What a change makes of a valid configuration: the reason against it.
    fn reason(change: impl FnOnce(&mut NodeConfig)) -> String {
        let mut config = NodeConfig::preset(Preset::Local);
        change(&mut config);
        match config.validate() {
            Err(StartError::Config { reason }) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_bound_of_zero_is_an_error_that_names_it() {
        let zero = Duration::ZERO;
        let found = [
            (reason(|c| c.node.max_commands = 0), "`max_commands`"),
            (reason(|c| c.node.max_events = 0), "`max_events`"),
            (reason(|c| c.node.max_events = usize::MAX), "`max_events`"),
            (reason(|c| c.node.max_announcing = 0), "`max_announcing`"),
            (reason(|c| c.node.max_described = 0), "`max_described`"),
            (reason(|c| c.node.max_description = 0), "`max_description`"),
            (reason(|c| c.limits.max_refusing = 0), "`max_refusing`"),
            (reason(|c| c.reputation.max_peers = 0), "`max_peers`"),
            (reason(|c| c.reputation.min_score = 1.5), "`min_score`"),
            (reason(|c| c.reputation.min_score = f64::NAN), "`min_score`"),
            (reason(|c| c.balance.max_attempts = 0), "`max_attempts`"),
            (reason(|c| c.limits.max_per_peer = 0), "`max_per_peer`"),
            (reason(|c| c.node.announce_retry = zero), "`announce_retry`"),
            (reason(|c| c.node.deadline_check = zero), "`deadline_check`"),
            (reason(|c| c.node.idle_timeout = zero), "`idle_timeout`"),
            (reason(|c| c.bench.max_time = zero), "`max_time`"),
            (reason(|c| c.bench.max_time = Duration::MAX), "`max_time`"),
            (reason(|c| c.node.refuse_timeout = zero), "`refuse_timeout`"),
            (reason(|c| c.session.linger = zero), "session: `linger`"),
            (reason(|c| c.session.max_calls = 0), "session: `max_calls`"),
        ];
        for (reason, names) in found {
            assert!(reason.starts_with(names), "{reason}");
        }
    }

    #[test]
    fn what_is_over_its_bound_is_told_with_the_bound() {
        let day = Duration::from_secs(24 * 3600);
        let found = [
            (
                reason(|c| c.node.drain = 400 * day),
                "`drain` is 400 days: it must be at most 365",
            ),
            (
                reason(|c| c.bench.max_time = day),
                "`max_time` is 1day: it must be at most 1h",
            ),
            (
                reason(|c| c.node.record_lifetime = Duration::ZERO),
                "`record_lifetime` is 0s: it must be at least 10s",
            ),
            (
                reason(|c| c.node.max_events = 2_000_000),
                "`max_events` is 2000000: it must be at most 1000000",
            ),
            (
                reason(|c| c.bootstrap = vec!["/ip4/127.0.0.1/tcp/1".parse().unwrap(); 65]),
                "`bootstrap` has 65 peers: it may have at most 64",
            ),
            (
                reason(|c| c.agent = "x".repeat(129)),
                "`agent` has 129 bytes: it may have at most 128",
            ),
        ];
        for (reason, expected) in found {
            assert_eq!(reason, expected);
        }
    }

    /// The path of each time in a configuration, as JSON pointers.
    fn times(value: &serde_json::Value, at: &str, found: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(fields) => {
                for (name, value) in fields {
                    times(value, &format!("{at}/{name}"), found);
                }
            }
            serde_json::Value::String(text)
                if humantime_serde::re::humantime::parse_duration(text).is_ok() =>
            {
                found.push(at.to_owned());
            }
            _ => {}
        }
    }

    #[test]
    fn every_time_has_an_upper_bound_and_is_named() {
        let default = serde_json::to_value(NodeConfig::preset(Preset::Local)).unwrap();
        let mut found = Vec::new();
        times(&default, "", &mut found);
        assert!(found.len() >= 30, "{found:?}");
        for at in found {
            let mut config = default.clone();
            *config.pointer_mut(&at).unwrap() = "400days".into();
            let config: NodeConfig = serde_json::from_value(config).unwrap();
            let field = at.rsplit('/').next().unwrap();
            match config.validate() {
                Err(StartError::Config { reason }) if reason.contains(field) => {}
                other => panic!("{at}: {other:?}"),
            }
        }
    }
}
