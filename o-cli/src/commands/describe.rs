//! `o describe`: what an agent, or a node, says about itself.

use o_core::CallError;
use o_node::{AgentDescription, NodeDescription};
use serde::de::DeserializeOwned;

use super::{
    Context,
    answer::{as_json, call_builtin, check_target},
};
use crate::{
    cli::DescribeArgs,
    deadline::Deadline,
    exit::Failure,
    json_text,
    network::{Errand, with_client},
    output::{Output, Style, Table, in_json, message, one_line},
};

/// Asks and shows the answer.
pub(super) async fn run(args: DescribeArgs, context: Context<'_>) -> Result<(), Failure> {
    let settings = context.client_settings(&args.network)?;
    let timeout = args.timeout.unwrap_or(settings.call_timeout.value);
    let deadline = Deadline::of_command(timeout);
    let json = with_client(
        &settings,
        &args.network,
        Errand {
            interrupt: &context.interrupt,
            deadline,
            target: Some(&args.address),
        },
        async |client| {
            check_target(&args.address, client)?;
            let body = call_builtin(client, &args.address, "describe", deadline.left()).await?;
            Ok(as_json(&body)?)
        },
    )
    .await?;
    if context.output.is_json() {
        return context.output.json_text(&json);
    }
    match args.address.is_node() {
        true => show_node(&parse(&json)?, context.output),
        false => show_agent(&parse(&json)?, context.output),
    }
}

fn parse<T: DeserializeOwned>(json: &str) -> Result<T, Failure> {
    serde_json::from_str(json).map_err(|error| {
        let message = format!("a description was expected: {error}");
        CallError::InvalidReply { message }.into()
    })
}

fn show_node(node: &NodeDescription, output: &Output) -> Result<(), Failure> {
    output.line(format_args!("peer id   {}", node.peer))?;
    output.line(format_args!("network   {}", node.network))?;
    output.line(format_args!("software  {}", one_line(&node.software)))?;
    if node.agents.is_empty() {
        return output.line("agents    none that it announces");
    }
    for agent in &node.agents {
        output.line("")?;
        show_agent(agent, output)?;
    }
    Ok(())
}

fn show_agent(agent: &AgentDescription, output: &Output) -> Result<(), Failure> {
    output.line(output.paint(Style::Green, &agent.address))?;
    if let Some(description) = &agent.description {
        output.line(message(description))?;
    }
    if !agent.capabilities.is_empty() {
        let all: Vec<_> = agent.capabilities.iter().map(|c| c.as_str()).collect();
        output.line(format_args!("capabilities: {}", all.join(", ")))?;
    }
    if !agent.specialisations.is_empty() {
        let all: Vec<_> = agent.specialisations.iter().map(|s| s.as_str()).collect();
        output.line(format_args!("especially: {}", all.join(", ")))?;
    }
    if !agent.labels.is_empty() {
        let all: Vec<_> = agent.labels.iter().map(|label| label.as_str()).collect();
        output.line(format_args!("labels: {}", one_line(&all.join(", "))))?;
    }
    output.line("")?;
    let mut table = Table::new(&["METHOD", "SHAPE", "WHAT IT DOES"]);
    for method in &agent.methods {
        let shape = method.shape.to_string();
        table.row([method.name.clone(), shape, method.description.clone()]);
    }
    output.table(&table)?;
    for method in &agent.methods {
        let schemas = [("takes", &method.params), ("answers", &method.result)];
        for (verb, schema) in schemas {
            if let Some(schema) = schema {
                let name = one_line(&method.name);
                output.line("")?;
                output.line(output.paint(Style::Bold, format_args!("{name} {verb}")))?;
                output.line(in_json(&json_text::pretty(schema)))?;
            }
        }
    }
    Ok(())
}
