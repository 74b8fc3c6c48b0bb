//! How long until a new agent is found.

use std::time::{Duration, Instant};

use anyhow::bail;
use o_core::Query;
use o_node::Node;

use super::{Measured, Outcome, Size, by_nodes};
use crate::network::{LOOK, agent, first_found, local, local_network, stop};

/// The longest wait for one agent.
const LIMIT: Duration = Duration::from_secs(60);

/// A network on loopback TCP with the table; in each round a node joins with an agent, and two
/// others that have nothing to do with it look for it, again and again, from the moment its start
/// returned.
pub(super) async fn run(size: &Size) -> anyhow::Result<Outcome> {
    let mut name = Measured::new("by name");
    let mut capability = Measured::new("by capability");
    for count in &size.nodes {
        let nodes = local_network(*count).await?;
        let (mut by_name, mut by_capability) = (Vec::new(), Vec::new());
        for round in 0..size.rounds {
            let times = found(&nodes, round).await?;
            by_name.push(times.0);
            by_capability.push(times.1);
        }
        name.add(*count, by_name);
        capability.add(*count, by_capability);
        stop(nodes).await?;
    }
    let title = "Time until a new agent is found (DHT, loopback TCP)";
    Ok(by_nodes(title, &[name, capability], &[50, 99]))
}

async fn found(nodes: &[Node], round: usize) -> anyhow::Result<(Duration, Duration)> {
    let name = format!("o://lab/new-{round}").parse()?;
    let capability = format!("lab/new-{round}");
    let bootstrap = nodes[0].listen_addresses();
    let new = local(&bootstrap).host(agent(&name, &capability)?).start();
    let new = new.await?;
    let begun = Instant::now();
    // Never the bootstrap node, which is connected to everybody.
    let one = &nodes[1 + round % (nodes.len() - 1)];
    let other = &nodes[1 + (round + 1) % (nodes.len() - 1)];
    let times = tokio::try_join!(
        until_found(one, Query::Name(name), begun),
        until_found(other, Query::Capability(capability.parse()?), begun),
    )?;
    stop(vec![new]).await?;
    Ok(times)
}

async fn until_found(node: &Node, query: Query, begun: Instant) -> anyhow::Result<Duration> {
    while begun.elapsed() < LIMIT {
        if first_found(node, query.clone()).await.is_some() {
            return Ok(begun.elapsed());
        }
        tokio::time::sleep(LOOK).await;
    }
    bail!("{query:?} was not found in {LIMIT:?}")
}
