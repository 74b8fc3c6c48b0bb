//! What the tests have in common.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt;
use o_address::Address;
use o_core::Node;
use o_testkit::{
    Directory, MemoryNetwork, MemoryNode, MemoryNodeBuilder, conformance::TransportEnd, test_peer,
};

/// How long anything in a test may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap()
}

pub(crate) fn address(text: &str) -> Address {
    text.parse().unwrap()
}

/// What a suite says of something that is broken; it has to say something.
pub(crate) async fn failure_of(suite: impl Future<Output = ()>) -> String {
    let outcome = AssertUnwindSafe(suite).catch_unwind().await;
    let panic = outcome.expect_err("the suite passed something that is broken");
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => (*panic.downcast::<&str>().unwrap()).to_owned(),
    }
}

/// A node of this peer in `network`, which looks names up in `directory`.
pub(crate) fn node(network: &MemoryNetwork, directory: &Directory, peer: u64) -> MemoryNodeBuilder {
    let peer = test_peer(peer);
    MemoryNode::builder(peer, network.transport(peer))
        .directory(directory)
        .listen("/memory/0".parse().unwrap())
}

/// Two running nodes of one network and directory.
pub(crate) struct Two {
    pub(crate) network: MemoryNetwork,
    pub(crate) directory: Directory,
    pub(crate) alice: MemoryNode,
    pub(crate) bob: MemoryNode,
}

impl Two {
    pub(crate) async fn start() -> Self {
        Self::start_in(MemoryNetwork::new()).await
    }

    pub(crate) async fn start_in(network: MemoryNetwork) -> Self {
        let directory = Directory::default();
        let alice = node(&network, &directory, 1).build();
        let bob = node(&network, &directory, 2).build();
        alice.start().await.unwrap();
        bob.start().await.unwrap();
        Self {
            network,
            directory,
            alice,
            bob,
        }
    }

    pub(crate) async fn stop(self) {
        within(self.alice.stop()).await.unwrap();
        within(self.bob.stop()).await.unwrap();
        assert_eq!(self.network.connections(), 0);
    }
}

/// Peers of one network in memory, each another one.
pub(crate) fn ends(network: &MemoryNetwork) -> impl AsyncFn() -> TransportEnd + use<> {
    let next = std::cell::Cell::new(1);
    let network = network.clone();
    async move || {
        let peer = test_peer(next.replace(next.get() + 1));
        TransportEnd {
            peer,
            transport: std::sync::Arc::new(network.transport(peer)),
            listen: "/memory/0".parse().unwrap(),
            nobody: "/memory/999".parse().unwrap(),
            one_substream: false,
        }
    }
}
