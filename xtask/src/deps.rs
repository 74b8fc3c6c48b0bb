//! `deps`: who may depend on whom, and what must not be reached by anybody's dependencies.

mod table;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use table::{RULES, Rule};
use xshell::{Shell, cmd};

use crate::{
    step::{self, Outcome},
    workspace::{self, Package},
};

/// Checks the workspace against the table.
pub(crate) fn run(sh: &Shell) -> anyhow::Result<Outcome> {
    step::fail_on("deps", &check(sh)?)
}

fn check(sh: &Shell) -> anyhow::Result<Vec<String>> {
    let packages = workspace::packages(sh)?;
    let mut findings = edges(&packages);
    for rule in RULES {
        if packages.iter().any(|package| package.name == rule.krate) {
            let krate = rule.krate;
            let all = ["--all-features"].as_slice();
            for (features, forbidden) in [(all, rule.never), (&[], rule.not_by_default)] {
                if !forbidden.is_empty() {
                    let tree = cmd!(
                        sh,
                        "cargo tree --locked --package {krate} {features...} --target all --edges normal,build --prefix none"
                    );
                    findings.extend(reached(rule, forbidden, &tree.quiet().read()?));
                }
            }
        }
    }
    Ok(findings)
}

/// Direct dependencies that the table does not allow.
fn edges(packages: &[Package]) -> Vec<String> {
    let ours: BTreeSet<&str> = packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let mut findings = Vec::new();
    for package in packages {
        let name = &package.name;
        let Some(rule) = RULES.iter().find(|rule| rule.krate == name) else {
            findings.push(format!(
                "{name} is not in the table of xtask/src/deps/table.rs; architecture comes first"
            ));
            continue;
        };
        for dependency in &package.dependencies {
            let other = dependency.name.as_str();
            if matches_any(other, rule.not_directly) && !dependency.dev {
                findings.push(format!("{name} must not name {other} directly"));
            }
            let is_ours = ours.contains(other) || RULES.iter().any(|rule| rule.krate == other);
            if is_ours && !rule.allows(other, dependency.dev) {
                let kind = if dependency.dev {
                    "dev-depend"
                } else {
                    "depend"
                };
                findings.push(format!("{name} must not {kind} on {other}"));
            }
            let with_features = dependency.default_features || !dependency.features.is_empty();
            if !dependency.dev && with_features && rule.without_features.contains(&other) {
                findings.push(format!(
                    "{name} takes {other} without any feature, not even the default ones"
                ));
            }
        }
    }
    findings
}

/// Forbidden names in the output of `cargo tree --prefix none`.
fn reached(rule: &Rule, forbidden: &[&[&str]], tree: &str) -> Vec<String> {
    let names: BTreeSet<&str> = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    if !names.contains(rule.krate) {
        return vec![format!(
            "the dependencies of {} could not be read",
            rule.krate
        )];
    }
    names
        .into_iter()
        .filter(|name| forbidden.iter().any(|group| matches_any(name, group)))
        .map(|name| {
            format!(
                "{} must not reach {name}, not through others either",
                rule.krate
            )
        })
        .collect()
}

/// Whether a name is listed; an entry that ends in `*` lists every name that begins so.
fn matches_any(name: &str, patterns: &[&str]) -> bool {
    patterns
        .iter()
        .any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == *pattern,
        })
}
