//! Calls the agent of the example `hello_agent` in another process.
//!
//! ```text
//! cargo run -p o-node --example hello_caller -- /ip4/127.0.0.1/tcp/…/p2p/…
//! ```

use std::time::Duration;

use o_core::Node as _;
use o_node::{Call, CallerExt as _, Keypair, Node, Preset};

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the answers are this program's output")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args()
        .nth(1)
        .ok_or("give the address that `hello_agent` printed")?;
    let node = Node::builder(Keypair::generate(), Preset::Local)
        .client()
        .start()
        .await?;
    node.connect(&address.parse()?).await?;

    let adder = "o://math/adder".parse()?;
    let sum: i64 = node.call_typed(&adder, "add", &(2, 3)).await?;
    println!("2 + 3 = {sum}");
    // The same with terms of its own.
    let greet = Call::to(&adder, "greet")
        .params("Ada")
        .timeout(Duration::from_secs(2));
    println!("{}", greet.send::<String>(&node).await?);

    Ok(node.stop().await?)
}
