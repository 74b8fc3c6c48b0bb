//! The benchmarks of the packages, with criterion, compared with saved figures.

use xshell::{Shell, cmd};

use crate::{step::Outcome, workspace};

/// The name of the saved figures.
const BASELINE: &str = "saved";

/// Runs the benchmarks; with `save` their figures become what later runs are compared with.
pub(super) fn run(sh: &Shell, save: bool) -> anyhow::Result<Outcome> {
    let how = if save {
        "--save-baseline"
    } else {
        "--baseline-lenient"
    };
    let mut ran = false;
    for package in workspace::packages(sh)? {
        let name = &package.name;
        // One by one: the harness of a library's unit tests does not know these arguments.
        for bench in &package.benches {
            cmd!(sh, "cargo bench --locked --package {name} --all-features --bench {bench} -- {how} {BASELINE}").run()?;
            ran = true;
        }
    }
    Ok(if ran {
        Outcome::Done
    } else {
        Outcome::Skipped("no package has a benchmark".to_owned())
    })
}
