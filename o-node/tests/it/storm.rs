//! Ten thousand calls while connections are cut: each ends once, and none runs twice that must not.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::StreamExt as _;
use o_core::CallError;
use o_node::{Hosting, Keypair, Methods, Node, NodeBuilder, Preset};
use o_protocol::Call;
use o_testkit::MemoryNetwork;

use crate::{
    child::Plan,
    proxy::{self, Proxy},
    support::{Ask as _, address, knowing, quiet, soon, start, stop, within, without_table},
};

const COUNTER: &str = "o://far/counter";
const TALLY: &str = "o://far/tally";
const CLIENTS: usize = 20;
const CALLS: usize = 500;
/// How long all calls may take together: without optimizations, with a hundred handshakes between, and
/// beside other tests. Each call has a deadline of its own.
const ALL: Duration = Duration::from_secs(100);
/// One connection is cut for so many calls that have ended.
const CUT_EVERY: usize = 100;

/// How often each call ran.
#[derive(Clone, Debug, Default)]
struct Runs(Arc<Mutex<HashMap<u64, u32>>>);

impl Runs {
    fn hosting(&self) -> Hosting {
        let runs = self.clone();
        let methods = Methods::new().unary("run", move |_, id: u64| {
            let runs = runs.clone();
            async move {
                *runs.0.lock().unwrap().entry(id).or_default() += 1;
                // Others run meanwhile, so that connections are cut before, in and after the work.
                tokio::task::yield_now().await;
                Ok::<_, CallError>(id)
            }
        });
        Hosting::new(address(COUNTER), methods)
    }

    fn of(&self, id: u64) -> u32 {
        self.0.lock().unwrap().get(&id).copied().unwrap_or_default()
    }
}

fn on(network: &MemoryNetwork) -> NodeBuilder {
    let keypair = Keypair::generate();
    let transport = network.transport(keypair.peer_id());
    Node::builder(keypair, Preset::Local)
        .configure(without_table)
        .configure(|config| {
            config.listen = vec!["/memory/0".parse().unwrap()];
            config.pool.backoff_base = Duration::from_millis(1);
            config.pool.backoff_max = Duration::from_millis(5);
        })
        .transport(transport)
}

/// Every second call has a key.
fn has_key(id: u64) -> bool {
    id.is_multiple_of(2)
}

async fn call(node: Node, id: u64) -> (u64, Result<u64, CallError>) {
    let mut call = Call::to(address(COUNTER), "run").params(id);
    if has_key(id) {
        call = call.idempotency_key(id.to_string());
    }
    (id, call.send::<u64>(&node).await)
}

/// Compares what became of each call with how often it ran. Returns how many were answered.
fn judge(
    outcomes: impl IntoIterator<Item = (u64, Result<u64, CallError>)>,
    runs: impl Fn(u64) -> u32,
) -> usize {
    let mut good = 0;
    for (id, outcome) in outcomes {
        let ran = runs(id);
        match outcome {
            Ok(answer) => {
                assert_eq!(answer, id);
                assert!(ran == 1 || ran > 1 && has_key(id), "{id} ran {ran} times");
                good += 1;
            }
            // Closed before a HELLO: nobody can tell whether it is a refusal, or ran.
            Err(CallError::ConnectionLost { .. } | CallError::Refused { certain: false, .. }) => {
                assert!(ran <= 1 || has_key(id), "{id} ran {ran} times");
            }
            // Nothing ran, as these say.
            Err(CallError::Unreachable { .. } | CallError::ShuttingDown) => {
                assert!(ran == 0 || has_key(id), "{id} ran {ran} times");
            }
            Err(error) => panic!("{id}: {error:?}"),
        }
    }
    good
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_calls_end_once_while_connections_are_cut() {
    let (network, runs) = (MemoryNetwork::new(), Runs::default());
    let server = start(on(&network).host(runs.hosting())).await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(start(knowing(on(&network).client(), &server)).await);
    }
    let (ended, cuts) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let of_one = async |number: usize| {
        let node = &clients[number];
        let ids = (number * CALLS..(number + 1) * CALLS).map(|id| id as u64);
        let calls = futures::stream::iter(ids).map(|id| call(node.clone(), id));
        let mut calls = calls.buffer_unordered(32);
        let mut outcomes = Vec::new();
        while let Some(outcome) = calls.next().await {
            outcomes.push(outcome);
            if ended.fetch_add(1, Ordering::Relaxed) % CUT_EVERY == CUT_EVERY - 1 {
                let victim = &clients[(number * 7 + outcomes.len()) % CLIENTS];
                let cut = network.cut(victim.peer_id(), server.peer_id());
                cuts.fetch_add(cut, Ordering::Relaxed);
            }
        }
        outcomes
    };
    let all = within(ALL, futures::future::join_all((0..CLIENTS).map(of_one))).await;
    let all: Vec<_> = all.into_iter().flatten().collect();
    assert_eq!(all.len(), CLIENTS * CALLS, "each call ends once");
    let good = judge(all, |id| runs.of(id));
    let cuts = cuts.load(Ordering::Relaxed);
    assert!(cuts >= 50, "only {cuts} connections were cut");
    // A cut costs at most what was in flight on that connection.
    assert!(
        good > CLIENTS * CALLS / 2,
        "{good} of {} calls",
        CLIENTS * CALLS
    );
    stop(clients).await;
    stop([server]).await;
}

