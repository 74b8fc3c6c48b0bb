//! The suite of `Events`.

use futures::{FutureExt, StreamExt};
use o_core::{Event, EventStream, Events, Lagged, NodeState};

use super::check::Suite;
use crate::test_peer;

const SUITE: Suite = Suite("Events");

fn event(number: u64) -> Event {
    Event::Disconnected {
        peer: test_peer(number),
        reason: number.to_string(),
    }
}

async fn next(step: &str, stream: &mut EventStream) -> Result<Event, Lagged> {
    let item = SUITE.within(step, stream.next()).await;
    SUITE.some(step, item)
}

/// Checks that every subscriber gets every event in order, from its subscription on, and that one
/// who falls behind is told how far instead of holding up the publisher.
///
/// `overflow` is how many unread events are certainly more than a subscriber may have waiting.
///
/// # Panics
/// When the implementation does not conform.
///
/// # Cancel safety
/// Dropping the future ends the suite.
pub async fn events(events: &dyn Events, overflow: u64) {
    events.publish(event(0));

    let mut early = events.subscribe();
    events.publish(event(1));
    let mut late = events.subscribe();
    events.publish(event(2));
    for number in 1..3 {
        let step = "an early subscriber gets both events in order";
        SUITE.equal(step, &next(step, &mut early).await, &Ok(event(number)));
    }
    let step = "a subscriber gets what comes after it has subscribed";
    SUITE.equal(step, &next(step, &mut late).await, &Ok(event(2)));
    SUITE.check(
        step,
        late.next().now_or_never().is_none(),
        "something else, too",
    );

    drop(late);
    events.publish(Event::State(NodeState::Running));
    let step = "a subscriber that left changes nothing for the others";
    SUITE.equal(
        step,
        &next(step, &mut early).await,
        &Ok(Event::State(NodeState::Running)),
    );

    falls_behind(events, early, overflow).await;
}

async fn falls_behind(events: &dyn Events, mut quick: EventStream, overflow: u64) {
    let mut slow = events.subscribe();
    for number in 0..overflow {
        events.publish(event(number));
        let step = "a subscriber that keeps up misses nothing while another sleeps";
        SUITE.equal(step, &next(step, &mut quick).await, &Ok(event(number)));
    }
    let step = "a subscriber that falls behind is told by how much";
    let missed = match next(step, &mut slow).await {
        Err(Lagged(missed)) => missed,
        Ok(event) => SUITE.fail(step, &format!("got {event:?}")),
    };
    SUITE.check(
        step,
        missed > 0 && missed <= overflow,
        &format!("told of {missed}"),
    );
    for number in missed..overflow {
        let step = "after that it gets the rest in order";
        SUITE.equal(step, &next(step, &mut slow).await, &Ok(event(number)));
    }
    SUITE.check(
        "then nothing",
        slow.next().now_or_never().is_none(),
        "something came",
    );
}
