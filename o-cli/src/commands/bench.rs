//! `o bench`: what calls to an agent cost.

mod picture;
mod plan;
mod progress;
mod report;

use std::time::{Duration, Instant};

use o_address::TransportAddr;
use o_core::CallError;
use o_node::{Bench, BenchError, Load, Samples};

use self::{
    plan::{Plan, SMALL, Step},
    progress::Progress,
    report::Report,
};
use super::{
    Context,
    answer::{call_builtin, check_target},
};
use crate::{
    cli::{BenchArgs, Measure, NetworkArgs},
    deadline::Deadline,
    exit::{Exit, Failure},
    network::{Client, Errand, with_client},
    settings::Settings,
};

/// Measures one figure after the other, and shows them, also those of a run that was ended.
pub(super) async fn run(args: BenchArgs, context: Context<'_>) -> Result<(), Failure> {
    let settings = context.client_settings(&args.network)?;
    let plan = Plan::new(&args);
    let mut run = Run {
        report: Report::new(context.output),
        progress: Progress::new(context.output, plan.steps.len()),
        whole: args.timeout.map(Deadline::of_command),
        current: None,
        args,
        context,
        settings,
    };
    let done = run.all(&plan).await;
    let Run {
        mut report,
        progress,
        current,
        ..
    } = run;
    drop(progress);
    let ended = |failure: &Failure| matches!(failure.exit, Exit::Interrupted | Exit::TimedOut);
    // Half a figure is one too, of whoever has been waiting for it.
    if let (Err(failure), Some((step, samples))) = (&done, current)
        && ended(failure)
    {
        report.add(step, samples)?;
    }
    report.finish()?;
    done
}

struct Run<'a> {
    args: BenchArgs,
    context: Context<'a>,
    settings: Settings,
    /// What `--timeout` says.
    whole: Option<Deadline>,
    report: Report<'a>,
    progress: Progress<'a>,
    /// The figure that is being measured.
    current: Option<(Step, Samples)>,
}

