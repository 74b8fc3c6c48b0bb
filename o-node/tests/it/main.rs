//! Nodes on real sockets of 127.0.0.1.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod calls;
mod support;
