//! `check`: builds each crate alone, so that another crate's features cannot hide a missing one.

use xshell::{Shell, cmd};

use crate::{step::Outcome, workspace};

/// Checks every package without features and with its default ones.
pub(crate) fn run(sh: &Shell) -> anyhow::Result<Outcome> {
    for package in workspace::packages(sh)? {
        let name = package.name;
        cmd!(
            sh,
            "cargo check --locked --package {name} --no-default-features"
        )
        .run()?;
        cmd!(sh, "cargo check --locked --package {name}").run()?;
    }
    Ok(Outcome::Done)
}
