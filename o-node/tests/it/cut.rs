//! Connections that are cut in every stage of a call, of every shape, between two processes.
//!
//! A proxy between the two cuts at offsets that go over the whole of a call. A third connection, which
//! nothing cuts, tells what the server saw.

use std::time::Duration;

use async_trait::async_trait;
use futures::stream;
use o_address::Address;
use o_core::{CallError, Node as _, ResolveError, Resolver, Route, Source};
use o_node::{Node, PeerCaller, Stats};
use o_protocol::Call;

use crate::{
    child::{Plan, Process},
    proxy::{Proxy, Way},
    support::{Ask as _, address, quiet, soon, start, stop, within},
};

const TALLY: &str = "o://far/tally";
/// A lost connection on this machine is noticed faster than any time-out.
const AT_ONCE: Duration = Duration::from_secs(5);
/// Longer than any frame.
const LARGE: usize = 300_000;

/// Says that whoever is asked for is behind the proxy.
#[derive(Debug)]
struct Behind(Route);

#[async_trait]
impl Resolver for Behind {
    async fn resolve(&self, _: &Address) -> Result<Vec<Route>, ResolveError> {
        Ok(vec![self.0.clone()])
    }
}

/// A server with a proxy before it, and a client that reaches it without. Each client that goes
/// through the proxy is a new one: who has once been connected has been told the server's own
/// address, and dials that, too.
struct Scene {
    server: Process,
    proxy: Proxy,
    watcher: Node,
    watching: PeerCaller,
    /// The number of the last call.
    last: u64,
}

/// What came of one call.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// The whole answer, and it was right.
    Whole,
    /// Lost, and so said the error.
    Lost,
}

/// How many calls ended how.
#[derive(Debug, Default)]
struct Outcomes {
    whole: usize,
    /// Lost before the method ran.
    unheard: usize,
    /// Lost when the method had run, or did.
    unanswered: usize,
}

impl Outcomes {
    fn count(&mut self, outcome: &Outcome, runs: u32) {
        match (outcome, runs) {
            (Outcome::Whole, _) => self.whole += 1,
            (Outcome::Lost, 0) => self.unheard += 1,
            (Outcome::Lost, _) => self.unanswered += 1,
        }
    }
}

/// A client that is not connected and whose first call goes through the proxy.
async fn unconnected(server: &Process, proxy: &Proxy) -> Node {
    let route = Route {
        peer: server.peer,
        addresses: vec![proxy.address().clone()],
        source: Source::Given,
        age: Duration::ZERO,
    };
    let builder = quiet().client().resolver(Behind(route));
    start(builder.configure(|config| {
        config.pool.backoff_base = Duration::from_millis(1);
        config.pool.backoff_max = Duration::from_millis(5);
        // What has not ended by itself when the client stops would hold it up for so long.
        config.node.drain = Duration::from_secs(30);
    }))
    .await
}

/// Stops a client. It would wait, and then say so, if a call was still open.
async fn leave(client: Node) {
    within(AT_ONCE, client.stop()).await.unwrap();
    assert_eq!(client.task_count(), 0);
}

impl Scene {
    async fn new() -> Self {
        let mut plan = Plan::worker("o://far/worker");
        plan.tally = Some(TALLY.to_owned());
        plan.config.dht.enabled = false;
        let server = plan.start().await;
        let proxy = Proxy::start(server.address(), server.peer).await;
        let watcher = start(quiet().client()).await;
        soon(watcher.connect(server.address())).await.unwrap();
        let watching = watcher.peer(server.peer);
        Self {
            server,
            proxy,
            watcher,
            watching,
            last: 0,
        }
    }

    async fn runs(&self, id: u64) -> u32 {
        let runs = self.watching.ask::<u32>(TALLY, "runs", id);
        soon(runs).await.unwrap()
    }

