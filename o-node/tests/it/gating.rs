//! Who may connect: policies, edited while the node runs, and counting limits.

use std::time::Duration;

use o_core::{CallError, DenyReason, DialError, Direction, Event};
use o_node::{AllowList, BlockList, CallerExt as _, HierarchyGater, Node};

use crate::support::{
    Ask as _, LIMIT, Watch, adder, address, connect, knowing, local, only_address, quiet, soon,
    start, stop, until,
};

fn denied(direction: Direction) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::Denied { direction: d, .. } if *d == direction)
}

/// The reason with which the listener refuses, which must be certain and quick.
async fn refused(client: &Node, server: &Node) -> String {
    let there = only_address(server);
    let connecting = client.connect(&there);
    let error = crate::support::within(Duration::from_secs(5), connecting)
        .await
        .unwrap_err();
    let DialError::Refused {
        peer,
        reason,
        certain,
    } = error
    else {
        panic!("{error:?}")
    };
    assert_eq!((peer, certain), (server.peer_id(), true));
    reason
}

#[tokio::test]
async fn both_sides_learn_of_a_refusal_and_the_list_can_be_edited() {
    let blocked = BlockList::new();
    let server = start(quiet().gater(blocked.clone())).await;
    let client = start(quiet().client()).await;
    let mut watch = Watch::new(&server);
    blocked.insert(client.peer_id()).unwrap();
    for _ in 0..3 {
        assert_eq!(refused(&client, &server).await, "the peer is blocked");
        let event = watch.until("denied", denied(Direction::Inbound)).await;
        let expected = Event::Denied {
            peer: Some(client.peer_id()),
            direction: Direction::Inbound,
            reason: DenyReason::Blocked,
        };
        assert_eq!(event, expected);
    }
    blocked.remove(&client.peer_id());
    connect(&client, &server).await;
    stop([client, server]).await;
}

#[tokio::test]
async fn our_own_policy_keeps_us_from_dialing() {
    let blocked = BlockList::new();
    let client = start(quiet().client().gater(blocked.clone())).await;
    let server = start(quiet().host(adder("o://math/adder"))).await;
    blocked.insert(server.peer_id()).unwrap();
    let (mut watch, mut ours) = (Watch::new(&server), Watch::new(&client));
    // By its id before anything is sent, and without one as soon as it has proved who it is.
    for there in [
        only_address(&server),
        only_address(&server).without_peer().unwrap(),
    ] {
        let error = soon(client.connect(&there)).await.unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("by this node") && text.contains("blocked"),
            "{error:?}"
        );
        let event = ours.until("denied", denied(Direction::Outbound)).await;
        let expected = Event::Denied {
            peer: Some(server.peer_id()),
            direction: Direction::Outbound,
            reason: DenyReason::Blocked,
        };
        assert_eq!(event, expected);
        assert!(
            matches!(error, DialError::Refused { certain: true, .. }),
            "{error:?}"
        );
        if there.peer_id().is_some() {
            let seen = watch.so_far();
            assert!(
                !seen
                    .iter()
                    .any(|event| matches!(event, Event::Connected { .. })),
                "{seen:?}"
            );
        }
    }
    let pinned = address("o://math/adder").pinned(server.peer_id());
    let error = soon(client.call_typed::<i64>(&pinned, "add", &(1, 2))).await;
    assert!(error.is_err());
    stop([client, server]).await;
}

#[tokio::test]
async fn only_those_on_the_allow_list_come_in() {
    let (friend, stranger) = (start(quiet().client()).await, start(quiet().client()).await);
    let allowed = AllowList::from_peers([friend.peer_id()]).unwrap();
    let server = start(quiet().gater(allowed)).await;
    connect(&friend, &server).await;
    assert_eq!(
        refused(&stranger, &server).await,
        "the peer is not on the allow list"
    );
    stop([friend, stranger, server]).await;
}

#[tokio::test]
async fn of_several_policies_the_first_denial_wins() {
    let client = start(quiet().client()).await;
    let blocked = BlockList::from_peers([client.peer_id()]).unwrap();
    let server = start(quiet().gater(blocked).gater(AllowList::new())).await;
    assert_eq!(refused(&client, &server).await, "the peer is blocked");
    stop([client, server]).await;
}

