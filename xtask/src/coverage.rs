//! `coverage`: line coverage as lcov, with a floor for the crates that are easy to cover.

use std::collections::BTreeMap;

use xshell::{Shell, cmd};

use crate::{
    step::{self, Outcome, has_cargo, not_installed, say},
    workspace,
};

/// The least share of lines, in percent, that tests run.
const FLOORS: &[(&str, f64)] = &[("o-address", 95.0), ("o-protocol", 95.0)];

/// Lines found and lines hit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Lines {
    found: u32,
    hit: u32,
}

impl Lines {
    fn percent(self) -> f64 {
        if self.found == 0 {
            0.0
        } else {
            100.0 * f64::from(self.hit) / f64::from(self.found)
        }
    }
}

/// Runs the tests with coverage and compares each crate with its floor.
pub(crate) fn run(sh: &Shell) -> anyhow::Result<Outcome> {
    for (subcommand, tool) in [("llvm-cov", "cargo-llvm-cov"), ("nextest", "cargo-nextest")] {
        if !has_cargo(sh, subcommand) {
            return Ok(not_installed(tool));
        }
    }
    let report = workspace::target_dir(sh)?.join("lcov.info");
    cmd!(
        sh,
        "cargo llvm-cov nextest --locked --workspace --all-features --lcov --output-path {report}"
    )
    .run()?;
    let crates = by_crate(&sh.read_file(&report)?);
    for (name, lines) in &crates {
        say(&format!(
            "{name:<14}{:6.1} % of {} lines",
            lines.percent(),
            lines.found
        ));
    }
    step::fail_on("coverage", &below_floor(&crates))
}

/// Sums an lcov report by the directory below the root of the workspace.
fn by_crate(lcov: &str) -> BTreeMap<String, Lines> {
    let mut crates = BTreeMap::<String, Lines>::new();
    let mut current = String::new();
    for line in lcov.lines() {
        if let Some(path) = line.strip_prefix("SF:") {
            let before = path.split_once("/src/").map_or(path, |(before, _)| before);
            current = before.rsplit('/').next().unwrap_or(before).to_owned();
        } else if let Some(count) = line.strip_prefix("LF:") {
            crates.entry(current.clone()).or_default().found += count.parse().unwrap_or(0);
        } else if let Some(count) = line.strip_prefix("LH:") {
            crates.entry(current.clone()).or_default().hit += count.parse().unwrap_or(0);
        }
    }
    crates
}

fn below_floor(crates: &BTreeMap<String, Lines>) -> Vec<String> {
    FLOORS
        .iter()
        .filter_map(|(name, floor)| {
            let percent = crates.get(*name).copied().unwrap_or_default().percent();
            (percent < *floor).then(|| {
                format!("{name}: {percent:.1} % of the lines are run, the floor is {floor} %")
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "SF:/x/o-address/src/lib.rs\nLF:10\nLH:10\nend_of_record\n\
        SF:/x/o-address/src/name.rs\nLF:90\nLH:88\nend_of_record\n\
        SF:/x/o-protocol/src/frame.rs\nLF:100\nLH:50\nend_of_record\n";

    #[test]
    fn lines_are_summed_for_each_crate() {
        let crates = by_crate(REPORT);
        assert_eq!(
            crates["o-address"],
            Lines {
                found: 100,
                hit: 98
            }
        );
        assert_eq!(
            crates["o-protocol"],
            Lines {
                found: 100,
                hit: 50
            }
        );
    }

    #[test]
    fn a_crate_below_its_floor_or_absent_is_found() {
        let findings = below_floor(&by_crate(REPORT));
        assert_eq!(findings.len(), 1);
        assert!(
            findings[0].starts_with("o-protocol: 50.0 %"),
            "{findings:?}"
        );
        assert_eq!(below_floor(&BTreeMap::new()).len(), 2);
    }
}
