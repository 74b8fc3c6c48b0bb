//! How long a command may take, in the user's own figure.

use std::time::{Duration, Instant};

use o_core::CallError;

use crate::exit::{Exit, Failure};

/// Further away than any command runs.
const FAR: Duration = Duration::from_secs(60 * 60 * 24 * 365);
/// How much sooner than here a deadline may be noticed elsewhere: it travels in milliseconds, and
/// what happens there takes time to arrive.
const SOONER: Duration = Duration::from_millis(100);
/// How long leaving the network may take once the time is over.
const LEAVING: Duration = Duration::from_millis(250);
/// How long the reason for a failure may be looked for once the time is over.
const EXPLAINING: Duration = Duration::from_millis(100);

/// When the time that a user gave a command is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    after: Duration,
    at: Instant,
    /// Whether it is for the whole command, and not only up to its first answer.
    whole: bool,
}

impl Deadline {
    /// The command is to end within this time from now.
    pub(crate) fn of_command(after: Duration) -> Self {
        Self {
            whole: true,
            ..Self::of_first_answer(after)
        }
    }

    /// The first answer is to come within this time from now; more may come for ever.
    pub(crate) fn of_first_answer(after: Duration) -> Self {
        let now = Instant::now();
        let at = now.checked_add(after).unwrap_or(now + FAR);
        let whole = false;
        Self { after, at, whole }
    }

    /// When it is.
    pub(crate) fn at(self) -> Instant {
        self.at
    }

    /// How long until then.
    pub(crate) fn left(self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// Does the work unless the time is over before it is done.
    ///
    /// # Errors
    /// Those of the work, or that the time is over. Both name the user's own figure.
    pub(crate) async fn during<T>(
        self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout_at(self.at.into(), work).await {
            Ok(done) => done.map_err(|failure| self.in_users_words(failure)),
            Err(_) => Err(self.failure()),
        }
    }

    /// The same as [`during`](Self::during) where the whole command has this deadline; else the work
    /// may take as long as it likes.
    pub(crate) async fn during_command<T>(
        self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        match self.whole {
            true => self.during(work).await,
            false => work.await,
        }
    }

    /// The time is over.
    pub(crate) fn failure(self) -> Failure {
        let after = self.after;
        let failure = Failure::from(CallError::TimedOut { after });
        let after = humantime::format_duration(after);
        Failure {
            message: format!("timed out after {after}"),
            ..failure
        }
    }

    /// A time-out that comes from this deadline knows only how much was left of it for the last
    /// step, which means nothing to the user.
    fn in_users_words(self, failure: Failure) -> Failure {
        match failure.exit == Exit::TimedOut && self.left() <= SOONER {
            true => self.failure().about(failure.peer),
            false => failure,
        }
    }

    /// How long leaving the network may take, if something bounds that.
    pub(crate) fn for_leaving(self) -> Option<Duration> {
        self.whole.then(|| self.left().saturating_add(LEAVING))
    }

    /// How long the reason for a failure may be looked for, at most `limit`.
    pub(crate) fn for_explaining(self, limit: Duration) -> Duration {
        match self.whole {
            true => self.left().max(EXPLAINING).min(limit),
            false => limit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timed_out(after: Duration) -> Failure {
        CallError::TimedOut { after }.into()
    }

    #[tokio::test]
    async fn the_users_own_figure_is_named() {
        let deadline = Deadline::of_command(Duration::from_millis(50));
        let never = deadline.during(std::future::pending::<Result<(), _>>());
        let failure = never.await.unwrap_err();
        assert_eq!(failure.message, "timed out after 50ms");
        assert_eq!(failure.exit, Exit::TimedOut);
        // A stage of the work that had 12 ms left of it.
        let rest = async { Err::<(), _>(timed_out(Duration::from_millis(12))) };
        let failure = deadline.during(rest).await.unwrap_err();
        assert_eq!(failure.message, "timed out after 50ms");
    }

    #[tokio::test]
    async fn what_fails_before_keeps_its_words() {
        let deadline = Deadline::of_command(Duration::from_secs(90));
        let own = async { Err::<(), _>(timed_out(Duration::from_millis(12))) };
        let failure = deadline.during(own).await.unwrap_err();
        assert_eq!(
            failure.message,
            timed_out(Duration::from_millis(12)).message
        );
        assert_eq!(deadline.failure().message, "timed out after 1m 30s");
        let lost = async { Err::<(), _>(Failure::no_network()) };
        let failure = deadline.during(lost).await.unwrap_err();
        assert_eq!(failure.exit, Exit::Unreachable);
    }

    #[test]
    fn a_time_that_no_clock_has_is_a_long_one() {
        assert!(Deadline::of_command(Duration::MAX).left() > Duration::from_secs(1000));
    }
}
