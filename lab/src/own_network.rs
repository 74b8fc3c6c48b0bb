//! A network namespace with two interfaces and a cable between them, for multicast that stays within it.

use std::{env, os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context as _, ensure};

/// Says that this process is in it.
const VARIABLE: &str = "O_LAB_NETWORK";

const SCRIPT: &str = "set -e
ip link set lo up
ip link add name left type veth peer name right
ip addr add 10.9.0.1/24 dev left
ip link set left up
ip addr add 10.9.0.2/24 dev right
ip link set right up
ip route add 224.0.0.0/4 dev left
exec \"$@\"";

/// Starts this program once more in such a namespace, in place of the process that calls, unless it is there.
///
/// # Errors
/// No namespace can be made.
pub fn enter() -> anyhow::Result<()> {
    if env::var_os(VARIABLE).is_some() {
        return Ok(());
    }
    let unshared = || {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net"]);
        command
    };
    let mut trial = unshared();
    let trial = trial.args(["ip", "link", "set", "lo", "up"]).status();
    let works = trial.is_ok_and(|status| status.success());
    ensure!(
        works,
        "this needs unshare, iproute2 and the right to make network namespaces"
    );
    let program = env::current_exe().context("this program")?;
    let mut command = unshared();
    command.args(["sh", "-c", SCRIPT, "sh"]).arg(program);
    let error = command
        .args(env::args_os().skip(1))
        .env(VARIABLE, "own")
        .exec();
    Err(error).context("this program, once more")
}
