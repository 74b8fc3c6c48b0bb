//! How long an agent that is gone is still found and called.

use std::time::{Duration, Instant};

use anyhow::bail;
use o_address::Address;
use o_core::Query;
use o_node::{Call, Node};

use super::{Measured, Outcome, Size, by_nodes};
use crate::network::{Killable, LOOK, agent, first_found, local, local_network, stop};

const LIMIT: Duration = Duration::from_secs(60);

/// In each round a node with an agent joins, is found and called, and then stops as it should, or
/// ends without a word. One node looks for it, another calls it, until each sees that it is gone.
pub(super) async fn run(size: &Size) -> anyhow::Result<Outcome> {
    let mut measured = [
        Measured::new("stopped: no longer found"),
        Measured::new("stopped: call fails"),
        Measured::new("killed: no longer found"),
        Measured::new("killed: call fails"),
    ];
    for count in &size.nodes {
        let nodes = local_network(*count).await?;
        let mut times = [const { Vec::new() }; 4];
        for round in 0..size.rounds {
            for (index, kill) in [(0, false), (2, true)] {
                let (find, call) = one_round(&nodes, round, kill).await?;
                times[index].push(find);
                times[index + 1].push(call);
            }
        }
        for (measured, times) in measured.iter_mut().zip(times) {
            measured.add(*count, times);
        }
        stop(nodes).await?;
    }
    let title = "Time until an agent is seen to be gone (DHT, loopback TCP)";
    Ok(by_nodes(title, &measured, &[50, 99]))
}

async fn one_round(
    nodes: &[Node],
    round: usize,
    kill: bool,
) -> anyhow::Result<(Duration, Duration)> {
    let how = if kill { "killed" } else { "stopped" };
    let name: Address = format!("o://lab/{how}-{round}").parse()?;
    let bootstrap = nodes[0].listen_addresses();
    let hosting = agent(&name, "lab/leave")?;
    let leaving = Killable::start(local(&bootstrap).host(hosting)).await?;
    let finder = &nodes[1 + round % (nodes.len() - 1)];
    let caller = &nodes[1 + (round + 1) % (nodes.len() - 1)];
    let begun = Instant::now();
    for node in [finder, caller] {
        while first_found(node, Query::Name(name.clone())).await.is_none() {
            if begun.elapsed() > LIMIT {
                bail!("{name} was not found in {LIMIT:?}");
            }
            tokio::time::sleep(LOOK).await;
        }
        who(node, &name).await?;
    }
    // From when it begins to leave.
    let begun = Instant::now();
    let leave = async {
        if kill {
            leaving.kill();
            return Ok(());
        }
        leaving.stop().await
    };
    let (left, find, call) = tokio::join!(
        leave,
        until_lost(finder, &name, begun),
        until_failed(caller, &name, begun)
    );
    left?;
    Ok((find?, call?))
}

async fn who(node: &Node, name: &Address) -> Result<String, o_core::CallError> {
    let call = Call::to(name, "who").params(());
    call.timeout(Duration::from_secs(10)).send(node).await
}

async fn until_lost(node: &Node, name: &Address, begun: Instant) -> anyhow::Result<Duration> {
    while begun.elapsed() < LIMIT {
        if first_found(node, Query::Name(name.clone())).await.is_none() {
            return Ok(begun.elapsed());
        }
        tokio::time::sleep(LOOK).await;
    }
    bail!("{name} is still found after {LIMIT:?}")
}

async fn until_failed(node: &Node, name: &Address, begun: Instant) -> anyhow::Result<Duration> {
    while begun.elapsed() < LIMIT {
        if who(node, name).await.is_err() {
            return Ok(begun.elapsed());
        }
        tokio::time::sleep(LOOK).await;
    }
    bail!("{name} still answers after {LIMIT:?}")
}
