//! Peers that have signed what they deny when they are called.

use std::time::Duration;

use futures::StreamExt as _;
use o_core::CallError;
use o_discovery::MemoryDiscovery;
use o_node::{Hosting, Methods, Node};

use crate::{
    any::{capability, client, found_record, good, tell, telling},
    support::{address, by_name, connect, in_directory, memory, soon, start, stop},
};

#[tokio::test]
async fn who_signs_again_what_it_has_denied_lies_and_who_repeats_it_does_not() {
    let directory = MemoryDiscovery::default();
    let builder = memory().host(telling("o://a/liar", good));
    let liar = in_directory(&directory, builder).await;
    let record = found_record(&directory, "o://a/liar").await;
    // A directory of the client's own, which hears of no withdrawal.
    let stale = MemoryDiscovery::default();
    o_core::Discovery::announce(&stale, &record).await.unwrap();
    assert!(liar.unhost(&address("o://a/liar")));
    let short = |config: &mut o_node::NodeConfig| {
        config.balance.nobody_lifetime = Duration::ZERO;
    };
    let client = start(client(&stale).configure(short)).await;
    connect(&client, &liar).await;
    let denied = async |client: &Node| {
        for _ in 0..3 {
            assert!(tell(client).await.is_err());
        }
        client.reputation(&liar.peer_id()).unwrap()
    };
    // The peer cannot help that its record is still told, and is not asked for it again.
    let known = denied(&client).await;
    assert_eq!((known.counts.lied, known.counts.mistaken), (0, 1));
    assert!(known.score > 0.6, "{known:?}");
    // It says so again, and again there is nothing.
    liar.host(telling("o://a/liar", good)).unwrap();
    let newer = soon(async {
        loop {
            let found = o_core::Discovery::find(&directory, by_name("o://a/liar"));
            let found: Vec<_> = found.collect().await;
            let mut records = found.into_iter().filter_map(|found| found.ok()?.record);
            match records.next() {
                Some(newer) if newer.record().sequence > record.record().sequence => break newer,
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    })
    .await;
    assert!(liar.unhost(&address("o://a/liar")));
    o_core::Discovery::announce(&stale, &newer).await.unwrap();
    let known = denied(&client).await;
    assert_eq!((known.counts.lied, known.counts.mistaken), (1, 2));
    assert!(known.score < 0.4, "{known:?}");
    stop([client, liar]).await;
}

/// An agent whose record has a method that it does not know when it is called.
struct Boaster;

#[async_trait::async_trait]
impl o_core::Agent for Boaster {
    fn methods(&self) -> Vec<o_core::MethodSpec> {
        vec![o_core::MethodSpec::new("tell", o_core::Shape::Unary)]
    }

    async fn call(&self, call: o_core::IncomingCall) -> Result<o_core::Reply, CallError> {
        Err(CallError::UnknownMethod {
            method: call.method.to_string(),
        })
    }
}

#[tokio::test]
async fn a_method_that_is_in_the_record_and_not_there_is_not_asked_for_again() {
    let directory = MemoryDiscovery::default();
    let boaster = Hosting::new(address("o://a/boaster"), Boaster).capability(capability());
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
