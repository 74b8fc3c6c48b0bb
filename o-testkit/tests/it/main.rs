//! The suites, run against what is here and against what is broken on purpose; and whole networks.

mod another_transport;
#[expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "set-up must succeed"
)]
mod broken_callers;
#[expect(clippy::unwrap_used, reason = "set-up must succeed")]
mod broken_discovery;
#[expect(clippy::expect_used, reason = "set-up must succeed")]
mod broken_gaters;
#[expect(clippy::unwrap_used, reason = "set-up must succeed")]
mod broken_others;
#[expect(clippy::unwrap_used, reason = "set-up must succeed")]
mod broken_transports;
#[expect(clippy::unwrap_used, reason = "set-up must succeed")]
mod faults;
#[expect(clippy::unwrap_used, reason = "set-up must succeed")]
mod lifecycle;
#[expect(clippy::unwrap_used, reason = "set-up must succeed")]
mod refusals;
mod suites;
#[expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "set-up must succeed"
)]
mod support;
#[expect(clippy::unwrap_used, reason = "set-up must succeed")]
mod three_agents;
