//! Checks what the types of a configuration cannot.

use std::time::Duration;

use o_core::StartError;

use super::NodeConfig;
use crate::memory;

/// Longest name of a program in a HELLO, in bytes; fixed by the wire.
const MAX_AGENT: usize = 128;
/// Most bootstrap peers: each is kept connected, and the pool protects at least as many.
const MAX_BOOTSTRAP: usize = 64;
/// Longest that one measurement may be allowed to take.
const MAX_BENCH: Duration = Duration::from_secs(3600);
/// Longest time that can be set: what is added to a clock must not overflow it.
const MAX_TIME: Duration = Duration::from_secs(365 * 24 * 3600);
/// Most places of a queue: they are set aside when the node starts.
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
        self.check_lists()?;
        self.check_times()?;
        self.check_far_times()?;
        self.check_counts()
    }

    fn check_lists(&self) -> Result<(), StartError> {
        if self.agent.len() > MAX_AGENT {
            return bad(format!("`agent` is longer than {MAX_AGENT} bytes"));
        }
        if self.bootstrap.len() > MAX_BOOTSTRAP {
            return bad(format!("more than {MAX_BOOTSTRAP} bootstrap peers"));
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
            return bad("`record_lifetime` must be at least 10 s");
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
        ];
        if node.keep_memory > memory::MOST {
            return bad("`keep_memory` must be at most 32 MiB");
        }
        if self.bench.max_time > MAX_BENCH {
            return bad("`max_time` must be at most 1 h");
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
            ("deadline_check", node.deadline_check),
            ("dial_timeout", node.dial_timeout),
            ("start_timeout", node.start_timeout),
            ("drain", node.drain),
            ("record_lifetime", node.record_lifetime),
            ("route_lifetime", node.route_lifetime),
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
        ];
        let times = times.into_iter().chain(self.table_times());
        let mut times = times.chain(self.neighbor_times());
        match times.find(|(_, time)| *time > MAX_TIME) {
            Some((field, _)) => bad(format!("`{field}` must be at most 365 days")),
            None => Ok(()),
        }
    }

    #[cfg(feature = "kad")]
    fn table_times(&self) -> [(&'static str, Duration); 5] {
        let table = &self.dht.table;
        [
            ("provider_ttl", table.provider_ttl),
            ("republish_interval", table.republish_interval),
            ("retry_interval", table.retry_interval),
            ("query_timeout", table.query_timeout),
            ("bootstrap_interval", table.bootstrap_interval),
        ]
    }

    #[cfg(not(feature = "kad"))]
    fn table_times(&self) -> [(&'static str, Duration); 0] {
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
        ];
        if let Some((field, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return bad(format!("`{field}` must be at least 1"));
        }
        let queues = [
            ("max_commands", node.max_commands),
            ("max_events", node.max_events),
        ];
        match queues.into_iter().find(|(_, places)| *places > MAX_QUEUE) {
            Some((field, _)) => bad(format!("`{field}` must be at most {MAX_QUEUE}")),
            None => Ok(()),
        }
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
