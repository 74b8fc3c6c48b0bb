//! One dial for all who wait, what it says to them, and the pause after a failure.

use std::sync::Arc;

use o_core::{DialError, Direction};
use o_pool::Link;

use crate::fake::{
    FakeLink, SECOND, World, address, dial_error, pass, peer, retry_in, settle, within,
};

#[tokio::test(start_paused = true)]
async fn a_hundred_callers_share_one_dial() {
    let mut world = World::new(|_| ());
    let callers: Vec<_> = (0..100).map(|_| world.caller(peer(1), &[])).collect();
    let dial = world.dial().await;
    settle().await;
    assert_eq!(world.pool.stats().waiters, 100);
    let link = dial.succeed();
    let mut leases = Vec::new();
    for caller in callers {
        leases.push(caller.result().await.unwrap());
    }
    assert!(leases.iter().all(|lease| lease.id() == link.id()));
    assert!(world.dial_now().await.is_none());
    let stats = world.pool.stats();
    assert_eq!(
        (stats.dials_total, stats.leases, stats.waiters),
        (1, 100, 0)
    );
    drop(leases);
    assert_eq!(world.pool.stats().leases, 0);

    let again = world.pool.acquire(peer(1), &[]).await.unwrap();
    assert_eq!(again.id(), link.id());
    assert_eq!(world.pool.stats().dials_total, 1);
}

