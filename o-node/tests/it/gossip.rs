//! Agents that know each other by gossip, over real sockets.

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use libp2p::{Swarm, SwarmBuilder, gossipsub::IdentTopic, noise, swarm::SwarmEvent, tcp, yamux};
use o_core::{Attributes, Query, Source};
use o_discovery::swarm::gossip;
use o_node::{Keypair, Node, NodeBuilder, NodeConfig};
use o_protocol::{Alive, GossipMessage};
use o_transport::to_multiaddr;

use crate::{
    child::{Plan, Process},
    support::{
        adder, address, by_capability, by_name, knowing, local, only_address, soon, start, stop,
        until, within,
    },
};

/// How soon somebody who was killed must be forgotten by everybody.
const GONE: Duration = Duration::from_secs(5);

/// Gossip and nothing else.
fn gossiping(config: &mut NodeConfig) {
    config.dht.enabled = false;
    config.gossip.enabled = true;
}

fn member(name: &str) -> NodeBuilder {
    local().configure(gossiping).host(adder(name))
}

/// Whoever can add, as far as the node itself knows.
async fn known(node: &Node) -> Vec<String> {
    let wanted = Attributes::any(["capability:math/add".parse().unwrap()]);
    let found: Vec<_> = soon(node.find(Query::Attributes(wanted)).collect()).await;
    let mut names: Vec<_> = found
        .into_iter()
        .flatten()
        .filter(|found| found.sources.contains(&Source::Gossip))
        .map(|found| found.record.unwrap().record().address.to_string())
        .collect();
    // Somebody of whom two sources tell is told of twice.
    names.sort_unstable();
    names.dedup();
    names
}

