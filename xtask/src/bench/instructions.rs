//! Instructions per call, which no other process can slow down: callgrind, twice, with work of two sizes.

use anyhow::Context as _;
use xshell::{Shell, cmd};

use super::{document, target_dir};
use crate::step::{Outcome, say};

/// What is counted: the program's word for it, and the reader's.
const WORKS: &[(&str, &str)] = &[
    (
        "calls",
        "a unary call of 100 bytes, both ends, two drivers over a pipe, 64 in flight",
    ),
    (
        "session",
        "the same call through the two state machines alone, frames and headers included",
    ),
    (
        "frames",
        "one frame with a body of 100 bytes, written and read",
    ),
];
/// Both multiples of 64. What is done once falls out of the difference.
const LESS: u64 = 1280;
const MORE: u64 = 11_520;

/// Counts, prints and writes its section of the document.
pub(super) fn run(sh: &Shell) -> anyhow::Result<Outcome> {
    let there = cmd!(sh, "valgrind --version").quiet().ignore_stderr();
    if there.read().is_err() {
        return Ok(Outcome::Skipped(
            "instructions were not counted: valgrind is not installed, `apt-get install valgrind`"
                .to_owned(),
        ));
    }
    let mut lines = vec![
        "| what | instructions |".to_owned(),
        "| --- | --- |".to_owned(),
    ];
    for (work, about) in WORKS {
        let (less, more) = (count(sh, work, LESS)?, count(sh, work, MORE)?);
        let each = more.saturating_sub(less) as f64 / (MORE - LESS) as f64;
        say(&format!("{work}: {each:.0} instructions"));
        lines.push(format!("| {about} | {each:.0} |"));
    }
    document::replace(sh, "instructions", &lines.join("\n"))?;
    Ok(Outcome::Done)
}

fn count(sh: &Shell, work: &str, times: u64) -> anyhow::Result<u64> {
    let program = target_dir()?.join("release/instructions");
    let times = times.to_string();
    let output = cmd!(
        sh,
        "valgrind --tool=callgrind --callgrind-out-file=/dev/null {program} {work} {times}"
    )
    .quiet()
    .output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    collected(&text).with_context(|| format!("callgrind counted nothing: {text}"))
}

/// The count in callgrind's last words: `==1== Collected : 123`.
pub(super) fn collected(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.contains("Collected :"))?;
    line.split(':').nth(1)?.trim().parse().ok()
}
