//! Our node with room for thousands of connections, and the small nodes that connect to it.

use std::time::Duration;

use anyhow::Context as _;
use o_core::{Body, CallError, IncomingCall, MethodSpec, Reply, Shape};
use o_node::{Hosting, Keypair, Methods, Node, NodeConfig, Preset};

/// What is called.
pub(crate) const ADDRESS: &str = "o://bench/held";
/// Connections beside those that are counted.
const OTHERS: usize = 64;
/// Longer than any run: what is held must not be closed because it is idle.
const LONG: Duration = Duration::from_secs(24 * 3600);

/// Serves and says where; the preset for one machine, its limits apart.
pub(crate) async fn serve(connections: usize) -> anyhow::Result<(String, Node)> {
    crate::process::allow_connections(connections)?;
    let most = connections + OTHERS;
    let mut config = NodeConfig::preset(Preset::Local);
    config.limits.max_connections = most;
    config.limits.max_inbound = most;
    config.limits.max_per_ip = most;
    config.pool.max_connections = most;
    // By default a pool that is three quarters full begins to close what is used least.
    config.pool.high_water = Some(most);
    let echo = Methods::new().raw(
        MethodSpec::new("echo", Shape::Unary),
        |call: IncomingCall| std::future::ready(Ok::<_, CallError>(Reply::One(call.body))),
    );
    let node = Node::builder(Keypair::generate(), Preset::Local)
        .config(config)
        .host(Hosting::new(ADDRESS.parse()?, echo))
        .start()
        .await?;
    let address = node.listen_addresses().first().cloned();
    Ok((address.context("it listens nowhere")?.to_string(), node))
}

/// One of many: a key of its own, no listener, no table. Thousands of them share the machine with the node that is measured, so
/// what they would do by themselves from second to second they do once in a while.
pub(crate) async fn small() -> anyhow::Result<Node> {
    let mut config = NodeConfig::preset(Preset::Local).client();
    config.dht.enabled = false;
    config.bench.enabled = false;
    config.pool.idle_timeout = LONG;
    config.pool.poll_interval = Duration::from_secs(60);
    config.node.deadline_check = Duration::from_secs(60);
    let node = Node::builder(Keypair::generate(), Preset::Local).config(config);
    Ok(node.start().await?)
}

/// A body of so many bytes.
pub(crate) fn body(bytes: usize) -> Body {
    Body::raw(vec![7; bytes])
}