    fn next_id(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// A client that is connected through the proxy.
    async fn client(&self) -> Node {
        let client = unconnected(&self.server, &self.proxy).await;
        let warm = client.ask::<u32>(TALLY, "runs", 0);
        assert_eq!(within(AT_ONCE, warm).await, Ok(0));
        client
    }

    /// How many bytes a call takes, there and back: the fewest of some, for others may go beside one.
    async fn measured(&mut self, shape: Shape) -> [(Way, u64); 2] {
        let client = self.client().await;
        let ways = [Way::There, Way::Back];
        let mut fewest = ways.map(|way| (way, u64::MAX));
        for _ in 0..5 {
            let before = ways.map(|way| self.proxy.passed(way));
            let id = self.next_id();
            assert_eq!(shape.call(&client, id, None).await, Outcome::Whole);
            for ((way, bytes), before) in fewest.iter_mut().zip(before) {
                *bytes = (*bytes).min(self.proxy.passed(*way) - before);
            }
        }
        leave(client).await;
        fewest
    }

    /// Cuts calls of one shape after so many bytes each way, in so many steps.
    async fn cut_everywhere(&mut self, shape: Shape, steps: u64, keyed: bool) -> Outcomes {
        let mut outcomes = Outcomes::default();
        for (way, bytes) in self.measured(shape).await {
            for step in 0..=steps + 1 {
                // The last one is behind whatever may go on beside the call.
                let beyond = if step > steps { 4096 } else { 0 };
                let client = self.client().await;
                let id = self.next_id();
                self.proxy.arm(way, bytes * step / steps + beyond);
                let key = keyed.then_some(id);
                let call = shape.call(&client, id, key);
                let outcome = within(AT_ONCE, call).await;
                self.proxy.disarm();
                let runs = self.runs(id).await;
                match outcome {
                    Outcome::Whole if keyed => assert!((1..=2).contains(&runs), "{id}: {runs}"),
                    Outcome::Whole => assert_eq!(runs, 1, "{id}"),
                    Outcome::Lost => {
                        assert!(!keyed, "{id} is lost although the node may make it again");
                        assert!(runs <= 1, "{id} ran {runs} times");
                    }
                }
                outcomes.count(&outcome, runs);
                leave(client).await;
            }
        }
        outcomes
    }

    /// Nothing may be left of all the calls, on either side.
    async fn end(self) {
        let idle = self.watching.ask::<()>(TALLY, "idle", ());
        within(AT_ONCE, idle).await.unwrap();
        // Of the last ones the callers may know before the server has counted them.
        let only_this_one = async {
            while soon(self.watching.ask::<Stats>("o://~", "stats", ()))
                .await
                .unwrap()
                .running
                > 1
            {}
        };
        within(AT_ONCE, only_this_one).await;
        stop([self.watcher]).await;
        self.server.stop().await;
    }
}

/// What is called.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Unary { bytes: usize },
    Server { items: usize, bytes: usize },
    Client { items: usize, bytes: usize },
    Both { items: usize, bytes: usize },
}

/// The error must be the one for a lost connection, and say what may be done.
fn lost(error: &CallError) -> Outcome {
    assert!(
        matches!(error, CallError::ConnectionLost { .. }),
        "{error:?}"
    );
    assert!(error.is_retryable() && !error.is_before_execution());
    Outcome::Lost
}

impl Shape {
    /// Makes the call and looks at its answer.
    async fn call(self, client: &Node, id: u64, key: Option<u64>) -> Outcome {
        let call = |method: &str| {
            let call = Call::to(address(TALLY), method.to_owned());
            let call = call.timeout(Duration::from_secs(60));
            match key {
                Some(key) => call.idempotency_key(key.to_string()),
                None => call,
            }
        };
        let text = |bytes| "x".repeat(bytes);
        let input = |items, bytes| stream::iter(std::iter::repeat_n((id, text(bytes)), items));
        match self {
            Self::Unary { bytes } => {
                let call = call("one").params((id, text(bytes)));
                match call.send::<String>(client).await {
                    Ok(answer) => {
                        assert_eq!(answer.len(), bytes);
                        Outcome::Whole
                    }
                    Err(error) => lost(&error),
                }
            }
            Self::Server { items, bytes } => {
                let call = call("many").params((id, items, text(bytes)));
                match call.stream::<String>(client).await {
                    Ok(answer) => read(answer, items, bytes).await,
                    Err(error) => lost(&error),
                }
            }
            Self::Client { items, bytes } => {
                let call = call("sum").client::<usize>(client, input(items, bytes));
                match call.await {
                    Ok(sum) => {
                        assert_eq!(sum, items * bytes);
                        Outcome::Whole
                    }
                    Err(error) => lost(&error),
                }
            }
            Self::Both { items, bytes } => {
                let call = call("both").bidirectional::<String>(client, input(items, bytes));
                match call.await {
                    Ok(answer) => read(answer, items, bytes).await,
                    Err(error) => lost(&error),
                }
            }
        }
    }
}

