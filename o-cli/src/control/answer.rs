//! What is answered at the control socket.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use o_address::PeerId;
use o_node::{ConnectionInfo, Node, PeerReputation};
use serde_json::{Value, json};

use super::Facts;

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// Everybody who is connected or was ever called, those who are connected first.
pub(super) fn peers(node: &Node) -> Vec<Value> {
    let mut connected: HashMap<PeerId, Vec<ConnectionInfo>> = HashMap::new();
    for connection in node.connections() {
        connected
            .entry(connection.peer)
            .or_default()
            .push(connection);
    }
    let (mut first, mut others) = (Vec::new(), Vec::new());
    for seen in node.peers_seen() {
        let connections = connected.remove(&seen.peer).unwrap_or_default();
        let rows = match connections.is_empty() {
            true => &mut others,
            false => &mut first,
        };
        rows.push(peer(&seen.peer, &connections, Some(&seen)));
    }
    let unseen = connected
        .iter()
        .map(|(id, connections)| peer(id, connections, None));
    first.extend(unseen);
    first.append(&mut others);
    first
}

fn peer(id: &PeerId, connections: &[ConnectionInfo], seen: Option<&PeerReputation>) -> Value {
    let connections = connections.iter().map(|connection| {
        json!({
            "address": connection.remote,
            "direction": connection.direction.to_string(),
            "plaintext": connection.plaintext,
            "active_calls": connection.active_calls,
        })
    });
    let connections: Vec<_> = connections.collect();
    let observed = seen.map(|seen| {
        let counts = &seen.counts;
        let methods = seen.methods.iter().map(|method| {
            json!({
                "method": &*method.method,
                "calls": method.calls,
                "success": method.success,
                "latency_ms": method.latency.map(millis),
            })
        });
        json!({
            "score": seen.score,
            "calls": counts.calls(),
            "succeeded": counts.succeeded,
            "failures": {
                "unreachable": counts.unreachable,
                "refused": counts.refused,
                "timed_out": counts.timed_out,
                "lost": counts.lost,
                "failed": counts.failed,
                "busy": counts.busy,
                "lied": counts.lied,
            },
            "mistaken": counts.mistaken,
            "latency_ms": seen.latency.map(millis),
            "methods": methods.collect::<Vec<_>>(),
            "last_seen": seconds(seen.last_seen),
            "set_aside_ms": seen.set_aside.map(millis),
        })
    });
    json!({ "peer": id.to_string(), "connections": connections, "observed": observed })
}

/// How the node is.
pub(super) fn status(node: &Node, facts: &Facts) -> Value {
    let connections = node.connections();
    let active: usize = connections.iter().map(|c| c.active_calls).sum();
    json!({
        "peer_id": node.peer_id().to_string(),
        "address": facts.address,
        "network": facts.network,
        "pid": std::process::id(),
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_ms": millis(facts.since.elapsed()),
        "listen": node.listen_addresses(),
        "agents": node.hosted(),
        "connections": connections.len(),
        "active_calls": active,
        "peers_seen": node.peers_seen().len(),
    })
}
