//! `scenario`: experiments with many nodes.

use xshell::{Shell, cmd};

use crate::{soak, step::Outcome, workspace};

/// Runs one; without a name, lists them.
pub(crate) fn run(sh: &Shell, name: Option<&str>) -> anyhow::Result<Outcome> {
    let options = soak::options();
    let directory = workspace::target_dir(sh)?.join("lab");
    cmd!(
        sh,
        "cargo run --locked {options...} --package o-lab --bin scenario -- --directory {directory} {name...}"
    )
    .run()?;
    Ok(Outcome::Done)
}
