//! The states of a node and the moves between them, without any I/O.

use std::fmt;

use crate::StartError;

/// Where a node is in its life. A stopped node can be started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NodeState {
    /// Built, never started.
    #[default]
    Created,
    /// On its way up.
    Starting,
    /// Takes and makes calls.
    Running,
    /// Finishes what runs and takes nothing new.
    Stopping,
    /// Every task has ended and every socket is closed.
    Stopped,
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        })
    }
}

/// The state machine behind `start` and `stop`.
///
/// ```
/// use o_core::{Lifecycle, NodeState};
///
/// let mut life = Lifecycle::default();
/// life.begin_start().unwrap();
/// life.started();
/// assert!(life.begin_stop());
/// life.stopped();
/// assert_eq!(life.state(), NodeState::Stopped);
/// life.begin_start().unwrap();
/// ```
#[derive(Debug, Default)]
pub struct Lifecycle {
    state: NodeState,
}

impl Lifecycle {
    /// Where it is.
    pub fn state(&self) -> NodeState {
        self.state
    }

    /// Begins a start.
    ///
    /// # Errors
    /// [`StartError::WrongState`] unless it is created or stopped.
    pub fn begin_start(&mut self) -> Result<(), StartError> {
        match self.state {
            NodeState::Created | NodeState::Stopped => {
                self.state = NodeState::Starting;
                Ok(())
            }
            state => Err(StartError::WrongState { state }),
        }
    }

    /// The start has succeeded.
    pub fn started(&mut self) {
        if self.state == NodeState::Starting {
            self.state = NodeState::Running;
        }
    }

    /// Begins a stop; `false` when there is nothing to stop.
    pub fn begin_stop(&mut self) -> bool {
        let running = matches!(self.state, NodeState::Starting | NodeState::Running);
        if running {
            self.state = NodeState::Stopping;
        }
        running
    }

    /// Everything has ended, or a start has failed.
    pub fn stopped(&mut self) {
        if self.state != NodeState::Created {
            self.state = NodeState::Stopped;
        }
    }
}
