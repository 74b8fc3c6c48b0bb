//! Passes the events of a node on to its watchers.

use futures::{StreamExt, stream};
use o_core::{Event, EventStream, Events, Lagged};
use tokio::sync::broadcast::{self, error::RecvError};

/// Events that a slow watcher may be behind before it gets [`Lagged`].
const QUEUE: usize = 1024;

/// The event bus of a node. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct EventBus(broadcast::Sender<Event>);

impl Default for EventBus {
    fn default() -> Self {
        Self(broadcast::Sender::new(QUEUE))
    }
}

impl Events for EventBus {
    fn publish(&self, event: Event) {
        tracing::debug!(?event, "event");
        // An error says only that nobody watches.
        let _ = self.0.send(event);
    }

    fn subscribe(&self) -> EventStream {
        stream::unfold(self.0.subscribe(), |mut receiver| async move {
            let event = match receiver.recv().await {
                Ok(event) => Ok(event),
                Err(RecvError::Lagged(missed)) => Err(Lagged(missed)),
                Err(RecvError::Closed) => return None,
            };
            Some((event, receiver))
        })
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_a_bus_of_events() {
        let bus = EventBus::default();
        o_testkit::conformance::events(&bus, QUEUE as u64 * 2).await;
    }
}
