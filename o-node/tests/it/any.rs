//! Calling by capability: who is picked, what goes elsewhere, hedges, and what is remembered of peers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use o_core::{Attributes, CallError, Capability};
use o_discovery::MemoryDiscovery;
use o_node::{AllowList, AttemptOutcome, Hosting, Methods, Node, NodeBuilder, Reason};

use crate::support::{
    Watch, address, by_name, connect, in_directory, knowing, local, memory, soon, start, stop,
    until, within,
};

const TELL: &str = "time/tell";

pub(crate) fn capability() -> Capability {
    TELL.parse().unwrap()
}

/// A provider whose method does this; it says who it is where it succeeds.
pub(crate) async fn provider(
    directory: &MemoryDiscovery,
    at: &'static str,
    tell: impl Fn() -> Result<(), CallError> + Send + Sync + 'static,
) -> Node {
    in_directory(directory, memory().host(telling(at, tell))).await
}

pub(crate) fn telling(
    at: &'static str,
    tell: impl Fn() -> Result<(), CallError> + Send + Sync + 'static,
) -> Hosting {
    let methods = Methods::new().unary("tell", move |_, (): ()| {
        std::future::ready(tell().map(|()| at.to_owned()))
    });
    Hosting::new(address(at), methods).capability(capability())
}

pub(crate) fn good() -> Result<(), CallError> {
    Ok(())
}

fn broken(retryable: bool) -> impl Fn() -> Result<(), CallError> + Send + Sync + 'static {
    move || {
        Err(CallError::Failed {
            message: "broken".into(),
            retryable,
            data: Bytes::new(),
        })
    }
}

pub(crate) fn client(directory: &MemoryDiscovery) -> NodeBuilder {
    memory().client().discovery(directory.clone())
}

pub(crate) async fn tell(node: &Node) -> Result<String, CallError> {
    soon(node.call_any(capability(), &())).await
}

#[tokio::test]
async fn calls_are_spread_and_each_choice_is_explained() {
    let directory = MemoryDiscovery::default();
    let working = |at: &'static str| {
        let methods = Methods::new().unary("tell", async move |_, (): ()| {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok::<_, CallError>(at.to_owned())
        });
        memory().host(Hosting::new(address(at), methods).capability(capability()))
    };
    let one = in_directory(&directory, working("o://a/one")).await;
    let two = in_directory(&directory, working("o://a/two")).await;
    let client = start(client(&directory)).await;
    let calls = stream::iter(0..100).map(|_| tell(&client));
    let told: Vec<_> = calls.buffer_unordered(8).collect().await;
    let told = ["o://a/one", "o://a/two"]
        .map(|name| told.iter().filter(|t| t.as_deref() == Ok(name)).count());
    assert!(
        told[0] + told[1] == 100 && told.iter().all(|count| *count >= 30),
        "{told:?}"
    );
    let unit = || o_protocol::encode_body(o_core::Encoding::Cbor, &()).unwrap();
    let reply = soon(client.any(capability()).traced(unit())).await;
    assert!(reply.reply.is_ok());
    let [attempt] = &reply.trace[..] else {
        panic!("{:?}", reply.trace)
    };
    assert_eq!(attempt.outcome, AttemptOutcome::Answered);
    assert_eq!(
        (attempt.why.candidates, attempt.why.peer),
        (2, attempt.peer)
    );
    assert!(attempt.why.rival.is_some() && !attempt.took.is_zero());
    // Both are known now, with nothing against them.
    let seen = client.peers_seen();
    assert_eq!(seen.len(), 2);
    for peer in seen {
        assert!(peer.score > 0.9 && peer.latency.is_some(), "{peer:?}");
        assert_eq!(peer.counts.calls(), peer.counts.succeeded);
        assert_eq!((&*peer.methods[0].method, peer.in_flight), ("tell", 0));
    }
    assert_eq!(client.connections().len(), 2);
    stop([client, one, two]).await;
}

