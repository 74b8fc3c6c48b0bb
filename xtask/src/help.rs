//! `help`: every command in one line, and which of them do not exist yet.

#[cfg(test)]
mod tests;

use anyhow::bail;

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
    /// Named, so that nobody looks for it elsewhere.
    NotBuilt,
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

const fn later(name: &'static str, about: &'static str) -> Command {
    Command {
        name,
        arguments: "",
        about,
        state: State::NotBuilt,
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
        "[--save]",
        "benchmarks, compared with the saved figures",
    ),
    manual(
        "fuzz-smoke",
        "[SECONDS]",
        "fuzz targets; there are none yet, and it says so",
    ),
    manual(
        "ci",
        "[--fast]",
        "the steps marked ●, in this order; --fast: fmt, tidy, deps, one clippy, test",
    ),
    manual("help", "", "this list"),
    later("interop", "against plain rust-libp2p and js-libp2p"),
    later("soak", "many memory nodes under churn for minutes"),
    later("scenario", "experiments with many nodes that write figures"),
    later("lab", "network namespaces with NAT, loss and relays"),
    later("release", "version, change log and publish order agree"),
];

/// Prints the list.
pub(crate) fn run() -> anyhow::Result<Outcome> {
    say(&text());
    Ok(Outcome::Done)
}

/// Refuses a command that is only planned.
pub(crate) fn not_built(name: &str) -> anyhow::Result<Outcome> {
    bail!("`{name}` is not built yet; `cargo xtask help` lists what is")
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
        let later = if *state == State::NotBuilt {
            "not built yet: "
        } else {
            ""
        };
        lines.push(format!("{mark} {usage:<24}{later}{about}"));
    }
    lines.join("\n")
}
