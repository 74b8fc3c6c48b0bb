//! `clippy`: lints every target, warnings denied.

use xshell::{Shell, cmd};

use crate::step::Outcome;

/// Sets of features, each as arguments of cargo.
pub(crate) type FeatureSets = &'static [&'static [&'static str]];

/// Without, with default and with all features.
pub(crate) const ALL: FeatureSets = &[&["--no-default-features"], &[], &["--all-features"]];

/// The one set that sees the most code.
pub(crate) const ONE: FeatureSets = &[&["--all-features"]];

/// Lints the workspace once for each set.
pub(crate) fn run(sh: &Shell, sets: FeatureSets) -> anyhow::Result<Outcome> {
    for features in sets {
        let features = *features;
        // After the dashes the flag reaches our crates only: RUSTFLAGS would build every dependency again.
        cmd!(
            sh,
            "cargo clippy --locked --workspace --all-targets {features...} -- -D warnings"
        )
        .run()?;
    }
    Ok(Outcome::Done)
}
