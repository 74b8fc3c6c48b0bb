//! The suite of `Node`.

use futures::{FutureExt, future::join_all};
use o_core::{Node, NodeState, StartError};

use super::check::Suite;

const SUITE: Suite = Suite("Node");

/// Takes a node that was never started through its life twice, and checks every state and refusal.
/// It is stopped at the end.
///
/// # Panics
/// When the node does not conform.
///
/// # Cancel safety
/// Dropping the future ends the suite; the node may be in any state then.
pub async fn node(node: &dyn Node) {
    SUITE.equal("a new node", &node.state(), &NodeState::Created);
    SUITE
        .ok_within("stopping a node that was never started", node.stop())
        .await;
    SUITE.equal("it is still created", &node.state(), &NodeState::Created);

    for round in 1..3 {
        let step = format!("start {round}");
        SUITE.ok_within(&step, node.start()).await;
        SUITE.equal(&step, &node.state(), &NodeState::Running);

        let step = format!("starting a running node, round {round}");
        match SUITE.within(&step, node.start()).await {
            Err(StartError::WrongState {
                state: NodeState::Running,
            }) => {}
            other => SUITE.fail(&step, &format!("expected `WrongState`, found {other:?}")),
        }
        SUITE.equal(&step, &node.state(), &NodeState::Running);

        let step = format!("stop {round}");
        SUITE.ok_within(&step, node.stop()).await;
        SUITE.equal(&step, &node.state(), &NodeState::Stopped);
        let step = format!("stopping a stopped node, round {round}");
        SUITE.ok_within(&step, node.stop()).await;
        SUITE.equal(&step, &node.state(), &NodeState::Stopped);
    }

    let step = "several stops at once";
    SUITE.ok_within(step, node.start()).await;
    for stopped in SUITE
        .within(step, join_all((0..4).map(|_| node.stop())))
        .await
    {
        SUITE.ok(step, stopped);
    }
    SUITE.equal(step, &node.state(), &NodeState::Stopped);

    let step = "a start that was dropped is ended by stop";
    let begun = node.start().now_or_never();
    SUITE.check(step, !matches!(begun, Some(Err(_))), "it failed");
    SUITE.ok_within(step, node.stop()).await;
    SUITE.equal(step, &node.state(), &NodeState::Stopped);

    let step = "a stop that was dropped is ended by the next";
    SUITE.ok_within(step, node.start()).await;
    let _ = node.stop().now_or_never();
    SUITE.ok_within(step, node.stop()).await;
    SUITE.equal(step, &node.state(), &NodeState::Stopped);

    let step = "it starts again after all that";
    SUITE.ok_within(step, node.start()).await;
    SUITE.equal(step, &node.state(), &NodeState::Running);
    SUITE.ok_within(step, node.stop()).await;
}
