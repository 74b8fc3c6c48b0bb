//! The node's own configuration: a preset, what this program adds, and the file's `[node]` over it.

use o_address::TransportAddr;
use o_node::{NodeConfig, Preset};
use serde_json::Value;

use super::{
    Origin,
    excerpt::{brief, cut},
};
use crate::exit::Failure;

/// A preset with every transport that is compiled in, changed by the `[node]` table.
///
/// # Errors
/// A field that the node does not have, or a value that it cannot take.
pub(super) fn base(preset: Preset, table: &Value) -> Result<NodeConfig, Failure> {
    let config = with_transports(NodeConfig::preset(preset), preset);
    let default =
        serde_json::to_value(config).map_err(|error| Failure::internal(error.to_string()))?;
    changed(&default, table).map_err(|error| {
        let mut path = Vec::new();
        let error = culprit(&default, table, &mut path).unwrap_or(error);
        let found = path.iter().try_fold(&default, |value, key| value.get(key));
        let example = match found {
            Some(value) if !value.is_null() => format!("; for example {value}"),
            _ => String::new(),
        };
        let (field, error) = (cut(&path.join(".")), brief(&error.to_string()));
        Failure::usage(format!("configuration, node.{field}: {error}{example}"))
    })
}

fn changed(default: &Value, table: &Value) -> Result<NodeConfig, serde_json::Error> {
    let mut merged = default.clone();
    merge(&mut merged, table);
    serde_json::from_value(merged)
}

/// Looks for the first field that is wrong by itself: what is wrong with it, and in `path` where it
/// is.
fn culprit(default: &Value, table: &Value, path: &mut Vec<String>) -> Option<serde_json::Error> {
    let known = path.iter().try_fold(default, |value, key| value.get(key))?;
    for (key, value) in table.as_object().filter(|_| known.is_object())? {
        path.push(key.clone());
        let alone = path.iter().rev().fold(value.clone(), |inner, key| {
            Value::Object([(key.clone(), inner)].into_iter().collect())
        });
        if let Err(error) = changed(default, &alone) {
            return culprit(default, value, path).or(Some(error));
        }
        path.pop();
    }
    None
}

/// Any address can be dialed, whatever its transport; QUIC is listened on beside TCP.
fn with_transports(mut config: NodeConfig, preset: Preset) -> NodeConfig {
    config.transport.tcp.enabled = true;
    config.transport.quic.enabled = cfg!(feature = "quic");
    config.transport.websocket.enabled = cfg!(feature = "websocket");
    config.transport.unix.enabled = cfg!(all(feature = "unix", unix));
    config.transport.dns.enabled = cfg!(feature = "dns");
    let quic = match preset {
        Preset::Lan | Preset::Public => "/ip4/0.0.0.0/udp/0/quic-v1",
        _ => "/ip4/127.0.0.1/udp/0/quic-v1",
    };
    let quic = quic.parse::<TransportAddr>().ok();
    let missing = !config
        .listen
        .iter()
        .any(|address| Some(address) == quic.as_ref());
    if cfg!(feature = "quic") && missing {
        config.listen.extend(quic);
    }
    config
}

/// Puts the values of `over` in place of those of `base`, table by table.
fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (base, over) => base.clone_from(over),
    }
}

/// Whether the `[node]` table says something about the field at this path.
pub(super) fn origin(table: &Value, path: &[&str]) -> Origin {
    let found = path
        .iter()
        .try_fold(table, |table, key| table.as_object()?.get(*key));
    match found {
        Some(_) => Origin::File,
        None => Origin::Preset,
    }
}
