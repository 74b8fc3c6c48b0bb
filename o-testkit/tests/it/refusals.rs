//! What a caller sees of a policy, here or there.

use o_core::{Body, CallError, Caller, DenyReason, Direction, Event, Node, OutgoingCall, Stage};
use o_testkit::{
    Directory, MemoryNetwork, MemoryNode, RecordingGater, conformance::Probe, test_peer,
};

use crate::support::{address, within};

struct Guarded {
    alice: MemoryNode,
    bob: MemoryNode,
    alices: RecordingGater,
    bobs: RecordingGater,
    network: MemoryNetwork,
}

async fn guarded() -> Guarded {
    let (network, directory) = (MemoryNetwork::new(), Directory::default());
    let (alices, bobs) = (RecordingGater::default(), RecordingGater::default());
    let node = |number, gater: &RecordingGater| {
        let peer = test_peer(number);
        MemoryNode::builder(peer, network.transport(peer).gater(gater.clone()))
            .directory(&directory)
            .listen("/memory/0".parse().unwrap())
            .build()
    };
    let (alice, bob) = (node(1, &alices), node(2, &bobs));
    bob.host(&address("o://bob"), Probe::new()).unwrap();
    alice.start().await.unwrap();
    bob.start().await.unwrap();
    Guarded {
        alice,
        bob,
        alices,
        bobs,
        network,
    }
}

impl Guarded {
    async fn call(&self) -> Result<(), CallError> {
        let call = OutgoingCall::unary(address("o://bob"), "echo", Body::default());
        within(self.alice.call(call)).await.map(drop)
    }

    async fn stop(self) {
        within(self.alice.stop()).await.unwrap();
        within(self.bob.stop()).await.unwrap();
        assert_eq!(self.network.connections(), 0);
    }
}

fn refused_by_bob(reason: &str, certain: bool) -> Result<(), CallError> {
    Err(CallError::Refused {
        peer: Some(test_peer(2)),
        reason: reason.into(),
        certain,
    })
}

#[tokio::test(start_paused = true)]
async fn gaters_are_asked_at_each_stage_on_both_sides() {
    let guarded = guarded().await;
    guarded.call().await.unwrap();
    let asked = |gater: &RecordingGater| {
        let seen = gater.seen().into_iter();
        seen.map(|seen| (seen.stage, seen.direction, seen.peer))
            .collect::<Vec<_>>()
    };
    let (alice, bob) = (Some(test_peer(1)), Some(test_peer(2)));
    assert_eq!(
        asked(&guarded.alices),
        [
            (Stage::Pending, Direction::Outbound, bob),
            (Stage::Established, Direction::Outbound, bob)
        ]
    );
    assert_eq!(
        asked(&guarded.bobs),
        [
            (Stage::Pending, Direction::Inbound, None),
            (Stage::Established, Direction::Inbound, alice)
        ]
    );
    assert!(guarded.bobs.seen().iter().all(|seen| seen.remote.is_some()));
    guarded.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_refuses_a_proved_peer_says_so() {
    let guarded = guarded().await;
    guarded.bobs.deny(
        test_peer(1),
        DenyReason::Policy {
            reason: "not today".into(),
        },
    );
    assert_eq!(guarded.call().await, refused_by_bob("not today", true));
    guarded.bobs.allow_all();
    assert_eq!(guarded.call().await, Ok(()));
    guarded.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_cut_without_a_word_is_refused_uncertainly() {
    let guarded = guarded().await;
    let limit = DenyReason::Limit {
        limit: "connections",
    };
    guarded.bobs.deny(test_peer(1), limit.clone());
    let error = guarded.call().await.unwrap_err();
    assert!(
        matches!(error, CallError::Refused { certain: false, .. }),
        "{error:?}"
    );
    guarded.bobs.allow_all();

    guarded
        .bobs
        .deny_at(Stage::Pending, Direction::Inbound, DenyReason::NotAllowed);
    assert_eq!(
        guarded.call().await,
        refused_by_bob("closed before the handshake", false)
    );
    guarded.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_policy_of_ones_own_dials_nobody() {
    let guarded = guarded().await;
    for stage in [Stage::Pending, Stage::Established] {
        guarded
            .alices
            .deny_at(stage, Direction::Outbound, DenyReason::NotRelated);
        let expected = refused_by_bob(&DenyReason::NotRelated.to_string(), true);
        assert_eq!(guarded.call().await, expected, "{stage:?}");
    }
    assert_eq!(guarded.network.connections(), 0);
    let connected = |event: &Event| matches!(event, Event::Connected { .. });
    assert!(!guarded.bob.events().recorded().iter().any(connected));
    guarded.stop().await;
}

#[tokio::test(start_paused = true)]
async fn only_so_many_refused_dialers_are_talked_to() {
    let mut config = o_testkit::MemoryConfig::default();
    config.max_refusals = 1;
    let network = MemoryNetwork::with_config(config);
    let gater = RecordingGater::default();
    gater.deny_at(Stage::Established, Direction::Inbound, DenyReason::Blocked);
    let bob = test_peer(2);
    let transport = network.transport(bob).gater(gater);
    let listener = o_core::Transport::listen(&transport, &"/memory/0".parse().unwrap())
        .await
        .unwrap();
    let there = [listener.address()];
    let dialer = network.transport(test_peer(1));
    let first = o_core::Transport::dial(&dialer, bob, &there).await.unwrap();
    let second = o_core::Transport::dial(&dialer, bob, &there).await.unwrap();
    assert!(first.open().await.is_ok(), "it will be told");
    assert!(second.open().await.is_err(), "it was cut");
}
