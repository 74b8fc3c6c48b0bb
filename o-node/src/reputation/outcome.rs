//! How a call ended, as far as that tells something about the peer that was called; and counts of such ends.

use o_core::{CallError, DialError};
use o_pool::AcquireError;
use serde::{Deserialize, Serialize};

/// How a call ended, as far as it tells something about the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Succeeded,
    /// It could not be dialed.
    Unreachable,
    Refused,
    TimedOut,
    /// The connection went in the middle of the call.
    Lost,
    /// The method ran and failed, or its answer was none.
    Failed,
    /// It took no more calls.
    Busy,
    /// It denied what it had signed.
    Lied,
    /// The caller asked for something that is not there, or in a wrong way.
    Mistaken,
}

impl Outcome {
    /// What an error of a call says about the peer that was called, if it says anything.
    pub(crate) fn of(error: &CallError) -> Option<Self> {
        Some(match error {
            CallError::Unreachable { .. } => Self::Unreachable,
            CallError::Refused { .. } => Self::Refused,
            CallError::TimedOut { .. } => Self::TimedOut,
            CallError::ConnectionLost { .. } => Self::Lost,
            CallError::Busy { .. } | CallError::ShuttingDown => Self::Busy,
            CallError::Failed { .. }
            | CallError::Internal { .. }
            | CallError::InvalidReply { .. }
            | CallError::Protocol { .. }
            | CallError::UnknownCode { .. } => Self::Failed,
            CallError::NotFound { .. }
            | CallError::UnknownMethod { .. }
            | CallError::InvalidParams { .. }
            | CallError::TooLarge { .. }
            | CallError::Unsupported { .. }
            | CallError::WrongShape { .. } => Self::Mistaken,
            _ => return None,
        })
    }

    /// What a failed dial says about the peer, if it says anything: not that we have no room, nor that it
    /// failed before.
    pub(crate) fn of_dial(error: &AcquireError) -> Option<Self> {
        let AcquireError::Dial(error) = error else {
            return None;
        };
        match &**error {
            DialError::Refused { .. } => Some(Self::Refused),
            DialError::PeerBusy { .. } => Some(Self::Busy),
            DialError::Busy { .. } | DialError::BackingOff { .. } | DialError::Shutdown => None,
            _ => Some(Self::Unreachable),
        }
    }

    /// What it takes from the score. What may be the caller's own doing weighs little: a method that
    /// fails, a deadline that was too short.
    pub(super) fn weight(self) -> f64 {
        match self {
            Self::Succeeded | Self::Mistaken => 0.0,
            Self::Failed | Self::Busy => 0.25,
            Self::Refused | Self::TimedOut => 0.5,
            Self::Unreachable | Self::Lost => 1.0,
            Self::Lied => 4.0,
        }
    }

    /// Whether the next call can be expected to find nobody, too, whatever its method.
    pub(super) fn is_of_connection(self) -> bool {
        matches!(
            self,
            Self::Unreachable | Self::Refused | Self::Lost | Self::Busy
        )
    }
}

/// How calls to a peer ended, since it was first called. These do not decay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct CallCounts {
    /// Calls that were answered.
    pub succeeded: u64,
    /// It could not be dialed.
    pub unreachable: u64,
    /// It refused the connection or the call.
    pub refused: u64,
    /// The deadline passed.
    pub timed_out: u64,
    /// The connection ended in the middle of the call.
    pub lost: u64,
    /// The method failed, or its answer was none.
    pub failed: u64,
    /// It took no more calls.
    pub busy: u64,
    /// It denied what it had signed: a name, or a method.
    pub lied: u64,
    /// The caller asked for what is not there, or in a wrong way. Says nothing about the peer.
    pub mistaken: u64,
}

impl CallCounts {
    /// All calls. What denied a signed record counts as mistaken, too.
    pub fn calls(&self) -> u64 {
        self.succeeded
            .saturating_add(self.failures().saturating_sub(self.lied))
            .saturating_add(self.mistaken)
    }

    /// Those that count against the peer.
    pub fn failures(&self) -> u64 {
        [
            self.unreachable,
            self.refused,
            self.timed_out,
            self.lost,
            self.failed,
            self.busy,
            self.lied,
        ]
        .into_iter()
        .fold(0, u64::saturating_add)
    }

    pub(super) fn add(&mut self, outcome: Outcome) {
        let slot = match outcome {
            Outcome::Succeeded => &mut self.succeeded,
            Outcome::Unreachable => &mut self.unreachable,
            Outcome::Refused => &mut self.refused,
            Outcome::TimedOut => &mut self.timed_out,
            Outcome::Lost => &mut self.lost,
            Outcome::Failed => &mut self.failed,
            Outcome::Busy => &mut self.busy,
            Outcome::Lied => &mut self.lied,
            Outcome::Mistaken => &mut self.mistaken,
        };
        *slot = slot.saturating_add(1);
    }
}
