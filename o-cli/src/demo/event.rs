//! What happens in the demo: what its processes tell each other, and what `--json` writes.

use std::time::Duration;

use clap::ValueEnum;
use o_address::{Address, PeerId, TransportAddr};
use o_core::{Capability, ErrorCode};
use o_node::TreeNode;
use serde::{Deserialize, Serialize};

use super::wire::Hit;
use crate::exit::{Exit, Failure};

/// What a process of the demo does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    /// Hosts nothing: the one node that the others know from the start.
    Leader,
    /// Searches and reads files.
    Files,
    /// Summarizes text.
    Text,
    /// The same, in another process.
    Spare,
    /// Finds both and pipes the one into the other.
    Caller,
}

impl Role {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Files => "files",
            Self::Text => "text",
            Self::Spare => "spare",
            Self::Caller => "caller",
        }
    }
}

/// Something that happened; the times are milliseconds since its step began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Event {
    /// The demo begins.
    Started { path: String, network: String },
    /// A process is up.
    Ready {
        role: Role,
        pid: u32,
        peer_id: PeerId,
        address: Option<Address>,
        capabilities: Vec<Capability>,
        listen: Vec<TransportAddr>,
        elapsed_ms: f64,
    },
    /// The caller has found somebody.
    Found {
        capability: Capability,
        address: Address,
        peer_id: PeerId,
        addresses: Vec<TransportAddr>,
        source: Vec<String>,
        confirmed: bool,
        age_ms: u64,
        elapsed_ms: f64,
    },
    /// How long a connection takes to somebody who was found: a fresh one, up to its greeting.
    Connected {
        address: Address,
        peer_id: PeerId,
        transport: String,
        elapsed_ms: f64,
    },
    /// The file agent has answered.
    Searched {
        query: Option<String>,
        hits: Vec<Hit>,
        files: usize,
        searched: usize,
        skipped: usize,
        truncated: bool,
        elapsed_ms: f64,
    },
    /// A sentence has come out of the pipe.
    Sentence {
        document: String,
        sentence: String,
        score: f64,
        of: usize,
        overall: bool,
        elapsed_ms: f64,
    },
    /// The pipe has ended.
    Summarized {
        from: Address,
        to: Address,
        documents: usize,
        bytes: u64,
        sentences: usize,
        first_ms: Option<f64>,
        elapsed_ms: f64,
    },
    /// Calls have gone to whoever has a capability, each picked anew.
    Spread {
        capability: Capability,
        method: String,
        calls: usize,
        by: Vec<Share>,
        elapsed_ms: f64,
    },
    /// One of the providers was killed in the middle of it.
    Killed {
        role: Role,
        pid: u32,
        address: Address,
    },
    /// The calls that were made while it was killed and afterwards.
    FailedOver {
        calls: usize,
        /// Calls that came to nothing.
        failed: usize,
        /// Calls that were made again elsewhere.
        again: usize,
        by: Vec<Share>,
        /// How long the slowest took.
        slowest_ms: f64,
        elapsed_ms: f64,
    },
    /// The tree of the network, where it has changed.
    Tree { nodes: Vec<TreeNode> },
    /// The caller could not go on.
    Failed(Failed),
    /// Every process has ended and everything that they wrote is removed.
    Done { processes: usize, elapsed_ms: f64 },
}

/// How many calls an agent has answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Share {
    pub(super) address: Address,
    pub(super) peer_id: PeerId,
    pub(super) calls: usize,
}

/// A failure on its way from one process to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Failed {
    exit: u8,
    number: Option<u16>,
    message: String,
    retryable: bool,
    certain: bool,
    hint: Option<String>,
    peer: Option<PeerId>,
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        let Failure {
            exit,
            number,
            message,
            retryable,
            certain,
            hint,
            peer,
            ..
        } = failure;
        Self {
            exit: exit as u8,
            number,
            message,
            retryable,
            certain,
            hint,
            peer,
        }
    }
}

impl From<Failed> for Failure {
    fn from(failed: Failed) -> Self {
        const EXITS: [Exit; 8] = [
            Exit::Usage,
            Exit::NotFound,
            Exit::Unreachable,
            Exit::Refused,
            Exit::TimedOut,
            Exit::FailedThere,
            Exit::Busy,
            Exit::Interrupted,
        ];
        let Failed {
            exit,
            number,
            message,
            retryable,
            certain,
            hint,
            peer,
        } = failed;
        let exit = EXITS
            .into_iter()
            .find(|known| *known as u8 == exit)
            .unwrap_or(Exit::Internal);
        let code = match (exit, number.and_then(ErrorCode::from_number)) {
            (_, Some(code)) => code.name(),
            (Exit::Usage, None) => "usage",
            (_, None) => ErrorCode::Internal.name(),
        };
        Self {
            exit,
            code,
            number,
            message,
            retryable,
            certain,
            hint,
            peer,
        }
    }
}

/// Milliseconds, to a hundredth.
pub(super) fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 100_000.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_the_same_at_the_other_end() {
        let failures = [
            Failure::usage("a"),
            Failure::not_found("b").hint("look"),
            Failure::from(o_core::CallError::Busy { reason: "c".into() }),
            Failure::internal("d"),
        ];
        for failure in failures {
            let (json, exit) = (failure.to_json(), failure.exit);
            let text = serde_json::to_string(&Event::Failed(failure.into())).unwrap();
            let Ok(Event::Failed(failed)) = serde_json::from_str(&text) else {
                panic!("{text}");
            };
            let back = Failure::from(failed);
            assert_eq!((back.to_json(), back.exit), (json, exit));
        }
    }

    #[test]
    fn milliseconds_are_rounded() {
        assert_eq!(millis(Duration::from_nanos(1_234_567)), 1.23);
    }
}
