//! `features`: the crates whose features people choose from compile with each of them.

use anyhow::{bail, ensure};
use xshell::{Shell, cmd};

use crate::{
    step::{Outcome, has_cargo, not_installed},
    workspace::{self, Package},
};

/// The crates whose features people choose from.
const CRATES: &[&str] = &["o-transport", "o-discovery", "o-gating", "o-node"];

/// Checks no feature and each alone; with a depth above one, combinations through cargo-hack.
pub(crate) fn run(sh: &Shell, depth: u32) -> anyhow::Result<Outcome> {
    match depth {
        0 => bail!("the depth is at least 1"),
        1 => each_alone(sh),
        _ => powerset(sh, depth),
    }
}

/// What `cargo hack --feature-powerset --depth 1 --no-dev-deps` would run, without needing it.
fn each_alone(sh: &Shell) -> anyhow::Result<Outcome> {
    for (name, features) in plan(&workspace::packages(sh)?)? {
        cmd!(
            sh,
            "cargo check --locked --package {name} --no-default-features"
        )
        .run()?;
        for feature in features {
            cmd!(
                sh,
                "cargo check --locked --package {name} --no-default-features --features {feature}"
            )
            .run()?;
        }
    }
    Ok(Outcome::Done)
}

fn powerset(sh: &Shell, depth: u32) -> anyhow::Result<Outcome> {
    if !has_cargo(sh, "hack") {
        return Ok(not_installed("cargo-hack"));
    }
    let packages = CRATES.iter().flat_map(|name| ["--package", name]);
    let depth = depth.to_string();
    // `--locked` is absent because cargo-hack rewrites the manifests while it leaves the dev-dependencies out.
    cmd!(
        sh,
        "cargo hack check {packages...} --feature-powerset --depth {depth} --no-dev-deps"
    )
    .run()?;
    Ok(Outcome::Done)
}

/// The crates with their features; a crate that has gone is an error, not less work.
fn plan(packages: &[Package]) -> anyhow::Result<Vec<(&str, &[String])>> {
    let plan: Vec<_> = packages
        .iter()
        .filter(|package| CRATES.contains(&package.name.as_str()))
        .map(|package| (package.name.as_str(), package.features.as_slice()))
        .collect();
    ensure!(
        plan.len() == CRATES.len(),
        "not all of {CRATES:?} are in the workspace"
    );
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, features: &[&str]) -> Package {
        let features = features
            .iter()
            .map(|feature| (*feature).to_owned())
            .collect();
        Package {
            name: name.to_owned(),
            features,
            ..Package::default()
        }
    }

    #[test]
    fn every_feature_of_the_named_crates_is_planned() {
        let packages = [
            package("o-transport", &["dns", "tcp"]),
            package("o-discovery", &["kad"]),
            package("o-gating", &[]),
            package("o-node", &["tcp"]),
            package("o-cli", &["tcp"]),
        ];
        let plan = plan(&packages).unwrap();
        let names: Vec<_> = plan
            .iter()
            .map(|(name, features)| (*name, features.len()))
            .collect();
        assert_eq!(
            names,
            [
                ("o-transport", 2),
                ("o-discovery", 1),
                ("o-gating", 0),
                ("o-node", 1)
            ]
        );
    }

    #[test]
    fn a_crate_that_is_gone_is_an_error() {
        assert!(plan(&[package("o-node", &[])]).is_err());
    }
}
