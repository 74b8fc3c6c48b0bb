//! The parent's side of the demo's processes: starting, listening to and ending them.

use std::{
    ffi::OsString,
    fs,
    fs::File,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use futures::future::join_all;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    task::JoinHandle,
};

use super::{
    MORE_TIME,
    event::{Event, Role},
};
use crate::exit::Failure;

/// How long a process may take to end by itself.
const END: Duration = Duration::from_secs(3);
/// How much of a process's standard error is kept, in bytes.
const STDERR: u64 = 16 * 1024;

/// The processes of one demo and the directory that their keys are in. Dropping it kills them.
#[derive(Debug)]
pub(super) struct Stage {
    // Dropped before the directory that they use.
    processes: Vec<Process>,
    directory: Directory,
}

impl Stage {
    /// Nothing but a directory of this name.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(super) fn new(name: &str) -> io::Result<Self> {
        Ok(Self {
            processes: Vec::new(),
            directory: Directory::new(name)?,
        })
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory.path
    }

    /// Starts this program anew, in a role.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(super) fn start(
        &mut self,
        role: Role,
        flags: Vec<OsString>,
    ) -> Result<&mut Process, Failure> {
        let failed = |error: io::Error| {
            Failure::internal(format!(
                "the {} process cannot be started: {error}",
                role.name()
            ))
        };
        let process = Process::start(role, flags).map_err(failed)?;
        self.processes.push(process);
        self.processes
            .last_mut()
            .ok_or_else(|| Failure::internal("no process"))
    }

    /// Those in these roles, in the order of their start.
    pub(super) fn with(&mut self, roles: &[Role]) -> impl Iterator<Item = &mut Process> {
        self.processes
            .iter_mut()
            .filter(|process| roles.contains(&process.role))
    }

    /// Kills the process in this role, without a word to it; its process id.
    ///
    /// # Errors
    /// There is none, or it has ended.
    pub(super) async fn kill(&mut self, role: Role) -> Result<u32, Failure> {
        let gone = || Failure::internal(format!("the {} process has ended", role.name()));
        let process = self.with(&[role]).next().ok_or_else(gone)?;
        let pid = process.child.id().ok_or_else(gone)?;
        process.child.kill().await?;
        Ok(pid)
    }

    /// Ends every process and removes the directory. Returns how many there were.
    ///
    /// # Cancel safety
    /// Dropping the future kills those that have not ended.
    pub(super) async fn close(mut self) -> usize {
        join_all(self.processes.iter_mut().map(Process::end)).await;
        self.processes.len()
    }
}

/// A directory that goes with its owner.
#[derive(Debug)]
struct Directory {
    path: PathBuf,
    /// Held as long as the owner lives.
    _lock: File,
}

impl Directory {
    /// How the names of all such directories begin; the owner's process id follows.
    const PREFIX: &str = "o-demo-";
    /// The file in it that is locked by its owner.
    const LOCK: &str = "lock";

    fn new(name: &str) -> io::Result<Self> {
        let temporary = std::env::temp_dir();
        Self::sweep(&temporary);
        let path = temporary.join(name);
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path)?;
        let lock = File::create_new(path.join(Self::LOCK))?;
        lock.try_lock()?;
        let _lock = lock;
        Ok(Self { path, _lock })
    }

    /// Removes what demos of this user left that were killed.
    fn sweep(temporary: &Path) {
        let entries = fs::read_dir(temporary).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()) {
            let owner = path
                .file_name()
                .and_then(|name| name.to_str()?.strip_prefix(Self::PREFIX)?.split('-').next())
                .and_then(|pid| pid.parse().ok());
            if let Some(owner) = owner
                && !lives(owner)
                && Self::is_left(&path)
            {
                let removed = fs::remove_dir_all(&path);
                tracing::debug!(path = %path.display(), ?removed, "left by a demo that was killed");
            }
        }
    }

    /// Whether it is a demo's and nobody holds it: a process of another container may, whose id
    /// says nothing here.
    fn is_left(path: &Path) -> bool {
        fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
            && File::open(path.join(Self::LOCK)).is_ok_and(|lock| lock.try_lock().is_ok())
    }
}

#[cfg(unix)]
fn lives(process: i32) -> bool {
    rustix::process::Pid::from_raw(process)
        .is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

#[cfg(not(unix))]
fn lives(_: i32) -> bool {
    true
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the demo's directory is still there");
        }
    }
}

