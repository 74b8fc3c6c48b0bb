//! A tree whose leader or department is gone, or says nothing more.

use std::time::Duration;

use o_core::{Access, Attributes, Query};
use o_node::{Node, NodeBuilder};

use crate::{
    child::Plan,
    hierarchy::{at, below, found, node, who},
    support::{soon, start, stop, until, without_table},
};

/// Without gossip, which would answer, too.
fn alone(name: &str) -> NodeBuilder {
    node(name).configure(without_table)
}

async fn join(builder: NodeBuilder, parent: &Node) -> Node {
    let node = start(below(builder, &at(parent))).await;
    until("it has joined", || node.parent() == Some(parent.peer_id())).await;
    node
}

#[tokio::test]
async fn what_the_leader_knew_is_still_found_when_it_is_gone() {
    let company = start(alone("o://company")).await;
    let sales = join(alone("o://company/sales"), &company).await;
    let ai = join(alone("o://company/sales/ai"), &sales).await;
    let press = join(alone("o://company/press"), &company).await;
    let below = || Query::Attributes(Attributes::any(["below:o://company".parse().unwrap()]));
    let names = async |node: &Node| -> Vec<String> {
        let found = found(node, below()).await.into_iter();
        let mut names: Vec<_> = found.map(|(name, _)| name).collect();
        names.sort_unstable();
        names.dedup();
        names
    };
    let all = [
        "o://company/press",
        "o://company/sales",
        "o://company/sales/ai",
    ];
    let has_all = |names: &[String]| all.iter().all(|name| names.iter().any(|n| n == name));
    for node in [&company, &ai] {
        soon(async {
            while !has_all(&names(node).await) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }
    // A copy is a moment behind.
    tokio::time::sleep(Duration::from_millis(500)).await;
    // Nobody waits for the copies when it stops.
    let begun = std::time::Instant::now();
    stop([company]).await;
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    until("they have lost it", || press.parent().is_none()).await;
    until("they have lost it", || sales.parent().is_none()).await;
    // Its child has a copy of its own; the other one asks its parent, which has one.
    for node in [&press, &ai] {
        let names = names(node).await;
        assert!(has_all(&names), "{names:?}");
    }
    stop([press, ai, sales]).await;
}

#[tokio::test]
async fn the_others_go_on_calling_each_other_without_the_leader() {
    let open = |name: &str| {
        alone(name).configure(|config| {
            config.hierarchy.policy.access = Some(Access::Everybody);
            // The first call goes by way of the tree, for nobody is registered yet.
            config.node.absent_lifetime = Duration::ZERO;
        })
    };
    let company = start(alone("o://company")).await;
    let sales = join(alone("o://company/sales"), &company).await;
    let ai = join(alone("o://company/sales/ai"), &sales).await;
    let one = join(open("o://company/one"), &company).await;
    let two = join(open("o://company/two"), &company).await;
    let calls = [
        (&ai, "o://company/sales"),
        (&sales, "o://company/sales/ai"),
        (&one, "o://company/two"),
        (&two, "o://company/one"),
    ];
    for (caller, target) in calls {
        who(caller, target).await.unwrap();
    }
    // A copy of the registry is a moment behind.
    tokio::time::sleep(Duration::from_millis(500)).await;
    stop([company]).await;
    for node in [&sales, &one, &two] {
        until("they have lost it", || node.parent().is_none()).await;
    }
    for (caller, target) in calls {
        let (peer, origin) = who(caller, target).await.unwrap();
        assert_eq!((peer, origin), (Some(caller.peer_id().to_string()), None));
    }
    stop([ai, sales, one, two]).await;
}

#[tokio::test]
async fn who_says_nothing_more_is_lost_by_those_above_and_below() {
    let company = start(alone("o://company")).await;
    let mut plan = Plan::worker("o://company/sales");
    without_table(&mut plan.config);
    plan.config.hierarchy.parent = Some(at(&company));
    plan.config.hierarchy.heartbeat = Duration::from_millis(100);
    let sales = plan.start().await;
    let ai = start(below(alone("o://company/sales/ai"), sales.address())).await;
    until("it has joined", || ai.parent() == Some(sales.peer)).await;
    // Its connections stay, and the kernel takes what is sent to it.
    sales.freeze();
    until("its parent has lost it", || {
        company
            .children()
            .iter()
            .all(|(_, peer)| *peer != sales.peer)
    })
    .await;
    until("its child is with the leader", || {
        ai.parent() == Some(company.peer_id())
    })
    .await;
    sales.kill().await;
    stop([ai, company]).await;
}
