//! What the pool closes by itself while it runs.

use o_core::Direction;
use o_pool::Link;

use crate::fake::{FakeLink, SECOND, World, pass, peer};

#[tokio::test(start_paused = true)]
async fn idle_time_begins_when_the_last_lease_ends() {
    let mut world = World::new(|config| config.idle_timeout = SECOND * 10);
    let link = world.connect(peer(1)).await;
    let lease = world.pool.acquire(peer(1), &[]).await.unwrap();
    let clone = lease.clone();
    drop(lease);
    pass(SECOND * 30).await;
    assert_eq!(link.end(), None, "a clone is a lease");
    drop(clone);
    pass(SECOND * 9).await;
    assert_eq!(link.end(), None);
    pass(SECOND * 2).await;
    assert_eq!(link.end(), Some("idle"));
    assert_eq!(world.pool.stats().evicted_idle, 1);
    let second = world.connect(peer(1)).await;
    assert_ne!(second.id(), link.id());
}

#[tokio::test(start_paused = true)]
async fn inbound_busy_and_protected_connections_are_spared() {
    let mut world = World::new(|config| config.idle_timeout = SECOND * 10);
    let inbound = FakeLink::new();
    world
        .pool
        .adopt(peer(1), inbound.clone(), Direction::Inbound)
        .unwrap();
    let busy = world.connect(peer(2)).await;
    busy.set_active(1);
    world.pool.protect(peer(3)).unwrap();
    let protected = world.connect(peer(3)).await;
    pass(SECOND * 100).await;
    assert_eq!([inbound.end(), busy.end(), protected.end()], [None; 3]);
    busy.set_active(0);
    world.pool.unprotect(&peer(3));
    pass(SECOND * 12).await;
    let idle = Some("idle");
    assert_eq!(
        [inbound.end(), busy.end(), protected.end()],
        [None, idle, idle]
    );
}

#[tokio::test(start_paused = true)]
async fn above_the_high_mark_the_least_recently_used_go() {
    let mut world = World::new(|config| {
        config.high_water = Some(6);
        config.low_water = Some(3);
        config.grace = SECOND * 5;
    });
    let mut links = Vec::new();
    for number in 0..6 {
        links.push(world.connect(peer(number)).await);
        pass(SECOND).await;
    }
    pass(SECOND * 5).await;
    assert!(links.iter().all(Link::is_alive), "the mark is not passed");
    // 0 is used again, 1 is leased, 2 is busy; 6 is new, and one too many.
    drop(world.pool.acquire(peer(0), &[]).await.unwrap());
    let lease = world.pool.acquire(peer(1), &[]).await.unwrap();
    links[2].set_active(1);
    links.push(world.connect(peer(6)).await);
    pass(SECOND / 2).await;
    let lru = Some("least recently used");
    let ends: Vec<_> = links.iter().map(FakeLink::end).collect();
    assert_eq!(ends, [lru, None, None, lru, lru, lru, None]);
    assert_eq!(world.pool.stats().evicted_lru, 4);
    drop(lease);
}

#[tokio::test(start_paused = true)]
async fn what_is_new_or_protected_waits_for_its_turn() {
    let mut world = World::new(|config| {
        config.high_water = Some(2);
        config.low_water = Some(1);
        config.grace = SECOND * 5;
    });
    world.pool.protect(peer(0)).unwrap();
    let mut links = Vec::new();
    for number in 0..4 {
        links.push(world.connect(peer(number)).await);
    }
    pass(SECOND * 4).await;
    assert!(links.iter().all(Link::is_alive), "all are in their grace");
    pass(SECOND * 2).await;
    let lru = Some("least recently used");
    let ends: Vec<_> = links.iter().map(FakeLink::end).collect();
    assert_eq!(ends, [None, lru, lru, lru]);
}

#[tokio::test(start_paused = true)]
async fn a_short_use_that_nobody_saw_counts() {
    let mut world = World::new(|config| {
        config.idle_timeout = SECOND * 10;
        config.poll_interval = SECOND * 8;
    });
    let link = world.connect(peer(1)).await;
    pass(SECOND * 9).await;
    drop(world.pool.acquire(peer(1), &[]).await.unwrap());
    pass(SECOND * 8).await;
    assert_eq!(link.end(), None, "it was used eight seconds ago");
    pass(SECOND * 8).await;
    assert_eq!(link.end(), Some("idle"));
}
