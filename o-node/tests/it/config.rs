//! What a user of this crate alone can say about a node.

use std::time::Duration;

use o_core::{Node as _, StartError};
use o_node::{
    DhtConfig, DhtMode, LimitsConfig, MergedConfig, NodeConfig, NodeDhtConfig, PoolConfig, Preset,
    Security, SessionConfig, TcpConfig, Times, TransportConfig, YamuxConfig,
};

use crate::support::{quiet, soon};

#[test]
fn every_part_of_the_configuration_has_a_name_here() {
    let mut config = NodeConfig::preset(Preset::Local);
    config.limits = LimitsConfig::default();
    config.pool = PoolConfig::default();
    config.session = SessionConfig::default();
    config.discovery = MergedConfig::default();
    config.node = Times::default();
    config.transport = TransportConfig::default();
    config.transport.tcp = TcpConfig::default();
    config.transport.yamux = YamuxConfig::default();
    config.transport.security = vec![Security::Noise];
    config.dht = NodeDhtConfig::default();
    config.dht.table = DhtConfig::default();
    config.dht.table.mode = DhtMode::Client;
    #[cfg(feature = "mdns")]
    {
        config.mdns = o_node::MdnsConfig::default();
    }
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<NodeConfig>(&text).unwrap(), config);
}

#[tokio::test]
async fn a_bound_of_zero_is_told_at_the_start() {
    let node = quiet()
        .configure(|config| config.node.max_events = 0)
        .build()
        .unwrap();
    let error = soon(node.start()).await.unwrap_err();
    let StartError::Config { reason } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(reason, "`max_events` must be at least 1");
    let slow = quiet().configure(|config| config.session.write_timeout = Duration::ZERO);
    let error = soon(slow.start()).await.unwrap_err();
    assert!(error.to_string().contains("write_timeout"), "{error}");
}

/// Where the times are in a configuration: what its default prints as a time of day or so.
fn times(value: &serde_json::Value, at: &str, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                times(value, &format!("{at}/{name}"), found);
            }
        }
        serde_json::Value::String(text)
            if text.ends_with(['s', 'm', 'h'])
                && text.starts_with(|c: char| c.is_ascii_digit()) =>
        {
            found.push(at.to_owned());
        }
        _ => {}
    }
}

#[tokio::test]
async fn no_time_is_so_long_that_it_overflows_the_clock() {
    let default = serde_json::to_value(NodeConfig::preset(o_node::Preset::Local)).unwrap();
    let mut found = Vec::new();
    times(&default, "", &mut found);
    assert!(found.len() >= 30, "{found:?}");
    for at in found {
        let mut config = default.clone();
        *config.pointer_mut(&at).unwrap() = "500000000000years".into();
        let Ok(config) = serde_json::from_value::<NodeConfig>(config) else {
            continue;
        };
        let started = soon(quiet().config(config).start()).await;
        assert!(
            matches!(
                &started,
                Err(StartError::Config { .. } | StartError::Transport { .. })
            ),
            "{at}: {started:?}"
        );
    }
}
