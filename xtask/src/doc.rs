//! `doc`: documentation of everything, private items too; `clippy` and `test` compile the examples.

use xshell::{Shell, cmd};

use crate::step::Outcome;

/// Builds the documentation with warnings denied.
pub(crate) fn run(sh: &Shell) -> anyhow::Result<Outcome> {
    cmd!(
        sh,
        "cargo doc --locked --workspace --no-deps --all-features --document-private-items"
    )
    .env("RUSTDOCFLAGS", "-Dwarnings")
    .run()?;
    Ok(Outcome::Done)
}