/// Waits until the node knows exactly these.
async fn knows(limit: Duration, node: &Node, names: &[&str]) {
    let mut last = Vec::new();
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        last = known(node).await;
        if last == names {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{} knows {last:?} and not {names:?}", node.peer_id());
}

#[tokio::test]
async fn everybody_is_found_by_everybody_and_who_stops_is_not() {
    let names: Vec<_> = (0..8).map(|n| format!("o://n{n}/adder")).collect();
    let first = start(member(&names[0])).await;
    let mut nodes = vec![first];
    for name in &names[1..] {
        nodes.push(start(knowing(member(name), &nodes[0])).await);
    }
    for (n, node) in nodes.iter().enumerate() {
        let others: Vec<_> = names.iter().map(String::as_str).collect();
        let others = [&others[..n], &others[n + 1..]].concat();
        knows(Duration::from_secs(10), node, &others).await;
    }
    // By name and by capability it is asked and confirmed as ever.
    let found: Vec<_> = soon(nodes[7].find(by_name(&names[3])).collect()).await;
    let confirmed =
        |found: &Result<o_core::Provider, _>| found.as_ref().is_ok_and(|found| found.confirmed);
    assert!(found.iter().any(confirmed), "{found:?}");
    assert_eq!(
        soon(nodes[7].find(by_capability("math/add")).collect::<Vec<_>>())
            .await
            .len(),
        8
    );

    let gone = nodes.remove(3);
    stop([gone]).await;
    let left: Vec<_> = [0, 1, 2, 4, 5, 6].map(|n| &*names[n]).to_vec();
    // It has said so: nobody waits for its silence.
    knows(Duration::from_secs(3), &nodes[6], &left).await;
    stop(nodes).await;
}

#[tokio::test]
async fn a_star_becomes_a_web_in_which_the_middle_is_not_missed() {
    let hub = start(member("o://hub")).await;
    let mut nodes = Vec::new();
    for n in 0..6 {
        nodes.push(start(knowing(member(&format!("o://leaf{n}")), &hub)).await);
    }
    until("they connect with each other", || {
        nodes
            .iter()
            .all(|node| node.pool_stats().unwrap().connections >= 4)
    })
    .await;
    stop([hub]).await;
    let late = start(knowing(member("o://late"), &nodes[0])).await;
    let leaves: Vec<_> = (0..6).map(|n| format!("o://leaf{n}")).collect();
    let leaves: Vec<_> = leaves.iter().map(String::as_str).collect();
    knows(Duration::from_secs(10), &late, &leaves).await;
    let mut seen = vec!["o://late"];
    seen.extend(&leaves[..5]);
    knows(Duration::from_secs(10), &nodes[5], &seen).await;
    nodes.push(late);
    stop(nodes).await;
}

async fn child(name: &str, hub: &Node) -> Process {
    let mut plan = Plan::worker(name);
    gossiping(&mut plan.config);
    plan.config.bootstrap = hub.listen_addresses();
    plan.start().await
}

/// Waits until a search for the name finds it by gossip, or no longer does.
async fn told(node: &Node, name: &str, there: bool) {
    loop {
        let found: Vec<_> = soon(node.find(Query::Text(name_words(name))).collect()).await;
        let found = found.into_iter().flatten().any(|found| {
            found
                .record
                .is_some_and(|record| record.record().address == address(name))
        });
        if found == there {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn name_words(name: &str) -> o_core::Text {
    o_core::Text::new(name.trim_start_matches("o://"))
}

#[tokio::test]
async fn who_is_killed_is_forgotten_by_everybody_within_seconds() {
    let hub = start(member("o://hub")).await;
    let other = start(knowing(member("o://other"), &hub)).await;
    let victim = child("o://victim", &hub).await;
    for node in [&hub, &other] {
        soon(told(node, "o://victim", true)).await;
    }
    victim.kill().await;
    let killed = Instant::now();
    for node in [&hub, &other] {
        within(GONE, told(node, "o://victim", false)).await;
    }
    assert!(killed.elapsed() < GONE, "{:?}", killed.elapsed());
    stop([other, hub]).await;
}

#[tokio::test]
async fn who_goes_without_a_packet_is_forgotten_long_before_its_heartbeat_is_due() {
    let seldom = |config: &mut NodeConfig| config.gossip.heartbeat = Duration::from_secs(60);
    let hub = start(member("o://hub").configure(seldom)).await;
    let other = start(knowing(member("o://other").configure(seldom), &hub)).await;
    let mut plan = Plan::worker("o://victim");
    gossiping(&mut plan.config);
    seldom(&mut plan.config);
    plan.config.bootstrap = hub.listen_addresses();
    let victim = plan.start().await;
    for node in [&hub, &other] {
        soon(told(node, "o://victim", true)).await;
    }
    // Its connections stay open, and the kernel takes what is sent to it.
    victim.freeze();
    for node in [&hub, &other] {
        within(Duration::from_secs(15), told(node, "o://victim", false)).await;
    }
    assert_eq!(known(&hub).await, ["o://other"]);
    victim.kill().await;
    stop([other, hub]).await;
}

/// A peer that speaks gossip and is none of ours.
fn rubbish(keypair: &Keypair) -> Swarm<gossip::Behaviour> {
    let behaviour = |_: &_| gossip::behaviour(keypair.libp2p(), &o_core::NetworkId::default());
    SwarmBuilder::with_existing_identity(keypair.libp2p().clone())
        .with_tokio()
        .with_tcp(
            tcp::Config::default(),
            noise::Config::new,
            yamux::Config::default,
        )
        .unwrap()
        .with_behaviour(|key| behaviour(key).map_err(Into::into))
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
        .build()
}

#[tokio::test]
async fn who_gossips_rubbish_is_named_and_not_listened_to() {
    let hub = start(member("o://hub")).await;
    let other = start(knowing(member("o://other"), &hub)).await;
    knows(Duration::from_secs(10), &hub, &["o://other"]).await;
    let liar = Keypair::generate();
    let mut swarm = rubbish(&liar);
    swarm
        .dial(to_multiaddr(&only_address(&hub)).unwrap())
        .unwrap();
    soon(async {
        loop {
            let event = swarm.select_next_some().await;
            if let SwarmEvent::Behaviour(libp2p::gossipsub::Event::Subscribed { .. }) = event {
                return;
            }
        }
    })
    .await;
    let topic = IdentTopic::new("records");
    let (mut sent, mut number) = (0, 0_u64);
    soon(async {
        while sent < 600 {
            number += 1;
            let message = match number % 3 {
                0 => vec![0xff; 100],
                1 => GossipMessage::Announce(number.to_be_bytes().to_vec().into())
                    .encode()
                    .unwrap(),
                // It is fine, and there are far too many.
                _ => {
                    let (at, interval, digest) = (number, 1000, 0);
                    GossipMessage::Alive(Alive {
                        at,
                        interval,
                        digest,
                    })
                    .encode()
                    .unwrap()
                }
            };
            // What does not fit into the queue waits for what does.
            match swarm.behaviour_mut().publish(topic.clone(), message) {
                Ok(_) => sent += 1,
                Err(_) => {
                    let turn = Duration::from_millis(1);
                    let _ = tokio::time::timeout(turn, swarm.select_next_some()).await;
                }
            }
        }
    })
    .await;
    let driving = tokio::spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    });
    // Those who have something to say are heard as ever.
    let late = start(knowing(member("o://late"), &hub)).await;
    knows(Duration::from_secs(10), &hub, &["o://late", "o://other"]).await;
    knows(Duration::from_secs(10), &other, &["o://hub", "o://late"]).await;
    knows(Duration::from_secs(10), &late, &["o://hub", "o://other"]).await;
    driving.abort();
    stop([late, other, hub]).await;
}
