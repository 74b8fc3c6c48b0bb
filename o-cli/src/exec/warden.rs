//! A process that outlives a killed server for a moment, to end the programs that it ran.
//!
//! Nobody can catch SIGKILL, and what a killed process started lives on. So a server that runs
//! programs starts the warden first and tells it of every process group that begins and ends. The
//! end of that pipe, which the system closes whatever the server died of, is the sign to kill those
//! that are left. It costs one idle process for each server and one short write for each program's
//! begin and end.

use std::{
    collections::BTreeSet,
    io::{self, BufRead, Write},
    process::{Child, ChildStdin, Command, ExitCode, Stdio},
    sync::{Mutex, PoisonError},
};

use super::children::{Signal, signal};

/// The hidden word that makes a process of this program the warden of its parent.
pub(crate) const WORD: &str = "__warden";

/// The server's end of the pipe to its warden.
#[derive(Debug)]
pub(super) struct Warden {
    // Dropped first: the end of the pipe ends the process.
    pipe: Mutex<Option<ChildStdin>>,
    _process: Child,
}

impl Warden {
    /// Starts the process.
    ///
    /// # Errors
    /// When the system does not start it.
    pub(super) fn start() -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg(WORD)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // A signal to the server's group, like Ctrl-C, is not for the warden.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut process = command.spawn()?;
        let pipe = process.stdin.take();
        // A warden that was stopped must not stop the server: it is given up when its pipe is full.
        #[cfg(unix)]
        if let Some(pipe) = &pipe {
            rustix::io::ioctl_fionbio(pipe, true)?;
        }
        Ok(Self {
            pipe: Mutex::new(pipe),
            _process: process,
        })
    }

    /// Tells it that a process group has begun.
    pub(super) fn begun(&self, group: u32) {
        self.tell(&format!("+{group}\n"));
    }

    /// Tells it that a process group has ended.
    pub(super) fn ended(&self, group: u32) {
        self.tell(&format!("-{group}\n"));
    }

    fn tell(&self, line: &str) {
        let mut pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
        // So short a line is written whole or not at all.
        if let Some(Err(error)) = pipe.as_mut().map(|pipe| pipe.write_all(line.as_bytes())) {
            tracing::warn!(%error, "programs will survive if this server is killed by SIGKILL");
            *pipe = None;
        }
    }
}

/// Is the warden of the process at the other end of standard input, until that one has ended.
pub(crate) fn run() -> ExitCode {
    for group in left(io::stdin().lock()) {
        signal(group, Signal::Kill);
    }
    ExitCode::SUCCESS
}

/// The process groups that had begun and not ended at the end of the input.
fn left(input: impl BufRead) -> BTreeSet<u32> {
    let mut groups = BTreeSet::new();
    for line in input.lines().map_while(Result::ok) {
        if let Some(group) = line.strip_prefix('+').and_then(|id| id.parse().ok()) {
            groups.insert(group);
        } else if let Some(group) = line.strip_prefix('-').and_then(|id| id.parse().ok()) {
            groups.remove(&group);
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_begun_and_not_ended_is_left() {
        let told = "+12\n+13\n-12\nrubbish\n+14\n-99\n";
        assert_eq!(left(told.as_bytes()), BTreeSet::from([13, 14]));
        assert_eq!(left(&b""[..]), BTreeSet::new());
    }
}
