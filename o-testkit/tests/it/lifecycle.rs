//! Start and stop of a memory node.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use o_core::{
    Body, BoxError, CallError, Caller, Event, Hook, Node, NodeState, OutgoingCall, Reply,
    StartError, StopError,
};
use o_testkit::{Directory, HostError, MemoryNetwork, MemoryNode, conformance::Probe, test_peer};
use tokio::time::Instant;

use crate::support::{Two, address, node, within};

fn tasks() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}

async fn echo(node: &MemoryNode, target: &str) -> Result<Body, CallError> {
    let call = OutgoingCall::unary(address(target), "echo", Body::raw("hello"));
    match within(node.call(call)).await? {
        Reply::One(body) => Ok(body),
        Reply::Stream(_) => panic!("a stream"),
    }
}

#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn write(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

#[derive(Debug)]
struct Logged {
    name: &'static str,
    log: Log,
    fails: Arc<Mutex<bool>>,
}

#[async_trait]
impl Hook for Logged {
    async fn initialize(&self) -> Result<(), BoxError> {
        self.log.write(format!("{} initializes", self.name));
        if *self.fails.lock().unwrap() {
            Err("no disk".into())
        } else {
            Ok(())
        }
    }

    async fn started(&self) -> Result<(), BoxError> {
        self.log.write(format!("{} has started", self.name));
        Ok(())
    }

    async fn stopped(&self) {
        self.log.write(format!("{} has stopped", self.name));
    }
}

