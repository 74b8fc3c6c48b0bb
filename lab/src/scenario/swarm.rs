//! Many processes on one machine: how soon a new agent is known to all, and one that was killed to none.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use futures::{StreamExt as _, future::join_all, stream};
use o_node::Node;
use serde_json::{Value, json};

use super::{Measured, Outcome, Size, by_nodes};
use crate::{
    figures::millis,
    members::{Member, Plan, observer},
    rng::Rng,
    say,
};

/// How often members are asked whom they know.
const LOOK: Duration = Duration::from_millis(50);
/// Longest time that anything may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Processes that start at once.
const STARTING: usize = 4;
/// For how long members come and go.
const CHURN: Duration = Duration::from_secs(60);

/// For each number of processes: agents start, and every other one is killed or halted; then a tenth of
/// all is replaced in a minute.
pub(super) async fn run(size: &Size) -> anyhow::Result<Outcome> {
    let title = "Agents in processes of their own, by gossip on 127.0.0.1";
    measure(size, title, false).await
}

/// The same on the local network, where nobody is told of anybody else.
pub(super) async fn on_a_lan(size: &Size) -> anyhow::Result<Outcome> {
    let title = "Agents in processes of their own, by multicast and gossip on a local network";
    measure(size, title, true).await
}

async fn measure(size: &Size, title: &str, lan: bool) -> anyhow::Result<Outcome> {
    let mut found = Measured::new("start until known to a member");
    let mut all = Measured::new("start until known to all");
    let mut gone = Measured::new("kill until known to no member");
    let mut silent = Measured::new("silence until known to no member");
    let mut churns = Vec::new();
    for count in &size.nodes {
        let mut fleet = Fleet::start(*count, lan).await?;
        let (mut each, mut slowest) = (Vec::new(), Vec::new());
        let (mut killed, mut frozen) = (Vec::new(), Vec::new());
        for round in 0..2 * size.rounds {
            let begun = Instant::now();
            let name = format!("o://lab/new-{round}");
            let new = Member::start(&fleet.plan(&name)).await?;
            let times = fleet.until(begun, |known| known.contains(&name)).await?;
            slowest.extend(times.iter().max().copied());
            each.extend(times);
            let begun = Instant::now();
            if round.is_multiple_of(2) {
                new.kill().await?;
                killed.extend(fleet.until(begun, |known| !known.contains(&name)).await?);
            } else {
                new.freeze()?;
                frozen.extend(fleet.until(begun, |known| !known.contains(&name)).await?);
                new.kill().await?;
            }
        }
        found.add(*count, each);
        all.add(*count, slowest);
        gone.add(*count, killed);
        silent.add(*count, frozen);
        churns.push(fleet.churn(size.time(CHURN)).await?);
    }
    let mut outcome = by_nodes(title, &[found, all, gone, silent], &[50, 99]);
    outcome.figures["churn"] = json!(churns);
    Ok(outcome)
}

struct Fleet {
    members: Vec<Member>,
    observer: Node,
    started: usize,
    lan: bool,
}

impl Fleet {
    async fn start(count: usize, lan: bool) -> anyhow::Result<Self> {
        let plan = |n: usize, bootstrap: Vec<_>| Plan {
            name: format!("o://lab/n{n}"),
            seed: format!("swarm {n}"),
            bootstrap,
            lan,
            ..Plan::default()
        };
        let first = Member::start(&plan(0, Vec::new())).await?;
        let told = (!lan).then(|| first.address.clone());
        let known: Vec<_> = told.into_iter().collect();
        let plans: Vec<_> = (1..count).map(|n| plan(n, known.clone())).collect();
        let starting = plans.iter().map(Member::start);
        let started: Vec<_> = stream::iter(starting)
            .buffer_unordered(STARTING)
            .collect()
            .await;
        let mut members = vec![first];
        for member in started {
            members.push(member?);
        }
        let observer = observer(&members.iter().collect::<Vec<_>>()).await?;
        let fleet = Self {
            members,
            observer,
            started: count,
            lan,
        };
        let names = fleet.names();
        let begun = Instant::now();
        fleet.until(begun, |known| known == names).await?;
        say(format_args!("{count} processes know each other"));
        Ok(fleet)
    }

    /// A newcomer's, who knows one member, or has to ask the local network.
    fn plan(&self, name: &str) -> Plan {
        let known = self.members.first().filter(|_| !self.lan);
        let known = known.map(|member| member.address.clone());
        Plan {
            name: name.to_owned(),
            seed: format!("swarm {name} {}", self.started),
            bootstrap: known.into_iter().collect(),
            lan: self.lan,
            ..Plan::default()
        }
    }

    /// The names of all, sorted.
    fn names(&self) -> Vec<String> {
        let names = self.members.iter().map(|member| member.name.to_string());
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        names
    }

    /// Until when, from `begun`, it held for each member of what that one knows.
    async fn until(
        &self,
        begun: Instant,
        holds: impl Fn(&[String]) -> bool,
    ) -> anyhow::Result<Vec<Duration>> {
        let holds = &holds;
        let looking = self.members.iter().map(|member| async move {
            let mut last = None;
            while begun.elapsed() < PATIENCE {
                match member.known(&self.observer).await {
                    Ok(known) if holds(&known) => return Ok(begun.elapsed()),
                    other => last = Some(other),
                }
                tokio::time::sleep(LOOK).await;
            }
            bail!("{} knows at last: {last:?}", member.name)
        });
        join_all(looking).await.into_iter().collect()
    }

    /// A tenth of all, at least two, is killed and replaced within a minute; then everybody must know
    /// exactly those that are there.
    async fn churn(&mut self, time: Duration) -> anyhow::Result<Value> {
        let count = self.members.len();
        let replaced = (count / 10).max(2);
        let pause = time / u32::try_from(replaced)?;
        let mut rng = Rng::new(7);
        for _ in 0..replaced {
            // Not the first, which newcomers know.
            let victim = 1 + rng.index(count - 1);
            self.members.swap_remove(victim).kill().await?;
            tokio::time::sleep(pause / 2).await;
            self.started += 1;
            let name = format!("o://lab/again{}", self.started);
            let new = Member::start(&self.plan(&name)).await?;
            self.observer.connect(&new.address).await?;
            self.members.push(new);
            tokio::time::sleep(pause / 2).await;
        }
        ensure!(self.members.len() == count, "as many as before");
        let names = self.names();
        let begun = Instant::now();
        let times = self.until(begun, |known| known == names).await?;
        let last = times.iter().max().copied().context("nobody")?;
        say(format_args!(
            "{count:>3} nodes  {replaced} replaced in a minute: all know exactly all after {:.0} ms",
            millis(last)
        ));
        Ok(json!({ "nodes": count, "replaced": replaced, "exact_after_ms": millis(last) }))
    }
}
