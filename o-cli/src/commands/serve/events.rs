//! The events of a node as `o serve --json` writes them.

use o_core::{Event, Lagged};
use serde_json::{Value, json};

/// An event, one line for programs; `None` for those that say nothing new.
pub(super) fn as_json(event: &Result<Event, Lagged>) -> Option<Value> {
    let event = match event {
        Ok(event) => event,
        Err(Lagged(missed)) => return Some(json!({ "event": "lagged", "missed": missed })),
    };
    Some(match event {
        Event::Listening(address) => json!({ "event": "listening", "listen": address }),
        Event::ListenerClosed(address) => json!({ "event": "listener_closed", "listen": address }),
        Event::Connected {
            peer,
            address,
            direction,
        } => json!({
            "event": "connected",
            "peer": peer,
            "at": address,
            "direction": direction.to_string(),
        }),
        Event::Disconnected { peer, reason } => {
            json!({ "event": "disconnected", "peer": peer, "reason": reason })
        }
        Event::Denied {
            peer,
            direction,
            reason,
        } => json!({
            "event": "denied",
            "peer": peer,
            "direction": direction.to_string(),
            "reason": reason.to_string(),
        }),
        Event::Hosted(address) => json!({ "event": "hosted", "address": address }),
        Event::Withdrawn(address) => json!({ "event": "withdrawn", "address": address }),
        Event::Announced(address) => json!({ "event": "announced", "address": address }),
        _ => return None,
    })
}
