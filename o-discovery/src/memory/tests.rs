//! The directory: sequence numbers, expiry, tombstones, limits.

use std::time::Duration;

use o_core::Record;
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::testing::{peer, record, signed, tombstone};

const HOUR: Duration = Duration::from_secs(3600);

fn directory(config: MemoryConfig) -> Directory {
    Directory::new(NetworkId::default(), config)
}

fn name(text: &str) -> Query {
    Query::Name(text.parse().unwrap())
}

fn capability(text: &str) -> Query {
    Query::Capability(text.parse().unwrap())
}

/// The sequence numbers that are found.
fn sequences(directory: &Directory, query: &Query, now: SystemTime) -> Vec<u64> {
    let found = directory.find(query, now);
    found
        .iter()
        .map(|provider| provider.record.as_ref().unwrap().record().sequence)
        .collect()
}

fn reason(result: Result<(), DiscoveryError>) -> String {
    match result.unwrap_err() {
        DiscoveryError::BadRecord { reason } => reason,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn what_one_clone_announces_the_other_finds() {
    let ours = MemoryDiscovery::default();
    let theirs = ours.clone();
    let announced = signed(record("o://a/b", peer(1), 1, SystemTime::now()));
    ours.announce(&announced).await.unwrap();

    for query in [name("o://a/b"), capability("text/summarize")] {
        let found: Vec<_> = theirs.find(query).map(Result::unwrap).collect().await;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].peer, peer(1));
        assert_eq!(found[0].sources, [o_core::Source::Memory]);
        assert_eq!(found[0].addresses, announced.record().addresses);
        assert_eq!(found[0].record.as_ref(), Some(&announced));
        assert!(!found[0].confirmed);
    }
    assert_eq!(theirs.find(name("o://a")).count().await, 0);
    assert_eq!(theirs.find(capability("text")).count().await, 0);

    theirs
        .withdraw(&tombstone(announced.record()))
        .await
        .unwrap();
    assert_eq!(ours.find(name("o://a/b")).count().await, 0);
    assert!(ours.is_empty());
}

#[test]
fn a_pin_decides_between_two_peers_of_one_name() {
    let now = SystemTime::now();
    let mut directory = directory(MemoryConfig::default());
    directory
        .announce(&signed(record("o://a", peer(1), 1, now)), now)
        .unwrap();
    directory
        .announce(&signed(record("o://a", peer(2), 2, now)), now)
        .unwrap();
    assert_eq!(sequences(&directory, &name("o://a"), now), [1, 2]);
    let pinned = name(&format!("o://a#{}", peer(2)));
    assert_eq!(sequences(&directory, &pinned, now), [2]);
}

#[test]
fn two_names_of_one_peer_are_two_answers() {
    let now = SystemTime::now();
    let mut directory = directory(MemoryConfig::default());
    directory
        .announce(&signed(record("o://a", peer(1), 1, now)), now)
        .unwrap();
    directory
        .announce(&signed(record("o://b", peer(1), 2, now)), now)
        .unwrap();
    assert_eq!(
        sequences(&directory, &capability("text/summarize"), now),
        [1, 2]
    );
}

#[test]
fn an_expired_record_is_not_found_and_makes_room() {
    let now = SystemTime::now();
    let later = now + 2 * HOUR;
    let mut directory = directory(MemoryConfig {
        max_records: 1,
        ..MemoryConfig::default()
    });
    directory
        .announce(&signed(record("o://a", peer(1), 1, now)), now)
        .unwrap();
    let second = signed(record("o://b", peer(1), 1, later));
    assert!(matches!(
        directory.announce(&second, now),
        Err(DiscoveryError::Busy {
            limit: "max_records"
        })
    ));
    assert_eq!(sequences(&directory, &name("o://a"), now), [1]);
    assert!(sequences(&directory, &name("o://a"), later).is_empty());
    directory.announce(&second, later).unwrap();
    assert_eq!(directory.len(), 1);
    let stale = signed(record("o://b", peer(1), 2, now));
    assert_eq!(reason(directory.announce(&stale, later)), "it has expired");
}

#[test]
fn withdrawals_are_bounded_and_a_full_directory_changes_nothing() {
    let now = SystemTime::now();
    let mut directory = directory(MemoryConfig {
        max_tombstones: 1,
        ..MemoryConfig::default()
    });
    let records = ["o://a", "o://b"].map(|name| record(name, peer(1), 1, now));
    for record in &records {
        directory.announce(&signed(record.clone()), now).unwrap();
    }
    let [first, second] = records.each_ref().map(tombstone);
    directory.withdraw(first.tombstone(), now).unwrap();
    directory.withdraw(first.tombstone(), now).unwrap();
    assert!(matches!(
        directory.withdraw(second.tombstone(), now),
        Err(DiscoveryError::Busy {
            limit: "max_tombstones"
        })
    ));
    assert_eq!(sequences(&directory, &name("o://b"), now), [1]);
}

#[test]
fn what_may_not_be_announced_is_refused() {
    let now = SystemTime::now();
    let mut directory = directory(MemoryConfig::default());
    let other = Record {
        network: "other".parse().unwrap(),
        ..record("o://a", peer(1), 1, now)
    };
    assert_eq!(
        reason(directory.announce(&signed(other), now)),
        "it is of the network other, not main"
    );
    let reserved = signed(record("o://~/ping", peer(1), 1, now));
    assert_eq!(
        reason(directory.announce(&reserved, now)),
        "its name is reserved"
    );
    assert_eq!(directory.len(), 0);
}

#[test]
fn a_tombstone_is_forgotten_when_it_expires() {
    let now = SystemTime::now();
    let later = now + 2 * HOUR;
    let mut directory = directory(MemoryConfig::default());
    let withdrawn = record("o://a", peer(1), 5, now);
    directory
        .withdraw(tombstone(&withdrawn).tombstone(), now)
        .unwrap();
    let again = |sequence, now| signed(record("o://a", peer(1), sequence, now));
    assert_eq!(
        reason(directory.announce(&again(5, now), now)),
        "sequence 5 is withdrawn up to 5"
    );
    directory.announce(&again(5, later), later).unwrap();
}

#[derive(Clone, Debug)]
enum Act {
    Announce(u64),
    Withdraw(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (0..20_u64).prop_map(Act::Announce),
        (0..20_u64).prop_map(Act::Withdraw)
    ]
}

proptest! {
    /// The order does not matter: the highest record is found unless a tombstone covers it.
    #[test]
    fn the_highest_sequence_number_holds(acts in vec(act(), 0..40)) {
        let now = SystemTime::now();
        let mut directory = directory(MemoryConfig::default());
        let (mut highest, mut withdrawn) = (None, None);
        for act in acts {
            match act {
                Act::Announce(sequence) => {
                    let accepted = directory.announce(&signed(record("o://a", peer(1), sequence, now)), now);
                    prop_assert_eq!(
                        accepted.is_ok(),
                        Some(sequence) >= sequences(&directory, &name("o://a"), now).first().copied()
                            && Some(sequence) > withdrawn
                    );
                    highest = highest.max(Some(sequence));
                }
                Act::Withdraw(sequence) => {
                    let covered = record("o://a", peer(1), sequence, now);
                    directory.withdraw(tombstone(&covered).tombstone(), now).unwrap();
                    withdrawn = withdrawn.max(Some(sequence));
                }
            }
            let expected: Vec<u64> = highest.filter(|_| highest > withdrawn).into_iter().collect();
            prop_assert_eq!(sequences(&directory, &name("o://a"), now), expected);
        }
    }
}
