//! The suite of `ConnectionGater`.

use o_core::{Attempt, ConnectionGater, DenyReason, Direction, Stage};

use super::check::Suite;
use crate::test_peer;

const SUITE: Suite = Suite("ConnectionGater");
/// How often every question is asked again, and from how many threads at once.
const REPEATS: usize = 16;
const THREADS: usize = 4;

/// An attempt and what the gater under test should answer.
#[derive(Clone, Copy, Debug)]
pub struct GaterCase<'a> {
    name: &'a str,
    attempt: Attempt<'a>,
    allowed: bool,
}

impl<'a> GaterCase<'a> {
    /// An attempt that should be allowed; `name` is said when it is not.
    pub fn allowed(name: &'a str, attempt: Attempt<'a>) -> Self {
        Self {
            name,
            attempt,
            allowed: true,
        }
    }

    /// An attempt that should be denied.
    pub fn denied(name: &'a str, attempt: Attempt<'a>) -> Self {
        Self {
            name,
            attempt,
            allowed: false,
        }
    }
}

/// Checks that a gater answers as `cases` say, the same every time, in any order and from any
/// thread, and that it answers at all whatever is known of an attempt.
///
/// Not to be edited while the suite runs.
///
/// # Panics
/// When the gater does not conform.
pub fn gater(gater: &dyn ConnectionGater, cases: &[GaterCase<'_>]) {
    let first: Vec<_> = cases.iter().map(|case| ask(gater, case)).collect();
    answers_whatever_is_known(gater);
    for _ in 0..REPEATS {
        for (case, first) in cases.iter().zip(&first).rev() {
            let again = gater.allow(&case.attempt);
            let step = format!("`{}`, asked again", case.name);
            SUITE.equal(&step, &again, first);
        }
    }
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    cases
                        .iter()
                        .map(|case| gater.allow(&case.attempt))
                        .collect()
                })
            })
            .collect();
        for worker in workers {
            let answers: Vec<_> = match worker.join() {
                Ok(answers) => answers,
                Err(_) => SUITE.fail("asked from several threads", "it panicked"),
            };
            SUITE.equal("asked from several threads", &answers, &first);
        }
    });
}

fn ask(gater: &dyn ConnectionGater, case: &GaterCase<'_>) -> Result<(), DenyReason> {
    let answer = gater.allow(&case.attempt);
    let expected = if case.allowed { "allowed" } else { "denied" };
    let step = format!("`{}` should be {expected}", case.name);
    SUITE.check(
        &step,
        answer.is_ok() == case.allowed,
        &format!("{answer:?}"),
    );
    if let Err(reason) = &answer {
        let step = format!("the reason of `{}` is told to the peer", case.name);
        SUITE.check(
            &step,
            !reason.to_string().trim().is_empty(),
            "it has no text",
        );
    }
    answer
}

/// Nothing may be assumed: a pending inbound connection has no peer, some have no address.
fn answers_whatever_is_known(gater: &dyn ConnectionGater) {
    let peer = test_peer(u64::MAX);
    let remote = SUITE.ok("an address", "/memory/1".parse());
    for stage in [Stage::Pending, Stage::Established] {
        for direction in [Direction::Inbound, Direction::Outbound] {
            for known in 0..8 {
                let mut attempt = Attempt::new(stage, direction);
                attempt.peer = (known & 1 != 0).then_some(&peer);
                attempt.remote = (known & 2 != 0).then_some(&remote);
                attempt.relayed = known & 4 != 0;
                let first = gater.allow(&attempt);
                let step = format!("asked twice about {attempt:?}");
                SUITE.equal(&step, &gater.allow(&attempt), &first);
            }
        }
    }
}
