//! Tests of the shared set: limits, sharing, poisoning.

use std::thread;

use super::*;
use crate::test_peers::peer;

#[test]
fn insert_and_remove_say_what_changed() {
    let set = PeerSet::with_capacity(4);
    assert_eq!(set.insert(peer(1)), Ok(true));
    assert_eq!(set.insert(peer(1)), Ok(false));
    assert_eq!(set.len(), 1);
    assert!(set.remove(&peer(1)));
    assert!(!set.remove(&peer(1)));
    assert_eq!(set.len(), 0);
}

#[test]
fn a_full_set_refuses_new_peers_and_keeps_the_old_ones() {
    let set = PeerSet::with_capacity(2);
    assert_eq!(set.insert(peer(1)), Ok(true));
    assert_eq!(set.insert(peer(2)), Ok(true));
    assert_eq!(set.insert(peer(3)), Err(ListFull { limit: 2 }));
    assert_eq!(set.insert(peer(2)), Ok(false), "it is there already");
    assert_eq!(set.peers(), [peer(1), peer(2)]);
    assert!(set.remove(&peer(1)));
    assert_eq!(set.insert(peer(3)), Ok(true));
    assert_eq!(set.peers(), [peer(2), peer(3)]);
}

#[test]
fn a_set_for_nobody_takes_nobody() {
    let set = PeerSet::with_capacity(0);
    assert_eq!(set.insert(peer(1)), Err(ListFull { limit: 0 }));
}

#[test]
fn construction_counts_different_peers_only() {
    let twice = PeerSet::from_peers(2, [peer(2), peer(1), peer(2), peer(1)]);
    assert_eq!(twice.map(|set| set.peers()), Ok(vec![peer(1), peer(2)]));
    let three = PeerSet::from_peers(2, [peer(1), peer(2), peer(3)]);
    assert_eq!(three.map(|set| set.len()), Err(ListFull { limit: 2 }));
}

#[test]
fn replace_is_all_or_nothing() {
    let set = PeerSet::with_capacity(2);
    assert_eq!(set.replace([peer(1), peer(2)]), Ok(()));
    let many = [peer(3), peer(4), peer(5)];
    assert_eq!(set.replace(many), Err(ListFull { limit: 2 }));
    assert_eq!(set.peers(), [peer(1), peer(2)]);
    assert_eq!(set.replace([peer(3)]), Ok(()));
    assert_eq!(set.peers(), [peer(3)]);
    assert_eq!(set.replace([]), Ok(()));
    assert_eq!(set.len(), 0);
}

#[test]
fn clones_share_across_threads_and_the_limit_holds_under_contention() {
    let set = PeerSet::with_capacity(50);
    let accepted: usize = thread::scope(|scope| {
        let writers: Vec<_> = (0..4u8)
            .map(|writer| {
                let set = set.clone();
                scope.spawn(move || {
                    let keys = (0..40).map(|i| writer * 40 + i);
                    keys.filter(|&key| set.insert(peer(key)) == Ok(true))
                        .count()
                })
            })
            .collect();
        writers.into_iter().map(|w| w.join().unwrap_or(0)).sum()
    });
    assert_eq!(accepted, 50);
    assert_eq!(set.len(), 50);
}

#[test]
fn a_poisoned_lock_still_serves() {
    let set = PeerSet::with_capacity(2);
    assert_eq!(set.insert(peer(1)), Ok(true));
    let poisoned = thread::scope(|scope| {
        let panicking = scope.spawn(|| {
            let _guard = set.shared.peers.write();
            panic!("poisons the lock, on purpose");
        });
        panicking.join().is_err()
    });
    assert!(poisoned && set.shared.peers.is_poisoned());
    assert!(set.contains(&peer(1)));
    assert_eq!(set.insert(peer(2)), Ok(true));
    assert_eq!(set.len(), 2);
}
