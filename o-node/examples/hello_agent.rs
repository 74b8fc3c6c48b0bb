//! The smallest agent: it adds two numbers, until Ctrl-C.
//!
//! ```text
//! cargo run -p o-node --example hello_agent
//! ```
//! It prints where it listens; give that to the example `hello_caller`.

use o_core::{CallError, Node as _};
use o_node::{Hosting, Keypair, Methods, Node, OrFailed as _, Preset};

#[tokio::main]
#[expect(
    clippy::print_stdout,
    reason = "where it listens is this program's output"
)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let node = start().await?;
    for address in node.listen_addresses() {
        println!("{address}");
    }
    tokio::signal::ctrl_c().await?;
    Ok(node.stop().await?)
}

async fn start() -> Result<Node, Box<dyn std::error::Error>> {
    let methods = Methods::new()
        .unary("add", async |_, (a, b): (i64, i64)| {
            a.checked_add(b).ok_or("the sum does not fit").or_failed()
        })
        .describe("Adds two numbers.")
        .unary(
            "greet",
            async |context: o_core::CallContext, name: String| {
                let peer = context
                    .peer
                    .map_or("this process".to_owned(), |peer| peer.to_string());
                Ok::<_, CallError>(format!("Hello {name}, calling from {peer}!"))
            },
        );
    let adder = Hosting::new("o://math/adder".parse()?, methods).capability("math/add".parse()?);
    let builder = Node::builder(Keypair::generate(), Preset::Local).max_connections(50);
    Ok(builder.host(adder).start().await?)
}

#[cfg(test)]
mod tests {
    use o_node::CallerExt as _;

    use super::*;

    #[tokio::test]
    async fn it_adds_and_greets() {
        let node = start().await.unwrap();
        assert!(
            node.listen_addresses()
                .iter()
                .all(|address| address.is_loopback())
        );
        let adder = "o://math/adder".parse().unwrap();
        assert_eq!(node.call_typed(&adder, "add", &(2, 3)).await, Ok(5));
        let greeting: String = node.call_typed(&adder, "greet", "Ada").await.unwrap();
        assert_eq!(greeting, "Hello Ada, calling from this process!");
        node.stop().await.unwrap();
    }
}
