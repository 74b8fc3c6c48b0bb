//! Bringing another transport: typed agents over plain TCP, with a transport that is 300 lines long.
//!
//! `toy_tcp.rs` implements `o_core::Transport`; it is NOT secure, see there. Everything above it is
//! the same as over any other: nodes, sessions, typed calls. The conformance suite says what the
//! transport does and does not keep of the trait's contract.
//!
//! ```text
//! cargo run -p o-testkit --example another_transport
//! ```

mod toy_tcp;

use std::{cell::Cell, error::Error, sync::Arc};

use o_core::{CallError, DenyReason, Node};
use o_protocol::{CallerExt, Methods};
use o_testkit::{
    Directory, FakeSigner, FakeVerifier, MemoryNode, RecordingGater,
    conformance::{self, TransportEnd},
    test_peer,
};
use toy_tcp::ToyTcp;

/// A node of its own, which looks names up in a directory. Any port is as good as another.
fn node(number: u64, directory: &Directory) -> Result<MemoryNode, Box<dyn Error>> {
    let peer = test_peer(number);
    // Everybody refuses number 13, which is a policy and not the transport's business.
    let gater = RecordingGater::default();
    gater.deny(test_peer(13), DenyReason::Blocked);
    let transport = ToyTcp::new(FakeSigner::new(peer), FakeVerifier).gater(gater);
    Ok(MemoryNode::builder(peer, transport)
        .directory(directory)
        .listen("/ip4/127.0.0.1/tcp/0/o-toy".parse()?)
        .build())
}

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "an example shows what it does")]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = Directory::default();
    let (alice, bob, mallory) = (
        node(1, &directory)?,
        node(2, &directory)?,
        node(13, &directory)?,
    );
    let shouter = "o://bob/shouter".parse()?;
    let shout = async |_, text: String| Ok::<_, CallError>(text.to_uppercase());
    bob.host(&shouter, Methods::new().unary("shout", shout))?;
    for node in [&alice, &bob, &mallory] {
        node.start().await?;
    }

    let loud: String = alice
        .call_typed(&shouter, "shout", "hello over tcp")
        .await?;
    println!("bob listens at {} and says: {loud}", bob.addresses()[0]);
    let refused = mallory
        .call_typed::<String>(&shouter, "shout", "let me in")
        .await;
    println!("mallory hears: {}", refused.err().ok_or("mallory got in")?);
    for node in [&alice, &bob, &mallory] {
        node.stop().await?;
    }

    let next = Cell::new(20);
    conformance::transport(async || end(next.replace(next.get() + 1))).await;
    println!("the transport passes the conformance suite");
    Ok(())
}

/// One peer of the network that the suite tests.
#[expect(clippy::unwrap_used, reason = "these are addresses")]
fn end(number: u64) -> TransportEnd {
    let peer = test_peer(number);
    TransportEnd {
        peer,
        transport: Arc::new(ToyTcp::new(FakeSigner::new(peer), FakeVerifier)),
        listen: "/ip4/127.0.0.1/tcp/0/o-toy".parse().unwrap(),
        nobody: "/ip4/127.0.0.1/tcp/1/o-toy".parse().unwrap(),
        one_substream: true,
    }
}
