//! `fmt`: rustfmt with grouped imports.

use xshell::{Shell, cmd};

use crate::step::Outcome;

/// The options are unstable, which is why they are not in rustfmt.toml: a plain `cargo fmt` would warn about them.
pub(crate) const OPTIONS: &str =
    "unstable_features=true,imports_granularity=Crate,group_imports=StdExternalCrate";

/// Formats the workspace, or checks that it is formatted.
pub(crate) fn run(sh: &Shell, check: bool) -> anyhow::Result<Outcome> {
    let check = check.then_some("--check");
    cmd!(sh, "cargo fmt --all -- {check...} --config {OPTIONS}").run()?;
    Ok(Outcome::Done)
}
