//! Three nodes that know nothing of each other but one address: an agent announces what it can do,
//! a caller finds it by that, through a third node that only keeps the table.
//!
//! ```text
//! cargo run -p o-node --example three_nodes
//! ```

use std::{error::Error, time::Duration};

use futures::StreamExt as _;
use o_core::{CallError, Capability, Node as _, Provider, Query};
use o_node::{CallerExt as _, Hosting, Keypair, Methods, Node, NodeBuilder, Preset};

/// A node that knows where the first one is.
fn knowing(first: &Node) -> NodeBuilder {
    let bootstrap = first.listen_addresses();
    Node::builder(Keypair::generate(), Preset::Local)
        .configure(|config| config.bootstrap = bootstrap)
}

/// An announcement takes a moment to reach the table.
async fn find(node: &Node, capability: &Capability) -> Result<Provider, Box<dyn Error>> {
    for _ in 0..100 {
        // Each provider comes as soon as it has confirmed, with its key, that it is one.
        if let Some(provider) = node
            .find(Query::Capability(capability.clone()))
            .next()
            .await
        {
            return Ok(provider?);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err("nobody can do it".into())
}

#[tokio::main]
#[expect(
    clippy::print_stdout,
    reason = "who was found is this program's output"
)]
async fn main() -> Result<(), Box<dyn Error>> {
    let first = Node::builder(Keypair::generate(), Preset::Local)
        .start()
        .await?;

    let reverse =
        async |_, text: String| Ok::<_, CallError>(text.chars().rev().collect::<String>());
    let agent = Hosting::new(
        "o://text/mirror".parse()?,
        Methods::new().unary("reverse", reverse),
    );
    let server = knowing(&first)
        .host(agent.capability("text/reverse".parse()?))
        .start()
        .await?;

    let caller = knowing(&first).client().start().await?;
    let found = find(&caller, &"text/reverse".parse()?).await?;
    let record = found
        .record
        .as_ref()
        .ok_or("a confirmed provider has its record")?
        .record();
    println!(
        "found {} at {:?}, told by {:?}",
        record.address, found.addresses, found.sources
    );

    // With the pin nobody but this very node will do.
    let address = record.address.pinned(found.peer);
    let mirrored: String = caller
        .call_typed(&address, "reverse", "!dlrow olleH")
        .await?;
    println!("{mirrored}");

    for node in [caller, server, first] {
        node.stop().await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_runs() {
        super::main().unwrap();
    }
}
