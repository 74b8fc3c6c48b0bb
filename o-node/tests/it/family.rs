//! What a child has from those above it: whom it trusts, whom it lets in, and whom it knows.

use std::time::Duration;

use o_address::TransportAddr;
use o_core::{Access, CallError, Event, Resolver as _, Source};
use o_node::{Keypair, Node, NodeBuilder, NodeConfig};
use o_protocol::Call;
use tokio::net::TcpListener;

use crate::{
    hierarchy::{at, below, node, who},
    support::{Watch, address, connect, quiet, soon, start, stop, until, without_table},
};

async fn child(builder: NodeBuilder, parent: &Node) -> Node {
    let node = start(below(builder, &at(parent))).await;
    until("it has joined", || node.parent() == Some(parent.peer_id())).await;
    node
}

/// As long as it would take to join many times over.
const LONG_ENOUGH: Duration = Duration::from_secs(1);

#[tokio::test]
async fn the_key_that_was_given_is_the_root_and_no_other() {
    let company = start(node("o://company")).await;
    let wrong = Keypair::generate().peer_id();
    let child = async |name: &str, parent: TransportAddr, root: Option<o_address::PeerId>| {
        let builder = below(node(name), &parent);
        let given = move |config: &mut NodeConfig| config.hierarchy.root_key = root;
        start(builder.configure(given)).await
    };
    let joins = async |name: &str, parent: TransportAddr, root: Option<o_address::PeerId>| {
        let node = child(name, parent, root).await;
        until("it has joined", || node.parent().is_some()).await;
        stop([node]).await;
    };
    let stays_out = async |name: &str, parent: TransportAddr, root: Option<o_address::PeerId>| {
        let node = child(name, parent, root).await;
        tokio::time::sleep(LONG_ENOUGH).await;
        assert_eq!(node.parent(), None);
        stop([node]).await;
    };
    let here = at(&company);
    let bare = here.without_peer().unwrap();
    joins("o://company/right", here.clone(), Some(company.peer_id())).await;
    stays_out("o://company/wrong", here.clone(), Some(wrong)).await;
    // The key in the parent's address is asked for as well.
    let named = bare.with_peer(&company.peer_id());
    joins("o://company/named", named, None).await;
    stays_out("o://company/misled", bare.with_peer(&wrong), None).await;
    stop([company]).await;
}

#[tokio::test]
async fn a_child_is_no_more_open_than_its_parent_allows() {
    let access =
        |access| move |config: &mut NodeConfig| config.hierarchy.policy.access = Some(access);
    let company = node("o://company").configure(access(Access::Family));
    let company = start(company.configure(without_table)).await;
    let open = |name: &str| {
        let builder = node(name).configure(access(Access::Everybody));
        builder.configure(without_table)
    };
    let narrowed = child(open("o://company/narrowed"), &company).await;
    // The same without a parent, to see that the gate makes the difference.
    let free = start(open("o://free")).await;
    let stranger = start(quiet()).await;
    connect(&stranger, &free).await;
    assert!(who(&stranger, "o://free").await.is_ok());
    let _ = soon(stranger.connect(&at(&narrowed))).await;
    let refused = who(&stranger, "o://company/narrowed").await.unwrap_err();
    assert!(
        matches!(
            refused,
            CallError::Refused { .. } | CallError::Unreachable { .. }
        ),
        "{refused:?}"
    );
    stop([stranger, free, narrowed, company]).await;
}

#[tokio::test]
async fn the_leader_may_call_everybody_directly() {
    let company = start(node("o://company").configure(without_table)).await;
    let sales = child(node("o://company/sales").configure(without_table), &company).await;
    let ai = child(
        node("o://company/sales/ai").configure(without_table),
        &sales,
    )
    .await;
    let stranger = start(quiet()).await;
    for (caller, let_in) in [(&company, true), (&stranger, false)] {
        connect(caller, &ai).await;
        let there = caller.peer(ai.peer_id());
        let call = Call::to(address("o://company/sales/ai"), "who");
        let answer = soon(call.send::<crate::hierarchy::Who>(&there)).await;
        match answer {
            Ok((peer, origin)) => {
                assert!(let_in);
                assert_eq!((peer, origin), (Some(caller.peer_id().to_string()), None));
            }
            Err(error) => assert!(!let_in, "{error:?}"),
        }
    }
    stop([stranger, ai, sales, company]).await;
}

