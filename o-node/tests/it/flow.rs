//! Who is held and who goes first, between processes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::StreamExt as _;
use o_core::{Body, Caller as _, OutgoingCall, Priority, Reply};
use o_node::{Node, NodeConfig, PeerCaller};
use o_protocol::Call;
use tokio::task::JoinSet;

use crate::{
    child::{Plan, Process},
    faucet::ITEM,
    support::{Ask as _, address, quiet, soon, start, stop},
};

const HERE: &str = "o://near/faucet";
const THERE: &str = "o://far/faucet";
/// What either process may grow by while a hundred times as much goes through.
const FLAT: u64 = 8 * 1024 * 1024;

/// Two processes with a faucet each, the second of which is connected to the first, and this node,
/// which is connected to both.
struct Pair {
    far: Process,
    near: Process,
    node: Node,
    at_far: PeerCaller,
    at_near: PeerCaller,
}

async fn faucet(at: &str, change: impl FnOnce(&mut NodeConfig)) -> Process {
    let mut plan = Plan::worker("o://some/worker");
    plan.faucet = Some(at.to_owned());
    plan.config.dht.enabled = false;
    change(&mut plan.config);
    plan.start().await
}

impl Pair {
    async fn new() -> Self {
        let far = faucet(THERE, |_| {}).await;
        let addresses = far.addresses.clone();
        let near = faucet(HERE, |config| config.bootstrap = addresses).await;
        let node = start(quiet().client()).await;
        for process in [&far, &near] {
            soon(node.connect(process.address())).await.unwrap();
        }
        let (at_far, at_near) = (node.peer(far.peer), node.peer(near.peer));
        Self {
            far,
            near,
            node,
            at_far,
            at_near,
        }
    }

    /// Waits until a count there has stood still over a hundred calls, and gives it.
    async fn settled(there: &PeerCaller, target: &str, count: &str) -> u64 {
        let mut before = u64::MAX;
        loop {
            for _ in 0..100 {
                soon(there.ask::<String>(target, "echo", "x"))
                    .await
                    .unwrap();
            }
            let now = soon(there.ask::<u64>(target, count, ())).await.unwrap();
            if now == before {
                return now;
            }
            before = now;
        }
    }

    fn resident(&self) -> [u64; 2] {
        [self.far.resident(), self.near.resident()]
    }

    /// Neither process has grown.
    fn is_flat(&self, before: [u64; 2]) {
        for (now, before) in self.resident().into_iter().zip(before) {
            let grown = now.saturating_sub(before);
            assert!(grown < FLAT, "one process grew by {grown} bytes");
        }
    }

    async fn end(self) {
        soon(self.at_near.ask::<()>(HERE, "close", ()))
            .await
            .unwrap();
        stop([self.node]).await;
        self.near.stop().await;
        self.far.stop().await;
    }
}

/// How many items may be under way: what was granted, what waits to be granted, and one that is
/// being taken on each side.
fn most_under_way() -> u64 {
    let session = NodeConfig::default().session;
    let bytes = session.initial_credit as usize + session.send_buffer;
    (bytes / ITEM) as u64 + 2
}

