//! How a step ends, and how it speaks.

use xshell::{Shell, cmd};

/// How a step ended when it did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Everything was checked.
    Done,
    /// Nothing was checked, for this reason.
    Skipped(String),
}

/// Says that a tool is missing and how to get it.
pub(crate) fn not_installed(tool: &str) -> Outcome {
    Outcome::Skipped(format!(
        "{tool} is not installed, `cargo install --locked {tool}`"
    ))
}

/// Whether `cargo SUBCOMMAND` can be run.
pub(crate) fn has_cargo(sh: &Shell, subcommand: &str) -> bool {
    cmd!(sh, "cargo {subcommand} --version")
        .quiet()
        .ignore_stderr()
        .read()
        .is_ok()
}

/// Prints one line for the person who runs the checks.
#[expect(
    clippy::print_stdout,
    reason = "the one place where this program prints"
)]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// Says why a step failed; without the backtrace of `main` returning an error, because the reason is rarely in xtask.
#[expect(
    clippy::print_stderr,
    reason = "the one place where this program reports a failure"
)]
pub(crate) fn complain(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}

/// Turns a list of findings into an error that shows all of them.
pub(crate) fn fail_on(check: &str, findings: &[String]) -> anyhow::Result<Outcome> {
    anyhow::ensure!(
        findings.is_empty(),
        "{check} found {}:\n  {}",
        findings.len(),
        findings.join("\n  ")
    );
    Ok(Outcome::Done)
}
