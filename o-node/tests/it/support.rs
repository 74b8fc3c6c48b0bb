//! What the tests share: nodes, agents, deadlines, events.

use std::{future::Future, time::Duration};

use futures::StreamExt as _;
use libp2p::{Multiaddr, swarm::dial_opts::DialOpts};
use o_address::{Address, PeerId, TransportAddr};
use o_core::{CallError, Caller, Event, EventStream, Node as _, Query};
use o_discovery::MemoryDiscovery;
use o_node::{Hosting, Keypair, Methods, Node, NodeBuilder, NodeConfig, Preset};
use o_protocol::Call;
use serde::{Serialize, de::DeserializeOwned};

/// No wait in a test is longer.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Waits for something that must happen.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    within(LIMIT, future).await
}

/// Waits for something that must happen this fast.
pub(crate) async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(limit, future)
        .await
        .expect("took longer than the test allows")
}

/// Looks again and again until something holds that nobody reports.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + LIMIT;
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A plain node of libp2p dials from the port that it listens on, which the system does not always let
/// two sockets share. Nothing here is about that.
pub(crate) fn from_new_port(address: Multiaddr) -> DialOpts {
    let opts = DialOpts::unknown_peer_id().address(address);
    opts.allocate_new_port().build()
}

pub(crate) fn address(text: &str) -> Address {
    text.parse().unwrap()
}

/// A builder on 127.0.0.1, TCP.
pub(crate) fn local() -> NodeBuilder {
    Node::builder(Keypair::generate(), Preset::Local)
}

/// The same without the table and without gossip, so that nothing but the test makes connections.
pub(crate) fn quiet() -> NodeBuilder {
    local().configure(without_table)
}

/// A builder on libp2p's memory transport, without the table.
pub(crate) fn memory() -> NodeBuilder {
    Node::builder(Keypair::generate(), Preset::Memory).configure(without_table)
}

pub(crate) fn without_table(config: &mut NodeConfig) {
    config.dht.enabled = false;
    #[cfg(feature = "gossip")]
    {
        config.gossip.enabled = false;
    }
}

/// Starts it.
pub(crate) async fn start(builder: NodeBuilder) -> Node {
    soon(builder.start()).await.unwrap()
}

/// Stops them, and nothing may be left.
pub(crate) async fn stop(nodes: impl IntoIterator<Item = Node>) {
    for node in nodes {
        soon(node.stop()).await.unwrap();
        assert_eq!(node.task_count(), 0);
        assert_eq!(node.listen_addresses(), []);
    }
}

/// The one address of a node that listens once.
pub(crate) fn only_address(node: &Node) -> TransportAddr {
    let [address] = node.listen_addresses().try_into().unwrap();
    address
}

/// Connects, and the peer must be who it should be.
pub(crate) async fn connect(from: &Node, to: &Node) {
    let peer = soon(from.connect(&only_address(to))).await.unwrap();
    assert_eq!(peer, to.peer_id());
}

/// A builder whose nodes know this one from the start.
pub(crate) fn knowing(builder: NodeBuilder, node: &Node) -> NodeBuilder {
    let bootstrap = node.listen_addresses();
    builder.configure(|config| config.bootstrap = bootstrap)
}

/// Everything that a search finds.
pub(crate) async fn found(node: &Node, query: Query) -> Vec<PeerId> {
    let found = soon(node.find(query).collect::<Vec<_>>()).await;
    let mut peers: Vec<_> = found
        .into_iter()
        .flatten()
        .map(|provider| provider.peer)
        .collect();
    peers.sort_unstable();
    peers
}

pub(crate) fn by_name(name: &str) -> Query {
    Query::Name(address(name))
}

pub(crate) fn by_capability(capability: &str) -> Query {
    Query::Capability(capability.parse().unwrap())
}

/// Somebody who watches a node.
pub(crate) struct Watch(EventStream);

impl Watch {
    pub(crate) fn new(node: &Node) -> Self {
        Self(node.events())
    }

    /// Waits for an event, over all that come before it.
    pub(crate) async fn until(&mut self, what: &str, matches: impl Fn(&Event) -> bool) -> Event {
        let look = async {
            loop {
                match self.0.next().await {
                    Some(Ok(event)) if matches(&event) => return event,
                    Some(Ok(_)) => {}
                    other => panic!("{other:?} instead of an event: {what}"),
                }
            }
        };
        tokio::time::timeout(LIMIT, look)
            .await
            .unwrap_or_else(|_| panic!("no event: {what}"))
    }

    /// Everything that has happened so far.
    pub(crate) fn so_far(&mut self) -> Vec<Event> {
        use futures::FutureExt as _;
        let mut events = Vec::new();
        while let Some(Some(Ok(event))) = self.0.next().now_or_never() {
            events.push(event);
        }
        events
    }

    pub(crate) async fn until_disconnected(&mut self, peer: PeerId) -> String {
        let gone =
            |event: &Event| matches!(event, Event::Disconnected { peer: p, .. } if *p == peer);
        match self.until("disconnected", gone).await {
            Event::Disconnected { reason, .. } => reason,
            other => unreachable!("{other:?}"),
        }
    }
}

/// An agent that adds two numbers.
pub(crate) fn adder(at: &str) -> Hosting {
    let methods = Methods::new().unary("add", |_, (a, b): (i64, i64)| async move {
        a.checked_add(b)
            .ok_or_else(|| CallError::failed("the sum does not fit"))
    });
    Hosting::new(address(at), methods).capability("math/add".parse().unwrap())
}

/// Calls with everything owned, so that a call can be made now and awaited later.
pub(crate) trait Ask: Caller {
    async fn ask<R: DeserializeOwned>(
        &self,
        target: &str,
        method: &str,
        params: impl Serialize,
    ) -> Result<R, CallError> {
        Call::to(address(target), method)
            .params(params)
            .send(self)
            .await
    }
}

impl<C: Caller> Ask for C {}

/// A node whose announcements are in the directory.
pub(crate) async fn in_directory(directory: &MemoryDiscovery, builder: NodeBuilder) -> Node {
    let node = builder.discovery(directory.clone()).build().unwrap();
    let mut watch = Watch::new(&node);
    soon(node.start()).await.unwrap();
    let announced = |event: &Event| matches!(event, Event::Announced(_));
    watch.until("announced", announced).await;
    node
}
