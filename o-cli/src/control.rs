//! The control socket of `o serve`: what the running node says to other programs of its user.
//!
//! One connection is one request, a line of JSON such as `{"request":"peers"}`; the answer is lines of
//! JSON up to the end of the stream. An error is a line with `error` in it, as with `--json`.

mod answer;
mod client;
mod server;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use self::{
    client::ask,
    server::{Control, Facts},
};

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Request {
    /// Who is connected, and what was observed of whom: one line for each peer.
    Peers {},
    /// How the node is: one line.
    Status {},
}

/// Longest request, in bytes.
const MAX_REQUEST: u64 = 4096;
/// Longest answer that is read, in bytes: ten thousand peers.
const MAX_ANSWER: u64 = 64 << 20;
/// Clients that are answered at once; others wait for one of them to be done.
const MAX_CLIENTS: usize = 8;
/// How long a request, and its answer, may take.
const PATIENCE: Duration = Duration::from_secs(5);
