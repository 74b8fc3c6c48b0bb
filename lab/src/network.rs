//! Builds the nodes of the experiments.

use std::{fmt, sync::RwLock, time::Duration};

use anyhow::Context as _;
use futures::StreamExt as _;
use o_address::{Address, PeerId, TransportAddr};
use o_core::{Attempt, ConnectionGater, DenyReason, Query};
use o_node::{Hosting, Keypair, Methods, Node, NodeBuilder, Preset};

/// How often something is looked at again that nobody reports.
pub(crate) const LOOK: Duration = Duration::from_millis(10);

/// A node on 127.0.0.1, TCP and the table, that knows `bootstrap`.
pub(crate) fn local(bootstrap: &[TransportAddr]) -> NodeBuilder {
    let bootstrap = bootstrap.to_vec();
    Node::builder(Keypair::generate(), Preset::Local)
        .configure(|config| config.bootstrap = bootstrap)
}

/// A network of `count` nodes on 127.0.0.1; the first is the bootstrap node of the others.
pub(crate) async fn local_network(count: usize) -> anyhow::Result<Vec<Node>> {
    let first = local(&[]).start().await?;
    let bootstrap = first.listen_addresses();
    let mut nodes = vec![first];
    for _ in 1..count {
        nodes.push(local(&bootstrap).start().await?);
    }
    Ok(nodes)
}

/// Stops them all at once.
pub(crate) async fn stop(nodes: Vec<Node>) -> anyhow::Result<()> {
    let stopping = nodes
        .iter()
        .map(|node| async move { o_core::Node::stop(node).await });
    for stopped in futures::future::join_all(stopping).await {
        stopped?;
    }
    Ok(())
}

/// An agent that says who it is, with a capability.
pub(crate) fn agent(name: &Address, capability: &str) -> anyhow::Result<Hosting> {
    let methods = Methods::new().unary("who", async |context: o_core::CallContext, ()| {
        Ok::<_, o_core::CallError>(context.target.to_string())
    });
    Ok(Hosting::new(name.clone(), methods).capability(capability.parse()?))
}

/// The first provider that one search finds, if it finds any.
pub(crate) async fn first_found(node: &Node, query: Query) -> Option<PeerId> {
    let mut found = node.find(query);
    while let Some(item) = found.next().await {
        if let Ok(provider) = item {
            return Some(provider.peer);
        }
    }
    None
}

/// A node in a runtime of its own, which can be killed: every task and socket ends at once, without
/// a goodbye, as when its process is killed.
pub(crate) struct Killable {
    runtime: Option<tokio::runtime::Runtime>,
    pub(crate) node: Node,
}

impl Killable {
    /// Starts it.
    pub(crate) async fn start(builder: NodeBuilder) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let node = runtime.spawn(builder.start()).await??;
        Ok(Self {
            runtime: Some(runtime),
            node,
        })
    }

    /// Ends it without a word.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// Stops it as it should be.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let node = self.node.clone();
        let runtime = self.runtime.as_ref().context("it has been killed")?;
        runtime
            .spawn(async move { o_core::Node::stop(&node).await })
            .await??;
        self.end();
        Ok(())
    }

    fn end(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Killable {
    fn drop(&mut self) {
        self.end();
    }
}

/// Which peers cannot reach which: two halves, or none.
#[derive(Default)]
pub(crate) struct Partition(RwLock<Vec<PeerId>>);

impl Partition {
    /// Cuts `side` off from all the others; nobody, when it is empty.
    pub(crate) fn cut(&self, side: Vec<PeerId>) {
        if let Ok(mut cut) = self.0.write() {
            *cut = side;
        }
    }

    /// Whether the two are on different sides.
    pub(crate) fn divides(&self, one: &PeerId, other: &PeerId) -> bool {
        self.0
            .read()
            .is_ok_and(|cut| cut.contains(one) != cut.contains(other))
    }
}

/// The policy of one node that keeps it on its side of a [`Partition`].
pub(crate) struct Side {
    pub(crate) own: PeerId,
    pub(crate) partition: std::sync::Arc<Partition>,
}

impl fmt::Debug for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Side").field("own", &self.own).finish()
    }
}

impl ConnectionGater for Side {
    fn allow(&self, attempt: &Attempt<'_>) -> Result<(), DenyReason> {
        match attempt.peer {
            Some(peer) if self.partition.divides(&self.own, peer) => Err(DenyReason::Policy {
                reason: "the network is divided".into(),
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_divides_its_sides_only() {
        let [a, b, c] = [(); 3].map(|()| Keypair::generate().peer_id());
        let partition = Partition::default();
        assert!(!partition.divides(&a, &b));
        partition.cut(vec![a, b]);
        assert!(partition.divides(&a, &c) && partition.divides(&c, &b));
        assert!(!partition.divides(&a, &b));
        partition.cut(Vec::new());
        assert!(!partition.divides(&a, &c));
    }
}