#[tokio::test(start_paused = true)]
async fn the_first_caller_may_leave() {
    let mut world = World::new(|_| ());
    let first = world.caller(peer(1), &[]);
    let dial = world.dial().await;
    let others = [world.caller(peer(1), &[]), world.caller(peer(1), &[])];
    settle().await;
    first.cancel().await;
    settle().await;
    assert!(!dial.is_dropped());
    let link = dial.succeed();
    for other in others {
        assert_eq!(other.result().await.unwrap().id(), link.id());
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_caller_takes_the_dial_along() {
    let mut world = World::new(|_| ());
    let callers = [world.caller(peer(1), &[]), world.caller(peer(1), &[])];
    let mut dial = world.dial().await;
    for caller in callers {
        assert!(!dial.is_dropped());
        caller.cancel().await;
    }
    dial.dropped().await;
    let stats = world.pool.stats();
    assert_eq!(
        (stats.dialing, stats.dials_cancelled, stats.waiters),
        (0, 1, 0)
    );
    // It says nothing about the peer, so the next dial follows at once.
    world.connect(peer(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_everybodys_and_then_there_is_a_pause() {
    let mut world = World::new(|_| ());
    let callers: Vec<_> = (0..5)
        .map(|_| world.caller(peer(1), &[address(1)]))
        .collect();
    let dial = world.dial().await;
    assert_eq!(dial.addresses, [address(1)]);
    settle().await;
    dial.fail();
    let mut errors = Vec::new();
    for caller in callers {
        errors.push(dial_error(caller.result().await));
    }
    assert!(matches!(*errors[0], DialError::Failed { .. }));
    assert!(errors.iter().all(|error| Arc::ptr_eq(error, &errors[0])));

    // Within the pause the answer comes at once, with what the dial said.
    let refused = dial_error(world.pool.acquire(peer(1), &[address(1)]).await);
    assert!(refused.to_string().contains("nobody there"), "{refused}");
    assert_eq!(retry_in(world.pool.acquire(peer(1), &[]).await), SECOND);
    pass(SECOND / 2).await;
    assert_eq!(retry_in(world.pool.acquire(peer(1), &[]).await), SECOND / 2);
    assert!(world.dial_now().await.is_none());

    // After it the next failure makes it longer, and success forgets it all.
    pass(SECOND / 2).await;
    let caller = world.caller(peer(1), &[]);
    world.dial().await.fail();
    assert!(caller.result().await.is_err());
    assert_eq!(retry_in(world.pool.acquire(peer(1), &[]).await), SECOND * 2);
    pass(SECOND * 2).await;
    world.connect(peer(1)).await.close("test");
    let caller = world.caller(peer(1), &[]);
    world.dial().await.fail();
    assert!(caller.result().await.is_err());
    assert_eq!(retry_in(world.pool.acquire(peer(1), &[]).await), SECOND);
    world.pool.clear_backoff(Some(&peer(1)));
    world.connect(peer(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_new_address_is_tried_within_the_pause() {
    let mut world = World::new(|_| ());
    let caller = world.caller(peer(1), &[address(1)]);
    world.dial().await.fail();
    assert!(caller.result().await.is_err());
    let caller = world.caller(peer(1), &[address(1), address(2)]);
    let dial = world.dial().await;
    assert_eq!(dial.addresses, [address(2)]);
    dial.succeed();
    assert!(caller.result().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn who_joins_with_a_better_address_has_it_tried() {
    let mut world = World::new(|_| ());
    let first = world.caller(peer(1), &[address(1)]);
    let dial = world.dial().await;
    let second = world.caller(peer(1), &[address(2)]);
    settle().await;
    dial.fail();
    assert!(first.result().await.is_err());
    let dial = world.dial().await;
    assert_eq!(dial.addresses, [address(2)]);
    dial.succeed();
    assert!(second.result().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_second_dial_for_a_better_address_is_the_last() {
    let mut world = World::new(|_| ());
    let first = world.caller(peer(1), &[address(1)]);
    let dial = world.dial().await;
    let second = world.caller(peer(1), &[address(1), address(2)]);
    settle().await;
    dial.fail();
    let dial = world.dial().await;
    assert_eq!(dial.addresses, [address(2)]);
    dial.fail();
    assert!(first.result().await.is_err());
    assert!(matches!(
        *dial_error(second.result().await),
        DialError::Failed { .. }
    ));
    assert!(world.dial_now().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn peers_are_dialed_in_parallel() {
    let mut world = World::new(|_| ());
    let callers = [world.caller(peer(1), &[]), world.caller(peer(2), &[])];
    let dials = [world.dial().await, world.dial().await];
    assert_ne!(dials[0].peer, dials[1].peer);
    assert_eq!(world.pool.stats().dialing, 2);
    for dial in dials {
        dial.succeed();
    }
    for caller in callers {
        assert!(caller.result().await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn dials_queue_for_a_place() {
    let mut world = World::new(|config| config.max_dialing = 2);
    let mut callers = Vec::new();
    for number in 1..=5 {
        callers.push(world.caller(peer(number), &[]));
        settle().await;
    }
    let first = world.dial().await;
    let second = world.dial().await;
    assert!(world.dial_now().await.is_none());
    let stats = world.pool.stats();
    assert_eq!((stats.dialing, stats.queued, stats.dials_total), (2, 3, 2));

    // The third gives up in the queue, and is never dialed; the fourth gets the place.
    callers.remove(2).cancel().await;
    first.fail();
    let fourth = world.dial().await;
    assert_eq!(fourth.peer, peer(4));
    assert!(world.dial_now().await.is_none());
    // A dial that is dropped leaves its place too.
    callers.remove(1).cancel().await;
    assert!(second.is_dropped());
    assert_eq!(world.dial().await.peer, peer(5));
    assert_eq!(world.pool.stats().queued, 0);
    fourth.succeed();
}

#[tokio::test(start_paused = true)]
async fn a_queued_dial_uses_what_has_come_meanwhile() {
    let mut world = World::new(|config| config.max_dialing = 1);
    let first = world.caller(peer(1), &[]);
    let dial = world.dial().await;
    let second = world.caller(peer(2), &[]);
    settle().await;
    let link = FakeLink::new();
    world
        .pool
        .adopt(peer(2), link.clone(), Direction::Inbound)
        .unwrap();
    dial.succeed();
    assert!(first.result().await.is_ok());
    assert_eq!(second.result().await.unwrap().id(), link.id());
    assert!(world.dial_now().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_caller_in_a_select_drives_the_dial_alone() {
    let mut world = World::new(|_| ());
    let pool = world.pool.clone();
    let mut acquire = Box::pin(pool.acquire(peer(1), &[]));
    let dial = tokio::select! {
        _ = &mut acquire => panic!("nobody has answered"),
        dial = world.dial() => dial,
    };
    // Nobody has polled this one since; another caller joins, drives and is served.
    let other = world.caller(peer(1), &[]);
    settle().await;
    let link = dial.succeed();
    assert_eq!(other.result().await.unwrap().id(), link.id());
    assert_eq!(within(acquire).await.unwrap().id(), link.id());
}
