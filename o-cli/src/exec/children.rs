//! Running programs and their process groups: each ends with the call that it was started for.

use std::{
    collections::BTreeSet,
    io,
    process::ExitStatus,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::BytesMut;
use tokio::{
    io::AsyncReadExt,
    process::{Child, ChildStdout},
    sync::{OwnedSemaphorePermit, watch},
    time::Instant,
};

use super::{tail::Tail, warden::Warden};

/// How often a process group is looked at that outlives its leader.
const LOOK: Duration = Duration::from_millis(20);
/// How long the output of a program is read once it has ended: what it left running in the
/// background may hold the pipe open for ever.
const GRACE: Duration = Duration::from_secs(1);

/// The process groups that exist. Clones are handles of one set; admission bounds it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Children {
    groups: Arc<Mutex<BTreeSet<u32>>>,
    count: Arc<watch::Sender<usize>>,
    warden: Option<Arc<Warden>>,
}

impl Children {
    /// An empty set whose members are killed also if this process is killed.
    pub(crate) fn guarded() -> Self {
        let warden = Warden::start().inspect_err(|error| {
            tracing::warn!(%error, "programs will survive if this server is killed by SIGKILL");
        });
        Self {
            warden: warden.ok().map(Arc::new),
            ..Self::default()
        }
    }

    /// Waits until every program and what it started is gone.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(crate) async fn settle(&self) {
        // The sender lives as long as `self`.
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }

    /// Kills everything at once.
    pub(crate) fn kill(&self) {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        for group in &*groups {
            signal(*group, Signal::Kill);
        }
    }

    fn add(&self, group: u32) {
        if let Some(warden) = &self.warden {
            warden.begun(group);
        }
        self.change(|groups| {
            groups.insert(group);
        });
    }

    fn remove(&self, group: u32) {
        if let Some(warden) = &self.warden {
            warden.ended(group);
        }
        self.change(|groups| {
            groups.remove(&group);
        });
    }

    fn change(&self, change: impl FnOnce(&mut BTreeSet<u32>)) {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut groups);
        let count = groups.len();
        drop(groups);
        self.count.send_replace(count);
    }
}

/// A program in its own process group. Dropping it ends the group: SIGTERM, and later SIGKILL.
#[derive(Debug)]
pub(super) struct Group {
    inner: Option<Inner>,
    kill_after: Duration,
}

#[derive(Debug)]
struct Inner {
    child: Child,
    id: u32,
    /// Read until the end: what a program writes when it is told to end must not kill it.
    stdout: Option<ChildStdout>,
    tail: Tail,
    /// Whether it was waited for, so that its number may soon be another's.
    ended: bool,
    /// Until when the output is read of a program that has ended.
    until: Option<Instant>,
    children: Children,
    /// The place among those that run, free again when the last process is gone.
    _permit: OwnedSemaphorePermit,
}

impl Group {
    /// Takes a child that leads a process group of its own, and its output.
    pub(super) fn new(
        child: Child,
        (stdout, tail): (ChildStdout, Tail),
        kill_after: Duration,
        (permit, children): (OwnedSemaphorePermit, Children),
    ) -> Self {
        let inner = child.id().map(|id| {
            children.add(id);
            Inner {
                child,
                id,
                stdout: Some(stdout),
                tail,
                ended: false,
                until: None,
                children,
                _permit: permit,
            }
        });
        Self { inner, kill_after }
    }

