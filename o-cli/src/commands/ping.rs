//! `o ping`: how long an agent takes to answer.

use std::time::{Duration, Instant};

use o_address::Address;
use serde_json::json;

use super::{
    Context,
    answer::{call_builtin, check_target},
};
use crate::{
    cli::PingArgs,
    deadline::Deadline,
    exit::{Exit, Failure},
    network::{Client, Errand, with_client},
    output::{Output, one_line},
};

/// Pings, and writes each answer as it comes.
pub(super) async fn run(args: PingArgs, context: Context<'_>) -> Result<(), Failure> {
    let settings = context.client_settings(&args.network)?;
    let mut round = Round {
        output: context.output,
        address: args.address.clone(),
        sent: 0,
        times: Vec::new(),
        failure: None,
    };
    let deadline = Deadline::of_first_answer(args.timeout);
    let done = with_client(
        &settings,
        &args.network,
        Errand {
            interrupt: &context.interrupt,
            deadline,
            target: Some(&args.address),
        },
        async |client| {
            check_target(&args.address, client)?;
            round.pings(client, &args, deadline).await
        },
    )
    .await;
    match done {
        Err(failure) if failure.exit != Exit::Interrupted => return Err(failure),
        done => {
            round.summary();
            done?;
        }
    }
    match (round.times.is_empty(), round.failure) {
        (true, Some(failure)) => Err(failure),
        _ => Ok(()),
    }
}

struct Round<'a> {
    output: &'a Output,
    address: Address,
    sent: u64,
    /// Milliseconds of each answer, the newest [`Round::KEPT`].
    times: Vec<f64>,
    /// The first one.
    failure: Option<Failure>,
}

impl Round<'_> {
    /// How many answers the summary is made of.
    const KEPT: usize = 100_000;

    async fn pings(
        &mut self,
        client: &Client,
        args: &PingArgs,
        first: Deadline,
    ) -> Result<(), Failure> {
        let mut deadline = first;
        loop {
            self.sent += 1;
            let begun = Instant::now();
            let ping = async {
                let ping = call_builtin(client, &args.address, "ping", deadline.left());
                Ok(ping.await?)
            };
            let answer = deadline.during(ping).await;
            let took = begun.elapsed();
            match answer {
                Ok(_) => self.answered(took)?,
                Err(failure) => self.failed(failure.about(client.peer_of(Some(&args.address))))?,
            }
            if self.sent == args.count {
                return Ok(());
            }
            tokio::time::sleep(args.interval.saturating_sub(took)).await;
            deadline = Deadline::of_first_answer(args.timeout);
        }
    }

    fn answered(&mut self, took: Duration) -> Result<(), Failure> {
        let ms = took.as_secs_f64() * 1e3;
        if self.times.len() == Self::KEPT {
            self.times.remove(0);
        }
        self.times.push(ms);
        let seq = self.sent;
        match self.output.is_json() {
            true => self.output.value(&json!({ "seq": seq, "time_ms": ms })),
            false => {
                let address = &self.address;
                self.output.line(format_args!(
                    "{address} answered: seq={seq} time={ms:.3} ms"
                ))
            }
        }
    }

    fn failed(&mut self, failure: Failure) -> Result<(), Failure> {
        let seq = self.sent;
        let written = match self.output.is_json() {
            true => {
                let mut line = failure.to_json();
                line["seq"] = json!(seq);
                self.output.value(&line)
            }
            false => {
                let message = one_line(&failure.message);
                self.output
                    .line(format_args!("no answer: seq={seq} {message}"))
            }
        };
        self.failure.get_or_insert(failure);
        written
    }

    fn summary(&self) {
        let (sent, answered) = (self.sent, self.times.len());
        let least = self.times.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.times.iter().copied().fold(0.0, f64::max);
        let count = u32::try_from(answered).unwrap_or(u32::MAX);
        let average = self.times.iter().sum::<f64>() / f64::from(count.max(1));
        match answered {
            0 => self.output.note(format_args!("{sent} sent, none answered")),
            _ => self.output.note(format_args!(
                "{sent} sent, {answered} answered; least/average/most {least:.3}/{average:.3}/{most:.3} ms"
            )),
        }
    }
}
