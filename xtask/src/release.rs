//! `release`: whether a release can be made, and in which order its crates are published.

mod order;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};
use order::order;
use serde_json::Value;
use xshell::{Shell, cmd};

use crate::{
    public_api,
    step::{self, Outcome, say},
    workspace,
};

/// Crates that no registry gets: they check, measure and test this workspace and mean nothing without it.
pub(crate) const OURS_ALONE: &[&str] = &["xtask", "o-fuzz", "o-lab"];

/// Checks version, change log, dependencies, the work tree and the public interfaces, and prints the order.
pub(crate) fn run(sh: &Shell, dry_run: bool) -> anyhow::Result<Outcome> {
    let crates = crates(&workspace::metadata(sh)?)?;
    let log = sh.read_file("CHANGELOG.md")?;
    let (version, date) = head(&log)?;
    let mut findings = versions(&crates, version);
    findings.extend(unpublishable(&crates));
    let (order, stuck) = order(&crates);
    findings.extend(stuck);
    say(&format!(
        "{version} would be released; CHANGELOG.md says {date}"
    ));
    for line in plan(&crates, &order) {
        say(&line);
    }
    if !dry_run {
        bail!(
            "publishing is done by hand, in the order above, after `cargo xtask release --dry-run` has found nothing"
        );
    }
    let status = cmd!(sh, "git status --porcelain").quiet().read()?;
    let changed = status.lines().count();
    if changed > 0 {
        findings.push(format!("the work tree is not clean: {changed} files"));
    }
    step::fail_on("release", &findings)?;
    // The longest check is last.
    public_api::run(sh, false)
}

/// One crate of the workspace.
#[derive(Debug, Clone, Default)]
struct Crate {
    name: String,
    version: String,
    /// Whether its manifest lets it go to a registry.
    publish: bool,
    /// What it depends on of ours.
    needs: Vec<Edge>,
}

#[derive(Debug, Clone, Default)]
struct Edge {
    on: String,
    dev: bool,
    path: bool,
    version: bool,
}

impl Crate {
    fn is_ours_alone(&self) -> bool {
        OURS_ALONE.contains(&self.name.as_str())
    }

    /// A dependency of tests without a version is left out of what is published, so nothing waits for it.
    fn waits_for(&self) -> impl Iterator<Item = &str> {
        let needed = self.needs.iter().filter(|edge| !edge.dev || edge.version);
        needed.map(|edge| edge.on.as_str())
    }
}

fn crates(metadata: &Value) -> anyhow::Result<Vec<Crate>> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let packages = list(&metadata["packages"]);
    let names: BTreeSet<String> = packages.iter().filter_map(|p| text(&p["name"])).collect();
    let edge = |found: &Value| {
        let on = text(&found["name"]).filter(|name| names.contains(name))?;
        Some(Edge {
            on,
            dev: found["kind"] == "dev",
            path: found["path"].is_string(),
            version: found["req"] != "*",
        })
    };
    let package = |found: &Value| {
        Ok(Crate {
            name: text(&found["name"]).context("a package without a name")?,
            version: text(&found["version"]).context("a package without a version")?,
            // Absent means anywhere, an empty list nowhere.
            publish: found["publish"].as_array().is_none_or(|to| !to.is_empty()),
            needs: list(&found["dependencies"])
                .iter()
                .filter_map(edge)
                .collect(),
        })
    };
    packages.iter().map(package).collect()
}

/// Version and date of the head of the change log, `## VERSION – DATE`.
fn head(log: &str) -> anyhow::Result<(&str, &str)> {
    log.lines()
        .find_map(|line| line.strip_prefix("## ")?.split_once(" – "))
        .context("CHANGELOG.md has no section, `## VERSION – DATE`, the date may be `unreleased`")
}

fn versions(crates: &[Crate], version: &str) -> Vec<String> {
    let wrong = crates
        .iter()
        .filter(|c| !c.is_ours_alone() && c.version != version);
    wrong
        .map(|c| {
            format!(
                "{} is {}, the head of CHANGELOG.md {version}",
                c.name, c.version
            )
        })
        .collect()
}

/// Dependencies with which a registry would not take a crate.
fn unpublishable(crates: &[Crate]) -> Vec<String> {
    let mut findings = Vec::new();
    for c in crates.iter().filter(|c| !c.is_ours_alone()) {
        for edge in c
            .needs
            .iter()
            .filter(|edge| !edge.path || !(edge.version || edge.dev))
        {
            findings.push(format!("{} needs {} by path and version", c.name, edge.on));
        }
        for on in c.waits_for().filter(|on| OURS_ALONE.contains(on)) {
            findings.push(format!("{} needs {on}, which is not published", c.name));
        }
    }
    findings
}

fn plan(crates: &[Crate], order: &[String]) -> Vec<String> {
    let mut lines = vec![format!("publish in this order: {}", order.join(", "))];
    lines.push(format!("not published: {}", OURS_ALONE.join(", ")));
    let held = |c: &&Crate| !c.publish && !c.is_ours_alone();
    let held: Vec<&str> = crates
        .iter()
        .filter(held)
        .map(|c| c.name.as_str())
        .collect();
    if !held.is_empty() {
        lines.push(format!(
            "held back by `publish = false` in the manifests: {}",
            held.join(", ")
        ));
    }
    lines
}