    /// Reads more of standard output; `false` at its end, or when the program has ended a while ago
    /// and something else still holds it open.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(super) async fn read(&mut self, buffer: &mut BytesMut) -> bool {
        let Some(inner) = &mut self.inner else {
            return false;
        };
        let Some(stdout) = &mut inner.stdout else {
            return false;
        };
        if inner.until.is_none() {
            tokio::select! {
                biased;
                read = stdout.read_buf(buffer) => return more(read, &mut inner.stdout),
                _ = inner.child.wait() => inner.until = Some(Instant::now() + GRACE),
            }
        }
        let until = inner.until.unwrap_or_else(Instant::now);
        // Who writes without a pause would never let the time be looked at.
        if Instant::now() >= until {
            return false;
        }
        match tokio::time::timeout_at(until, stdout.read_buf(buffer)).await {
            Ok(read) => more(read, &mut inner.stdout),
            Err(_) => false,
        }
    }

    /// Waits for the program to end by itself, and gives the end of its standard error if it did
    /// not end well.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub(super) async fn exit(&mut self) -> io::Result<(ExitStatus, String)> {
        let Some(inner) = &mut self.inner else {
            return Err(io::Error::other("it has ended before"));
        };
        let status = inner.child.wait().await?;
        let tail = match status.success() {
            true => String::new(),
            false => inner.tail.text().await,
        };
        // What it left running in the background is its own affair, as long as it does not hold the
        // output of a call that is over.
        inner.ended = inner.stdout.is_none();
        self.end();
        Ok((status, tail))
    }

    /// Lets go of a program that has ended, and ends one that has not.
    fn end(&mut self) {
        let Some(inner) = self.inner.take().filter(|inner| !inner.ended) else {
            return;
        };
        signal(inner.id, Signal::Terminate);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => {
                runtime.spawn(end(Ending(inner), self.kill_after));
            }
            Err(_) => drop(Ending(inner)),
        }
    }
}

/// Whether more was read. A pipe that cannot be read is at its end; the exit status says more.
fn more(read: io::Result<usize>, stdout: &mut Option<ChildStdout>) -> bool {
    let more = matches!(read, Ok(1..));
    if !more {
        *stdout = None;
    }
    more
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.children.remove(self.id);
    }
}

/// A group that was told to end, and is killed when nobody waits for that any more.
struct Ending(Inner);

impl Drop for Ending {
    fn drop(&mut self) {
        // After a leader that was waited for, the number is free only once everybody is gone.
        if !self.0.ended || exists(self.0.id) {
            signal(self.0.id, Signal::Kill);
        }
    }
}

async fn end(mut ending: Ending, kill_after: Duration) {
    let begun = Instant::now();
    let inner = &mut ending.0;
    if let Some(stdout) = inner.stdout.take() {
        // It ends with the pipe, which ends with the group.
        tokio::spawn(drain(stdout));
    }
    inner.ended = tokio::time::timeout(kill_after, inner.child.wait())
        .await
        .is_ok();
    while inner.ended && exists(inner.id) && begun.elapsed() < kill_after {
        tokio::time::sleep(LOOK).await;
    }
    if !inner.ended {
        signal(inner.id, Signal::Kill);
        // Nothing survives SIGKILL for long, and the system has to be told that we know.
        inner.ended = inner.child.wait().await.is_ok();
    }
}

async fn drain(mut stdout: ChildStdout) {
    let mut rubbish = [0; 4096];
    while let Ok(1..) = stdout.read(&mut rubbish).await {}
}

#[derive(Clone, Copy)]
pub(super) enum Signal {
    Terminate,
    Kill,
}

#[cfg(unix)]
fn group(id: u32) -> Option<rustix::process::Pid> {
    i32::try_from(id)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
}

#[cfg(unix)]
pub(super) fn signal(id: u32, signal: Signal) {
    use rustix::process::Signal as Unix;
    let signal = match signal {
        Signal::Terminate => Unix::TERM,
        Signal::Kill => Unix::KILL,
    };
    if let Some(group) = group(id) {
        // A group that is gone already is what was wanted.
        let _ = rustix::process::kill_process_group(group, signal);
    }
}

#[cfg(unix)]
fn exists(id: u32) -> bool {
    group(id).is_some_and(|group| rustix::process::test_kill_process_group(group).is_ok())
}

#[cfg(not(unix))]
pub(super) fn signal(_: u32, _: Signal) {}

#[cfg(not(unix))]
fn exists(_: u32) -> bool {
    false
}
