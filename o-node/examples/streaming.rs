//! The four shapes of a call, deadlines, and what dropping a stream does.
//!
//! ```text
//! cargo run -p o-node --example streaming
//! ```

use std::{error::Error, time::Duration};

use futures::{StreamExt as _, stream};
use o_address::Address;
use o_core::{CallError, Node as _};
use o_node::{Call, CallerExt as _, Hosting, Keypair, Methods, Node, Preset, TypedStream};

/// One method of each shape, and one that takes too long.
fn methods() -> Methods {
    Methods::new()
        .unary("double", async |_, number: i64| {
            Ok::<_, CallError>(number * 2)
        })
        .server("count", async |_, below: u64| {
            Ok::<_, CallError>(stream::iter((0..below).map(Ok::<_, CallError>)))
        })
        .client("sum", async |_, mut numbers: TypedStream<i64>| {
            let mut sum = 0;
            while let Some(number) = numbers.next().await {
                sum += number?;
            }
            Ok::<_, CallError>(sum)
        })
        .bidirectional("shout", async |_, texts: TypedStream<String>| {
            Ok::<_, CallError>(texts.map(|text| text.map(|text| text.to_uppercase())))
        })
        .unary("sleep", async |_, seconds: u64| {
            // When the caller gives up, or its deadline passes, this future is dropped right here.
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Ok::<_, CallError>(())
        })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let worker: Address = "o://examples/worker".parse()?;
    let hosting = Hosting::new(worker.clone(), methods());
    let server = Node::builder(Keypair::generate(), Preset::Local)
        .host(hosting)
        .start()
        .await?;
    let client = Node::builder(Keypair::generate(), Preset::Local)
        .client()
        .start()
        .await?;
    for address in server.listen_addresses() {
        client.connect(&address).await?;
    }
    every_shape(&client, &worker).await?;
    client.stop().await?;
    Ok(server.stop().await?)
}

#[expect(clippy::print_stdout, reason = "the answers are this program's output")]
async fn every_shape(client: &Node, worker: &Address) -> Result<(), Box<dyn Error>> {
    let double: i64 = client.call_typed(worker, "double", &21).await?;
    println!("double of 21: {double}");

    // There are a billion numbers, of which three are made and sent: the rest waits for credit.
    let mut count = client
        .stream_typed::<u64>(worker, "count", &1_000_000_000)
        .await?;
    for _ in 0..3 {
        println!("count: {:?}", count.next().await.transpose()?);
    }
    // Ends it, there as well.
    drop(count);

    let sum: i64 = client
        .client_typed(worker, "sum", stream::iter(1..=100))
        .await?;
    println!("sum of 1 to 100: {sum}");

    let texts = stream::iter(["a", "conversation"]);
    let mut loud = client.bidi_typed::<String>(worker, "shout", texts).await?;
    while let Some(text) = loud.next().await {
        println!("shout: {}", text?);
    }

    let sleep = Call::to(worker, "sleep")
        .params(60)
        .timeout(Duration::from_millis(100));
    match sleep.send::<()>(client).await {
        Err(error @ CallError::TimedOut { .. }) => println!("sleep: {error}; {}", error.hint()),
        other => return Err(format!("it did not time out: {other:?}").into()),
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
