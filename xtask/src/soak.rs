//! `soak`: many memory nodes under churn.

use xshell::{Shell, cmd};

use crate::step::Outcome;

/// The crates whose unoptimized code takes most of the time of a node.
const HOT: &[&str] = &[
    "curve25519-dalek",
    "ed25519-dalek",
    "chacha20",
    "chacha20poly1305",
    "poly1305",
    "sha2",
    "snow",
    "o-lab",
];

/// Options of cargo for the programs of `lab`: the dev profile, of which most is built already, with optimized cryptography. A
/// release build of libp2p takes minutes; without the optimization more than half of the time goes into signatures.
pub(crate) fn options() -> Vec<String> {
    HOT.iter()
        .flat_map(|name| {
            let level = format!("profile.dev.package.{name}.opt-level=3");
            ["--config".to_owned(), level]
        })
        .collect()
}

/// Runs it for so many minutes, 1 if not said; the seed repeats a run.
pub(crate) fn run(sh: &Shell, minutes: Option<u64>, seed: Option<u64>) -> anyhow::Result<Outcome> {
    let options = options();
    let minutes = minutes.unwrap_or(1).to_string();
    let seed = seed.map(|seed| format!("--seed={seed}"));
    cmd!(
        sh,
        "cargo run --locked {options...} --package o-lab --bin soak -- {minutes} {seed...}"
    )
    .run()?;
    Ok(Outcome::Done)
}
