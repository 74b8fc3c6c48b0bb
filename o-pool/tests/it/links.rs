//! Connections that die, come from the other side, or are taken out.

use o_core::Direction;
use o_pool::Link;

use crate::fake::{FakeLink, World, peer, settle};

#[tokio::test(start_paused = true)]
async fn a_dead_connection_is_noticed_and_replaced() {
    let mut world = World::new(|_| ());
    let first = world.connect(peer(1)).await;
    settle().await;
    let lease = world.pool.existing(&peer(1)).unwrap();
    first.close("killed by the test");
    settle().await;
    let stats = world.pool.stats();
    assert_eq!(
        (stats.connections, stats.lost_total),
        (0, 1),
        "noticed without being asked for"
    );
    assert!(!lease.is_alive());
    assert!(world.pool.existing(&peer(1)).is_none());
    let second = world.connect(peer(1)).await;
    assert_ne!(first.id(), second.id());
}

#[tokio::test(start_paused = true)]
async fn a_dead_connection_is_not_lent_although_nobody_watches() {
    let mut world = World::new(|_| ());
    world.running.shutdown().await;
    let first = world.connect(peer(1)).await;
    first.close("killed by the test");
    assert!(world.pool.existing(&peer(1)).is_none());
    let second = world.connect(peer(1)).await;
    assert_ne!(first.id(), second.id());
    assert_eq!(world.pool.stats().lost_total, 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_from_the_other_side_is_used() {
    let mut world = World::new(|_| ());
    let link = FakeLink::new();
    let pool = world.pool.clone();
    pool.adopt(peer(1), link.clone(), Direction::Inbound)
        .unwrap();
    pool.adopt(peer(1), link.clone(), Direction::Inbound)
        .unwrap();
    let lease = pool.acquire(peer(1), &[]).await.unwrap();
    assert_eq!(
        (lease.id(), lease.direction()),
        (link.id(), Direction::Inbound)
    );
    assert_eq!(lease.peer(), &peer(1));
    let stats = pool.stats();
    assert_eq!((stats.dials_total, stats.adopted_total), (0, 1));
    assert_eq!((stats.connections, stats.inbound, stats.leases), (1, 1, 1));
    assert!(world.dial_now().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_fails_falls_back_on_it() {
    let mut world = World::new(|_| ());
    let caller = world.caller(peer(1), &[]);
    let dial = world.dial().await;
    let link = FakeLink::new();
    world
        .pool
        .adopt(peer(1), link.clone(), Direction::Inbound)
        .unwrap();
    dial.fail();
    assert_eq!(caller.result().await.unwrap().id(), link.id());
}

#[tokio::test(start_paused = true)]
async fn forgotten_is_not_closed_and_disconnected_is() {
    let mut world = World::new(|_| ());
    let first = world.connect(peer(1)).await;
    assert!(world.pool.forget(&peer(1), &first));
    assert!(!world.pool.forget(&peer(1), &first));
    assert_eq!(first.end(), None);
    let second = world.connect(peer(1)).await;
    let third = FakeLink::new();
    world
        .pool
        .adopt(peer(1), third.clone(), Direction::Inbound)
        .unwrap();
    let lease = world.pool.existing(&peer(1)).unwrap();
    assert_eq!(world.pool.disconnect(&peer(1), "blocked"), 2);
    assert_eq!(
        (second.end(), third.end()),
        (Some("blocked"), Some("blocked"))
    );
    assert!(!lease.is_alive());
    assert_eq!(world.pool.disconnect(&peer(1), "blocked"), 0);
    settle().await;
    assert_eq!(world.pool.stats().lost_total, 0, "nothing died by itself");
}

#[tokio::test(start_paused = true)]
async fn nobody_watches_what_has_left() {
    let mut world = World::new(|_| ());
    let link = world.connect(peer(1)).await;
    settle().await;
    assert_eq!(link.watchers(), 1);
    assert!(world.pool.forget(&peer(1), &link));
    settle().await;
    assert_eq!(link.watchers(), 0);
}
