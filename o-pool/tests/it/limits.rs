//! What is refused rather than queued without end.

use o_core::Direction;
use o_pool::{AcquireError, Link, Pool, PoolFull};

use crate::fake::{FakeLink, Result, SECOND, World, pass, peer, settle};

fn limit(result: Result) -> &'static str {
    match result {
        Err(AcquireError::Busy { limit }) => limit,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn callers_of_one_peer_are_bounded() {
    let mut world = World::new(|config| config.max_waiters_per_peer = 2);
    let callers = [world.caller(peer(1), &[]), world.caller(peer(1), &[])];
    let dial = world.dial().await;
    settle().await;
    assert_eq!(
        limit(world.pool.acquire(peer(1), &[]).await),
        "max_waiters_per_peer"
    );
    let other = world.caller(peer(2), &[]);
    world.dial().await.succeed();
    assert!(other.result().await.is_ok());
    dial.succeed();
    for caller in callers {
        assert!(caller.result().await.is_ok());
    }
    assert_eq!(world.pool.stats().refused_total, 1);
}

#[tokio::test(start_paused = true)]
async fn callers_in_all_are_bounded() {
    let mut world = World::new(|config| config.max_waiters = 2);
    let first = world.caller(peer(1), &[]);
    let second = world.caller(peer(2), &[]);
    let dial = world.dial().await;
    let _other = world.dial().await;
    assert_eq!(limit(world.pool.acquire(peer(1), &[]).await), "max_waiters");
    assert_eq!(limit(world.pool.acquire(peer(3), &[]).await), "max_waiters");
    // Who leaves makes room, and a live connection needs none.
    second.cancel().await;
    let third = world.caller(peer(3), &[]);
    world.dial().await.succeed();
    assert!(third.result().await.is_ok());
    dial.succeed();
    assert!(first.result().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn connections_are_bounded() {
    let mut world = World::new(|config| config.max_connections = 2);
    let first = world.connect(peer(1)).await;
    let second = world.connect(peer(2)).await;
    let lease = world.pool.existing(&peer(1)).unwrap();
    assert_eq!(
        limit(world.pool.acquire(peer(3), &[]).await),
        "max_connections"
    );
    let refused = FakeLink::new();
    let limit = "max_connections";
    assert_eq!(
        world
            .pool
            .adopt(peer(3), refused.clone(), Direction::Inbound),
        Err(PoolFull { limit })
    );
    assert_eq!(refused.end(), Some("too many connections"));
    assert_eq!((first.end(), second.end()), (None, None));
    // The high water mark is 2 as well: after the grace the unused one makes room for the third.
    pass(SECOND * 20).await;
    world.connect(peer(3)).await;
    assert_eq!(
        (first.end(), second.end()),
        (None, Some("too many connections"))
    );
    assert_eq!(world.pool.stats().connections, 2);
    assert!(lease.is_alive());
}

#[tokio::test(start_paused = true)]
async fn a_senseless_configuration_is_refused() {
    let (sender, _dials) = tokio::sync::mpsc::channel(1);
    let mut config = o_pool::PoolConfig::default();
    config.max_dialing = 0;
    let dialer = crate::fake::FakeDialer::new(sender);
    let error = Pool::new(config, dialer).map(|_| ()).unwrap_err();
    assert_eq!(error.to_string(), "max_dialing must be from 1 to 1000000");
}
