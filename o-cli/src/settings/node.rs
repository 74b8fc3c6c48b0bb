//! The node's own configuration: a preset, what this program adds, and the file's `[node]` over it.

use o_address::TransportAddr;
use o_node::{NodeConfig, Preset};
use serde_json::Value;

use super::Origin;
use crate::exit::Failure;

/// A preset with every transport that is compiled in, changed by the `[node]` table.
///
/// # Errors
/// A field that the node does not have, or a value that it cannot take.
pub(super) fn base(preset: Preset, table: &Value) -> Result<NodeConfig, Failure> {
    let config = with_transports(NodeConfig::preset(preset), preset);
    let json = |error: serde_json::Error| Failure::usage(format!("configuration, [node]: {error}"));
    let mut merged = serde_json::to_value(config).map_err(json)?;
    merge(&mut merged, table);
    serde_json::from_value(merged).map_err(json)
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
