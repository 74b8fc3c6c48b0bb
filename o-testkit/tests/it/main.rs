//! The suites, run against what is here and against what is broken on purpose; and whole networks.

mod another_transport;
#[expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]
mod broken_callers;
#[expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]
mod broken_discovery;
#[expect(
    clippy::expect_used,
    reason = "a test that cannot be set up has failed"
)]
mod broken_gaters;
#[expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]
mod broken_others;
#[expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]
mod broken_transports;
#[expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]
mod faults;
#[expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]
mod lifecycle;
#[expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]
mod refusals;
mod suites;
#[expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]
mod support;
#[expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]
mod three_agents;
