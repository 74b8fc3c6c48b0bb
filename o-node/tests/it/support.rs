//! What the tests share: nodes, agents, deadlines.

use std::{future::Future, time::Duration};

use o_address::Address;
use o_core::CallError;
use o_node::{Hosting, Keypair, Methods, Node, NodeBuilder, Preset};

/// No wait in a test is longer.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future)
        .await
        .expect("took longer than the test allows")
}

pub(crate) fn address(text: &str) -> Address {
    text.parse().unwrap()
}

/// A builder on 127.0.0.1, TCP.
pub(crate) fn local() -> NodeBuilder {
    Node::builder(Keypair::generate(), Preset::Local)
}

/// An agent that adds two numbers.
pub(crate) fn adder(at: &str) -> Hosting {
    let methods = Methods::new().unary("add", |_, (a, b): (i64, i64)| async move {
        a.checked_add(b)
            .ok_or_else(|| CallError::failed("the sum does not fit"))
    });
    Hosting::new(address(at), methods).capability("math/add".parse().unwrap())
}
