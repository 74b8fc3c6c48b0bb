//! `interop`: other implementations of libp2p and CBOR against our node.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::mpsc::{RecvTimeoutError, sync_channel},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use xshell::{Shell, cmd};

use crate::{
    step::{Outcome, say},
    workspace,
};

/// Where the peers in other languages are.
const SOURCES: &str = "interop/js";

/// The oldest Node.js that they run on.
const NODE: u32 = 20;

/// How long npm may take, which downloads 50 MB the first time.
const INSTALL: Duration = Duration::from_secs(600);

/// How long one of the programs may take. The longest gives up by itself after 150 s, so that it can end its own children.
const PROGRAM: Duration = Duration::from_secs(180);

/// Plain rust-libp2p in process, then, where Node.js is, js-libp2p and a CBOR library from npm.
pub(crate) fn run(sh: &Shell) -> anyhow::Result<Outcome> {
    cmd!(
        sh,
        "cargo test --locked -p o-node --all-features --test it interop::"
    )
    .run()?;
    if let Some(reason) = missing(sh) {
        return Ok(only_rust(&reason));
    }
    let target = workspace::target_dir(sh)?;
    let directory = target.join("interop");
    copy(sh, &directory)?;
    if let Some(reason) = install(sh, &directory)? {
        return Ok(only_rust(&reason));
    }
    cmd!(sh, "cargo build --locked -p o-cli --all-features").run()?;
    let program = target
        .join("debug")
        .join(format!("o{}", std::env::consts::EXE_SUFFIX));
    let document = workspace::root()?.join("docs/wire.md");
    for (script, argument) in [("golden.mjs", &document), ("peer.mjs", &program)] {
        let mut node = Command::new("node");
        node.arg(script).arg(argument);
        bounded(script, node, &directory, PROGRAM)?;
    }
    Ok(Outcome::Done)
}

/// The part that needs npm was not run.
fn only_rust(reason: &str) -> Outcome {
    Outcome::Skipped(format!(
        "the part with rust-libp2p passed, the one with js-libp2p was not run: {reason}"
    ))
}

/// What the JavaScript part needs and is not there.
fn missing(sh: &Shell) -> Option<String> {
    let version = |tool: &str| {
        cmd!(sh, "{tool} --version")
            .quiet()
            .ignore_stderr()
            .read()
            .ok()
    };
    let node = version("node").as_deref().map(major);
    if node.is_none() || version("npm").is_none() {
        return Some("node and npm are not both installed".to_owned());
    }
    (node.flatten() < Some(NODE)).then(|| format!("node is older than {NODE}"))
}

/// The first number of a version like `v20.1.2`.
fn major(version: &str) -> Option<u32> {
    version
        .trim()
        .trim_start_matches('v')
        .split('.')
        .next()?
        .parse()
        .ok()
}

/// The sources into a directory that nobody tracks, because npm puts 50 MB beside them.
fn copy(sh: &Shell, directory: &Path) -> anyhow::Result<()> {
    sh.create_dir(directory)?;
    for file in sh.read_dir(SOURCES)? {
        // Somebody who tries things in the source directory has these there.
        if file.is_file() {
            sh.copy_file(&file, directory)?;
        }
    }
    Ok(())
}

/// Installs what the lock file says; why it could not where there is no registry.
fn install(sh: &Shell, directory: &Path) -> anyhow::Result<Option<String>> {
    let mut npm = Command::new("npm");
    npm.args(["ci", "--prefer-offline", "--no-audit", "--no-fund"]);
    npm.args(["--ignore-scripts", "--loglevel", "error"]);
    let Err(error) = bounded("npm ci", npm, directory, INSTALL) else {
        return Ok(None);
    };
    let reachable = cmd!(sh, "npm ping --fetch-retries 0")
        .quiet()
        .ignore_stdout()
        .ignore_stderr()
        .run()
        .is_ok();
    ensure!(!reachable, error.context("the packages do not install"));
    Ok(Some("the npm registry cannot be reached".to_owned()))
}

/// Runs a program and shows what it prints; one that takes too long is killed, and that is a failure.
fn bounded(
    name: &str,
    mut command: Command,
    directory: &Path,
    limit: Duration,
) -> anyhow::Result<()> {
    say(&format!("$ {name}"));
    let mut child = command
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("{name} does not start"))?;
    let output = child.stdout.take().context("the output is not there")?;
    let (line, lines) = sync_channel(64);
    let reader = std::thread::spawn(move || {
        for text in BufReader::new(output).lines().map_while(Result::ok) {
            // Nobody listens any more when the time is over.
            if line.send(text).is_err() {
                break;
            }
        }
    });
    let deadline = Instant::now() + limit;
    let ended = loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(text) => say(&text),
            Err(RecvTimeoutError::Disconnected) => break true,
            Err(RecvTimeoutError::Timeout) => break false,
        }
    };
    if !ended {
        child.kill()?;
    }
    let status = child.wait()?;
    drop(lines);
    if !ended {
        bail!("{name} took longer than {limit:?} and was killed");
    }
    // It has closed its output, so that this does not wait.
    let _ = reader.join();
    ensure!(status.success(), "{name} failed: {status}");
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn the_version_of_node_is_read() {
        assert_eq!(major("v20.20.2\n"), Some(20));
        assert_eq!(major("v8.1"), Some(8));
        assert_eq!(major("nothing"), None);
    }

    #[test]
    fn a_program_has_so_much_time_and_must_succeed() {
        let run = |script, limit| bounded("it", shell(script), Path::new("."), limit);
        assert!(run("echo said", Duration::from_secs(30)).is_ok());
        let failed = run("exit 3", Duration::from_secs(30)).unwrap_err();
        assert!(failed.to_string().contains("failed"), "{failed}");
        let slow = run("exec sleep 600", Duration::from_millis(100)).unwrap_err();
        assert!(slow.to_string().contains("killed"), "{slow}");
    }
}
