//! Peers that have signed what they deny when they are called.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures::StreamExt as _;
use o_core::{CallError, SignedRecord};
use o_discovery::MemoryDiscovery;
use o_node::{Hosting, Methods, Node, PeerReputation};

use crate::{
    any::{capability, client, found_record, good, provider, tell, telling},
    support::{address, by_name, connect, in_directory, memory, soon, start, stop},
};

/// A peer with one agent, a client that hears of no withdrawal, and the directory that it looks in.
struct Scene {
    directory: MemoryDiscovery,
    stale: MemoryDiscovery,
    peer: Node,
    client: Node,
    record: SignedRecord,
}

impl Scene {
    async fn new() -> Self {
        let directory = MemoryDiscovery::default();
        let peer = in_directory(&directory, memory().host(telling(NAME, good))).await;
        let record = found_record(&directory, NAME).await;
        let stale = MemoryDiscovery::default();
        let short = |config: &mut o_node::NodeConfig| {
            config.balance.nobody_lifetime = Duration::ZERO;
        };
        let client = start(client(&stale).configure(short)).await;
        connect(&client, &peer).await;
        let mut scene = Self {
            directory,
            stale,
            peer,
            client,
            record,
        };
        scene.tell_of_the_record().await;
        scene
    }

    async fn tell_of_the_record(&mut self) {
        let announced = o_core::Discovery::announce(&self.stale, &self.record);
        announced.await.expect("a directory in memory");
    }

    /// The peer hosts the agent once more, and the client is told of it.
    async fn host_again(&mut self) {
        let hosted = self.peer.host(telling(NAME, good));
        hosted.expect("it was not hosted");
        let before = self.record.record().sequence;
        self.record = soon(async {
            loop {
                let found = o_core::Discovery::find(&self.directory, by_name(NAME));
                let found: Vec<_> = found.collect().await;
                let mut records = found.into_iter().filter_map(|found| found.ok()?.record);
                match records.next() {
                    Some(newer) if newer.record().sequence > before => break newer,
                    _ => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        })
        .await;
        self.tell_of_the_record().await;
    }

    /// The agent is there no longer, and the client calls it three times.
    async fn denied(&self) -> PeerReputation {
        assert!(self.peer.unhost(&address(NAME)));
        for _ in 0..3 {
            assert!(tell(&self.client).await.is_err());
        }
        let known = self.client.reputation(&self.peer.peer_id());
        known.expect("it was called")
    }
}

const NAME: &str = "o://a/agent";

#[tokio::test]
async fn who_signs_again_what_it_has_denied_lies_and_who_repeats_it_does_not() {
    let mut scene = Scene::new().await;
    // The peer cannot help that its record is still told, and is not asked for it again.
    let known = scene.denied().await;
    assert_eq!((known.counts.lied, known.counts.mistaken), (0, 1));
    assert!(known.score > 0.6, "{known:?}");
    // It says so again, and again there is nothing.
    scene.host_again().await;
    let known = scene.denied().await;
    assert_eq!((known.counts.lied, known.counts.mistaken), (1, 2));
    assert!(known.score < 0.4, "{known:?}");
    stop([scene.client, scene.peer]).await;
}

#[tokio::test]
async fn who_answers_in_between_does_not_lie_however_often_it_is_missed() {
    let mut scene = Scene::new().await;
    assert_eq!(scene.denied().await.counts.mistaken, 1);
    scene.host_again().await;
    soon(async { while tell(&scene.client).await.is_err() {} }).await;
    let known = scene.denied().await;
    assert_eq!((known.counts.lied, known.counts.mistaken), (0, 2));
    assert!(known.score > 0.6, "{known:?}");
    stop([scene.client, scene.peer]).await;
}

#[tokio::test]
async fn what_a_handler_was_told_by_another_is_its_own_failure() {
    let directory = MemoryDiscovery::default();
    let asks_another = || {
        Err(CallError::UnknownMethod {
            method: "tell".into(),
        })
    };
    let proxy = provider(&directory, "o://a/proxy", asks_another).await;
    let client = start(client(&directory)).await;
    for _ in 0..2 {
        let error = tell(&client).await.unwrap_err();
        assert!(matches!(error, CallError::Failed { .. }), "{error:?}");
    }
    let counts = client.reputation(&proxy.peer_id()).unwrap().counts;
    assert_eq!((counts.failed, counts.lied, counts.mistaken), (2, 0, 0));
    stop([client, proxy]).await;
}

/// An agent whose record has a method that it does not know when it is called.
#[derive(Default)]
struct Boaster {
    /// It was called, and has not been asked since what it has.
    called: AtomicBool,
}

#[async_trait::async_trait]
impl o_core::Agent for Boaster {
    fn methods(&self) -> Vec<o_core::MethodSpec> {
        match self.called.swap(false, Ordering::Relaxed) {
            true => Vec::new(),
            false => vec![o_core::MethodSpec::new("tell", o_core::Shape::Unary)],
        }
    }

    async fn call(&self, call: o_core::IncomingCall) -> Result<o_core::Reply, CallError> {
        self.called.store(true, Ordering::Relaxed);
        Err(CallError::UnknownMethod {
            method: call.method.to_string(),
        })
    }
}

#[tokio::test]
async fn a_method_that_is_in_the_record_and_not_there_is_not_asked_for_again() {
    let directory = MemoryDiscovery::default();
    let boaster =
        Hosting::new(address("o://a/boaster"), Boaster::default()).capability(capability());
    let boaster = in_directory(&directory, memory().host(boaster)).await;
    let short = |config: &mut o_node::NodeConfig| {
        config.balance.nobody_lifetime = Duration::ZERO;
    };
    let client = start(client(&directory).configure(short)).await;
    let counts = async || {
        for _ in 0..3 {
            assert!(tell(&client).await.is_err());
        }
        client.reputation(&boaster.peer_id()).unwrap().counts
    };
    let known = counts().await;
    assert_eq!((known.lied, known.mistaken), (0, 1));
    // It signs it again, for something else has changed.
    let before = found_record(&directory, "o://a/boaster").await;
    let other = Hosting::new(address("o://b/else"), Methods::new());
    boaster.host(other).unwrap();
    soon(async {
        while found_record(&directory, "o://a/boaster").await == before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    soon(async { while counts().await.lied == 0 {} }).await;
    stop([client, boaster]).await;
}
