//! What a log line of a handler says about the call that it belongs to.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use o_core::CallError;
use o_node::{Hosting, Methods};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

use crate::support::{Ask as _, address, connect, quiet, soon, start, stop};

/// The fields of the spans named `call`, and which span each message was logged in.
#[derive(Clone, Debug, Default)]
struct Recorder {
    next: Arc<AtomicU64>,
    calls: Arc<Mutex<HashMap<u64, HashMap<String, String>>>>,
    entered: Arc<Mutex<Vec<u64>>>,
    logged: Arc<Mutex<Vec<HashMap<String, String>>>>,
}

struct Fields<'a>(&'a mut HashMap<String, String>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().into(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().into(), value.into());
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        if span.metadata().name() == "call" {
            let mut fields = HashMap::new();
            span.record(&mut Fields(&mut fields));
            self.calls.lock().unwrap().insert(id, fields);
        }
        Id::from_u64(id)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = HashMap::new();
        event.record(&mut Fields(&mut fields));
        if fields.get("message").map(String::as_str) != Some("in the handler") {
            return;
        }
        let calls = self.calls.lock().unwrap();
        let entered = self.entered.lock().unwrap();
        let span = entered.iter().rev().find_map(|id| calls.get(id));
        self.logged.lock().unwrap().extend(span.cloned());
    }

    fn enter(&self, id: &Id) {
        self.entered.lock().unwrap().push(id.into_u64());
    }

    fn exit(&self, id: &Id) {
        let mut entered = self.entered.lock().unwrap();
        if let Some(at) = entered.iter().rposition(|other| *other == id.into_u64()) {
            entered.remove(at);
        }
    }
}

#[tokio::test]
async fn a_handler_logs_under_its_call() {
    let recorder = Recorder::default();
    // Everything here runs on this thread.
    let _guard = tracing::subscriber::set_default(recorder.clone());
    let methods = Methods::new().unary("log", async |_, ()| {
        tracing::info!("in the handler");
        Ok::<_, CallError>(())
    });
    let server = start(quiet().host(Hosting::new(address("o://far/logger"), methods))).await;
    let client = start(quiet().client()).await;
    connect(&client, &server).await;
    soon(client.ask::<()>("o://far/logger", "log", ()))
        .await
        .unwrap();

    let logged = recorder.logged.lock().unwrap().clone();
    let [call] = &*logged else {
        panic!("{logged:?}")
    };
    let field = |name: &str| call.get(name).map_or("", |value| value.trim_matches('"'));
    assert_eq!(field("address"), "o://far/logger");
    assert_eq!(field("method"), "log");
    assert_eq!(field("peer"), client.peer_id().to_string());
    // The dialer's calls have odd ids.
    assert_eq!(field("id").parse::<u64>().unwrap() % 2, 1);
    stop([client, server]).await;
}