/// A process, its events, and what it says on standard error.
#[derive(Debug)]
pub(super) struct Process {
    role: Role,
    child: Child,
    events: Lines<BufReader<ChildStdout>>,
    stderr: JoinHandle<String>,
}

impl Process {
    fn start(role: Role, flags: Vec<OsString>) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("demo").args(flags).kill_on_drop(true);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // Ctrl-C goes to this process alone, which then ends the others in good order.
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn()?;
        let (stdout, stderr) = child
            .stdout
            .take()
            .zip(child.stderr.take())
            .ok_or_else(|| io::Error::other("the system gave no pipes"))?;
        let events = BufReader::new(stdout).lines();
        Ok(Self {
            role,
            child,
            events,
            stderr: tokio::spawn(keep(stderr)),
        })
    }

    /// The next thing that happens there; nothing once it has ended well.
    ///
    /// # Errors
    /// It ended badly, said something else, or nothing for too long.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(super) async fn next(&mut self, limit: Duration) -> Result<Option<Event>, Failure> {
        let role = self.role.name();
        let line = tokio::time::timeout(limit, self.events.next_line()).await;
        let line = line.map_err(|_| {
            let error = o_core::CallError::TimedOut { after: limit };
            Failure::from(error)
                .context(format!("the {role} process"))
                .hint(MORE_TIME)
        })??;
        let Some(line) = line else {
            return self.ended().await.map(|()| None);
        };
        let event = serde_json::from_str(&line);
        event
            .map(Some)
            .map_err(|error| Failure::internal(format!("the {role} process: {error}")))
    }

    /// Why it has ended.
    async fn ended(&mut self) -> Result<(), Failure> {
        let status = self.child.wait().await?;
        if status.success() {
            return Ok(());
        }
        let said = (&mut self.stderr).await.unwrap_or_default();
        let said = said.trim().trim_start_matches("error: ");
        let role = self.role.name();
        Err(Failure::internal(match said.is_empty() {
            true => format!("the {role} process ended: {status}"),
            false => format!("the {role} process ended: {said}"),
        }))
    }

    /// Lets it end by closing its standard input, and kills it if it does not.
    async fn end(&mut self) {
        drop(self.child.stdin.take());
        if !matches!(
            tokio::time::timeout(END, self.child.wait()).await,
            Ok(Ok(_))
        ) {
            tracing::warn!(role = self.role.name(), "killed");
            let _ = self.child.kill().await;
        }
    }
}

/// Keeps the first of what a process says on standard error, and reads the rest so that it is not
/// held up. Logs, if any are wanted, are shown as they come.
async fn keep(mut stderr: impl AsyncRead + Unpin) -> String {
    let mut sink = tokio::io::sink();
    if std::env::var_os("O_LOG").is_some() {
        let _ = tokio::io::copy(&mut stderr, &mut tokio::io::stderr()).await;
        return String::new();
    }
    let mut said = Vec::new();
    let _ = (&mut stderr).take(STDERR).read_to_end(&mut said).await;
    let _ = tokio::io::copy(&mut stderr, &mut sink).await;
    String::from_utf8_lossy(&said).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_killed_demo_left_is_swept_away() {
        let temporary = tempfile::tempdir().unwrap();
        // No process has such a number.
        let dead = i32::MAX;
        let make = |name: String, locked: bool| {
            let path = temporary.path().join(name);
            fs::create_dir(&path).unwrap();
            let lock = locked.then(|| File::create_new(path.join(Directory::LOCK)).unwrap());
            (path, lock)
        };
        let (left, lock) = make(format!("o-demo-{dead}-1"), true);
        drop(lock);
        let (held, lock) = make(format!("o-demo-{dead}-2"), true);
        lock.as_ref().unwrap().try_lock().unwrap();
        let (alive, _) = make(format!("o-demo-{}-3", std::process::id()), true);
        let (no_demos, _) = make(format!("o-demo-{dead}-4"), false);
        let (others, _) = make(format!("demo-{dead}-5"), true);
        Directory::sweep(temporary.path());
        assert!(!left.exists());
        for kept in [held, alive, no_demos, others] {
            assert!(kept.exists(), "{}", kept.display());
        }
    }
}
