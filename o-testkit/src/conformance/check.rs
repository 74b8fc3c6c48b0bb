//! What the suites have in common: bounded waits, and failures that say what was expected.

use std::{fmt::Debug, future::Future, time::Duration};

/// How long a single step of a suite may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// The name of a suite, for its failures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Suite(pub(super) &'static str);

impl Suite {
    #[track_caller]
    pub(super) fn fail(self, step: &str, found: &str) -> ! {
        panic!("conformance of {}: {step}: {found}", self.0)
    }

    #[track_caller]
    pub(super) fn check(self, step: &str, holds: bool, found: &str) {
        if !holds {
            self.fail(step, found);
        }
    }

    #[track_caller]
    pub(super) fn equal<T: PartialEq + Debug>(self, step: &str, found: &T, expected: &T) {
        if found != expected {
            self.fail(step, &format!("expected {expected:?}, found {found:?}"));
        }
    }

    #[track_caller]
    pub(super) fn ok<T, E: Debug>(self, step: &str, result: Result<T, E>) -> T {
        result.unwrap_or_else(|error| self.fail(step, &format!("failed with {error:?}")))
    }

    #[track_caller]
    pub(super) fn some<T>(self, step: &str, found: Option<T>) -> T {
        found.unwrap_or_else(|| self.fail(step, "found nothing"))
    }

    /// What `future` gives, within the time of a step.
    pub(super) async fn within<T>(self, step: &str, future: impl Future<Output = T>) -> T {
        let done = tokio::time::timeout(PATIENCE, future).await;
        done.unwrap_or_else(|_| self.fail(step, &format!("nothing happened within {PATIENCE:?}")))
    }

    /// What `future` gives, which has to be no error.
    pub(super) async fn ok_within<T, E: Debug>(
        self,
        step: &str,
        future: impl Future<Output = Result<T, E>>,
    ) -> T {
        let result = self.within(step, future).await;
        self.ok(step, result)
    }
}
