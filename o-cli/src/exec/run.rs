//! One program, from its start to its exit status.

use std::{process::Stdio, sync::Arc};

use bytes::Bytes;
use o_core::CallError;
use tokio::{
    io::AsyncWriteExt,
    process::{ChildStdin, Command},
    sync::OwnedSemaphorePermit,
    task::JoinHandle,
};

use super::{Children, ExecLimits, Program, children::Group, tail::Tail};
use crate::json_text::{self, Splitter};

/// How much is read at once, at least.
const CHUNK: usize = 8 * 1024;

/// A running program. Dropping it ends the program.
#[derive(Debug)]
pub(super) struct Run {
    method: Arc<str>,
    group: Group,
    /// Whether standard output is at its end.
    written: bool,
    splitter: Splitter,
    feeder: JoinHandle<()>,
}

impl Run {
    /// Starts a program and gives it its parameters.
    ///
    /// # Errors
    /// When the system does not start it.
    pub(super) fn start(
        (method, program): (&str, &Program),
        environment: [(&'static str, Option<String>); 6],
        input: Bytes,
        limits: &ExecLimits,
        place: (OwnedSemaphorePermit, Children),
    ) -> Result<Self, CallError> {
        let failed = |what: &dyn std::fmt::Display| {
            let name = &program.name;
            CallError::failed(format!(
                "`{method}`: the program {name:?} cannot be started: {what}"
            ))
        };
        let mut command = Command::new(&program.name);
        command.args(&program.arguments);
        for (variable, value) in environment {
            match value {
                Some(value) => command.env(variable, value),
                None => command.env_remove(variable),
            };
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        #[cfg(unix)]
        command.process_group(0);
        #[cfg(not(unix))]
        command.kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| failed(&error))?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(failed(&"it has no pipes"));
        };
        let tail = Tail::of(stderr, limits.stderr_tail);
        Ok(Self {
            group: Group::new(child, (stdout, tail), limits.kill_after, place),
            written: false,
            splitter: Splitter::new(limits.max_value),
            feeder: tokio::spawn(feed(stdin, input)),
            method: method.into(),
        })
    }

    /// The next value that it writes, in compact JSON; `None` when it has ended well. After an
    /// error nothing more comes.
    ///
    /// # Cancel safety
    /// No value is lost when the future is dropped.
    pub(super) async fn next(&mut self) -> Option<Result<String, CallError>> {
        loop {
            let value = match self.written {
                false => self.splitter.next(),
                true => self.splitter.finish(),
            };
            match value {
                Ok(Some(value)) => return Some(self.checked(&value)),
                Ok(None) => {}
                Err(error) => {
                    let (method, limit) = (&self.method, error.limit);
                    let what = format!("`{method}`: a value of over {limit} bytes of the program");
                    return Some(Err(CallError::TooLarge { what }));
                }
            }
            if self.written {
                return self.exit().await.err().map(Err);
            }
            let buffer = self.splitter.buffer();
            buffer.reserve(CHUNK);
            self.written = !self.group.read(buffer).await;
        }
    }

    fn checked(&self, value: &[u8]) -> Result<String, CallError> {
        let checked = json_text::check(value).and_then(|()| json_text::compact(value));
        checked.map_err(|error| {
            let start = String::from_utf8_lossy(value.get(..40).unwrap_or(value)).into_owned();
            let method = &self.method;
            let what = match error.contains("$bytes") {
                true => "a bad byte string",
                false => "something that is not JSON",
            };
            CallError::failed(format!(
                "`{method}`: the program wrote {what} ({error}): {start}"
            ))
        })
    }

    async fn exit(&mut self) -> Result<(), CallError> {
        let (status, tail) = self.group.exit().await.map_err(|error| {
            let method = &self.method;
            CallError::failed(format!(
                "`{method}`: how the program ended is not known: {error}"
            ))
        })?;
        if status.success() {
            return Ok(());
        }
        let colon = if tail.is_empty() { "" } else { ": " };
        let how = how_it_ended(status);
        Err(CallError::failed(format!(
            "`{}`: the program {how}{colon}{tail}",
            self.method
        )))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.feeder.abort();
    }
}

fn how_it_ended(status: std::process::ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return format!("was ended by signal {signal}");
    }
    match status.code() {
        Some(code) => format!("exited with status {code}"),
        None => "ended without a status".into(),
    }
}

/// Writes the parameters. A program that does not read them closes the pipe, which is fine.
async fn feed(mut stdin: ChildStdin, input: Bytes) {
    if stdin.write_all(&input).await.is_ok() {
        let _ = stdin.write_all(b"\n").await;
        let _ = stdin.shutdown().await;
    }
}
