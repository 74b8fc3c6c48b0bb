//! A dialer whose dials the test answers, connections that the test kills, and a pool that runs.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "test helpers fail their test by panicking"
)]

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures::{FutureExt, future::BoxFuture};
use o_address::{PeerId, TransportAddr};
use o_core::DialError;
use o_pool::{AcquireError, Dialer, Lease, Link, Pool, PoolConfig};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::timeout,
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) type Result = std::result::Result<Lease<FakeLink>, AcquireError>;

/// A connection that lives until it is closed or killed.
#[derive(Clone, Debug)]
pub(crate) struct FakeLink {
    id: u64,
    /// Why it died, once it has.
    end: Arc<watch::Sender<Option<&'static str>>>,
    active: Arc<AtomicUsize>,
}

impl FakeLink {
    pub(crate) fn new() -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            end: Arc::new(watch::Sender::new(None)),
            active: Arc::default(),
        }
    }

    pub(crate) fn end(&self) -> Option<&'static str> {
        *self.end.borrow()
    }

    /// How many wait for its end.
    pub(crate) fn watchers(&self) -> usize {
        self.end.receiver_count()
    }

    pub(crate) fn set_active(&self, calls: usize) {
        self.active.store(calls, Ordering::Relaxed);
    }
}

impl Link for FakeLink {
    fn id(&self) -> u64 {
        self.id
    }

    fn is_alive(&self) -> bool {
        self.end().is_none()
    }

    fn active_calls(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    fn close(&self, reason: &'static str) {
        self.end.send_replace(Some(reason));
    }

    fn closed(&self) -> BoxFuture<'static, ()> {
        let mut end = self.end.subscribe();
        async move {
            // An error: all handles are gone.
            let _ = end.wait_for(Option::is_some).await;
        }
        .boxed()
    }
}

/// A dial under way, which the test answers.
#[derive(Debug)]
pub(crate) struct Dialing {
    pub(crate) peer: PeerId,
    pub(crate) addresses: Vec<TransportAddr>,
    answer: oneshot::Sender<std::result::Result<FakeLink, DialError>>,
}

impl Dialing {
    pub(crate) fn succeed(self) -> FakeLink {
        let link = FakeLink::new();
        self.answer.send(Ok(link.clone())).expect("dial is alive");
        link
    }

    pub(crate) fn fail(self) {
        let peer = self.peer;
        let reason = "nobody there".into();
        self.fail_with(DialError::Failed { peer, reason });
    }

    pub(crate) fn fail_with(self, error: DialError) {
        self.answer.send(Err(error)).expect("dial is alive");
    }

    pub(crate) fn is_dropped(&self) -> bool {
        self.answer.is_closed()
    }

    pub(crate) async fn dropped(&mut self) {
        within(self.answer.closed()).await;
    }
}

#[derive(Debug)]
pub(crate) struct FakeDialer(mpsc::Sender<Dialing>);

impl FakeDialer {
    pub(crate) fn new(dials: mpsc::Sender<Dialing>) -> Self {
        Self(dials)
    }
}

#[async_trait]
impl Dialer for FakeDialer {
    type Link = FakeLink;

    async fn dial(
        &self,
        peer: PeerId,
        addresses: Vec<TransportAddr>,
    ) -> std::result::Result<FakeLink, DialError> {
        let (answer, answered) = oneshot::channel();
        let dialing = Dialing {
            peer,
            addresses,
            answer,
        };
        self.0.send(dialing).await.expect("the test takes dials");
        answered.await.unwrap_or(Err(DialError::Shutdown))
    }
}

/// A pool, its dials, and the task that looks after it.
pub(crate) struct World {
    pub(crate) pool: Pool<FakeDialer>,
    dials: mpsc::Receiver<Dialing>,
    pub(crate) running: JoinSet<()>,
}

impl World {
    pub(crate) fn new(change: impl FnOnce(&mut PoolConfig)) -> Self {
        let mut config = PoolConfig::default();
        config.jitter_seed = Some(3);
        config.backoff_jitter = 0.0;
        change(&mut config);
        let (sender, dials) = mpsc::channel(1024);
        let (pool, run) = Pool::new(config, FakeDialer::new(sender)).unwrap();
        let mut running = JoinSet::new();
        running.spawn(run);
        Self {
            pool,
            dials,
            running,
        }
    }

    /// The next dial that begins.
    pub(crate) async fn dial(&mut self) -> Dialing {
        within(self.dials.recv()).await.expect("a dialer")
    }

    /// A dial that has begun already.
    pub(crate) async fn dial_now(&mut self) -> Option<Dialing> {
        settle().await;
        self.dials.try_recv().ok()
    }

    /// A caller of its own, who waits in a task.
    pub(crate) fn caller(&self, peer: PeerId, addresses: &[TransportAddr]) -> Caller {
        let (pool, addresses) = (self.pool.clone(), addresses.to_vec());
        let mut task = JoinSet::new();
        task.spawn(async move { pool.acquire(peer, &addresses).await });
        Caller(task)
    }

    /// A connection that is dialed for this.
    pub(crate) async fn connect(&mut self, peer: PeerId) -> FakeLink {
        let caller = self.caller(peer, &[]);
        let link = self.dial().await.succeed();
        let lease = caller.result().await.expect("the dial succeeds");
        assert_eq!(lease.id(), link.id());
        link
    }
}

/// Somebody who waits for a connection. Dropping it cancels the wait.
pub(crate) struct Caller(JoinSet<Result>);

impl Caller {
    pub(crate) async fn result(mut self) -> Result {
        let joined = within(self.0.join_next()).await;
        joined.expect("one task").expect("no panic")
    }

    pub(crate) async fn cancel(mut self) {
        within(self.0.shutdown()).await;
    }
}

/// The outcome, or a failed test after a minute of the paused time.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    let minute = Duration::from_secs(60);
    timeout(minute, future).await.expect("it takes too long")
}

/// Lets every task run until all of them wait for something.
pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// Lets time pass, in steps small enough for every timer on the way.
pub(crate) async fn pass(time: Duration) {
    settle().await;
    tokio::time::sleep(time).await;
    settle().await;
}

pub(crate) fn peer(number: u8) -> PeerId {
    PeerId::from_bytes(&[0, 1, number]).unwrap()
}

pub(crate) fn address(number: u8) -> TransportAddr {
    format!("/memory/{number}").parse().unwrap()
}

pub(crate) fn dial_error(result: Result) -> Arc<DialError> {
    match result {
        Err(AcquireError::Dial(error)) => error,
        other => panic!("no failed dial: {other:?}"),
    }
}

pub(crate) fn retry_in(result: Result) -> Duration {
    match &*dial_error(result) {
        DialError::BackingOff { retry_in, .. } => *retry_in,
        other => panic!("no pause: {other:?}"),
    }
}
