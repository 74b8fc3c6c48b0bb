//! `bench`: the node beside its peers, instructions per call, and the micro-benchmarks.

mod chart;
mod connections;
mod contenders;
mod document;
mod figures;
mod instructions;
mod machine;
mod micro;
mod report;
mod run;
mod targets;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use xshell::{Shell, cmd};

use crate::{
    flags, fmt,
    step::{Outcome, say},
    workspace,
};

/// The package of the programs; a workspace of its own.
const MANIFEST: &str = "bench/Cargo.toml";
/// What is written.
const DOCUMENT: &str = "docs/performance.md";
const CHART: &str = "docs/performance.svg";

/// Runs what was asked for; without a word, the comparison, the many connections and the instruction counts, into
/// docs/performance.md.
pub(crate) fn run(sh: &Shell, flags: &flags::Bench) -> anyhow::Result<Outcome> {
    if flags.check {
        return check(sh);
    }
    if flags.micro || flags.save {
        return micro::run(sh, flags.save);
    }
    build(sh)?;
    if flags.instructions {
        return instructions::run(sh);
    }
    if let Some(count) = flags.connections {
        return connections::run(sh, count);
    }
    let plan = if flags.quick { run::QUICK } else { run::FULL };
    let measured = run::run(sh, &plan)?;
    let section = report::section(&measured);
    let chart = chart::draw(&measured.figures);
    if flags.quick {
        say(&section);
        say(&connections::measure(sh, connections::QUICK)?);
        sh.write_file(target_dir()?.join("performance.svg"), chart)?;
        return Ok(Outcome::Done);
    }
    document::replace(sh, "measured", &section)?;
    sh.write_file(CHART, chart)?;
    say(&format!("written: {DOCUMENT}, {CHART}"));
    connections::run(sh, connections::FULL)?;
    instructions::run(sh)
}

/// Where the programs are built: not among the others, whose features differ.
fn target_dir() -> anyhow::Result<PathBuf> {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => Ok(directory.into()),
        None => Ok(workspace::root()?.join("target/bench")),
    }
}

fn build(sh: &Shell) -> anyhow::Result<()> {
    let target = target_dir()?;
    // Not `--locked`: the lock file follows the dependencies of the other workspace; `--check` says when it does not.
    cmd!(
        sh,
        "cargo build --release --manifest-path {MANIFEST} --target-dir {target}"
    )
    .run()?;
    Ok(())
}

/// What `fmt`, `clippy` and `test` do for the other packages.
fn check(sh: &Shell) -> anyhow::Result<Outcome> {
    let target = target_dir()?;
    let options = fmt::OPTIONS;
    let package = ["--locked", "--manifest-path", MANIFEST, "--target-dir"];
    cmd!(
        sh,
        "cargo fmt --manifest-path {MANIFEST} -- --check --config {options}"
    )
    .run()?;
    for features in [["--no-default-features"].as_slice(), &[]] {
        cmd!(
            sh,
            "cargo clippy --release --all-targets {features...} {package...} {target} -- -D warnings"
        )
        .run()?;
    }
    cmd!(sh, "cargo test --release {package...} {target}").run()?;
    Ok(Outcome::Done)
}