/// Reads a stream to its end: all items, or some and one error.
async fn read(mut answer: o_node::TypedStream<String>, items: usize, bytes: usize) -> Outcome {
    let mut count = 0;
    while let Some(item) = answer.next().await {
        match item {
            Ok(item) => {
                assert_eq!(item.len(), bytes);
                count += 1;
            }
            Err(error) => {
                assert_eq!(answer.next().await, None, "it ends twice");
                return lost(&error);
            }
        }
    }
    assert_eq!(count, items, "it ended early without saying so");
    Outcome::Whole
}

#[tokio::test]
async fn a_small_call_that_is_cut_at_every_other_byte_ends_once() {
    let mut scene = Scene::new().await;
    let shape = Shape::Unary { bytes: 10 };
    let bytes = scene.measured(shape).await[0].1;
    assert!(bytes > 50, "{bytes} bytes");
    let outcomes = scene.cut_everywhere(shape, bytes / 2, false).await;
    // In the request, in the answer, and behind it.
    assert!(
        outcomes.unheard > 0 && outcomes.unanswered > 0 && outcomes.whole > 0,
        "{outcomes:?}"
    );
    scene.end().await;
}

#[tokio::test]
async fn a_small_call_with_a_key_is_made_again_wherever_it_was_cut() {
    let mut scene = Scene::new().await;
    let shape = Shape::Unary { bytes: 10 };
    scene.cut_everywhere(shape, 24, true).await;
    assert!(scene.proxy.cuts() >= 25, "{} cuts", scene.proxy.cuts());
    scene.end().await;
}

#[tokio::test]
async fn a_call_with_bodies_in_many_frames_that_is_cut_anywhere_ends_once() {
    let mut scene = Scene::new().await;
    let shape = Shape::Unary { bytes: LARGE };
    let outcomes = scene.cut_everywhere(shape, 20, false).await;
    // In the middle of the request nothing ran, in the middle of the answer it did.
    assert!(outcomes.unheard >= 15, "{outcomes:?}");
    assert!(outcomes.unanswered >= 15, "{outcomes:?}");
    scene.cut_everywhere(shape, 20, true).await;
    scene.end().await;
}

#[tokio::test]
async fn streams_of_every_shape_that_are_cut_anywhere_end_once() {
    let mut scene = Scene::new().await;
    let (items, bytes) = (20, 9000);
    for shape in [
        Shape::Server { items, bytes },
        Shape::Client { items, bytes },
        Shape::Both { items, bytes },
    ] {
        let outcomes = scene.cut_everywhere(shape, 20, false).await;
        assert!(
            outcomes.unheard + outcomes.unanswered >= 20,
            "{shape:?}: {outcomes:?}"
        );
        // What was cut in the middle had begun.
        assert!(outcomes.unanswered >= 10, "{shape:?}: {outcomes:?}");
    }
    scene.end().await;
}

#[tokio::test]
async fn a_call_whose_connection_is_cut_while_it_is_made_ends_once() {
    let mut scene = Scene::new().await;
    // From the dial to the first answer.
    let ways = [Way::There, Way::Back];
    leave(scene.client().await).await;
    let bytes = ways.map(|way| scene.proxy.passed(way));
    let mut seen = Outcomes::default();
    for (way, bytes) in ways.into_iter().zip(bytes) {
        for step in 0..24 {
            let keyed = step % 2 == 1;
            let id = scene.next_id();
            scene.proxy.arm(way, bytes * step / 24);
            let newcomer = unconnected(&scene.server, &scene.proxy).await;
            let mut call = Call::to(address(TALLY), "one").params((id, "x"));
            if keyed {
                call = call.idempotency_key(id.to_string());
            }
            let outcome = within(AT_ONCE, call.send::<String>(&newcomer)).await;
            scene.proxy.disarm();
            let runs = scene.runs(id).await;
            let what = format!("{way:?} {step}: {outcome:?}, {runs} runs");
            match outcome {
                Ok(answer) => {
                    assert!(answer == "x" && (runs == 1 || keyed), "{what}");
                    seen.whole += 1;
                }
                // No connection came about: nothing can have run.
                Err(error @ CallError::Unreachable { .. }) => {
                    assert!(runs == 0 && error.is_retryable(), "{what}");
                    seen.unheard += 1;
                }
                // Of these two the node makes a call with a key again by itself.
                Err(
                    CallError::Refused { certain: false, .. } | CallError::ConnectionLost { .. },
                ) => {
                    assert!(runs <= 1 && !keyed, "{what}");
                    seen.unanswered += 1;
                }
                Err(_) => panic!("{what}"),
            }
            leave(newcomer).await;
        }
    }
    // In the handshakes, and after them: before the HELLO, and between it and the call.
    assert!(seen.unheard >= 5 && seen.unanswered >= 2, "{seen:?}");
    scene.end().await;
}

