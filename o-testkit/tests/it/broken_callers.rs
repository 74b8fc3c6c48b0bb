//! The suite of callers finds what is broken in each of these.

use async_trait::async_trait;
use futures::StreamExt;
use o_core::{Body, CallError, Caller, OutgoingCall, Reply};
use o_testkit::{
    MemoryNode,
    conformance::{self, Probe},
};

use crate::support::{Two, address, failure_of};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Goes on with a call that was dropped.
    Stubborn,
    /// Every error is internal.
    Internal,
    /// Deadlines go nowhere.
    Patient,
    /// Streams end early.
    Short,
    /// Who answers to no name cannot be reached.
    Unreachable,
    /// One call at a time, to its very end.
    OneByOne,
    /// Encodings are forgotten.
    Raw,
}

#[derive(Debug)]
struct Broken {
    fault: Fault,
    inner: MemoryNode,
    lock: std::sync::Arc<tokio::sync::Mutex<()>>,
}

#[async_trait]
impl Caller for Broken {
    async fn call(&self, mut call: OutgoingCall) -> Result<Reply, CallError> {
        match self.fault {
            Fault::Stubborn => {
                let inner = self.inner.clone();
                let task = tokio::spawn(async move { inner.call(call).await });
                task.await.expect("a call that does not panic")
            }
            Fault::Internal => {
                let reply = self.inner.call(call).await;
                reply.map_err(|error| CallError::Internal {
                    message: error.to_string(),
                })
            }
            Fault::Patient => {
                call.terms.deadline = None;
                self.inner.call(call).await
            }
            Fault::Short => Ok(match self.inner.call(call).await? {
                Reply::Stream(items) => Reply::Stream(items.take(1_500).boxed()),
                one => one,
            }),
            Fault::Unreachable => match self.inner.call(call).await {
                Err(CallError::NotFound { address }) => Err(CallError::Unreachable {
                    address,
                    reason: "nobody".into(),
                }),
                other => other,
            },
            Fault::OneByOne => {
                let guard = self.lock.clone().lock_owned().await;
                Ok(match self.inner.call(call).await? {
                    Reply::Stream(items) => {
                        let held = items.map(move |item| {
                            let _guard = &guard;
                            item
                        });
                        Reply::Stream(held.boxed())
                    }
                    one => one,
                })
            }
            Fault::Raw => Ok(match self.inner.call(call).await? {
                Reply::One(body) => Reply::One(Body::raw(body.bytes)),
                stream => stream,
            }),
        }
    }
}

async fn found(fault: Fault) -> String {
    let two = Two::start().await;
    let (probe, target) = (Probe::new(), address("o://bob/probe"));
    two.bob.host(&target, probe.clone()).unwrap();
    let inner = two.alice.clone();
    let caller = Broken {
        fault,
        inner,
        lock: std::sync::Arc::default(),
    };
    failure_of(conformance::caller(
        &caller,
        &target,
        &address("o://nobody"),
        &probe,
    ))
    .await
}

#[tokio::test(start_paused = true)]
async fn each_is_found() {
    for (fault, what) in [
        (Fault::Stubborn, "the agent sees that its call was dropped"),
        (Fault::Internal, "the error `failed` of a method"),
        (Fault::Patient, "a deadline: nothing happened"),
        (Fault::Short, "a long stream"),
        (Fault::Unreachable, "an address at which nobody answers"),
        (Fault::OneByOne, "nothing happened within"),
        (Fault::Raw, "the encoding of a body survives"),
    ] {
        let found = found(fault).await;
        assert!(found.contains(what), "{fault:?}: {found}");
    }
}
