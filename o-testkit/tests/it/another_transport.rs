//! The transport of the example passes its suite, carries calls, and tells who refuses.

#[path = "../../examples/another_transport/toy_tcp.rs"]
mod toy_tcp;

use std::{cell::Cell, sync::Arc};

use o_core::{Body, CallError, Caller, DenyReason, Node, OutgoingCall};
use o_testkit::{
    Directory, FakeSigner, FakeVerifier, MemoryNode, RecordingGater,
    conformance::{self, Probe, TransportEnd},
    test_peer,
};

use self::toy_tcp::ToyTcp;
use crate::support::{address, within};

const ANYWHERE: &str = "/ip4/127.0.0.1/tcp/0/o-toy";

fn toy(number: u64) -> ToyTcp {
    ToyTcp::new(FakeSigner::new(test_peer(number)), FakeVerifier)
}

#[tokio::test]
async fn it_passes_the_suite() {
    let next = Cell::new(1);
    conformance::transport(async || {
        let number = next.replace(next.get() + 1);
        TransportEnd {
            peer: test_peer(number),
            transport: Arc::new(toy(number)),
            listen: ANYWHERE.parse().unwrap(),
            nobody: "/ip4/127.0.0.1/tcp/1/o-toy".parse().unwrap(),
            one_substream: true,
        }
    })
    .await;
}

#[tokio::test]
async fn it_carries_calls_of_every_kind() {
    let directory = Directory::default();
    let gater = RecordingGater::default();
    let alice = MemoryNode::builder(test_peer(1), toy(1))
        .directory(&directory)
        .build();
    let bob = MemoryNode::builder(test_peer(2), toy(2).gater(gater.clone()))
        .directory(&directory)
        .listen(ANYWHERE.parse().unwrap())
        .build();
    let (target, probe) = (address("o://bob"), Probe::new());
    bob.host(&target, probe.clone()).unwrap();
    alice.start().await.unwrap();
    bob.start().await.unwrap();

    gater.deny(test_peer(1), DenyReason::Blocked);
    let call = OutgoingCall::unary(target.clone(), "echo", Body::default());
    let error = within(alice.call(call)).await.unwrap_err();
    let reason = DenyReason::Blocked.to_string();
    assert_eq!(
        error,
        CallError::Refused {
            peer: Some(test_peer(2)),
            reason,
            certain: true
        }
    );

    gater.allow_all();
    conformance::caller(&alice, &target, &address("o://nobody"), &probe).await;
    within(bob.stop()).await.unwrap();
    within(alice.stop()).await.unwrap();
}