#[tokio::test]
async fn a_call_that_is_cut_before_its_first_byte_left_never_ran() {
    let mut scene = Scene::new().await;
    let client = scene.client().await;
    let id = scene.next_id();
    scene.proxy.arm(Way::There, 0);
    let shape = Shape::Unary { bytes: 10 };
    let outcome = within(AT_ONCE, shape.call(&client, id, None)).await;
    assert_eq!((outcome, scene.runs(id).await), (Outcome::Lost, 0));
    leave(client).await;
    scene.end().await;
}

#[tokio::test]
async fn a_call_that_is_cut_between_request_and_answer_is_cancelled_there_and_lost_here() {
    let mut scene = Scene::new().await;
    for keyed in [false, true] {
        let client = scene.client().await;
        let id = scene.next_id();
        let mut call = Call::to(address(TALLY), "hold").params(id);
        if keyed {
            call = call.idempotency_key(id.to_string());
        }
        let hold = call.timeout(Duration::from_secs(60)).send::<()>(&client);
        let mut hold = Box::pin(hold);
        let until_it_runs = |times| {
            let scene = &scene;
            async move {
                while scene.runs(id).await < times {
                    tokio::task::yield_now().await;
                }
            }
        };
        soon(async {
            tokio::select! {
                ended = &mut hold => panic!("{ended:?}"),
                () = until_it_runs(1) => scene.proxy.cut_one(0),
            }
        })
        .await;
        if keyed {
            // It runs once more over there, over a new connection.
            soon(async {
                tokio::select! {
                    ended = &mut hold => panic!("{ended:?}"),
                    () = until_it_runs(2) => {}
                }
            })
            .await;
        } else {
            let ended = within(AT_ONCE, &mut hold).await;
            assert_eq!(lost(&ended.unwrap_err()), Outcome::Lost);
            // The handler was dropped.
            let idle = scene.watching.ask::<()>(TALLY, "idle", ());
            within(AT_ONCE, idle).await.unwrap();
            assert_eq!(scene.runs(id).await, 1);
        }
        // Dropped, the second one ends over there as well.
        drop(hold);
        leave(client).await;
    }
    scene.end().await;
}

#[tokio::test]
async fn what_has_arrived_can_be_read_when_the_connection_is_cut_behind_it() {
    let mut scene = Scene::new().await;
    let client = scene.client().await;
    let (id, items) = (scene.next_id(), 5);
    let call = Call::to(address(TALLY), "many").params((id, items, "item"));
    let mut answer = soon(call.stream::<String>(&client)).await.unwrap();
    assert_eq!(soon(answer.next()).await, Some(Ok("item".to_owned())));
    // All of it is on its way; this answer comes after it.
    let idle = client.ask::<()>(TALLY, "idle", ());
    soon(idle).await.unwrap();
    let runs = client.ask::<u32>(TALLY, "runs", id);
    assert_eq!(soon(runs).await, Ok(1));
    scene.proxy.cut_one(0);
    soon(async {
        while client.pool_stats().unwrap().connections > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for _ in 1..items {
        assert_eq!(soon(answer.next()).await, Some(Ok("item".to_owned())));
    }
    assert_eq!(soon(answer.next()).await, None);
    leave(client).await;
    scene.end().await;
}
