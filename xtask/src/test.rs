//! `test`: every test; it needs nothing but cargo.

use xshell::{Shell, cmd};

use crate::step::{Outcome, has_cargo, say};

/// Runs unit and integration tests, then the tests in the documentation.
pub(crate) fn run(sh: &Shell) -> anyhow::Result<Outcome> {
    if has_cargo(sh, "nextest") {
        cmd!(
            sh,
            "cargo nextest run --profile ci --locked --workspace --all-features"
        )
        .run()?;
    } else {
        say(
            "cargo-nextest is not installed: `cargo test` instead, without a time limit for each test",
        );
        // The kinds are named because without them the documentation tests would run here, and again below.
        cmd!(
            sh,
            "cargo test --locked --workspace --all-features --lib --bins --tests --examples"
        )
        .run()?;
    }
    cmd!(sh, "cargo test --locked --workspace --all-features --doc").run()?;
    Ok(Outcome::Done)
}
