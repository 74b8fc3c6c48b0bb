//! The end of a pool.

use o_core::Direction;
use o_pool::{AcquireError, Link, PoolFull};

use crate::fake::{FakeLink, World, peer, settle, within};

#[tokio::test(start_paused = true)]
async fn closing_ends_everything_and_everybody_hears_of_it() {
    let mut world = World::new(|config| config.max_dialing = 1);
    let link = world.connect(peer(1)).await;
    let lease = world.pool.existing(&peer(1)).unwrap();
    let dialing = world.caller(peer(2), &[]);
    let mut dial = world.dial().await;
    let queued = world.caller(peer(3), &[]);
    settle().await;

    world.pool.close_all();
    assert_eq!(link.end(), Some("the node shuts down"));
    assert!(!lease.is_alive());
    for caller in [dialing, queued] {
        assert!(matches!(caller.result().await, Err(AcquireError::Closed)));
    }
    dial.dropped().await;
    let late = world.pool.acquire(peer(1), &[]).await;
    assert!(matches!(late, Err(AcquireError::Closed)));
    let link = FakeLink::new();
    let limit = "closed";
    assert_eq!(
        world.pool.adopt(peer(1), link.clone(), Direction::Inbound),
        Err(PoolFull { limit })
    );
    assert!(!link.is_alive());
    within(world.running.join_next()).await.unwrap().unwrap();
    let stats = world.pool.stats();
    assert_eq!(
        (
            stats.connections,
            stats.dialing,
            stats.queued,
            stats.waiters
        ),
        (0, 0, 0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_ends_the_run() {
    let mut world = World::new(|_| ());
    let link = world.connect(peer(1)).await;
    let World { pool, running, .. } = &mut world;
    let clone = pool.clone();
    settle().await;
    assert!(running.try_join_next().is_none());
    drop(clone);
    drop(world.pool);
    within(world.running.join_next()).await.unwrap().unwrap();
    assert!(link.is_alive(), "closing is asked for, not implied");
}
