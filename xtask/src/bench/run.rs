//! Starts the processes, round by round, every contender in each.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, ensure};
use xshell::{Shell, cmd};

use super::{
    contenders::{self, Contender},
    figures::{Figures, Mode},
    machine::{self, Machine},
    target_dir,
};
use crate::step::say;

/// How much is measured.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) rounds: usize,
    /// Seconds of each load.
    pub(super) seconds: &'static str,
}

/// For docs/performance.md; about nine minutes.
pub(super) const FULL: Plan = Plan {
    rounds: 3,
    seconds: "0.7",
};
/// To see that everything runs; about two minutes.
pub(super) const QUICK: Plan = Plan {
    rounds: 1,
    seconds: "0.2",
};

/// The processor that pinned processes share.
const PROCESSOR: &str = "0";

/// A run and where it happened.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) figures: Figures,
    pub(super) machine: Machine,
    pub(super) rounds: usize,
    pub(super) seconds: &'static str,
}

/// Runs the plan.
pub(super) fn run(sh: &Shell, plan: &Plan) -> anyhow::Result<Measured> {
    let mut figures = Figures::default();
    let contenders = present(sh, &mut figures);
    let target = target_dir()?;
    let mut printed = [String::new(), String::new()];
    let watch = machine::Watch::start()?;
    for round in 1..=plan.rounds {
        for (mode, printed) in Mode::ALL.into_iter().zip(&mut printed) {
            say(&format!(
                "round {round} of {}, {}",
                plan.rounds,
                mode.name()
            ));
            for contender in &contenders {
                let kind = contender.kind;
                match measure(mode, kind, plan.seconds) {
                    Ok(lines) => {
                        for line in lines.lines() {
                            figures.add(mode, line)?;
                        }
                        printed.push_str(&lines);
                    }
                    Err(error) => {
                        say(&format!("{kind}: {error:#}"));
                        figures.fail(format!("{kind}, {}: {error:#}", mode.name()));
                    }
                }
            }
        }
    }
    // For whoever wants to know more than the tables say.
    for (mode, printed) in Mode::ALL.into_iter().zip(printed) {
        let log = format!("o-bench-{}.jsonl", mode.name());
        sh.write_file(target.join(log), printed)?;
    }
    Ok(Measured {
        figures,
        machine: Machine::read(sh, watch.stop()?)?,
        rounds: plan.rounds,
        seconds: plan.seconds,
    })
}

/// Who can run here. Who cannot is named aloud and in the document.
fn present(sh: &Shell, figures: &mut Figures) -> Vec<&'static Contender> {
    let mut present = Vec::new();
    for contender in contenders::ALL {
        match contender.needs {
            Some((program, how)) if !has(sh, program) => {
                let skipped = format!("{} was skipped: no {program}, `{how}`", contender.kind);
                say(&skipped);
                figures.fail(skipped);
            }
            _ => present.push(contender),
        }
    }
    present
}

fn has(sh: &Shell, program: &str) -> bool {
    cmd!(sh, "{program} --version")
        .quiet()
        .ignore_stderr()
        .read()
        .is_ok()
}

/// The program in a mode.
pub(super) fn program(mode: Mode) -> anyhow::Result<Command> {
    let path = target_dir()?.join("release/o-bench");
    let mut command = match mode {
        Mode::Pinned => {
            let mut command = Command::new("taskset");
            command.args(["-c", PROCESSOR]).arg(path);
            command.args(["--workers", "0"]);
            command
        }
        Mode::Unpinned => {
            let mut command = Command::new(path);
            command.args(["--workers", "2"]);
            command
        }
    };
    command.stdout(Stdio::piped());
    Ok(command)
}

/// A serving process; it ends with its standard input.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // A server that cannot be waited for is gone.
        let _ = self.0.wait();
    }
}

/// Starts a server, drives it, and gives what the driver printed.
fn measure(mode: Mode, kind: &str, seconds: &str) -> anyhow::Result<String> {
    let drive = |address: &str| {
        let mut command = program(mode)?;
        command
            .args(["drive", kind])
            .args(address.split_whitespace());
        command.args(["--seconds", seconds]);
        Ok(command)
    };
    drive_served(mode, &["serve", kind], drive)
}

/// Starts a server, then a driver for what the server printed, and gives what the driver printed.
pub(super) fn drive_served(
    mode: Mode,
    serve: &[&str],
    drive: impl FnOnce(&str) -> anyhow::Result<Command>,
) -> anyhow::Result<String> {
    let mut command = program(mode)?;
    command.args(serve).stdin(Stdio::piped());
    let mut server = Server(command.spawn().context("the server cannot be started")?);
    let output = server.0.stdout.take().context("no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    ensure!(!line.is_empty(), "the server ended without an address");
    let output = drive(&line)?
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    let lines = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "the driver failed after {lines}");
    Ok(lines)
}