#[tokio::test]
async fn a_child_takes_its_parent_its_children_and_the_leader_only() {
    let node = || start(quiet());
    let (leader, parent, child, stranger) =
        (node().await, node().await, node().await, node().await);
    let gater = HierarchyGater::default();
    gater.set_leader(Some(leader.peer_id()));
    gater.set_parent(Some(parent.peer_id()));
    gater.add_child(child.peer_id()).unwrap();
    let member = start(quiet().gater(gater.clone()).host(adder("o://math/adder"))).await;
    for family in [&leader, &parent, &child] {
        connect(family, &member).await;
        let sum = family.ask::<i64>("o://math/adder", "add", (1, 2));
        assert_eq!(soon(sum).await, Ok(3));
    }
    let expected = "the peer is neither parent, child nor leader";
    assert_eq!(refused(&stranger, &member).await, expected);
    // It may dial whom it likes.
    connect(&member, &stranger).await;
    // A new child is taken as soon as its parent says so.
    let late = node().await;
    assert_eq!(refused(&late, &member).await, expected);
    gater.add_child(late.peer_id()).unwrap();
    connect(&late, &member).await;
    stop([member, leader, parent, child, stranger, late]).await;
}

#[tokio::test]
async fn whom_a_child_dials_may_answer_and_not_call() {
    let gater = HierarchyGater::default();
    gater.set_parent(Some(o_node::Keypair::generate().peer_id()));
    let child = quiet().host(adder("o://child/adder")).gater(gater.clone());
    let child = start(child).await;
    let stranger = start(quiet().host(adder("o://stranger/adder"))).await;
    connect(&child, &stranger).await;

    let sum = child.ask::<i64>("o://stranger/adder", "add", (1, 2));
    assert_eq!(soon(sum).await, Ok(3));
    let back = || stranger.ask::<i64>("o://child/adder", "add", (1, 2));
    let refused = soon(back()).await.unwrap_err();
    let CallError::Refused {
        peer,
        reason,
        certain: true,
    } = &refused
    else {
        panic!("{refused:?}")
    };
    assert_eq!(*peer, Some(child.peer_id()));
    assert_eq!(*reason, DenyReason::NotRelated.to_string());

    // The connection goes on, and an edit counts at once.
    gater.add_child(stranger.peer_id()).unwrap();
    assert_eq!(soon(back()).await, Ok(3));
    stop([child, stranger]).await;
}

#[tokio::test]
async fn rechecking_closes_what_is_no_longer_allowed_and_nothing_else() {
    let blocked = BlockList::new();
    let worker = crate::worker::Worker::new();
    let server = start(
        quiet()
            .gater(blocked.clone())
            .host(worker.at("o://far/worker")),
    )
    .await;
    let (bad, good) = (start(quiet().client()).await, start(quiet().client()).await);
    connect(&bad, &server).await;
    connect(&good, &server).await;
    let call = |client: &Node| {
        let client = client.clone();
        tokio::spawn(async move { client.ask::<String>("o://far/worker", "gate", "open").await })
    };
    let (ends, stays) = (call(&bad), call(&good));
    soon(worker.wait_running(2)).await;

    blocked.insert(bad.peer_id()).unwrap();
    let mut watch = Watch::new(&server);
    // An edit alone closes nothing.
    let who = good.ask::<String>("o://far/worker", "echo", "");
    soon(who).await.unwrap();
    assert!(!ends.is_finished());

    soon(server.recheck_connections()).await;
    let end = soon(ends).await.unwrap();
    // Not `Refused`, which says for certain that nothing ran.
    let Err(CallError::ConnectionLost { reason }) = &end else {
        panic!("{end:?}")
    };
    assert_eq!(reason, "refused: the peer is blocked");
    watch.until("denied", denied(Direction::Inbound)).await;
    watch.until_disconnected(bad.peer_id()).await;
    soon(worker.wait_ended(1)).await;

    worker.open();
    assert_eq!(soon(stays).await.unwrap().as_deref(), Ok("open"));
    assert_eq!(refused(&bad, &server).await, "the peer is blocked");
    stop([bad, good, server]).await;
}