impl Run<'_> {
    async fn all(&mut self, plan: &Plan) -> Result<(), Failure> {
        let network = self.located().await?;
        let (setup, others): (Vec<_>, Vec<_>) = plan
            .steps
            .iter()
            .copied()
            .partition(|step| step.measure == Measure::Setup);
        for step in setup {
            self.set_up(step, plan.connections, &network).await?;
        }
        if others.is_empty() {
            return Ok(());
        }
        let settings = self.settings.clone();
        let (interrupt, address) = (self.context.interrupt.clone(), self.args.address.clone());
        let errand = Errand {
            interrupt: &interrupt,
            deadline: self.deadline(),
            target: Some(&address),
        };
        with_client(&settings, &network, errand, async |client| {
            for step in others {
                self.step(client, step, plan.duration).await?;
            }
            Ok(())
        })
        .await
    }

    /// Until when something may take: all of it has one deadline, or each connection its own.
    fn deadline(&self) -> Deadline {
        let connecting = self.settings.call_timeout.value;
        self.whole
            .unwrap_or_else(|| Deadline::of_first_answer(connecting))
    }

    /// The flags that lead to the one peer that is measured: finding it is not measured.
    async fn located(&self) -> Result<NetworkArgs, Failure> {
        let mut network = self.args.network.clone();
        if network.peer.is_none() {
            network.peer = Some(self.find().await?);
            network.bootstrap.clear();
        }
        Ok(network)
    }

    async fn find(&self) -> Result<TransportAddr, Failure> {
        let address = &self.args.address;
        let deadline = self.deadline();
        let errand = Errand {
            interrupt: &self.context.interrupt,
            deadline,
            target: Some(address),
        };
        with_client(&self.settings, &self.args.network, errand, async |client| {
            check_target(address, client)?;
            let asking = async {
                let ping = call_builtin(client, address, "ping", deadline.left());
                Ok(ping.await?)
            };
            deadline.during(asking).await?;
            let peer = client.peer_of(Some(address));
            let dialed = peer.map(|peer| client.node().dialed_addresses(peer));
            dialed
                .and_then(|dialed| dialed.into_iter().next())
                .ok_or_else(|| Failure::internal("it answered over a connection that has gone"))
        })
        .await
    }

    /// New connections, one after the other, each up to its first answer.
    async fn set_up(
        &mut self,
        step: Step,
        connections: u32,
        network: &NetworkArgs,
    ) -> Result<(), Failure> {
        self.current = Some((step, Samples::new()));
        let settings = self.settings.clone();
        let (interrupt, address) = (self.context.interrupt.clone(), self.args.address.clone());
        let (current, progress) = (&mut self.current, &mut self.progress);
        let plaintext = std::cell::Cell::new(false);
        let made = std::cell::Cell::new(0_u32);
        let part = |_| f64::from(made.get()) / f64::from(connections.max(1));
        let connecting = async {
            for _ in 0..connections {
                let deadline = self
                    .whole
                    .unwrap_or_else(|| Deadline::of_first_answer(settings.call_timeout.value));
                let errand = Errand {
                    interrupt: &interrupt,
                    deadline,
                    target: Some(&address),
                };
                let took = with_client(&settings, network, errand, async |client| {
                    check_target(&address, client)?;
                    let first = Load::echo(SMALL).calls(1).timeout(deadline.left());
                    let mut sample = Samples::new();
                    let bench = bench(client, &address);
                    bench.run(&first, &mut sample).await.map_err(failure)?;
                    plaintext.set(client.is_plaintext());
                    Ok(client.connected_in().saturating_add(sample.quantile(1.0)))
                })
                .await?;
                if let Some((_, samples)) = current {
                    samples.add(took, SMALL);
                }
                made.set(made.get() + 1);
            }
            Ok::<_, Failure>(())
        };
        progress.during(&step.words(), part, connecting).await?;
        self.report.is_plaintext(plaintext.get());
        self.taken()
    }

    /// One figure over the connection that is there.
    async fn step(
        &mut self,
        client: &Client,
        step: Step,
        duration: Duration,
    ) -> Result<(), Failure> {
        check_target(&self.args.address, client)?;
        let bench = bench(client, &self.args.address);
        if let Some(load) = step.warm_up(duration) {
            let warming = bench.run(&load, &mut Samples::new()).await;
            warming.map_err(failure)?;
        }
        self.report.is_plaintext(client.is_plaintext());
        let (_, samples) = self.current.insert((step, Samples::new()));
        let begun = Instant::now();
        let part = |now: Instant| {
            let gone = now.saturating_duration_since(begun);
            gone.as_secs_f64() / duration.as_secs_f64()
        };
        let load = step.load(duration);
        let measuring = bench.run(&load, samples);
        let measured = self.progress.during(&step.words(), part, measuring).await;
        measured.map_err(failure)?;
        self.taken()
    }

    /// The figure is complete.
    fn taken(&mut self) -> Result<(), Failure> {
        match self.current.take() {
            Some((step, samples)) => self.report.add(step, samples),
            None => Ok(()),
        }
    }
}

fn bench(client: &Client, address: &o_address::Address) -> Bench {
    Bench::new(client.caller(), address.clone())
}

fn failure(error: BenchError) -> Failure {
    let message = error.to_string();
    match error {
        BenchError::Call(error) => error.into(),
        BenchError::NotOffered { .. } => {
            let method = "bench.echo".to_owned();
            let failure = Failure {
                message,
                ..Failure::from(CallError::UnknownMethod { method })
            };
            failure.hint(
                "where it is served, set node.bench.enabled = true; older versions cannot be measured",
            )
        }
        BenchError::BadLoad { .. } => Failure::usage(message),
        _ => CallError::InvalidReply { message }.into(),
    }
}
