//! `o peers` and `o status`: what a running node of this user says of its peers and of itself.

use std::time::Duration;

use humantime::format_duration;
use serde_json::Value;

use super::Context;
use crate::{
    cli::{NetworkArgs, NodeArgs},
    control::{Request, ask},
    exit::Failure,
    output::Table,
};

/// Writes a table of the peers of a node, or with `--json` a line for each.
pub(super) async fn peers(args: NodeArgs, context: Context<'_>) -> Result<(), Failure> {
    let lines = asked(&args, &context, Request::Peers {}).await?;
    if context.output.is_json() {
        return lines.iter().try_for_each(|line| context.output.value(line));
    }
    if lines.is_empty() {
        return context
            .output
            .line("nobody is connected, and nobody was called");
    }
    let mut table = Table::new(&[
        "PEER",
        "CONNECTED",
        "CALLS",
        "SUCCESS",
        "LATENCY",
        "FAILURES",
        "SCORE",
        "SET ASIDE",
    ]);
    for line in &lines {
        table.row(row(line));
    }
    context.output.table(&table)
}

/// Writes how a node is.
pub(super) async fn status(args: NodeArgs, context: Context<'_>) -> Result<(), Failure> {
    let lines = asked(&args, &context, Request::Status {}).await?;
    for line in &lines {
        if context.output.is_json() {
            context.output.value(line)?;
            continue;
        }
        let mut table = Table::new(&["WHAT", "VALUE"]);
        for (name, value) in line.as_object().into_iter().flatten() {
            table.row([name.replace('_', " "), text(value)]);
        }
        context.output.table(&table)?;
    }
    Ok(())
}

async fn asked(
    args: &NodeArgs,
    context: &Context<'_>,
    request: Request,
) -> Result<Vec<Value>, Failure> {
    let flags = NetworkArgs {
        network: args.network.clone(),
        ..NetworkArgs::default()
    };
    let settings = context.client_settings(&flags)?;
    let asking = ask(args.node.as_deref(), &settings.network.value, request);
    context.interrupt.during(asking).await
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// The cells of a peer.
fn row(peer: &Value) -> Vec<String> {
    let connections = peer["connections"].as_array().into_iter().flatten();
    let connections = connections.map(|connection| {
        let arrow = match connection["direction"].as_str() {
            Some("inbound") => "from",
            _ => "to",
        };
        format!("{arrow} {}", text(&connection["address"]))
    });
    let connected = connections.collect::<Vec<_>>().join(", ");
    let observed = &peer["observed"];
    let number = |name: &str| observed[name].as_f64();
    let calls = number("calls").unwrap_or(0.0);
    let success = number("succeeded").filter(|_| calls > 0.0);
    let failures = observed["failures"].as_object().into_iter().flatten();
    let failures = failures.filter(|(_, count)| count.as_u64() != Some(0));
    let failures = failures.map(|(kind, count)| format!("{} {count}", kind.replace('_', " ")));
    let time = |ms: f64| Duration::try_from_secs_f64(ms / 1e3).unwrap_or_default();
    let aside = number("set_aside_ms").map(|ms| {
        let seconds = time(ms).as_secs().saturating_add(1);
        format_duration(Duration::from_secs(seconds)).to_string()
    });
    vec![
        text(&peer["peer"]),
        connected,
        format!("{calls}"),
        success.map_or_else(String::new, |s| format!("{:.1} %", 100.0 * s / calls)),
        number("latency_ms").map_or_else(String::new, |ms| format!("{ms:.1} ms")),
        failures.collect::<Vec<_>>().join(", "),
        number("score").map_or_else(String::new, |score| format!("{score:.2}")),
        aside.unwrap_or_default(),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_says_what_was_observed_and_leaves_open_what_was_not() {
        let peer = json!({
            "peer": "P",
            "connections": [{"address": "/a", "direction": "inbound"}, {"address": "/b", "direction": "outbound"}],
            "observed": {"score": 0.876, "calls": 4, "succeeded": 3, "latency_ms": 1.25,
                "failures": {"timed_out": 1, "lost": 0}, "set_aside_ms": 1500.0},
        });
        assert_eq!(
            row(&peer),
            [
                "P",
                "from /a, to /b",
                "4",
                "75.0 %",
                "1.2 ms",
                "timed out 1",
                "0.88",
                "2s"
            ]
        );
        let unknown = json!({"peer": "P", "connections": [], "observed": null});
        assert_eq!(row(&unknown), ["P", "", "0", "", "", "", "", ""]);
    }
}
