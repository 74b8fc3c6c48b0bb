//! Every value that holds and where it comes from, for `o config show`.

use std::time::Duration;

use o_node::KeySource;
use serde_json::{Value, json};

use super::{Gate, Origin, PeerList, Setting, Settings, node};
use crate::exit::Failure;

/// One setting as it is shown.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// Fields of the node's configuration that are shown under another name.
const SHOWN_ELSEWHERE: [&str; 6] = [
    "node.network",
    "node.listen",
    "node.bootstrap",
    "node.transport.unix.plaintext",
    "node.limits.max_connections",
    "node.node.call_timeout",
];

/// Every value that holds. A seed is not shown.
///
/// # Errors
/// When a value has no JSON form, which is a bug.
pub(crate) fn rows(settings: &Settings) -> Result<Vec<Row>, Failure> {
    let mut rows = vec![
        row("preset", &settings.preset, |preset| json!(preset)),
        row("network", &settings.network, |network| json!(network)),
        row("listen", &settings.listen, |listen| json!(listen)),
        row("bootstrap", &settings.bootstrap, |peers| json!(peers)),
        row("unix_plaintext", &settings.unix_plaintext, |yes| json!(yes)),
        row("key", &settings.key, key),
        row("gate", &settings.gate, gate),
        row("allow", &settings.peers, allow),
        row("deny", &settings.peers, deny),
        row("capabilities", &settings.capabilities, |all| json!(all)),
        row("specialisations", &settings.specialisations, |all| {
            json!(all)
        }),
        row("labels", &settings.labels, |all| json!(all)),
        row("description", &settings.description, |text| json!(text)),
        row("max_connections", &settings.max_connections, |max| {
            json!(max)
        }),
        row("timeouts.call", &settings.call_timeout, time),
        row("timeouts.find", &settings.find_timeout, time),
        row("exec.max_running", &settings.exec.max_running, |max| {
            json!(max)
        }),
        row("exec.max_queued", &settings.exec.max_queued, |max| {
            json!(max)
        }),
        row("exec.kill_after", &settings.exec.kill_after, time),
        row("exec.max_value", &settings.exec.max_value, |max| json!(max)),
        row("exec.stderr_tail", &settings.exec.stderr_tail, |max| {
            json!(max)
        }),
    ];
    let config = serde_json::to_value(&settings.node)
        .map_err(|error| Failure::internal(error.to_string()))?;
    leaves(&config, &settings.node_table, &mut Vec::new(), &mut rows);
    rows.retain(|row| !SHOWN_ELSEWHERE.contains(&row.name.as_str()));
    Ok(rows)
}

fn row<T>(name: &str, setting: &Setting<T>, show: impl Fn(&T) -> Value) -> Row {
    Row {
        name: name.to_owned(),
        value: show(&setting.value),
        origin: setting.origin,
    }
}

fn time(time: &Duration) -> Value {
    json!(humantime::format_duration(*time).to_string())
}

fn key(key: &Option<KeySource>) -> Value {
    match key {
        None => json!("$XDG_DATA_HOME/o/keys/<address>.key"),
        Some(key) => json!(key),
    }
}

fn gate(gate: &Option<Gate>) -> Value {
    match gate {
        None => json!("hierarchy with --parent, open without"),
        Some(Gate::Hierarchy) => json!("hierarchy"),
        Some(Gate::Open) => json!("open"),
    }
}

fn allow(peers: &PeerList) -> Value {
    match peers {
        PeerList::Allow(peers) => json!(peers),
        _ => json!([]),
    }
}

fn deny(peers: &PeerList) -> Value {
    match peers {
        PeerList::Deny(peers) => json!(peers),
        _ => json!([]),
    }
}

/// Adds the node's values, each under the path that the file would use for it.
fn leaves<'a>(value: &'a Value, table: &Value, path: &mut Vec<&'a str>, rows: &mut Vec<Row>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                path.push(name);
                leaves(value, table, path, rows);
                path.pop();
            }
        }
        _ => rows.push(Row {
            name: format!("node.{}", path.join(".")),
            value: value.clone(),
            origin: node::origin(table, path),
        }),
    }
}