#[tokio::test]
async fn nobody_is_told_at_once() {
    let directory = MemoryDiscovery::default();
    let client = start(client(&directory)).await;
    let nobody = CallError::NoProviders {
        capability: capability(),
    };
    let begun = Instant::now();
    for _ in 0..3 {
        assert_eq!(tell(&client).await, Err(nobody.clone()));
    }
    assert!(begun.elapsed() < Duration::from_millis(500));
    // Somebody who comes is found as soon as it is no longer remembered that there was nobody.
    let one = provider(&directory, "o://a/one", good).await;
    let found = async {
        while tell(&client).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(Duration::from_secs(5), found).await;
    stop([client, one]).await;
}

#[tokio::test]
async fn nobody_is_told_soon_where_the_table_and_gossip_are_asked() {
    let hub = start(local()).await;
    let other = start(knowing(local(), &hub)).await;
    let client = start(knowing(local().client(), &hub)).await;
    connect(&client, &hub).await;
    connect(&client, &other).await;
    let nobody = CallError::NoProviders {
        capability: capability(),
    };
    // Nobody waits for the deadline of the call: whoever can be asked has said no.
    let begun = Instant::now();
    assert_eq!(tell(&client).await, Err(nobody.clone()));
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    // That there is nobody is remembered.
    let begun = Instant::now();
    assert_eq!(tell(&client).await, Err(nobody));
    assert!(
        begun.elapsed() < Duration::from_millis(200),
        "{:?}",
        begun.elapsed()
    );
    stop([client, other, hub]).await;
}

/// A source that never comes to an end.
#[derive(Clone, Copy, Debug)]
struct Endless;

#[async_trait::async_trait]
impl o_core::Discovery for Endless {
    async fn announce(&self, _: &o_core::SignedRecord) -> Result<(), o_core::DiscoveryError> {
        Ok(())
    }

    async fn withdraw(&self, _: &o_core::SignedTombstone) -> Result<(), o_core::DiscoveryError> {
        Ok(())
    }

    fn find(&self, _: o_core::Query) -> o_core::ProviderStream {
        stream::pending().boxed()
    }
}

#[tokio::test]
async fn a_source_that_never_answers_holds_no_call_up_for_long() {
    let directory = MemoryDiscovery::default();
    let patience = Duration::from_millis(300);
    let client = client(&directory).discovery(Endless);
    let client = client.configure(|config| config.balance.search_patience = patience);
    let client = start(client).await;
    for least in [patience, Duration::ZERO] {
        let begun = Instant::now();
        let nobody = tell(&client).await;
        assert!(
            matches!(nobody, Err(CallError::NoProviders { .. })),
            "{nobody:?}"
        );
        let took = begun.elapsed();
        assert!(took >= least && took < 3 * patience, "{took:?}");
    }
    // Who is found by the next search is called at once, though that does not end either.
    let one = provider(&directory, "o://a/one", good).await;
    soon(async {
        while client.reputation(&one.peer_id()).is_none() {
            let _ = tell(&client).await;
        }
    })
    .await;
    stop([client, one]).await;
}

#[tokio::test]
async fn who_hosts_it_itself_can_be_chosen_without_a_network() {
    let alone = memory().host(telling("o://a/self", good));
    let alone = in_directory(&MemoryDiscovery::default(), alone).await;
    assert_eq!(tell(&alone).await.as_deref(), Ok("o://a/self"));
    assert_eq!(alone.peers_seen(), []);
    stop([alone]).await;
}

#[tokio::test]
async fn what_did_not_begin_goes_to_the_next() {
    let directory = MemoryDiscovery::default();
    let closed = memory()
        .gater(AllowList::new())
        .host(telling("o://a/closed", good));
    let closed = in_directory(&directory, closed).await;
    // Its record says that it has the method, and then it is gone without having said so.
    let gone = in_directory(&directory, memory().host(telling("o://a/gone", good))).await;
    let record = found_record(&directory, "o://a/gone").await;
    stop([gone]).await;
    let stale = MemoryDiscovery::default();
    o_core::Discovery::announce(&stale, &record).await.unwrap();
    let open = provider(&directory, "o://a/open", good).await;
    let client = start(client(&directory).discovery(stale)).await;
    for _ in 0..10 {
        assert_eq!(tell(&client).await.as_deref(), Ok("o://a/open"));
    }
    let refused = client.reputation(&closed.peer_id());
    assert!(refused.is_none_or(|peer| peer.counts.succeeded == 0 && peer.counts.calls() <= 3));
    stop([client, open, closed]).await;
}

pub(crate) async fn found_record(directory: &MemoryDiscovery, name: &str) -> o_core::SignedRecord {
    let found = o_core::Discovery::find(directory, by_name(name))
        .next()
        .await;
    found.unwrap().unwrap().record.unwrap()
}

#[tokio::test]
async fn what_began_is_tried_elsewhere_only_if_that_does_no_harm() {
    let directory = MemoryDiscovery::default();
    let bad = provider(&directory, "o://a/bad", broken(true)).await;
    let good = provider(&directory, "o://a/good", good).await;
    // Each client is a new one, which does not know who is bad.
    let (mut failed, mut moved) = (0, 0);
    for _ in 0..12 {
        let client = start(client(&directory)).await;
        failed += usize::from(tell(&client).await.is_err());
        stop([client]).await;
    }
    for _ in 0..12 {
        let client = start(self::client(&directory)).await;
        let unit = o_protocol::encode_body(o_core::Encoding::Cbor, &()).unwrap();
        let reply = soon(client.any(capability()).idempotent().traced(unit)).await;
        assert!(reply.reply.is_ok(), "{reply:?}");
        moved += usize::from(reply.trace.len() == 2);
        stop([client]).await;
    }
    assert!(failed > 0 && failed < 12 && moved > 0, "{failed} {moved}");
    // What the method says cannot be helped by trying again is not tried again.
    let client = start(self::client(&directory)).await;
    let hopeless = provider(&directory, "o://a/hopeless", broken(false)).await;
    let pinned = client
        .any(capability())
        .idempotent()
        .pin(hopeless.peer_id());
    let error = soon(pinned.call_typed::<String>(&())).await.unwrap_err();
    assert!(matches!(error, CallError::Failed { .. }), "{error:?}");
    stop([client, bad, good, hopeless]).await;
}

#[tokio::test]
async fn a_hedge_does_not_wait_for_the_slow_one_and_cancels_it() {
    struct Cancelled(Arc<AtomicUsize>);
    impl Drop for Cancelled {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let directory = MemoryDiscovery::default();
    let cancelled = Arc::new(AtomicUsize::new(0));
    let counted = cancelled.clone();
    let stuck = Methods::new().unary("tell", move |_, (): ()| {
        let guard = Cancelled(counted.clone());
        async move {
            let _guard = guard;
            std::future::pending::<()>().await;
            Ok::<_, CallError>(String::new())
        }
    });
    let stuck = Hosting::new(address("o://a/stuck"), stuck).capability(capability());
    let stuck = in_directory(&directory, memory().host(stuck)).await;
    let quick = provider(&directory, "o://a/quick", good).await;
    let mut hedged = 0;
    // Which is called first is left to chance.
    for _ in 0..30 {
        let client = start(client(&directory)).await;
        connect(&client, &stuck).await;
        connect(&client, &quick).await;
        let hedge = client.any(capability()).hedge(Duration::from_millis(50));
        let unit = o_protocol::encode_body(o_core::Encoding::Cbor, &()).unwrap();
        let reply = within(Duration::from_secs(5), hedge.traced(unit)).await;
        assert!(reply.reply.is_ok());
        let [first, second] = &reply.trace[..] else {
            stop([client]).await;
            continue;
        };
        hedged += 1;
        // On a busy machine the quick one may come to the same.
        if first.peer == stuck.peer_id() {
            assert_eq!(first.outcome, AttemptOutcome::GivenUp);
            assert!(second.hedge && !first.hedge && first.took >= Duration::from_millis(50));
        }
        stop([client]).await;
        if hedged == 2 {
            break;
        }
    }
    assert_eq!(hedged, 2);
    until("cancelled", || cancelled.load(Ordering::SeqCst) == hedged).await;
    stop([stuck, quick]).await;
}

#[tokio::test]
async fn pins_exclusions_and_attributes_narrow_the_choice() {
    let directory = MemoryDiscovery::default();
    let german = telling("o://a/de", good).label("lang=de".parse().unwrap());
    let german = in_directory(&directory, memory().host(german)).await;
    let other = provider(&directory, "o://a/other", good).await;
    let client = start(client(&directory)).await;
    let call = || client.any(capability());
    let in_german = Attributes::any(["label:lang=de".parse().unwrap()]);
    for _ in 0..10 {
        for (call, expected) in [
            (call().pin(other.peer_id()), "o://a/other"),
            (call().exclude(german.peer_id()), "o://a/other"),
            (call().attributes(in_german.clone()), "o://a/de"),
        ] {
            assert_eq!(
                soon(call.call_typed::<String>(&())).await.unwrap(),
                expected
            );
        }
    }
    let unit = o_protocol::encode_body(o_core::Encoding::Cbor, &()).unwrap();
    let reply = soon(call().pin(other.peer_id()).traced(unit)).await;
    assert_eq!(reply.trace[0].why.reason, Reason::Pinned);
    let nobody = call().pin(client.peer_id()).call_typed::<String>(&());
    assert_eq!(soon(nobody).await.unwrap_err().code().number(), 19);
    stop([client, german, other]).await;
}

#[tokio::test]
async fn a_stream_that_fails_before_its_first_item_goes_elsewhere() {
    let directory = MemoryDiscovery::default();
    let counting = |fails: bool| {
        let methods = Methods::new().server("tell", move |_, (): ()| {
            let reason = "no".to_owned();
            std::future::ready(Ok::<_, CallError>(match fails {
                true => stream::iter(vec![Err(CallError::Busy { reason })]).boxed(),
                false => stream::iter((0..3).map(Ok::<u32, CallError>)).boxed(),
            }))
        });
        let at = if fails { "o://a/busy" } else { "o://a/idle" };
        memory().host(Hosting::new(address(at), methods).capability(capability()))
    };
    let busy = in_directory(&directory, counting(true)).await;
    let idle = in_directory(&directory, counting(false)).await;
    for _ in 0..8 {
        let client = start(client(&directory)).await;
        let items = client.any(capability()).stream_typed::<u32>(&());
        let items: Vec<_> = soon(soon(items).await.unwrap().collect()).await;
        assert_eq!(items, [Ok(0), Ok(1), Ok(2)]);
        stop([client]).await;
    }
    stop([busy, idle]).await;
}

#[tokio::test]
async fn who_fails_is_avoided_and_what_is_known_outlives_the_node() {
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("peers.cbor");
    let directory = MemoryDiscovery::default();
    let bad = provider(&directory, "o://a/bad", broken(false)).await;
    let good = provider(&directory, "o://a/good", good).await;
    let keeping = || client(&directory).configure(|c| c.reputation.file = Some(file.clone()));
    let client = start(keeping()).await;
    let mut failed = 0;
    for _ in 0..100 {
        failed += u64::from(tell(&client).await.is_err());
    }
    assert!(failed <= 8, "{failed}");
    let of_bad = client.reputation(&bad.peer_id()).unwrap();
    let of_good = client.reputation(&good.peer_id()).unwrap();
    assert_eq!((of_bad.counts.failed, of_bad.counts.succeeded), (failed, 0));
    assert!(of_bad.score < of_good.score);
    stop([client]).await;

    let client = start(keeping()).await;
    let again = client.reputation(&bad.peer_id()).unwrap();
    assert_eq!(again.counts, of_bad.counts);
    // It begins with what it knew.
    for _ in 0..20 {
        let told = tell(&client).await;
        failed += u64::from(told.is_err());
    }
    assert!(failed <= 10, "{failed}");
    stop([client, bad, good]).await;
}

#[tokio::test]
async fn a_peer_with_a_score_that_is_too_low_is_refused() {
    let directory = MemoryDiscovery::default();
    let bad = provider(&directory, "o://a/bad", broken(false)).await;
    let strict = |config: &mut o_node::NodeConfig| {
        config.reputation.min_score = 0.5;
        config.pool.idle_timeout = Duration::from_millis(50);
    };
    let client = start(client(&directory).configure(strict)).await;
    let call = || async {
        let pinned = address("o://a/bad").pinned(bad.peer_id());
        soon(o_node::CallerExt::call_typed::<String>(
            &client,
            &pinned,
            "tell",
            &(),
        ))
        .await
    };
    for _ in 0..9 {
        assert!(matches!(call().await, Err(CallError::Failed { .. })));
    }
    assert!(client.reputation(&bad.peer_id()).unwrap().score < 0.5);
    let mut watch = Watch::new(&client);
    client.recheck_connections().await;
    watch.until_disconnected(bad.peer_id()).await;
    let refused = call().await;
    assert!(
        !matches!(refused, Err(CallError::Failed { .. }) | Ok(_)),
        "{refused:?}"
    );
    assert!(connect_fails(&client, &bad).await);
    stop([client, bad]).await;
}

async fn connect_fails(from: &Node, to: &Node) -> bool {
    let at = crate::support::only_address(to);
    soon(from.connect(&at)).await.is_err()
}

#[tokio::test]
async fn one_peer_with_many_names_hides_nobody() {
    let directory = MemoryDiscovery::default();
    let names: &'static [String] = Box::leak((0..40).map(|n| format!("o://a/n{n}")).collect());
    let many = names.iter().map(|name| telling(name, good));
    let many = many.fold(memory(), NodeBuilder::host);
    let many = in_directory(&directory, many).await;
    let other = provider(&directory, "o://z/other", good).await;
    let few = |config: &mut o_node::NodeConfig| config.balance.max_providers = 8;
    let client = start(client(&directory).configure(few)).await;
    let mut others = 0;
    for _ in 0..100 {
        others += usize::from(tell(&client).await.as_deref() == Ok("o://z/other"));
    }
    assert!((35..=65).contains(&others), "{others}");
    stop([client, many, other]).await;
}

#[tokio::test]
async fn the_hedge_may_still_answer_when_the_first_is_lost() {
    let directory = MemoryDiscovery::default();
    let slow = |at: &'static str, millis: u64, fails: bool| {
        let methods = Methods::new().unary("tell", move |_, (): ()| async move {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            match fails {
                true => Err(CallError::Internal {
                    message: "lost".into(),
                }),
                false => Ok(at.to_owned()),
            }
        });
        memory().host(Hosting::new(address(at), methods).capability(capability()))
    };
    let bad = in_directory(&directory, slow("o://a/bad", 150, true)).await;
    let good = in_directory(&directory, slow("o://a/good", 300, false)).await;
    let mut hedged = 0;
    for _ in 0..10 {
        let client = start(client(&directory)).await;
        connect(&client, &bad).await;
        connect(&client, &good).await;
        // A second time would be wrong, and nobody is asked a second time.
        let hedge = client.any(capability()).hedge(Duration::from_millis(30));
        let unit = o_protocol::encode_body(o_core::Encoding::Cbor, &()).unwrap();
        let reply = soon(hedge.traced(unit)).await;
        assert!(reply.reply.is_ok(), "{reply:?}");
        hedged += usize::from(reply.trace[0].peer == bad.peer_id());
        stop([client]).await;
    }
    assert!(hedged > 0);
    stop([bad, good]).await;
}