#[tokio::test(start_paused = true)]
async fn hooks_run_in_order_and_a_failed_one_ends_the_start() {
    let (log, fails) = (Log::default(), Arc::new(Mutex::new(true)));
    let hook = |name, fails: &Arc<Mutex<bool>>| Logged {
        name,
        log: log.clone(),
        fails: fails.clone(),
    };
    let node = node(&MemoryNetwork::new(), &Directory::default(), 1)
        .hook(hook("a", &Arc::default()))
        .hook(hook("b", &fails))
        .hook(hook("c", &Arc::default()))
        .build();

    let error = node.start().await.unwrap_err();
    let StartError::Hook { source } = error else {
        panic!("{error:?}")
    };
    assert_eq!(source.to_string(), "no disk");
    assert_eq!(node.state(), NodeState::Stopped);
    assert_eq!(
        log.take(),
        [
            "a initializes",
            "b initializes",
            "b has stopped",
            "a has stopped"
        ]
    );

    *fails.lock().unwrap() = false;
    node.start().await.unwrap();
    assert_eq!(
        log.take()[3..],
        ["a has started", "b has started", "c has started"]
    );
    node.stop().await.unwrap();
    assert_eq!(
        log.take(),
        ["c has stopped", "b has stopped", "a has stopped"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_start_that_cannot_listen_leaves_nothing_behind() {
    let (network, directory) = (MemoryNetwork::new(), Directory::default());
    let taken = node(&network, &directory, 1)
        .listen("/memory/7".parse().unwrap())
        .build();
    taken.start().await.unwrap();
    let before = tasks();
    let late = node(&network, &directory, 2)
        .listen("/memory/7".parse().unwrap())
        .build();
    late.host(&address("o://late"), Probe::new()).unwrap();
    let error = late.start().await.unwrap_err();
    assert!(
        matches!(&error, StartError::Listen { address, .. } if address.as_str() == "/memory/7")
    );
    assert_eq!((late.state(), tasks()), (NodeState::Stopped, before));
    let error = echo(&taken, "o://late").await.unwrap_err();
    assert!(matches!(error, CallError::NotFound { .. }), "{error:?}");

    taken.stop().await.unwrap();
    late.start().await.unwrap();
    late.stop().await.unwrap();
    assert_eq!(tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn stop_waits_for_calls_that_run() {
    let two = Two::start().await;
    two.bob.host(&address("o://bob"), Slow).unwrap();
    let call = echo(&two.alice, "o://bob");
    let stop = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        two.bob.stop().await.unwrap();
        assert_eq!(two.bob.state(), NodeState::Stopped);
        // While it stopped, it took nothing new.
        let error = echo(&two.bob, "o://bob").await.unwrap_err();
        assert_eq!(error, CallError::ShuttingDown);
    };
    let before = Instant::now();
    assert_eq!(
        within(async { tokio::join!(call, stop).0 }).await,
        Ok(Body::raw("hello"))
    );
    assert_eq!(before.elapsed(), Duration::from_secs(3));
    let error = echo(&two.alice, "o://bob").await.unwrap_err();
    assert!(matches!(error, CallError::NotFound { .. }), "{error:?}");
    two.stop().await;
    assert_eq!(tasks(), 0);
}

/// Takes three seconds for an answer.
struct Slow;

#[async_trait]
impl o_core::Agent for Slow {
    fn methods(&self) -> Vec<o_core::MethodSpec> {
        vec![o_core::MethodSpec::new("echo", o_core::Shape::Unary)]
    }

    async fn call(&self, call: o_core::IncomingCall) -> Result<Reply, CallError> {
        tokio::time::sleep(Duration::from_secs(3)).await;
        Ok(Reply::One(call.body))
    }
}

#[tokio::test(start_paused = true)]
async fn stop_cancels_what_does_not_end() {
    let two = Two::start().await;
    let (far, near) = (Probe::new(), Probe::new());
    two.bob.host(&address("o://bob/far"), far.clone()).unwrap();
    two.alice
        .host(&address("o://alice/near"), near.clone())
        .unwrap();
    let hang = |target| OutgoingCall::unary(address(target), "hang", Body::default());
    let calls = async {
        tokio::join!(
            two.alice.call(hang("o://bob/far")),
            two.alice.call(hang("o://alice/near"))
        )
    };
    let stop = async {
        tokio::join!(far.wait_hanging(1), near.wait_hanging(1));
        two.alice.stop().await
    };
    let before = Instant::now();
    let ((over_there, in_here), stopped) = within(async { tokio::join!(calls, stop) }).await;
    assert!(
        matches!(stopped, Err(StopError::Cancelled { calls: 2, .. })),
        "{stopped:?}"
    );
    assert_eq!(before.elapsed(), Duration::from_secs(5));
    assert!(
        matches!(over_there, Err(CallError::ConnectionLost { .. })),
        "{over_there:?}"
    );
    assert!(
        matches!(in_here, Err(CallError::ShuttingDown)),
        "{in_here:?}"
    );
    within(far.wait_dropped(1)).await;
    assert_eq!(two.alice.state(), NodeState::Stopped);
    two.stop().await;
    assert_eq!(tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_restarted_node_is_found_and_called_again() {
    let two = Two::start().await;
    two.bob.host(&address("o://bob"), Probe::new()).unwrap();
    for _ in 0..3 {
        assert_eq!(echo(&two.alice, "o://bob").await, Ok(Body::raw("hello")));
        within(two.bob.stop()).await.unwrap();
        let error = echo(&two.alice, "o://bob").await.unwrap_err();
        assert!(matches!(error, CallError::NotFound { .. }), "{error:?}");
        two.bob.start().await.unwrap();
    }
    two.stop().await;
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_ends_everything() {
    let two = Two::start().await;
    two.bob.host(&address("o://bob"), Probe::new()).unwrap();
    echo(&two.alice, "o://bob").await.unwrap();
    assert!(tasks() > 0);
    let Two {
        network,
        alice,
        bob,
        ..
    } = two;
    drop((alice, bob));
    within(async {
        while tasks() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(network.connections(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_pinned_address_reaches_only_its_peer() {
    let two = Two::start().await;
    for node in [&two.alice, &two.bob] {
        node.host(&address("o://same"), Probe::new()).unwrap();
    }
    let who = async |pin| {
        let target = address("o://same").pinned(pin);
        let call = OutgoingCall::unary(target, "who", Body::default());
        match within(two.alice.call(call)).await? {
            Reply::One(body) => Ok(body.bytes),
            Reply::Stream(_) => panic!("a stream"),
        }
    };
    assert_eq!(who(two.alice.peer()).await.unwrap(), "nobody");
    assert_eq!(
        who(two.bob.peer()).await.unwrap(),
        two.alice.peer().to_string()
    );
    assert!(matches!(
        who(test_peer(9)).await,
        Err(CallError::NotFound { .. })
    ));
    two.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_known_peer_needs_no_resolver() {
    let two = Two::start().await;
    two.bob.host(&address("o://bob"), Probe::new()).unwrap();
    let carol = MemoryNode::builder(test_peer(3), two.network.transport(test_peer(3)))
        .known_peer(two.bob.peer(), two.bob.addresses())
        .build();
    carol.start().await.unwrap();
    let pinned = address("o://bob").pinned(two.bob.peer());
    assert_eq!(echo(&carol, pinned.as_str()).await, Ok(Body::raw("hello")));
    carol.stop().await.unwrap();
    two.stop().await;
}

#[tokio::test(start_paused = true)]
async fn names_are_hosted_once_and_withdrawn() {
    let two = Two::start().await;
    let name = address("o://bob");
    two.bob.host(&name, Probe::new()).unwrap();
    assert_eq!(two.bob.host(&name, Probe::new()), Err(HostError::Taken));
    let others = name.pinned(test_peer(9));
    assert_eq!(
        two.bob.host(&others, Probe::new()),
        Err(HostError::BadAddress)
    );
    assert_eq!(
        two.bob.host(&address("o://~"), Probe::new()),
        Err(HostError::BadAddress)
    );
    echo(&two.alice, "o://bob").await.unwrap();
    assert!(two.bob.withdraw(&name) && !two.bob.withdraw(&name));
    let error = echo(&two.alice, "o://bob").await.unwrap_err();
    assert!(matches!(error, CallError::NotFound { .. }), "{error:?}");

    let events = two.bob.events().recorded();
    let expected = [Event::Hosted(name.clone()), Event::Announced(name.clone())];
    assert!(events.windows(2).any(|pair| pair == expected), "{events:?}");
    assert!(events.contains(&Event::Withdrawn(name)));
    two.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nodes_of_two_networks_refuse_each_other() {
    let (network, directory) = (MemoryNetwork::new(), Directory::default());
    let alice = node(&network, &directory, 1).build();
    let bob = node(&network, &directory, 2)
        .config(|config| config.network = "other".parse().unwrap())
        .build();
    bob.host(&address("o://bob"), Probe::new()).unwrap();
    alice.start().await.unwrap();
    bob.start().await.unwrap();
    let error = echo(&alice, "o://bob").await.unwrap_err();
    assert!(
        matches!(error, CallError::Refused { certain: true, .. }),
        "{error:?}"
    );
    alice.stop().await.unwrap();
    bob.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_timeout_goes_by_the_clock_of_the_runtime_here_and_over_there() {
    let two = Two::start().await;
    two.bob.host(&address("o://bob"), Probe::new()).unwrap();
    // The machine's own clock has not moved on.
    tokio::time::advance(Duration::from_secs(3600)).await;
    let limit = Duration::from_secs(5);
    for node in [&two.alice, &two.bob] {
        let call = |method| OutgoingCall::unary(address("o://bob"), method, Body::raw("hello"));
        assert!(within(node.call(call("echo").timeout(limit))).await.is_ok());
        let begun = Instant::now();
        let error = within(node.call(call("hang").timeout(limit))).await;
        assert_eq!(error.unwrap_err(), CallError::TimedOut { after: limit });
        assert_eq!(begun.elapsed(), limit);
    }
    two.stop().await;
}
