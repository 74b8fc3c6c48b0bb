//! `lab`: network namespaces with NAT, delay and loss.

use std::process::Command;

use anyhow::{Context as _, ensure};
use xshell::{Shell, cmd};

use crate::{soak, step::Outcome, workspace};

/// The exit status with which the lab says that it cannot run here.
const SKIPPED: i32 = 3;

/// Builds the program `o` and the lab, and runs the one in the other.
pub(crate) fn run(sh: &Shell) -> anyhow::Result<Outcome> {
    let options = soak::options();
    cmd!(
        sh,
        "cargo build --locked {options...} --package o-cli --package o-lab --bins"
    )
    .run()?;
    let target = workspace::target_dir(sh)?;
    let built = target.join("debug");
    // Without a shell between: its exit status says more than yes or no.
    let status = Command::new(built.join("netlab"))
        .arg("--o")
        .arg(built.join("o"))
        .arg("--directory")
        .arg(target.join("lab"))
        .status()
        .context("the lab cannot be run")?;
    if status.code() == Some(SKIPPED) {
        return Ok(Outcome::Skipped(
            "the lab needs root, network namespaces, iproute2 and nftables: `apt-get install iproute2 nftables`".to_owned(),
        ));
    }
    // One is no reason to leave the other out.
    local_network(sh).context("the tests of a local network")?;
    ensure!(status.success(), "the lab failed: {status}");
    Ok(Outcome::Done)
}

/// The tests that make a local network of their own, and must not pass by being skipped here.
fn local_network(sh: &Shell) -> anyhow::Result<()> {
    let tests = [
        "two_processes_on_one_network_find_each_other",
        "on_a_local_network_multicast_is_enough",
        "on_a_local_network_a_swarm_finds_itself",
    ];
    let packages = ["o-discovery", "o-cli", "o-lab"];
    let packages = packages.iter().flat_map(|name| ["--package", name]);
    cmd!(
        sh,
        "cargo test --locked --all-features {packages...} --tests -- {tests...}"
    )
    .env("O_NAMESPACES", "required")
    .run()?;
    Ok(())
}
