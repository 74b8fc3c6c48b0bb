//! `help`: every command in one line.

#[cfg(test)]
mod tests;

use crate::step::{Outcome, say};

/// What a command is for, in the order in which they are listed.
struct Command {
    name: &'static str,
    arguments: &'static str,
    about: &'static str,
    state: State,
}

#[derive(PartialEq, Eq)]
enum State {
    /// A step of `ci`.
    Ci,
    /// Run by hand.
    Manual,
}

const fn ci(name: &'static str, arguments: &'static str, about: &'static str) -> Command {
    Command {
        name,
        arguments,
        about,
        state: State::Ci,
    }
}

const fn manual(name: &'static str, arguments: &'static str, about: &'static str) -> Command {
    Command {
        name,
        arguments,
        about,
        state: State::Manual,
    }
}

const COMMANDS: &[Command] = &[
    ci(
        "fmt",
        "[--check]",
        "format the workspace, or say what is not formatted",
    ),
    ci("tidy", "", "rules of STYLE.md that a text scan can see"),
    ci(
        "deps",
        "",
        "who may depend on whom, and what must not be reached",
    ),
    manual(
        "check",
        "",
        "build each crate alone, without and with its default features",
    ),
    ci(
        "clippy",
        "",
        "lint every target without, with default and with all features",
    ),
    ci(
        "test",
        "",
        "every test, with cargo-nextest where installed, and the documentation tests",
    ),
    ci("doc", "", "documentation of everything, warnings denied"),
    ci(
        "features",
        "[--depth N]",
        "each feature alone; combinations of N need cargo-hack",
    ),
    manual(
        "public-api",
        "[--bless]",
        "public interfaces against xtask/public-api, libp2p's types kept in",
    ),
    ci(
        "deny",
        "",
        "licences, banned crates, sources; built in, or cargo-deny where installed",
    ),
    manual("audit", "", "advisories (needs cargo-deny and the network)"),
    manual("unused", "", "unused dependencies (needs cargo-machete)"),
    manual(
        "msrv",
        "",
        "build with the oldest supported toolchain (needs rustup and that toolchain)",
    ),
    manual(
        "coverage",
        "",
        "coverage with a floor per crate (needs cargo-llvm-cov and cargo-nextest)",
    ),
    manual(
        "bench",
        "[--quick|--micro]",
        "the node beside its peers, into docs/performance.md; --connections N, --instructions, --micro [--save], --check",
    ),
    manual(
        "fuzz-smoke",
        "[SECONDS]",
        "replay the corpora, then run every fuzz target (needs cargo-fuzz)",
    ),
    manual(
        "ci",
        "[--fast]",
        "the steps marked ●, in this order; --fast: fmt, tidy, deps, one clippy, test",
    ),
    manual("help", "", "this list"),
    manual(
        "interop",
        "",
        "plain rust-libp2p, js-libp2p and another CBOR library against our node",
    ),
    manual(
        "soak",
        "[MINUTES] [--seed N]",
        "many memory nodes under churn; fails on growth or on a lost call",
    ),
    manual(
        "scenario",
        "[NAME]",
        "an experiment with many nodes that writes figures and a plot",
    ),
    manual(
        "lab",
        "",
        "network namespaces with NAT, delay and loss (needs root, iproute2 and nftables)",
    ),
    manual(
        "release",
        "--dry-run",
        "version, change log, public interfaces and publish order agree",
    ),
];

/// Prints the list.
pub(crate) fn run() -> anyhow::Result<Outcome> {
    say(&text());
    Ok(Outcome::Done)
}

fn text() -> String {
    let mut lines = vec![
        "cargo xtask COMMAND [--strict]".to_owned(),
        String::new(),
        "● runs in continuous integration. A step whose tool is missing is skipped and says so; --strict makes that a failure.".to_owned(),
        String::new(),
    ];
    for command in COMMANDS {
        let Command {
            name,
            arguments,
            about,
            state,
        } = command;
        let mark = if *state == State::Ci { '●' } else { ' ' };
        let usage = format!("{name} {arguments}");
        lines.push(format!("{mark} {usage:<24}{about}"));
    }
    lines.join("\n")
}
