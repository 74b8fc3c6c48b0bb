//! A user of the program: a home of his own, servers that end with the test, a deadline on every wait.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails where its helpers do"
)]

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::{Instant, sleep, timeout},
};

/// The longest any single step may take, on a machine that is busy with other things.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A user with a home, on a machine of his own.
pub(crate) struct User {
    home: TempDir,
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    pub(crate) fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }

    /// The result, of a command that must have done what it should.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code(), 0, "{self:?}");
        self.stdout
    }

    /// The one line of JSON on standard output.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        let text = self.ok();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Every line of JSON on standard output.
    #[track_caller]
    pub(crate) fn lines(self) -> Vec<Value> {
        let text = self.ok();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The error that `--json` wrote, with the exit status that it must have.
    #[track_caller]
    pub(crate) fn error(&self, code: i32) -> Value {
        assert_eq!(self.code(), code, "{self:?}");
        assert_eq!(self.stdout, "", "a result beside an error");
        let line = self.stderr.lines().last().unwrap_or_default();
        let value: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{self:?}"));
        value["error"].clone()
    }
}

impl User {
    pub(crate) fn new() -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// A file that can be run.
    pub(crate) fn script(&self, name: &str, text: &str) -> String {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_o"));
        command
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("TMPDIR", self.home.path())
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some(pyenv) = std::env::var_os("PYENV_ROOT") {
            command.env("PYENV_ROOT", pyenv);
        }
        command
    }

    pub(crate) async fn run(&self, args: &[&str]) -> Outcome {
        self.finish(self.command(args)).await
    }

    pub(crate) async fn finish(&self, mut command: Command) -> Outcome {
        let child = command.spawn().unwrap();
        outcome(child).await
    }

    pub(crate) async fn run_with_input(&self, args: &[&str], input: &[u8]) -> Outcome {
        let mut command = self.command(args);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input).await.unwrap();
        drop(stdin);
        outcome(child).await
    }

    /// A command whose results are read one by one.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        self.start_command(self.command(args))
    }

    pub(crate) fn start_command(&self, mut command: Command) -> Running {
        // Kept for whoever looks into a failure: the pipe would fill up.
        let log = File::create(self.path("stderr.log")).unwrap();
        let mut child = command.stderr(log).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Running { child, lines }
    }

    /// A server that is ready.
    pub(crate) async fn serve(&self, args: &[&str]) -> Server {
        let args = [&["serve", "--json"], args].concat();
        self.serve_command(self.command(&args)).await
    }

    pub(crate) async fn serve_command(&self, command: Command) -> Server {
        let mut running = self.start_command(command);
        let ready = running.value().await;
        assert_eq!(ready["event"], "ready", "the first line of {ready}");
        Server { running, ready }
    }
}

async fn outcome(child: Child) -> Outcome {
    let output = timeout(DEADLINE, child.wait_with_output()).await;
    let output = output.expect("the command did not end").unwrap();
    Outcome {
        status: output.status,
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A command that runs. It is killed when this is dropped.
pub(crate) struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

/// A command that runs and whose standard output nobody reads any more.
pub(crate) struct Unread(Child);

impl Unread {
    pub(crate) fn signal(&self, signal: Signal) {
        send(self.0.id().expect("it has ended"), signal);
    }

    pub(crate) async fn exit(&mut self) -> i32 {
        exit_of(&mut self.0).await
    }
}

async fn exit_of(child: &mut Child) -> i32 {
    let status = timeout(DEADLINE, child.wait()).await;
    status
        .expect("it did not end")
        .unwrap()
        .code()
        .unwrap_or(-1)
}

impl Running {
    /// Closes the reading end of its standard output.
    pub(crate) fn without_reader(self) -> Unread {
        Unread(self.child)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("it has ended")
    }

    pub(crate) async fn line(&mut self) -> Option<String> {
        let line = timeout(DEADLINE, self.lines.next_line()).await;
        line.expect("no line came").unwrap()
    }

    pub(crate) async fn value(&mut self) -> Value {
        let line = self.line().await.expect("it ended without a line");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    pub(crate) async fn exit(&mut self) -> i32 {
        exit_of(&mut self.child).await
    }
}

/// `o serve`.
pub(crate) struct Server {
    pub(crate) running: Running,
    pub(crate) ready: Value,
}

impl Server {
    pub(crate) fn peer_id(&self) -> &str {
        self.ready["peer_id"].as_str().unwrap()
    }

    /// Its first listen address that holds `part`.
    pub(crate) fn at(&self, part: &str) -> &str {
        let all = self.ready["listen"].as_array().unwrap();
        let all = all.iter().filter_map(Value::as_str);
        let mut found = all.filter(|address| address.contains(part));
        found
            .next()
            .unwrap_or_else(|| panic!("no {part} in {}", self.ready))
    }

    /// The next event of this name.
    pub(crate) async fn event(&mut self, name: &str) -> Value {
        loop {
            let event = self.running.value().await;
            if event["event"] == name {
                return event;
            }
        }
    }

    /// Ends it as an operator does.
    pub(crate) async fn stop(mut self) -> i32 {
        self.running.signal(Signal::TERM);
        self.running.exit().await
    }
}

pub(crate) fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Looks again and again until it is so.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// A number that a program writes to a file.
pub(crate) async fn number_in(path: &Path) -> u32 {
    let read = || std::fs::read_to_string(path).ok()?.trim().parse().ok();
    until(&format!("a number in {}", path.display()), || {
        read().is_some()
    })
    .await;
    read().unwrap()
}

/// Whether a process is there and not only waits to be buried.
pub(crate) fn is_alive(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    let state = stat
        .rsplit(')')
        .next()
        .and_then(|rest| rest.split_whitespace().next());
    !matches!(state, None | Some("Z" | "X"))
}

pub(crate) async fn until_gone(pid: u32) {
    until(&format!("process {pid} is gone"), || !is_alive(pid)).await;
}
