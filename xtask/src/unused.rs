//! `unused`: dependencies that no source names.

use xshell::{Shell, cmd};

use crate::step::{Outcome, has_cargo, not_installed};

/// Runs cargo-machete.
pub(crate) fn run(sh: &Shell) -> anyhow::Result<Outcome> {
    if !has_cargo(sh, "machete") {
        return Ok(not_installed("cargo-machete"));
    }
    cmd!(sh, "cargo machete").run()?;
    Ok(Outcome::Done)
}
