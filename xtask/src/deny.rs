//! `deny`: licences, banned crates and sources by deny.toml, with cargo-deny where installed, else by a check of our own.

mod licence;
mod list;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use serde_json::Value;
use xshell::{Shell, cmd};

use crate::step::{self, Outcome, has_cargo, say};

/// The one registry that crates may come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// The workspaces, each with a lock file of its own: what is published, the benchmark with its peers, and the programs for
/// libFuzzer. What is built on a developer's machine has to come from a known place too.
const WORKSPACES: [&str; 3] = ["Cargo.toml", "bench/Cargo.toml", "fuzz/targets/Cargo.toml"];

/// Checks every dependency of every feature and platform.
pub(crate) fn run(sh: &Shell) -> anyhow::Result<Outcome> {
    if has_cargo(sh, "deny") {
        for manifest in WORKSPACES {
            cmd!(
                sh,
                "cargo deny --manifest-path {manifest} --locked --all-features check --config deny.toml bans licenses sources"
            )
            .run()?;
        }
        return Ok(Outcome::Done);
    }
    say("cargo-deny is not installed: the built-in check of licences, bans and sources instead");
    let policy = Policy::parse(&sh.read_file("deny.toml")?)?;
    let mut findings = Vec::new();
    for manifest in WORKSPACES {
        let crates = crates(sh, manifest)?;
        let repeated = repeated(&crates);
        say(&format!(
            "{manifest}: {} crates, {} of them in more than one version: {}",
            crates.len(),
            repeated.len(),
            repeated.join(", ")
        ));
        let found = check(&policy, &crates).into_iter();
        findings.extend(found.map(|finding| format!("{manifest}: {finding}")));
    }
    step::fail_on("deny", &findings)
}

/// What a workspace is built of.
fn crates(sh: &Shell, manifest: &str) -> anyhow::Result<Vec<Crate>> {
    let metadata = cmd!(
        sh,
        "cargo metadata --manifest-path {manifest} --locked --all-features --format-version 1"
    );
    let metadata = metadata.quiet().read()?;
    let mut crates = parse(&serde_json::from_str(&metadata)?)?;
    // The metadata also lists optional crates that no feature turns on; the tree does not.
    let tree = cmd!(
        sh,
        "cargo tree --manifest-path {manifest} --locked --workspace --all-features --target all --prefix none"
    );
    let tree = tree.quiet().read()?;
    let reached = reached(&tree);
    crates.retain(|package| reached.contains(&(package.name.as_str(), package.version.as_str())));
    Ok(crates)
}

/// Name and version of every package in the output of `cargo tree --prefix none`.
fn reached(tree: &str) -> BTreeSet<(&str, &str)> {
    let package = |line| {
        let mut words = str::split_whitespace(line);
        Some((words.next()?, words.next()?.strip_prefix('v')?))
    };
    tree.lines().filter_map(package).collect()
}

/// What deny.toml says.
#[derive(Debug)]
struct Policy {
    licences: Vec<String>,
    banned: Vec<String>,
}

impl Policy {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let licences = list::quoted(text, "licenses", "allow")
            .context("no list `allow` under [licenses] in deny.toml")?;
        let banned = list::quoted(text, "bans", "deny")
            .context("no list `deny` under [bans] in deny.toml")?;
        anyhow::ensure!(
            !licences.is_empty() && !banned.is_empty(),
            "an empty list in deny.toml"
        );
        Ok(Self { licences, banned })
    }
}

/// One package of the resolved graph.
#[derive(Debug)]
struct Crate {
    name: String,
    version: String,
    licence: Option<String>,
    /// Absent for a package of a path, which is ours.
    source: Option<String>,
}

fn parse(metadata: &Value) -> anyhow::Result<Vec<Crate>> {
    let packages = metadata["packages"]
        .as_array()
        .context("no packages in the metadata")?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    packages
        .iter()
        .map(|package| {
            Ok(Crate {
                name: text(&package["name"]).context("a package without a name")?,
                version: text(&package["version"]).context("a package without a version")?,
                licence: text(&package["license"]),
                source: text(&package["source"]),
            })
        })
        .collect()
}

fn check(policy: &Policy, crates: &[Crate]) -> Vec<String> {
    let mut findings = Vec::new();
    if crates.is_empty() {
        findings.push("no crates in the metadata".to_owned());
    }
    for Crate {
        name,
        version,
        licence,
        source,
    } in crates
    {
        if policy.banned.contains(name) {
            findings.push(format!("{name} {version} is banned"));
        }
        match licence {
            None => findings.push(format!("{name} {version} names no licence")),
            Some(licence) if licence::allowed(licence, &policy.licences) => {}
            Some(licence) => findings.push(format!(
                "{name} {version} has the licence {licence}, which is not allowed"
            )),
        }
        if source.as_deref().is_some_and(|source| source != REGISTRY) {
            let source = source.as_deref().unwrap_or_default();
            findings.push(format!("{name} {version} comes from {source}"));
        }
    }
    findings
}

/// The names that occur in several versions: worth a look, not a failure.
fn repeated(crates: &[Crate]) -> Vec<&str> {
    let mut versions = BTreeMap::<&str, usize>::new();
    for package in crates {
        *versions.entry(&package.name).or_default() += 1;
    }
    versions
        .into_iter()
        .filter(|(_, count)| *count > 1)
        .map(|(name, _)| name)
        .collect()
}
