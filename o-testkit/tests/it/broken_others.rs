//! The other suites find what is broken, too.

use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use o_address::{Address, PeerId};
use o_core::{
    Agent, CallError, Event, EventStream, Events, IncomingCall, MethodSpec, Node, NodeState, Reply,
    ResolveError, Resolver, Route, SignError, Signer, StartError, StopError,
};
use o_testkit::{
    Directory, FakeSigner, FakeVerifier, MemoryNetwork, MemoryNode, RecordingEvents,
    conformance::{self, Probe},
    test_peer,
};

use crate::support::{address, failure_of, node};

/// Resolves a name without a look at its pin.
#[derive(Debug)]
struct Unpinned(Directory);

#[async_trait]
impl Resolver for Unpinned {
    async fn resolve(&self, address: &Address) -> Result<Vec<Route>, ResolveError> {
        self.0.resolve(&address.without_pin()).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_ignores_pins() {
    let directory = Directory::default();
    let known = address("o://known");
    directory.insert(&known, test_peer(1), Vec::new()).unwrap();
    let unpinned = Unpinned(directory);
    let unknown = address("o://unknown");
    let suite = conformance::resolver(&unpinned, &known, test_peer(1), &unknown);
    let found = failure_of(suite).await;
    assert!(found.contains("pinned to somebody else"), "{found}");
}

/// Signs everything for the same domain.
#[derive(Debug)]
struct OneDomain(FakeSigner);

impl Signer for OneDomain {
    fn peer(&self) -> PeerId {
        self.0.peer()
    }

    fn sign(&self, _: &str, payload_type: &[u8], payload: &[u8]) -> Result<Bytes, SignError> {
        self.0.sign("o-conformance/1", payload_type, payload)
    }
}

#[tokio::test]
async fn a_signer_that_ignores_domains() {
    let signer = OneDomain(FakeSigner::new(test_peer(1)));
    let found = failure_of(conformance::signer(&signer, &FakeVerifier)).await;
    assert!(
        found.contains("the signature of another domain: accepted"),
        "{found}"
    );
}

/// Loses what a slow subscriber has missed without a word.
#[derive(Debug)]
struct Forgetful(RecordingEvents);

impl Events for Forgetful {
    fn publish(&self, event: Event) {
        self.0.publish(event);
    }

    fn subscribe(&self) -> EventStream {
        self.0
            .subscribe()
            .filter(|item| std::future::ready(item.is_ok()))
            .boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn events_that_hide_what_was_missed() {
    let found = failure_of(conformance::events(&Forgetful(RecordingEvents::new(8)), 30)).await;
    assert!(
        found.contains("falls behind is told by how much"),
        "{found}"
    );
}

/// Does not know which methods it has.
struct Vague(Probe);

#[async_trait]
impl Agent for Vague {
    fn methods(&self) -> Vec<MethodSpec> {
        self.0.methods()
    }

    async fn call(&self, call: IncomingCall) -> Result<Reply, CallError> {
        self.0
            .call(call)
            .await
            .map_err(|error| CallError::failed(error.to_string()))
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_whose_errors_say_nothing() {
    let found = failure_of(conformance::agent(&Vague(Probe::new()))).await;
    assert!(found.contains("expected `UnknownMethod`"), "{found}");
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Starts as often as it is told to.
    Restless,
    /// Starts only once.
    Tired,
    /// Says that it stops and does not.
    Running,
}

#[derive(Debug)]
struct BrokenNode {
    fault: Fault,
    inner: MemoryNode,
    starts: Mutex<usize>,
}

#[async_trait]
impl Node for BrokenNode {
    async fn start(&self) -> Result<(), StartError> {
        let again = {
            let starts = &mut *self.starts.lock().unwrap();
            *starts += 1;
            *starts > 1
        };
        match self.inner.start().await {
            Err(_) if self.fault == Fault::Restless => Ok(()),
            // The second was refused, the third should not be.
            Ok(()) if self.fault == Fault::Tired && again => Err(StartError::Config {
                reason: "once is enough".into(),
            }),
            other => other,
        }
    }

    async fn stop(&self) -> Result<(), StopError> {
        if self.fault == Fault::Running {
            Ok(())
        } else {
            self.inner.stop().await
        }
    }

    fn state(&self) -> NodeState {
        self.inner.state()
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_that_mistake_their_life() {
    for (fault, what) in [
        (Fault::Restless, "starting a running node, round 1"),
        (Fault::Tired, "start 2: failed"),
        (Fault::Running, "stop 1"),
    ] {
        let inner = node(&MemoryNetwork::new(), &Directory::default(), 1).build();
        let broken = BrokenNode {
            fault,
            inner,
            starts: Mutex::new(0),
        };
        let found = failure_of(conformance::node(&broken)).await;
        assert!(found.contains(what), "{fault:?}: {found}");
    }
}
