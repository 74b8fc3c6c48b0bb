//! `fuzz-smoke`: every corpus through its target as tests, then each target under libFuzzer for a while.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use xshell::{Shell, cmd};

use crate::{
    step::{Outcome, has_cargo, say},
    workspace,
};

/// The package with the programs for libFuzzer; a workspace of its own.
const PROGRAMS: &str = "fuzz/targets";
/// How long each target runs when nobody says otherwise.
const DEFAULT: Duration = Duration::from_secs(60);
/// An input that takes longer than this, in seconds, counts as a failure.
const TIMEOUT: &str = "10";

/// Replays the corpora; then runs each target for so many seconds, if cargo-fuzz and a nightly toolchain are there.
pub(crate) fn run(sh: &Shell, seconds: Option<u64>) -> anyhow::Result<Outcome> {
    cmd!(sh, "cargo test --locked --package o-fuzz").run()?;
    let missing = missing(has_cargo(sh, "fuzz"), has_nightly(sh));
    if !missing.is_empty() {
        return Ok(Outcome::Skipped(format!(
            "the corpora were replayed, but nothing was fuzzed: {}",
            missing.join("; ")
        )));
    }
    let manifest = sh.read_file(format!("{PROGRAMS}/Cargo.toml"))?;
    let targets = programs(&manifest);
    ensure!(!targets.is_empty(), "no programs in {PROGRAMS}/Cargo.toml");
    let seconds = seconds.unwrap_or(DEFAULT.as_secs()).to_string();
    for target in &targets {
        say(&format!("\n=== {target}, {seconds} s"));
        fuzz(sh, target, &seconds)?;
    }
    say(&format!(
        "{} targets ran for {seconds} s each",
        targets.len()
    ));
    Ok(Outcome::Done)
}

fn fuzz(sh: &Shell, target: &str, seconds: &str) -> anyhow::Result<()> {
    let built = workspace::target_dir(sh)?.join("fuzz");
    // libFuzzer writes what it finds interesting into the first directory; the corpus in git stays as it is.
    let found = built.join("corpus").join(target);
    sh.create_dir(&found)?;
    let corpus = format!("fuzz/corpus/{target}");
    // rustup rather than `cargo +nightly`: inside `cargo run` the name may lead past rustup's proxy.
    cmd!(
        sh,
        "rustup run nightly cargo fuzz run --fuzz-dir {PROGRAMS} --target-dir {built} {target} {found} {corpus} -- -max_total_time={seconds} -timeout={TIMEOUT} -print_final_stats=1"
    )
    .run()
    .with_context(|| {
        format!(
            "the target `{target}` failed; the input is named above, in {PROGRAMS}/artifacts/{target}: \
             copy it to {corpus} under a name that says what it breaks, and `cargo test -p o-fuzz` repeats it"
        )
    })
}

fn has_nightly(sh: &Shell) -> bool {
    cmd!(sh, "rustup run nightly cargo --version")
        .quiet()
        .ignore_stderr()
        .read()
        .is_ok()
}

/// What is not installed, and how to get it.
fn missing(has_fuzz: bool, has_nightly: bool) -> Vec<&'static str> {
    let tools = [
        (
            has_fuzz,
            "cargo-fuzz is not installed, `cargo install --locked cargo-fuzz`",
        ),
        (
            has_nightly,
            "no nightly toolchain is installed, `rustup toolchain install nightly`",
        ),
    ];
    tools
        .into_iter()
        .filter(|(there, _)| !there)
        .map(|(_, how)| how)
        .collect()
}

/// The names of the programs in a manifest.
fn programs(manifest: &str) -> Vec<&str> {
    let sections = manifest.split("[[bin]]").skip(1);
    sections
        .filter_map(|section| {
            let name = section.lines().find(|line| line.starts_with("name"))?;
            name.split('"').nth(1)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_has_a_corpus_and_every_corpus_a_program() {
        let sh = workspace::shell().unwrap();
        let manifest = sh.read_file(format!("{PROGRAMS}/Cargo.toml")).unwrap();
        let mut programs = programs(&manifest);
        programs.sort_unstable();
        let corpora = sh.read_dir("fuzz/corpus").unwrap();
        let corpora: Vec<_> = corpora
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap())
            .collect();
        assert!(!programs.is_empty());
        assert_eq!(programs, corpora);
    }

    #[test]
    fn what_is_missing_is_named_with_how_to_get_it() {
        assert!(missing(true, true).is_empty());
        let both = missing(false, false);
        assert_eq!(both.len(), 2);
        assert!(missing(false, true)[0].contains("cargo install --locked cargo-fuzz"));
        assert!(missing(true, false)[0].contains("rustup toolchain install nightly"));
    }
}
