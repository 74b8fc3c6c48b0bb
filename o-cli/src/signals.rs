//! Being asked to end: Ctrl-C, SIGTERM and a closed terminal.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use crate::exit::{Exit, Failure};

/// How soon after one that was heard another signal is the same wish: `timeout` signals the process
/// and its group, and a terminal that closes sends more than one.
const SAME: Duration = Duration::from_millis(500);

/// Hears that the program is asked to end, and how often. The third time it ends at once.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt(watch::Receiver<u32>);

static WATCHING: AtomicBool = AtomicBool::new(false);

impl Interrupt {
    /// Begins to watch; to be called once, inside the runtime.
    pub(crate) fn watch() -> Result<Self, Failure> {
        if WATCHING.swap(true, Ordering::Relaxed) {
            return Err(Failure::internal("signals are watched already"));
        }
        let (sender, receiver) = watch::channel(0_u32);
        let mut signals = Signals::new()?;
        tokio::spawn(async move {
            let mut wishes = Wishes::default();
            while signals.next().await.is_some() {
                if !wishes.is_new(Instant::now()) {
                    continue;
                }
                sender.send_modify(|asked| *asked = asked.saturating_add(1));
                if *sender.borrow() > 2 {
                    std::process::exit(Exit::Interrupted as i32);
                }
            }
        });
        Ok(Self(receiver))
    }

    /// Returns when the program is asked to end, also if it was before.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(crate) async fn wait(&self) {
        self.times(1).await;
    }

    /// Returns when the program is asked to end for the second time: somebody is in a hurry.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(crate) async fn again(&self) {
        self.times(2).await;
    }

    async fn times(&self, count: u32) {
        if self
            .0
            .clone()
            .wait_for(|asked| *asked >= count)
            .await
            .is_err()
        {
            // Nobody watches any more, because the runtime ends.
            std::future::pending::<()>().await;
        }
    }

    /// Does the work unless the program is asked to end before it is done.
    ///
    /// # Errors
    /// Those of the work, or that it was interrupted.
    pub(crate) async fn during<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            () = self.wait() => Err(Failure::interrupted()),
            done = work => done,
        }
    }
}

/// Tells wishes apart that signals bring.
#[derive(Debug, Default)]
struct Wishes {
    heard: Option<Instant>,
}

impl Wishes {
    /// Whether a signal at `now` is a wish of its own.
    fn is_new(&mut self, now: Instant) -> bool {
        let same = self
            .heard
            .is_some_and(|heard| now.saturating_duration_since(heard) < SAME);
        if !same {
            self.heard = Some(now);
        }
        !same
    }
}

#[cfg(unix)]
struct Signals([tokio::signal::unix::Signal; 3]);

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    async fn next(&mut self) -> Option<()> {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            signal = interrupt.recv() => signal,
            signal = terminate.recv() => signal,
            signal = hangup.recv() => signal,
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> Option<()> {
        tokio::signal::ctrl_c().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_that_come_together_are_one_wish() {
        let begun = Instant::now();
        let mut wishes = Wishes::default();
        let after = |millis| begun + Duration::from_millis(millis);
        let new = [0, 1, 100, 499, 500, 999, 1000].map(|millis| wishes.is_new(after(millis)));
        assert_eq!(new, [true, false, false, false, true, false, true]);
    }
}
