//! The built-in agent for trying things out.

use std::time::Duration;

use futures::stream;
use o_core::{CallError, MethodSpec, Reply, Shape};
use o_node::Methods;
use schemars::JsonSchema;
use serde::Deserialize;

/// Its methods, for people.
pub(crate) const METHODS: &str = "echo, count";

/// Parameters of `count`.
#[derive(Debug, Deserialize, JsonSchema)]
struct Count {
    /// The last number.
    to: u64,
    /// Milliseconds between two numbers.
    #[serde(default)]
    every_ms: u64,
}

/// An agent that answers what it is asked.
pub(crate) fn agent() -> Methods {
    let mut echo = MethodSpec::new("echo", Shape::Unary);
    echo.idempotent = true;
    Methods::new()
        .raw(echo, async |call| Ok::<_, CallError>(Reply::One(call.body)))
        .describe("Answers with its parameters, whatever they are.")
        .server("count", async |_, params: Count| {
            Ok::<_, CallError>(count(params))
        })
        .describe("Streams the numbers from 1 to `to`, one every `every_ms` milliseconds.")
        .idempotent()
}

fn count(params: Count) -> impl stream::Stream<Item = Result<u64, CallError>> + Send {
    let pause = Duration::from_millis(params.every_ms);
    stream::unfold(1, move |number| async move {
        if number > params.to {
            return None;
        }
        if number > 1 && !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        Some((Ok(number), number.saturating_add(1)))
    })
}