#[tokio::test]
async fn a_callee_that_outruns_its_caller_is_held_and_memory_is_flat() {
    let pair = Pair::new().await;
    soon(pair.at_near.ask::<()>(HERE, "open", THERE))
        .await
        .unwrap();
    // Once round, so that what is allocated once is there.
    soon(pair.at_near.ask::<()>(HERE, "pull", 200))
        .await
        .unwrap();
    let mut taken = 200;
    let before = pair.resident();
    for _ in 0..4 {
        let made = Pair::settled(&pair.at_far, THERE, "made").await;
        let under_way = made - taken;
        assert!(under_way <= most_under_way(), "{under_way} items");
        // It was held by its reader and not by something else.
        assert!(under_way > 1, "{under_way} items");
        soon(pair.at_near.ask::<()>(HERE, "pull", 1000))
            .await
            .unwrap();
        taken += 1000;
        pair.is_flat(before);
    }
    // Whoever else uses the connection of the two goes on.
    soon(pair.at_near.ask::<()>(HERE, "pour", THERE))
        .await
        .unwrap();
    soon(pair.at_far.ask::<()>(THERE, "permit", 1000))
        .await
        .unwrap();
    soon(async {
        while pair.at_far.ask::<u64>(THERE, "taken", ()).await != Ok(1000) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    pair.is_flat(before);
    pair.end().await;
}

#[tokio::test]
async fn a_caller_that_outruns_its_callee_is_held_and_memory_is_flat() {
    let pair = Pair::new().await;
    soon(pair.at_near.ask::<()>(HERE, "pour", THERE))
        .await
        .unwrap();
    let mut permitted = 0;
    let mut before = None;
    for permits in [200, 1000, 1000, 1000, 1000] {
        let made = Pair::settled(&pair.at_near, HERE, "made").await;
        let under_way = made - permitted;
        assert!(under_way <= most_under_way(), "{under_way} items");
        assert!(under_way > 1, "{under_way} items");
        soon(pair.at_far.ask::<()>(THERE, "permit", permits))
            .await
            .unwrap();
        permitted += permits;
        soon(async {
            while pair.at_far.ask::<u64>(THERE, "taken", ()).await != Ok(permitted) {
                tokio::task::yield_now().await;
            }
        })
        .await;
        pair.is_flat(*before.get_or_insert(pair.resident()));
    }
    pair.end().await;
}

const PRIORITIES: [Priority; 3] = [Priority::Interactive, Priority::Normal, Priority::Bulk];
/// Streams of each priority that are read as fast as they come.
const STREAMS: usize = 16;

/// Bytes of streams that have arrived, by priority.
#[derive(Debug, Default)]
struct Arrived([AtomicU64; 3]);

impl Arrived {
    fn now(&self) -> [u64; 3] {
        [0, 1, 2].map(|class| self.0[class].load(Ordering::Relaxed))
    }

    fn total(&self) -> u64 {
        self.now().iter().sum()
    }
}

/// Streams that saturate one connection, until this is dropped.
struct Floods {
    arrived: Arc<Arrived>,
    _reading: JoinSet<()>,
}

impl Floods {
    async fn open(node: &Node, priorities: &[Priority]) -> Self {
        let arrived = Arc::new(Arrived::default());
        let mut reading = JoinSet::new();
        for (class, priority) in PRIORITIES.into_iter().enumerate() {
            if !priorities.contains(&priority) {
                continue;
            }
            for _ in 0..STREAMS {
                let nothing = Body::default();
                let mut call = OutgoingCall::server_streaming(address(THERE), "flood", nothing);
                call.terms.priority = priority;
                let Ok(Reply::Stream(mut items)) = soon(node.call(call)).await else {
                    panic!("not a stream")
                };
                let arrived = arrived.clone();
                reading.spawn(async move {
                    while let Some(item) = items.next().await {
                        let bytes = item.unwrap().len() as u64;
                        arrived.0[class].fetch_add(bytes, Ordering::Relaxed);
                    }
                });
            }
        }
        Self {
            arrived,
            _reading: reading,
        }
    }

    /// Waits until so many bytes more have arrived; how many of each priority.
    async fn more(&self, bytes: u64) -> [u64; 3] {
        let (before, begun) = (self.arrived.now(), self.arrived.total());
        soon(async {
            while self.arrived.total() < begun + bytes {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        let now = self.arrived.now();
        [0, 1, 2].map(|class| now[class] - before[class])
    }
}

/// A server, and a client whose credit never is what a stream waits for: the connection is.
async fn saturated() -> (Process, Node) {
    let credit = |config: &mut NodeConfig| {
        config.session.initial_credit = 16 * 1024 * 1024;
        config.session.max_buffered = 512 * 1024 * 1024;
    };
    let server = faucet(THERE, credit).await;
    let client = start(quiet().client().configure(credit)).await;
    soon(client.connect(server.address())).await.unwrap();
    (server, client)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_shared_four_to_two_to_one_by_priority() {
    let (server, client) = saturated().await;
    let floods = Floods::open(&client, &PRIORITIES).await;
    // What had gone before all of them were there is not shared.
    floods.more(16 << 20).await;
    let [interactive, normal, bulk] = floods.more(56 << 20).await.map(|bytes| bytes as f64);
    let shares = [interactive / bulk, normal / bulk];
    // What is under way at the beginning and at the end of the count is a few of its 56 MiB.
    assert!((3.2..4.8).contains(&shares[0]), "{shares:?}");
    assert!((1.6..2.4).contains(&shares[1]), "{shares:?}");
    drop(floods);
    stop([client]).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_small_calls_beside_streams_the_more_urgent_waits_for_fewer_bytes() {
    let (server, client) = saturated().await;
    let floods = Floods::open(&client, &PRIORITIES[1..]).await;
    floods.more(16 << 20).await;
    let begun = floods.arrived.now();
    let mut calling = JoinSet::new();
    for (class, priority) in PRIORITIES.into_iter().enumerate() {
        let (client, arrived) = (client.clone(), floods.arrived.clone());
        calling.spawn(async move {
            let mut waits = Vec::new();
            while waits.len() < 60 {
                let before = arrived.total();
                let call = Call::to(address(THERE), "echo").params("x");
                let echo = call.priority(priority).send::<String>(&client);
                soon(echo).await.unwrap();
                waits.push(arrived.total() - before);
            }
            waits.sort_unstable();
            (class, waits[waits.len() / 2])
        });
    }
    let mut medians = [0; 3];
    while let Some(done) = calling.join_next().await {
        let (class, median) = done.unwrap();
        medians[class] = median;
    }
    // Behind what has already left, an urgent call waits for nobody. In each round the others send two
    // items of a normal stream and one of a bulk stream, so that a normal call waits for sixteen streams
    // in eight rounds of 48 KiB, 384 KiB in all, and a bulk call for twice as much. A third will do.
    let [interactive, normal, bulk] = medians;
    let apart = 128 * 1024;
    assert!(
        interactive + apart < normal && normal + apart < bulk,
        "{medians:?}"
    );
    let now = floods.arrived.now();
    let ratio = (now[1] - begun[1]) as f64 / (now[2] - begun[2]) as f64;
    assert!((1.6..2.4).contains(&ratio), "{ratio}");
    drop(floods);
    stop([client]).await;
    server.stop().await;
}