/// A client of a server in another process, through the proxy.
async fn through(proxy: &Proxy) -> Node {
    let bootstrap = vec![proxy.address().clone()];
    let builder = quiet().client().configure(|config| {
        config.bootstrap = bootstrap;
        config.node.bootstrap_pause = Duration::from_millis(1);
        config.pool.backoff_base = Duration::from_millis(1);
        config.pool.backoff_max = Duration::from_millis(5);
    });
    start(builder).await
}

async fn call_there(node: Node, id: u64) -> (u64, Result<u64, CallError>) {
    let mut call = Call::to(address(TALLY), "one").params((id, id.to_string()));
    if has_key(id) {
        call = call.idempotency_key(id.to_string());
    }
    let answer = call.send::<String>(&node).await;
    (id, answer.map(|text| text.parse().unwrap()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_calls_to_another_process_end_once_while_connections_are_cut() {
    let mut plan = Plan::worker("o://far/worker");
    plan.tally = Some(TALLY.to_owned());
    plan.config.dht.enabled = false;
    // Its own address, which it tells everybody, leads nowhere.
    plan.only_from = Some(proxy::FROM.to_owned());
    let server = plan.start().await;
    let proxy = Proxy::start(server.address(), server.peer).await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(through(&proxy).await);
    }
    let ended = AtomicUsize::new(0);
    let of_one = async |number: usize| {
        let ids = (number * CALLS..(number + 1) * CALLS).map(|id| id as u64);
        let calls = futures::stream::iter(ids).map(|id| call_there(clients[number].clone(), id));
        let mut calls = calls.buffer_unordered(32);
        let mut outcomes = Vec::new();
        while let Some(outcome) = calls.next().await {
            outcomes.push(outcome);
            if ended.fetch_add(1, Ordering::Relaxed) % CUT_EVERY == CUT_EVERY - 1 {
                proxy.cut_one(number * 7 + outcomes.len());
            }
        }
        outcomes
    };
    let all = within(ALL, futures::future::join_all((0..CLIENTS).map(of_one))).await;
    let all: Vec<_> = all.into_iter().flatten().collect();
    assert_eq!(all.len(), CLIENTS * CALLS, "each call ends once");

    let watcher = start(quiet().client()).await;
    soon(watcher.connect(proxy.address())).await.unwrap();
    soon(watcher.ask::<()>(TALLY, "idle", ())).await.unwrap();
    let runs = watcher.ask::<Vec<(u64, u32)>>(TALLY, "all", ());
    let runs: HashMap<u64, u32> = soon(runs).await.unwrap().into_iter().collect();
    let good = judge(all, |id| runs.get(&id).copied().unwrap_or_default());
    // As many as one in a hundred, unless now and then none was there.
    assert!(
        proxy.cuts() >= 90,
        "only {} connections were cut",
        proxy.cuts()
    );
    assert!(good > CLIENTS * CALLS / 2, "{good} calls");
    stop(clients).await;
    stop([watcher]).await;
    server.stop().await;
}
