//! `msrv`: builds with the oldest supported toolchain.

use anyhow::Context as _;
use xshell::{Shell, cmd};

use crate::step::Outcome;

/// Checks the workspace with the toolchain that the root manifest names.
pub(crate) fn run(sh: &Shell) -> anyhow::Result<Outcome> {
    let manifest = sh.read_file("Cargo.toml")?;
    let version = rust_version(&manifest).context("no rust-version in the root manifest")?;
    // rustup rather than `cargo +VERSION`: inside `cargo run` the name may lead past rustup's proxy.
    let installed = cmd!(sh, "rustup run {version} cargo --version")
        .quiet()
        .ignore_stderr()
        .read()
        .is_ok();
    if !installed {
        return Ok(Outcome::Skipped(format!(
            "toolchain {version} is not installed, `rustup toolchain install {version}`; \
             until then only the lint clippy::incompatible_msrv speaks"
        )));
    }
    cmd!(
        sh,
        "rustup run {version} cargo check --locked --workspace --all-features"
    )
    .run()?;
    Ok(Outcome::Done)
}

fn rust_version(manifest: &str) -> Option<&str> {
    let line = manifest
        .lines()
        .find(|line| line.starts_with("rust-version"))?;
    line.split('"').nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_the_manifest() {
        assert_eq!(
            rust_version("[workspace.package]\nrust-version = \"1.90\"\n"),
            Some("1.90")
        );
        assert_eq!(
            rust_version("[workspace.package]\nedition = \"2024\"\n"),
            None
        );
    }
}
