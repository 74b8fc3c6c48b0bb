//! A node's life: start, stop, and the hooks around them.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use o_address::TransportAddr;

use crate::{BoxError, ListenError, NodeState};

/// Something that starts, runs and stops. Start and stop can be repeated.
#[async_trait]
pub trait Node: fmt::Debug + Send + Sync + 'static {
    /// Brings the node up: hooks, listeners, tasks. When it returns `Ok` the node takes calls.
    ///
    /// # Errors
    /// The first thing that failed; the node is stopped again then, with nothing left behind.
    ///
    /// # Cancel safety
    /// Dropping the future may leave the node starting; `stop` ends it.
    async fn start(&self) -> Result<(), StartError>;

    /// Says goodbye, refuses new calls, waits for the running ones up to the drain time and cancels
    /// the rest. When it returns, every task has ended and every socket is closed, as far as its
    /// transports can say; so an agent that blocks its thread without awaiting holds it up.
    ///
    /// # Errors
    /// The node has stopped all the same; the error says what did not go as it should.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the node stopping; calling `stop` again waits for the end.
    async fn stop(&self) -> Result<(), StopError>;

    /// Where it is in its life.
    fn state(&self) -> NodeState;
}

/// Code of the user's own around start and stop, run in the order of registration.
#[async_trait]
pub trait Hook: fmt::Debug + Send + Sync + 'static {
    /// Before anything is opened. An error ends the start.
    ///
    /// # Errors
    /// Whatever the hook cannot do.
    async fn initialize(&self) -> Result<(), BoxError> {
        Ok(())
    }

    /// When everything is open, before `start` returns; calls may arrive already. An error ends the
    /// start.
    ///
    /// # Errors
    /// Whatever the hook cannot do.
    async fn started(&self) -> Result<(), BoxError> {
        Ok(())
    }

    /// When everything is closed; in reverse order.
    async fn stopped(&self) {}
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// It is not in a state from which it can be started.
    #[error("the node is {state}, not created or stopped")]
    WrongState {
        /// Its state.
        state: NodeState,
    },
    /// The configuration cannot work.
    #[error("bad configuration: {reason}")]
    Config {
        /// What cannot work, and what would.
        reason: String,
    },
    /// An address could not be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: TransportAddr,
        /// Why.
        #[source]
        source: ListenError,
    },
    /// The transports could not be built.
    #[error("cannot build the transports")]
    Transport {
        /// Why.
        #[source]
        source: BoxError,
    },
    /// A hook failed.
    #[error("a start hook failed")]
    Hook {
        /// What it says.
        #[source]
        source: BoxError,
    },
    /// Listeners did not come up in time.
    #[error("starting took longer than {after:?}")]
    TimedOut {
        /// The limit.
        after: Duration,
    },
    /// The node was stopped while it started.
    #[error("stopped while starting")]
    Stopped,
}

/// What did not go as it should while a node stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StopError {
    /// Calls still ran at the end of the drain time and were cancelled.
    #[error("{calls} calls were cancelled after draining for {after:?}")]
    Cancelled {
        /// How many.
        calls: usize,
        /// The drain time.
        after: Duration,
    },
}
