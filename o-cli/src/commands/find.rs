//! `o find`: who can do something, or who answers to a name.

use std::{collections::HashSet, time::Duration};

use futures::StreamExt;
use o_address::{Address, TransportAddr};
use o_core::{Attributes, Capability, Match, Provider, Query, Text};
use o_node::NodeDescription;
use serde_json::json;

use super::{
    Context,
    answer::{as_json, call_builtin},
};
use crate::{
    cli::FindArgs,
    deadline::Deadline,
    exit::Failure,
    network::{Client, Errand, with_client},
    output::{Output, Table},
};

/// Searches, and writes each finding as soon as it is confirmed, or a table of all.
pub(super) async fn run(args: FindArgs, context: Context<'_>) -> Result<(), Failure> {
    let query = asked(&args)?;
    let settings = context.client_settings(&args.network)?;
    let timeout = args.timeout.unwrap_or(settings.find_timeout.value);
    let mut findings = Findings::new(context.output, args.limit, is_ranked(&query));
    let deadline = Deadline::of_command(timeout);
    let done = with_client(
        &settings,
        &args.network,
        Errand {
            interrupt: &context.interrupt,
            deadline,
            target: None,
        },
        async |client| {
            context.output.progress(format_args!(
                "searching for up to {} …",
                humantime::format_duration(timeout)
            ));
            if is_ranked(&query) && client.peer().is_some() {
                let failure =
                    Failure::usage("--peer asks one node what is on it, by name or capability");
                return Err(failure.hint("for words and attributes give --bootstrap"));
            }
            let searching = search(client, &query, deadline, &mut findings);
            let searched = tokio::time::timeout_at(deadline.at().into(), searching).await;
            match (findings.count, searched) {
                (_, Ok(Err(failure))) => Err(failure),
                // Whoever was not heard from may have it, and nobody was.
                (0, Err(_)) if !client.is_connected() => Err(deadline.failure()),
                (0, Err(_)) => Err(nobody(&query, Some(timeout))),
                (0, Ok(Ok(()))) => Err(nobody(&query, None)),
                _ => Ok(()),
            }
        },
    )
    .await;
    findings.finish()?;
    done
}

/// What the flags ask for.
fn asked(args: &FindArgs) -> Result<Query, Failure> {
    if let Some(words) = &args.text {
        let limit = args.limit.and_then(|limit| usize::try_from(limit).ok());
        let text = Text::new(words);
        return Ok(Query::Text(match limit {
            Some(limit) => text.limit(limit),
            None => text,
        }));
    }
    if let Some(target) = &args.target {
        return query(target);
    }
    let mut attributes = Attributes::any([]).min_score(args.min_score);
    attributes.wanted.clone_from(&args.any);
    attributes.required.clone_from(&args.all);
    Ok(Query::Attributes(attributes))
}

fn query(target: &str) -> Result<Query, Failure> {
    if target.contains("://") {
        let address: Address = target
            .parse()
            .map_err(|error| Failure::usage(format!("{target:?}: {error}")))?;
        return Ok(Query::Name(address));
    }
    let capability: Capability = target.parse().map_err(|error| {
        let failure = Failure::usage(format!("{target:?} is no capability: {error}"));
        failure.hint("a capability is like text/summarize, an address like o://company/sales")
    })?;
    Ok(Query::Capability(capability))
}

/// Whether it is answered with the best first.
fn is_ranked(query: &Query) -> bool {
    matches!(query, Query::Attributes(_) | Query::Text(_))
}

/// Nobody found, in a time where that ended the search: else nobody is left to ask.
fn nobody(query: &Query, timeout: Option<Duration>) -> Failure {
    let wanted = match query {
        Query::Name(address) => format!(" at {address}"),
        Query::Capability(capability) => format!(" with {capability}"),
        Query::Text(text) => format!(" for {:?}", text.words),
        _ => String::new(),
    };
    let time = timeout.map_or_else(String::new, |timeout| {
        format!(" in {}", humantime::format_duration(timeout))
    });
    Failure::not_found(format!("nobody found{wanted}{time}"))
}

async fn search(
    client: &Client,
    query: &Query,
    deadline: Deadline,
    findings: &mut Findings<'_>,
) -> Result<(), Failure> {
    if let Some((_, address)) = client.peer() {
        return ask(client, address, query, deadline, findings).await;
    }
    let mut providers = client.node().find(query.clone());
    let mut trouble = None;
    while findings.left > 0
        && let Some(provider) = providers.next().await
    {
        match provider {
            Ok(provider) => findings.add(&Finding::new(&provider, query))?,
            // Another source may know more.
            Err(error) => trouble = Some(error),
        }
    }
    match trouble {
        Some(error) if findings.count == 0 => Err(error.into()),
        _ => Ok(()),
    }
}

