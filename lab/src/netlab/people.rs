//! Those who use the program `o` inside a namespace: each with a home, servers that end with them.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use super::namespaces::Namespace;

/// The longest that any step may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Somebody on one host.
#[derive(Debug)]
pub(super) struct User<'a> {
    host: &'a Namespace,
    o: PathBuf,
    home: TempDir,
}

/// What a command did.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
    pub(super) took: Duration,
}

impl Done {
    /// Its end in one line.
    pub(super) fn summary(&self) -> String {
        let code = self.code.map_or("killed".into(), |code| code.to_string());
        let text = if self.stdout.is_empty() {
            &self.stderr
        } else {
            &self.stdout
        };
        let last = text.trim().lines().last().unwrap_or_default();
        let short: String = last.chars().take(240).collect();
        format!("exit {code} after {:.0?}: {short}", self.took)
    }
}

impl<'a> User<'a> {
    pub(super) fn new(host: &'a Namespace, o: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            host,
            o: o.to_owned(),
            home: tempfile::tempdir()?,
        })
    }

    fn command(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", self.host.name()])
            .arg(program)
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("XDG_RUNTIME_DIR", self.home.path().join("run"))
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs `o` to its end.
    pub(super) async fn run(&self, args: &[&str]) -> anyhow::Result<Done> {
        let begun = Instant::now();
        let running = self.command(&self.o, args).output();
        let output = timeout(LIMIT, running)
            .await
            .with_context(|| format!("o {} did not end in {LIMIT:?}", args.join(" ")))??;
        Ok(Done {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            took: begun.elapsed(),
        })
    }

    /// Runs `o serve … --json` until it is dropped.
    pub(super) async fn serve(&self, args: &[&str]) -> anyhow::Result<Server> {
        let args = [&["serve"], args, &["--json"]].concat();
        Server::start(self.command(&self.o, &args)).await
    }

    /// Runs this program's own node, see [`super::hub`].
    pub(super) async fn hub(&self, args: &[&str]) -> anyhow::Result<Server> {
        let own = std::env::current_exe()?;
        Server::start(self.command(&own, args)).await
    }
}

/// A process that writes lines of JSON, the first of which says that it is ready.
#[derive(Debug)]
pub(super) struct Server {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    pub(super) ready: Value,
}

impl Server {
    async fn start(mut command: Command) -> anyhow::Result<Self> {
        // What it says on standard error is for whoever watches the lab.
        let mut child = command.stderr(Stdio::inherit()).spawn()?;
        let stdout = child.stdout.take().context("no standard output")?;
        let mut server = Self {
            _child: child,
            lines: BufReader::new(stdout).lines(),
            ready: Value::Null,
        };
        server.ready = server.next().await?;
        Ok(server)
    }

    /// The next line.
    pub(super) async fn next(&mut self) -> anyhow::Result<Value> {
        let line = timeout(LIMIT, self.lines.next_line()).await;
        match line.context("no line in time")?? {
            Some(line) => serde_json::from_str(&line).with_context(|| line),
            None => bail!("the server has ended"),
        }
    }

    /// Its listen address that contains this, with its peer id.
    pub(super) fn at(&self, part: &str) -> anyhow::Result<&str> {
        let all = self.ready["listen"].as_array();
        all.into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .find(|address| address.contains(part))
            .with_context(|| format!("no {part} in {}", self.ready))
    }

    pub(super) fn peer_id(&self) -> anyhow::Result<&str> {
        self.ready["peer_id"].as_str().context("no peer id")
    }
}
