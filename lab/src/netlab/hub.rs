//! A node that calls whoever connects to it: the side of a listener, which `o` has no command for.

use std::time::Duration;

use anyhow::Context as _;
use futures::StreamExt as _;
use o_address::{Address, TransportAddr};
use o_core::{Direction, Event, Node as _};
use o_node::{Call, Keypair, Node, Preset};
use serde_json::json;

use crate::say;

/// Listens, says where as one line of JSON, and calls `target` at the first peer that connects; the
/// answer is the second line. Then it stays until it is ended, so that nobody loses his network.
///
/// # Errors
/// It cannot listen, or the call fails.
///
/// # Cancel safety
/// Dropping the future drops the node.
pub async fn run(listen: &TransportAddr, target: &Address) -> anyhow::Result<()> {
    let node = Node::builder(Keypair::generate(), Preset::Local)
        .configure(|config| config.listen = vec![listen.clone()])
        .build()?;
    let mut events = node.events();
    node.start().await?;
    say(json!({
        "event": "ready",
        "peer_id": node.peer_id(),
        "listen": node.listen_addresses(),
    }));
    let peer = loop {
        if let Event::Connected {
            peer,
            direction: Direction::Inbound,
            ..
        } = events.next().await.context("the node has ended")??
        {
            break peer;
        }
    };
    // Over the connection that the peer dialed: nobody can dial him.
    let call = Call::to(target, "echo").params("called back");
    let call = call.timeout(Duration::from_secs(10));
    let answer: Result<String, _> = call.send(&node.peer(peer)).await;
    let dialed = node.pool_stats().map_or(0, |stats| stats.dials_total);
    say(match answer {
        Ok(answer) => json!({ "answer": answer, "dials": dialed }),
        Err(error) => json!({ "error": error.to_string(), "dials": dialed }),
    });
    std::future::pending().await
}
