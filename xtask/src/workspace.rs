//! Where the workspace is and which packages it has.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;
use xshell::{Shell, cmd};

/// The root of the workspace.
pub(crate) fn root() -> anyhow::Result<PathBuf> {
    // Cargo sets the variable for `cargo run` and `cargo test`; the compiled-in path is for a binary that is run directly.
    let manifest_dir = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let root = manifest_dir
        .parent()
        .context("the package xtask has no parent directory")?;
    Ok(root.to_owned())
}

/// A shell in the root of the workspace.
pub(crate) fn shell() -> anyhow::Result<Shell> {
    let sh = Shell::new()?;
    sh.change_dir(root()?);
    Ok(sh)
}

/// One package of the workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Package {
    /// The name in the manifest.
    pub(crate) name: String,
    /// Every feature except `default`, in alphabetical order.
    pub(crate) features: Vec<String>,
    /// What it depends on directly.
    pub(crate) dependencies: Vec<Dependency>,
    /// The name of the library target, where it has one.
    pub(crate) library: Option<String>,
    /// The names of the benchmarks.
    pub(crate) benches: Vec<String>,
}

/// One direct dependency of a package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Dependency {
    /// The package depended on, not what it is renamed to.
    pub(crate) name: String,
    /// Whether only tests, examples and benchmarks see it.
    pub(crate) dev: bool,
    /// The features asked for in the manifest.
    pub(crate) features: Vec<String>,
    /// Whether its default features are on.
    pub(crate) default_features: bool,
}

/// The packages of the workspace, read with `cargo metadata --no-deps`.
pub(crate) fn packages(sh: &Shell) -> anyhow::Result<Vec<Package>> {
    parse_packages(&metadata(sh)?)
}

/// The directory that cargo builds into.
pub(crate) fn target_dir(sh: &Shell) -> anyhow::Result<PathBuf> {
    let metadata = metadata(sh)?;
    let directory = metadata["target_directory"]
        .as_str()
        .context("no target_directory in the metadata")?;
    Ok(Path::new(directory).to_owned())
}

/// The output of `cargo metadata --no-deps`.
pub(crate) fn metadata(sh: &Shell) -> anyhow::Result<Value> {
    let json = cmd!(sh, "cargo metadata --locked --no-deps --format-version 1")
        .quiet()
        .read()?;
    serde_json::from_str(&json).context("cargo metadata did not answer with JSON")
}

/// Reads the packages out of the output of `cargo metadata`.
pub(crate) fn parse_packages(metadata: &Value) -> anyhow::Result<Vec<Package>> {
    let packages = metadata["packages"]
        .as_array()
        .context("no packages in the metadata")?;
    packages.iter().map(parse_package).collect()
}

fn parse_package(package: &Value) -> anyhow::Result<Package> {
    let name = text(package, "name").context("a package without a name")?;
    let mut features: Vec<String> = package["features"]
        .as_object()
        .map(|features| {
            features
                .keys()
                .filter(|name| *name != "default")
                .cloned()
                .collect()
        })
        .unwrap_or_default();
    features.sort();
    let library = targets(package, "lib").into_iter().next();
    let benches = targets(package, "bench");
    let dependencies = package["dependencies"]
        .as_array()
        .with_context(|| format!("no dependencies listed for {name}"))?
        .iter()
        .map(parse_dependency)
        .collect::<anyhow::Result<_>>()?;
    Ok(Package {
        name,
        features,
        dependencies,
        library,
        benches,
    })
}

fn parse_dependency(dependency: &Value) -> anyhow::Result<Dependency> {
    Ok(Dependency {
        name: text(dependency, "name").context("a dependency without a name")?,
        dev: dependency["kind"] == "dev",
        features: strings(&dependency["features"]),
        default_features: dependency["uses_default_features"]
            .as_bool()
            .unwrap_or(true),
    })
}

fn targets(package: &Value, kind: &str) -> Vec<String> {
    let all = package["targets"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    all.iter()
        .filter(|target| strings(&target["kind"]).iter().any(|found| found == kind))
        .filter_map(|target| text(target, "name"))
        .collect()
}

fn text(value: &Value, key: &str) -> Option<String> {
    value[key].as_str().map(str::to_owned)
}

fn strings(value: &Value) -> Vec<String> {
    let all = value.as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}
