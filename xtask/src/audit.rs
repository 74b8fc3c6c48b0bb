//! `audit`: known advisories; needs the advisory database from the network.

use xshell::{Shell, cmd};

use crate::step::{Outcome, has_cargo, not_installed};

/// Fetches the database first, so that an unreachable network is not mistaken for a finding.
pub(crate) fn run(sh: &Shell) -> anyhow::Result<Outcome> {
    if !has_cargo(sh, "deny") {
        return Ok(not_installed("cargo-deny"));
    }
    if cmd!(sh, "cargo deny fetch db").run().is_err() {
        return Ok(Outcome::Skipped(
            "the advisory database cannot be reached from here".to_owned(),
        ));
    }
    cmd!(
        sh,
        "cargo deny --locked --all-features check --disable-fetch advisories"
    )
    .run()?;
    Ok(Outcome::Done)
}
