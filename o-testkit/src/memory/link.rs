//! What the two ends of a connection in memory share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use o_address::PeerId;
use o_core::ConnectionError;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    MemoryConfig,
    substream::{End, MemorySubstream, Pipes},
};

#[derive(Debug)]
pub(super) struct Link {
    config: MemoryConfig,
    peers: [PeerId; 2],
    closed: [CancellationToken; 2],
    /// Substreams on their way to each end.
    incoming: [mpsc::Sender<MemorySubstream>; 2],
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    substreams: Vec<Weak<Pipes>>,
    reasons: [Option<&'static str>; 2],
    stalled: bool,
    /// Opened while the peers were partitioned: handed over when they no longer are.
    held: Vec<(End, MemorySubstream)>,
}

const CLOSED_HERE: &str = "closed here";
const CLOSED_THERE: &str = "closed by the other side";
const CUT: &str = "cut";

/// What one end receives, beside the link itself.
pub(super) type Incoming = mpsc::Receiver<MemorySubstream>;

impl Link {
    /// A link between a dialer and a listener, in this order.
    pub(super) fn new(config: MemoryConfig, peers: [PeerId; 2]) -> (Arc<Self>, [Incoming; 2]) {
        let queue = || mpsc::channel(config.max_substreams.max(1));
        let [(to_dialer, at_dialer), (to_listener, at_listener)] = [queue(), queue()];
        let link = Self {
            config,
            peers,
            closed: [CancellationToken::new(), CancellationToken::new()],
            incoming: [to_dialer, to_listener],
            state: Mutex::new(State::default()),
        };
        (Arc::new(link), [at_dialer, at_listener])
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn peer(&self, end: End) -> PeerId {
        self.peers[end as usize]
    }

    pub(super) fn joins(&self, a: PeerId, b: PeerId) -> bool {
        self.peers == [a, b] || self.peers == [b, a]
    }

    pub(super) fn is_open(&self) -> bool {
        self.lock().reasons == [None, None]
    }

    /// Whether both ends know that it is closed.
    pub(super) fn is_over(&self) -> bool {
        self.lock().reasons.iter().all(Option::is_some)
    }

    /// Ends when `end` knows that the connection is closed.
    pub(super) fn closed(&self, end: End) -> &CancellationToken {
        &self.closed[end as usize]
    }

    pub(super) fn why_closed(&self, end: End) -> ConnectionError {
        let reason = self.lock().reasons[end as usize].unwrap_or(CLOSED_HERE);
        ConnectionError::Closed {
            reason: reason.to_owned(),
        }
    }

    pub(super) fn open(&self, end: End) -> Result<MemorySubstream, ConnectionError> {
        if self.closed(end).is_cancelled() {
            return Err(self.why_closed(end));
        }
        let (pipes, now) = {
            let state = &mut *self.lock();
            state.substreams.retain(|pipes| pipes.strong_count() > 0);
            if state.substreams.len() >= self.config.max_substreams {
                return Err(ConnectionError::Busy);
            }
            let pipes = Pipes::new(self.config.buffer, self.config.latency, state.stalled);
            let pipes = Arc::new(pipes);
            state.substreams.push(Arc::downgrade(&pipes));
            let theirs = MemorySubstream::new(pipes.clone(), end.other());
            if state.stalled {
                state.held.push((end.other(), theirs));
                (pipes, None)
            } else {
                (pipes, Some(theirs))
            }
        };
        if let Some(theirs) = now {
            self.hand_over(end.other(), theirs);
        }
        Ok(MemorySubstream::new(pipes, end))
    }

    fn hand_over(&self, end: End, substream: MemorySubstream) {
        // The queue has room for every substream that may exist; without a receiver there is no
        // connection any more, and the drop tells the opener.
        let _ = self.incoming[end as usize].try_send(substream);
    }

    /// One end closes. The other learns it at once, or when a partition heals.
    pub(super) fn close(&self, end: End) {
        let (substreams, tell) = {
            let state = &mut *self.lock();
            if state.reasons[end as usize].is_some() {
                return;
            }
            state.reasons[end as usize] = Some(CLOSED_HERE);
            let other = &mut state.reasons[end.other() as usize];
            let tell = !state.stalled && other.is_none();
            if tell {
                *other = Some(CLOSED_THERE);
            }
            (state.substreams.clone(), tell)
        };
        for pipes in substreams.iter().filter_map(Weak::upgrade) {
            pipes.shut(end);
        }
        self.closed(end).cancel();
        if tell {
            self.closed(end.other()).cancel();
        }
    }

    /// Kills the connection under both ends; what is under way is lost.
    pub(super) fn cut(&self) {
        let (substreams, held) = {
            let state = &mut *self.lock();
            for reason in &mut state.reasons {
                reason.get_or_insert(CUT);
            }
            (
                std::mem::take(&mut state.substreams),
                std::mem::take(&mut state.held),
            )
        };
        for pipes in substreams.iter().filter_map(Weak::upgrade) {
            pipes.both().iter().for_each(|pipe| pipe.reset());
        }
        drop(held);
        self.closed.iter().for_each(CancellationToken::cancel);
    }

    /// Lets nothing through, or everything again.
    pub(super) fn stall(&self, stalled: bool) {
        let (substreams, held, tell) = {
            let state = &mut *self.lock();
            state.stalled = stalled;
            let held = if stalled {
                Vec::new()
            } else {
                std::mem::take(&mut state.held)
            };
            let mut tell = Vec::new();
            if !stalled && state.reasons.iter().any(Option::is_some) {
                for end in [End::Dialer, End::Listener] {
                    if state.reasons[end as usize].is_none() {
                        state.reasons[end as usize] = Some(CLOSED_THERE);
                        tell.push(end);
                    }
                }
            }
            (state.substreams.clone(), held, tell)
        };
        for pipes in substreams.iter().filter_map(Weak::upgrade) {
            pipes.both().iter().for_each(|pipe| pipe.stall(stalled));
        }
        for (end, substream) in held {
            self.hand_over(end, substream);
        }
        for end in tell {
            self.closed(end).cancel();
        }
    }
}