/// Asks one node what is on it.
async fn ask(
    client: &Client,
    at: &TransportAddr,
    query: &Query,
    deadline: Deadline,
    findings: &mut Findings<'_>,
) -> Result<(), Failure> {
    // One node is asked: without its answer nothing is known, and the time-out is the answer.
    let asking = async {
        let node = Address::node();
        Ok(call_builtin(client, &node, "describe", deadline.left()).await?)
    };
    let body = deadline.during(asking).await?;
    let node: NodeDescription = serde_json::from_str(&as_json(&body)?)
        .map_err(|error| Failure::internal(format!("a description was expected: {error}")))?;
    for agent in node.agents {
        let matches = match query {
            Query::Name(name) => {
                name.name() == agent.address.name() && name.pin().is_none_or(|pin| pin == node.peer)
            }
            Query::Capability(capability) => agent.capabilities.contains(capability),
            _ => false,
        };
        if matches && findings.left > 0 {
            findings.add(&Finding {
                address: agent.address.to_string(),
                peer: node.peer.to_string(),
                addresses: vec![at.with_peer(&node.peer)],
                capabilities: agent
                    .capabilities
                    .iter()
                    .map(Capability::to_string)
                    .collect(),
                sources: vec!["given"],
                age: Duration::ZERO,
                confirmed: true,
                matched: None,
            })?;
        }
    }
    Ok(())
}

/// Somebody who was found.
struct Finding {
    address: String,
    peer: String,
    addresses: Vec<TransportAddr>,
    capabilities: Vec<String>,
    sources: Vec<&'static str>,
    age: Duration,
    /// Whether he confirmed by himself what he offers.
    confirmed: bool,
    /// How well he matches, where that was ranked.
    matched: Option<Match>,
}

impl Finding {
    fn new(provider: &Provider, query: &Query) -> Self {
        let record = provider.record.as_ref().map(|record| record.record());
        let address = match (record, query) {
            (Some(record), _) => record.address.to_string(),
            (None, Query::Name(address)) => address.to_string(),
            (None, _) => String::new(),
        };
        let addresses = provider.addresses.iter();
        Self {
            address,
            peer: provider.peer.to_string(),
            addresses: addresses.map(|at| at.with_peer(&provider.peer)).collect(),
            capabilities: record.map_or_else(Vec::new, |record| {
                record
                    .capabilities
                    .iter()
                    .map(Capability::to_string)
                    .collect()
            }),
            sources: provider
                .sources
                .iter()
                .map(|source| source.name())
                .collect(),
            age: provider.age,
            confirmed: provider.confirmed,
            matched: provider.matched.clone().filter(|_| is_ranked(query)),
        }
    }
}

/// Writes findings: at once for programs, as a table at the end for people.
struct Findings<'a> {
    output: &'a Output,
    left: u64,
    count: u64,
    seen: HashSet<(String, String)>,
    table: Table,
}

impl<'a> Findings<'a> {
    fn new(output: &'a Output, limit: Option<u64>, ranked: bool) -> Self {
        let what = if ranked {
            "SCORE AND WHY"
        } else {
            "CAPABILITIES"
        };
        Self {
            output,
            left: limit.unwrap_or(u64::MAX),
            count: 0,
            seen: HashSet::new(),
            table: Table::new(&["ADDRESS", what, "SOURCE", "AGE", "AT"]),
        }
    }

    fn add(&mut self, finding: &Finding) -> Result<(), Failure> {
        if !self
            .seen
            .insert((finding.address.clone(), finding.peer.clone()))
        {
            return Ok(());
        }
        self.left = self.left.saturating_sub(1);
        self.count += 1;
        if self.output.is_json() {
            let mut line = json!({
                "address": finding.address,
                "peer_id": finding.peer,
                "addresses": finding.addresses,
                "capabilities": finding.capabilities,
                "source": finding.sources,
                "confirmed": finding.confirmed,
                "age_ms": u64::try_from(finding.age.as_millis()).unwrap_or(u64::MAX),
            });
            if let Some(matched) = &finding.matched {
                line["score"] = json!(f64::from(matched.score) / 1000.0);
                let why: Vec<&str> = matched.why.iter().map(|why| &**why).collect();
                line["why"] = json!(why);
            }
            return self.output.value(&line);
        }
        let at = finding.addresses.first().map_or_else(
            || format!("{} (connected)", finding.peer),
            |address| address.to_string(),
        );
        let what = match &finding.matched {
            None => finding.capabilities.join(" "),
            Some(matched) => {
                let score = f64::from(matched.score) / 1000.0;
                format!("{score:.2}: {}", matched.why.join("; "))
            }
        };
        self.table.row([
            finding.address.clone(),
            what,
            finding.sources.join(" "),
            humantime::format_duration(Duration::from_secs(finding.age.as_secs())).to_string(),
            at,
        ]);
        Ok(())
    }

    fn finish(self) -> Result<(), Failure> {
        match self.table.is_empty() {
            true => Ok(()),
            false => self.output.table(&self.table),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_capabilities_are_told_apart() {
        assert!(matches!(query("o://a/b"), Ok(Query::Name(_))));
        assert!(matches!(query("a/b"), Ok(Query::Capability(_))));
        for text in ["O://a", "http://a", "o://", "A/b", ""] {
            assert_eq!(query(text).unwrap_err().exit as u8, 2, "{text}");
        }
    }
}
