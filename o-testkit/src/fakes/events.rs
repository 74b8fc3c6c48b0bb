//! Events that are passed on and remembered.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures::{StreamExt, stream};
use o_core::{Event, EventStream, Events, Lagged};
use tokio::sync::broadcast;

/// Passes events on to every subscriber and remembers the last ones.
///
/// Both are bounded: a subscriber that falls more than `capacity` events behind gets [`Lagged`],
/// and only the last `capacity` events are remembered. Dropping it ends the subscriptions.
#[derive(Debug)]
pub struct RecordingEvents {
    sender: broadcast::Sender<Event>,
    recorded: Mutex<VecDeque<Event>>,
    capacity: usize,
}

impl Default for RecordingEvents {
    fn default() -> Self {
        Self::new(1024)
    }
}

impl RecordingEvents {
    /// Keeps `capacity` events, at least one, rounded up to a power of two.
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.clamp(1, 1 << 20).next_power_of_two();
        Self {
            sender: broadcast::Sender::new(capacity),
            recorded: Mutex::default(),
            capacity,
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Event>> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last events, oldest first.
    pub fn recorded(&self) -> Vec<Event> {
        self.lock().iter().cloned().collect()
    }
}

impl Events for RecordingEvents {
    fn publish(&self, event: Event) {
        // Sending under the lock keeps what is remembered in the order of what was told.
        let recorded = &mut *self.lock();
        if recorded.len() == self.capacity {
            recorded.pop_front();
        }
        recorded.push_back(event.clone());
        // Nobody listening is no error.
        let _ = self.sender.send(event);
    }

    fn subscribe(&self) -> EventStream {
        let receiver = self.sender.subscribe();
        stream::unfold(receiver, |mut receiver| async move {
            let item = match receiver.recv().await {
                Ok(event) => Ok(event),
                Err(broadcast::error::RecvError::Lagged(missed)) => Err(Lagged(missed)),
                Err(broadcast::error::RecvError::Closed) => return None,
            };
            Some((item, receiver))
        })
        .boxed()
    }
}