#[tokio::test]
async fn the_family_is_known_without_asking_and_says_how_fresh_that_is() {
    let company = start(node("o://company").configure(without_table)).await;
    let sales = child(node("o://company/sales").configure(without_table), &company).await;
    let up = soon(sales.resolve(&address("o://company"))).await.unwrap();
    let down = soon(company.resolve(&address("o://company/sales")))
        .await
        .unwrap();
    for (routes, peer) in [(up, company.peer_id()), (down, sales.peer_id())] {
        assert_eq!((routes[0].peer, routes.len()), (peer, 1));
        assert!(
            matches!(routes[0].source, Source::Hierarchy | Source::Connected),
            "{routes:?}"
        );
    }
    // Further up than those who are connected.
    let ai = child(
        node("o://company/sales/ai").configure(without_table),
        &sales,
    )
    .await;
    let route = async || soon(ai.resolve(&address("o://company"))).await.unwrap()[0].clone();
    let found = route().await;
    assert_eq!(
        (found.peer, found.source),
        (company.peer_id(), Source::Hierarchy)
    );
    // As old as the last heartbeat, of which there are ten in a second: without one it would only grow.
    tokio::time::sleep(Duration::from_millis(500)).await;
    soon(async { while route().await.age >= Duration::from_millis(450) {} }).await;
    stop([ai, sales, company]).await;
}

#[tokio::test]
async fn whoever_is_left_above_takes_the_orphans() {
    let alone = |name: &str| node(name).configure(without_table);
    let company = start(alone("o://company")).await;
    let sales = child(alone("o://company/sales"), &company).await;
    let europe = child(alone("o://company/sales/europe"), &sales).await;
    let ai = child(alone("o://company/sales/europe/ai"), &europe).await;
    // Its grandparent comes before the leader.
    stop([europe]).await;
    until("the grandparent has taken it", || {
        ai.parent() == Some(sales.peer_id())
    })
    .await;
    stop([sales]).await;
    until("the leader has taken it", || {
        ai.parent() == Some(company.peer_id())
    })
    .await;
    stop([ai, company]).await;
}

#[tokio::test]
async fn a_parent_that_says_nothing_costs_its_child_nothing_where_it_is_meanwhile() {
    let alone = |name: &str| node(name).configure(without_table);
    let company = start(alone("o://company")).await;
    let sales = child(alone("o://company/sales"), &company).await;
    let ai = child(alone("o://company/sales/ai"), &sales).await;
    let home = at(&sales).to_string();
    let port = home.split('/').nth(4).unwrap();
    let port: u16 = port.parse().expect(&home);
    stop([sales]).await;
    // Where it was, something takes connections and says nothing.
    let mute = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    until("the leader has taken it", || {
        ai.parent() == Some(company.peer_id())
    })
    .await;
    let mut events = [Watch::new(&company), Watch::new(&ai)];
    // Each attempt to go back takes longer than a child may be silent.
    let mut taken = Vec::new();
    for _ in 0..3 {
        taken.push(soon(mute.accept()).await.unwrap());
    }
    let lost = |event: &Event| matches!(event, Event::ChildLost { .. } | Event::Detached { .. });
    for watch in &mut events {
        let seen = watch.so_far();
        assert!(!seen.iter().any(lost), "{seen:?}");
    }
    assert_eq!(ai.parent(), Some(company.peer_id()));
    stop([ai, company]).await;
}

#[tokio::test]
async fn nobody_joins_those_below() {
    let company = start(node("o://company")).await;
    let sales = child(node("o://company/sales"), &company).await;
    // The leader asks its own child to take it.
    let wanted = Call::to(
        o_address::Address::node().pinned(sales.peer_id()),
        "hierarchy.join",
    );
    let wanted = wanted.params(serde_json::json!({ "name": "o://company/sales/loop" }));
    let refused = soon(wanted.send::<serde::de::IgnoredAny>(&company)).await;
    let refused = refused.map(|_| ()).unwrap_err();
    assert!(matches!(refused, CallError::Refused { .. }), "{refused:?}");
    assert!(refused.to_string().contains("above"), "{refused}");
    stop([sales, company]).await;
}

#[tokio::test]
async fn who_listens_nowhere_is_called_through_the_tree() {
    let company = start(node("o://company").configure(without_table)).await;
    let deaf = node("o://company/deaf").configure(without_table);
    let deaf = child(deaf.configure(|config| config.listen.clear()), &company).await;
    assert!(deaf.listen_addresses().is_empty());
    let stranger = start(quiet()).await;
    connect(&stranger, &company).await;
    let (peer, _) = who(&stranger, "o://company/deaf").await.unwrap();
    assert_eq!(peer, Some(company.peer_id().to_string()));
    let nobody = who(&stranger, "o://company/dumb").await.unwrap_err();
    assert!(matches!(nobody, CallError::NotFound { .. }), "{nobody:?}");
    stop([stranger, deaf, company]).await;
}
