//! When the sources of discovery are told of an agent, and when not any more.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use futures::{StreamExt as _, stream};
use o_core::{
    Discovery, DiscoveryError, Node as _, ProviderStream, Query, SignedRecord, SignedTombstone,
};
use tokio::sync::watch;

use crate::{
    support::{Ask as _, adder, connect, quiet, soon, start, stop},
    worker::Worker,
};

const WORKER: &str = "o://far/worker";

/// A source that fails as often as it is told to, and keeps what it was asked.
#[derive(Clone, Debug)]
struct Source {
    failures: Arc<Mutex<usize>>,
    asked: Arc<watch::Sender<Vec<String>>>,
}

impl Source {
    fn failing(times: usize) -> Self {
        Self {
            failures: Arc::new(Mutex::new(times)),
            asked: Arc::new(watch::Sender::new(Vec::new())),
        }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.borrow().clone()
    }

    /// Waits until it was asked this.
    async fn wait(&self, question: &str) {
        let asked = |all: &Vec<String>| all.iter().any(|one| one == question);
        let _ = self.asked.subscribe().wait_for(asked).await;
    }

    fn ask(&self, question: String) -> Result<(), DiscoveryError> {
        self.asked.send_modify(|all| all.push(question));
        let mut failures = self.failures.lock().unwrap();
        if *failures > 0 {
            *failures -= 1;
            return Err(DiscoveryError::NoNetwork);
        }
        Ok(())
    }
}

#[async_trait]
impl Discovery for Source {
    async fn announce(&self, record: &SignedRecord) -> Result<(), DiscoveryError> {
        self.ask(format!("announce {}", record.record().address))
    }

    async fn withdraw(&self, tombstone: &SignedTombstone) -> Result<(), DiscoveryError> {
        self.ask(format!("withdraw {}", tombstone.tombstone().address))
    }

    fn find(&self, _: Query) -> ProviderStream {
        stream::empty().boxed()
    }
}

#[tokio::test]
async fn a_source_that_failed_is_told_again_and_no_other() {
    let (good, bad) = (Source::failing(0), Source::failing(2));
    let node = quiet()
        .configure(|config| config.node.announce_retry = Duration::from_millis(50))
        .discovery(good.clone())
        .discovery(bad.clone())
        .host(adder("o://math/adder"));
    let node = start(node).await;
    let announce = "announce o://math/adder";
    // Long before the record is due again, in half an hour.
    let three = |all: &Vec<String>| all.len() >= 3;
    let _ = soon(bad.asked.subscribe().wait_for(three)).await;
    assert_eq!(bad.asked(), [announce; 3]);
    assert_eq!(good.asked(), [announce]);
    stop([node]).await;
    assert_eq!(good.asked(), [announce, "withdraw o://math/adder"]);
}

#[tokio::test]
async fn nothing_is_announced_once_the_node_drains() {
    let (worker, source) = (Worker::new(), Source::failing(0));
    let server = quiet()
        .host(worker.at(WORKER))
        .discovery(source.clone())
        .configure(|config| config.node.drain = Duration::from_secs(20));
    let (server, client) = (start(server).await, start(quiet().client()).await);
    soon(source.wait("announce o://far/worker")).await;
    connect(&client, &server).await;
    let running = tokio::spawn({
        let client = client.clone();
        async move { client.ask::<String>(WORKER, "gate", "done").await }
    });
    soon(worker.wait_running(1)).await;
    let stopped = tokio::spawn({
        let server = server.clone();
        async move { server.stop().await }
    });
    soon(source.wait("withdraw o://far/worker")).await;
    server.host(adder("o://math/adder")).unwrap();
    // A node that still announced would have done so many times over.
    let late = Duration::from_millis(300);
    let announced = tokio::time::timeout(late, source.wait("announce o://math/adder")).await;
    assert!(announced.is_err(), "{:?}", source.asked());
    worker.open();
    assert_eq!(soon(running).await.unwrap().as_deref(), Ok("done"));
    soon(stopped).await.unwrap().unwrap();
    let last = source.asked().last().cloned();
    assert_eq!(last.as_deref(), Some("withdraw o://far/worker"));
    stop([client]).await;
}