#[tokio::test]
async fn a_full_node_cuts_new_connections_and_takes_them_when_there_is_room() {
    let server = start(quiet().max_connections(2)).await;
    let mut watch = Watch::new(&server);
    let clients = [
        start(quiet().client()).await,
        start(quiet().client()).await,
        start(quiet().client()).await,
    ];
    connect(&clients[0], &server).await;
    connect(&clients[1], &server).await;
    let error = soon(clients[2].connect(&only_address(&server)))
        .await
        .unwrap_err();
    // Cut without a word, which is not certain to be a refusal.
    assert!(
        matches!(
            error,
            DialError::Refused { certain: false, .. } | DialError::Failed { .. }
        ),
        "{error:?}"
    );
    let event = watch.until("denied", denied(Direction::Inbound)).await;
    let reason = DenyReason::Limit {
        limit: "max_connections",
    };
    assert!(
        matches!(&event, Event::Denied { reason: r, .. } if *r == reason),
        "{event:?}"
    );

    let [one, two, three] = clients;
    let gone = one.peer_id();
    stop([one]).await;
    watch.until_disconnected(gone).await;
    // The place is free a moment after the session's end.
    soon(async {
        while three.connect(&only_address(&server)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    stop([two, three, server]).await;
}

#[tokio::test]
async fn one_peer_and_one_address_have_limits_of_their_own() {
    let limited = |per_peer, per_ip| {
        quiet().configure(move |config| {
            config.limits.max_per_peer = per_peer;
            config.limits.max_per_ip = per_ip;
        })
    };
    let server = start(limited(4, 2)).await;
    let mut watch = Watch::new(&server);
    let mut clients = Vec::new();
    for _ in 0..2 {
        let client = start(quiet().client()).await;
        connect(&client, &server).await;
        clients.push(client);
    }
    let third = start(quiet().client()).await;
    soon(third.connect(&only_address(&server)))
        .await
        .unwrap_err();
    let reason = DenyReason::Limit {
        limit: "max_per_ip",
    };
    let event = watch.until("denied", denied(Direction::Inbound)).await;
    assert_eq!(
        event,
        Event::Denied {
            peer: None,
            direction: Direction::Inbound,
            reason
        }
    );
    clients.push(third);

    // Two nodes of one key are one peer.
    let server_of_one = start(limited(1, 100)).await;
    let mut watch = Watch::new(&server_of_one);
    let keypair = o_node::Keypair::generate();
    let twin = || {
        o_node::Node::builder(keypair.clone(), o_node::Preset::Local)
            .configure(crate::support::without_table)
            .client()
    };
    let (first, second) = (start(twin()).await, start(twin()).await);
    connect(&first, &server_of_one).await;
    soon(second.connect(&only_address(&server_of_one)))
        .await
        .unwrap_err();
    let event = watch.until("denied", denied(Direction::Inbound)).await;
    let reason = DenyReason::Limit {
        limit: "max_per_peer",
    };
    assert!(
        matches!(&event, Event::Denied { reason: r, .. } if *r == reason),
        "{event:?}"
    );
    clients.extend([first, second]);
    stop(clients).await;
    stop([server, server_of_one]).await;
}

#[tokio::test]
async fn our_own_limit_is_busy_and_not_a_refusal() {
    let servers = [start(quiet()).await, start(quiet()).await];
    let client = start(quiet().client().max_connections(1)).await;
    connect(&client, &servers[0]).await;
    let error = soon(client.connect(&only_address(&servers[1])))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            DialError::Busy {
                limit: "max_connections"
            }
        ),
        "{error:?}"
    );
    let [one, two] = servers;
    stop([client, one, two]).await;
}

#[tokio::test]
async fn a_crowd_of_refused_peers_leaves_nothing_behind() {
    let server = start(quiet().gater(AllowList::new())).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(start(quiet().client()).await);
    }
    let there = only_address(&server);
    let refusals = clients.iter().map(|client| client.connect(&there));
    for refusal in soon(futures::future::join_all(refusals)).await {
        assert!(
            matches!(refusal, Err(DialError::Refused { certain: true, .. })),
            "{refusal:?}"
        );
    }
    let resting = server.task_count();
    stop(clients).await;
    until("the refused connections' tasks end", || {
        server.task_count() <= resting.min(4)
    })
    .await;
    assert_eq!(server.pool_stats().unwrap().connections, 0);
    stop([server]).await;
}

#[tokio::test]
async fn discovery_asks_the_gater_too() {
    let hub = start(local()).await;
    let server = start(knowing(local().host(adder("o://math/adder")), &hub)).await;
    let blocked = BlockList::from_peers([server.peer_id()]).unwrap();
    let client = start(knowing(local().client().gater(blocked), &hub)).await;
    let mut watch = Watch::new(&server);
    // The table knows it soon; this node must not reach it all the same.
    let finder = start(knowing(local().client(), &hub)).await;
    soon(async {
        while crate::support::found(&finder, crate::support::by_capability("math/add"))
            .await
            .is_empty()
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let found = crate::support::found(&client, crate::support::by_capability("math/add"));
    assert_eq!(tokio::time::timeout(LIMIT, found).await.unwrap(), []);
    let peer = client.peer_id();
    let came = |event: &Event| matches!(event, Event::Connected { peer: p, .. } if *p == peer);
    assert!(!watch.so_far().iter().any(came));
    stop([client, finder, server, hub]).await;
}
