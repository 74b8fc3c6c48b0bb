//! Passes the events of a node on to its watchers.

use futures::{StreamExt, stream};
use o_core::{Event, EventStream, Events, Lagged};
use tokio::sync::broadcast::{self, error::RecvError};

/// The event bus of a node. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct EventBus(broadcast::Sender<Event>);

impl EventBus {
    /// One whose watchers get [`Lagged`] when they are more than `limit` events behind.
    pub(crate) fn new(limit: usize) -> Self {
        // Made before the limits are checked, and a queue without places cannot be made.
        Self(broadcast::Sender::new(limit.clamp(1, 1_000_000)))
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
        let bus = EventBus::new(64);
        o_testkit::conformance::events(&bus, 128).await;
        // The limit is the one that was asked for.
        let mut behind = EventBus::subscribe(&bus);
        for _ in 0..65 {
            bus.publish(Event::State(o_core::NodeState::Running));
        }
        assert_eq!(behind.next().await, Some(Err(Lagged(1))));
    }
}
