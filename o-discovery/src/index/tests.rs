//! Sequence numbers, expiry, tombstones, limits, and what is found.

use std::time::Duration;

use o_core::Record;
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::testing::{peer, record, signed, tombstone};

const HOUR: Duration = Duration::from_secs(3600);

fn index(config: IndexConfig) -> Index {
    Index::new(NetworkId::default(), config)
}

fn name(text: &str) -> Query {
    Query::Name(text.parse().unwrap())
}

fn capability(text: &str) -> Query {
    Query::Capability(text.parse().unwrap())
}

/// The sequence numbers that are found.
fn sequences(held: &Index, query: &Query, now: SystemTime) -> Vec<u64> {
    let found = held.find(query, now);
    found
        .iter()
        .map(|provider| provider.record.as_ref().unwrap().record().sequence)
        .collect()
}

trait Took {
    fn took(&mut self, record: &SignedRecord, now: SystemTime) -> Result<(), DiscoveryError>;
}

impl Took for Index {
    fn took(&mut self, record: &SignedRecord, now: SystemTime) -> Result<(), DiscoveryError> {
        self.insert(record, Source::Memory, now).map(drop)
    }
}

fn reason(result: Result<(), DiscoveryError>) -> String {
    match result.unwrap_err() {
        DiscoveryError::BadRecord { reason } => reason,
        other => panic!("{other}"),
    }
}

#[test]
fn a_pin_decides_between_two_peers_of_one_name() {
    let now = SystemTime::now();
    let mut held = index(IndexConfig::default());
    held.took(&signed(record("o://a", peer(1), 1, now)), now)
        .unwrap();
    held.took(&signed(record("o://a", peer(2), 2, now)), now)
        .unwrap();
    assert_eq!(sequences(&held, &name("o://a"), now), [1, 2]);
    let pinned = name(&format!("o://a#{}", peer(2)));
    assert_eq!(sequences(&held, &pinned, now), [2]);
}

#[test]
fn two_names_of_one_peer_are_two_answers() {
    let now = SystemTime::now();
    let mut held = index(IndexConfig::default());
    held.took(&signed(record("o://a", peer(1), 1, now)), now)
        .unwrap();
    held.took(&signed(record("o://b", peer(1), 2, now)), now)
        .unwrap();
    assert_eq!(sequences(&held, &capability("text/summarize"), now), [1, 2]);
}

#[test]
fn an_expired_record_is_not_found_and_makes_room() {
    let now = SystemTime::now();
    let later = now + 2 * HOUR;
    let mut held = index(IndexConfig {
        max_records: 1,
        ..IndexConfig::default()
    });
    held.took(&signed(record("o://a", peer(1), 1, now)), now)
        .unwrap();
    let second = signed(record("o://b", peer(1), 1, later));
    assert!(matches!(
        held.took(&second, now),
        Err(DiscoveryError::Busy {
            limit: "max_records"
        })
    ));
    assert_eq!(sequences(&held, &name("o://a"), now), [1]);
    assert!(sequences(&held, &name("o://a"), later).is_empty());
    held.took(&second, later).unwrap();
    assert_eq!(held.len(), 1);
    let stale = signed(record("o://b", peer(1), 2, now));
    assert_eq!(reason(held.took(&stale, later)), "it has expired");
}

#[test]
fn withdrawals_are_bounded_and_one_peer_displaces_only_its_own() {
    let now = SystemTime::now();
    let mut held = index(IndexConfig {
        max_tombstones: 32,
        ..IndexConfig::default()
    });
    let withdraw = |held: &mut Index, by: u8, n: u64| {
        // Each holds a second longer than the one before.
        let at = now + Duration::from_secs(n) - HOUR / 2;
        held.withdraw(
            &tombstone(&record(&format!("o://n{n}"), peer(by), 1, at)),
            now,
        )
    };
    let back = |held: &mut Index, by: u8, n: u64| {
        held.took(&signed(record(&format!("o://n{n}"), peer(by), 1, now)), now)
            .is_ok()
    };
    assert!(!withdraw(&mut held, 1, 0));
    for n in 0..1000 {
        withdraw(&mut held, 2, n);
    }
    assert_eq!(held.tombstones().count(), 3);
    assert!(!back(&mut held, 1, 0) && !back(&mut held, 2, 999) && !back(&mut held, 2, 998));
    assert!(back(&mut held, 2, 997));
    for by in 3..=32 {
        withdraw(&mut held, by, 2000);
    }
    // The first of all has made room for the last.
    assert_eq!(held.tombstones().count(), 32);
    assert!(back(&mut held, 1, 0));
}

#[test]
fn what_comes_from_the_future_expires_as_if_it_were_made_now() {
    let now = SystemTime::now();
    let mut held = index(IndexConfig::default());
    let ahead = record("o://a", peer(1), 1, now + 1000 * HOUR);
    held.took(&signed(ahead.clone()), now).unwrap();
    let stone = record("o://b", peer(1), 5, now + 1000 * HOUR);
    held.withdraw(&tombstone(&stone), now);
    let later = now + HOUR - Duration::from_secs(1);
    assert_eq!(sequences(&held, &name("o://a"), later), [1]);
    // That it is told again makes it no younger.
    held.took(&signed(ahead), later).unwrap();
    let after = now + 2 * HOUR;
    assert!(sequences(&held, &name("o://a"), after).is_empty());
    held.took(&signed(record("o://b", peer(1), 4, after)), after)
        .unwrap();
    held.expire(after);
    assert_eq!((held.len(), held.tombstones().count()), (1, 0));
}

#[test]
fn what_may_not_be_announced_is_refused() {
    let now = SystemTime::now();
    let mut held = index(IndexConfig::default());
    let other = Record {
        network: "other".parse().unwrap(),
        ..record("o://a", peer(1), 1, now)
    };
    assert_eq!(
        reason(held.took(&signed(other), now)),
        "it is of the network other, not main"
    );
    let reserved = signed(record("o://~/ping", peer(1), 1, now));
    assert_eq!(reason(held.took(&reserved, now)), "its name is reserved");
    assert_eq!(held.len(), 0);
}

#[test]
fn a_tombstone_is_forgotten_when_it_expires() {
    let now = SystemTime::now();
    let later = now + 2 * HOUR;
    let mut held = index(IndexConfig::default());
    let withdrawn = record("o://a", peer(1), 5, now);
    held.withdraw(&tombstone(&withdrawn), now);
    let again = |sequence, now| signed(record("o://a", peer(1), sequence, now));
    assert_eq!(
        reason(held.took(&again(5, now), now)),
        "sequence 5 is withdrawn up to 5"
    );
    held.took(&again(5, later), later).unwrap();
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
        let mut held = index(IndexConfig::default());
        let (mut highest, mut withdrawn) = (None, None);
        for act in acts {
            match act {
                Act::Announce(sequence) => {
                    let accepted = held.took(&signed(record("o://a", peer(1), sequence, now)), now);
                    prop_assert_eq!(
                        accepted.is_ok(),
                        Some(sequence) >= sequences(&held, &name("o://a"), now).first().copied()
                            && Some(sequence) > withdrawn
                    );
                    highest = highest.max(Some(sequence));
                }
                Act::Withdraw(sequence) => {
                    let covered = record("o://a", peer(1), sequence, now);
                    held.withdraw(&tombstone(&covered), now);
                    withdrawn = withdrawn.max(Some(sequence));
                }
            }
            let expected: Vec<u64> = highest.filter(|_| highest > withdrawn).into_iter().collect();
            prop_assert_eq!(sequences(&held, &name("o://a"), now), expected);
        }
    }
}

fn agent(name: &str, peer_number: u8, change: impl FnOnce(&mut Record)) -> SignedRecord {
    let mut agent = record(name, peer(peer_number), 1, SystemTime::now());
    agent.capabilities.clear();
    change(&mut agent);
    signed(agent)
}

/// Three agents that say different things about themselves.
fn three() -> Index {
    let mut held = index(IndexConfig::default());
    let now = SystemTime::now();
    let method = |name: &str, description: &str| o_core::MethodDigest {
        name: name.into(),
        shape: o_core::Shape::Unary,
        hash: o_core::SchemaHash([0; 32]),
        description: description.into(),
    };
    for agent in [
        agent("o://law/summarizer", 1, |agent| {
            agent.capabilities = vec!["text/summarize".parse().unwrap()];
            agent.description = "Shortens contracts and court rulings.".into();
            agent.labels = vec!["lang=de".parse().unwrap()];
        }),
        agent("o://news/digest", 2, |agent| {
            agent.capabilities = vec!["text/digest".parse().unwrap()];
            agent.description = "Summarizes the news of the day, every day.".into();
            agent.methods = vec![method("digest", "Reads feeds and writes a summary.")];
        }),
        agent("o://art/painter", 3, |agent| {
            agent.capabilities = vec!["image/generate".parse().unwrap()];
            agent.specialisations = vec!["image/landscapes".parse().unwrap()];
            agent.labels = vec!["gpu".parse().unwrap(), "lang=de".parse().unwrap()];
        }),
    ] {
        held.took(&agent, now).unwrap();
    }
    held
}

fn names(found: &[Provider]) -> Vec<&str> {
    let records = found.iter().filter_map(|provider| provider.record.as_ref());
    records
        .map(|record| record.record().address.as_str())
        .collect()
}

fn text(held: &Index, words: &str) -> Vec<Provider> {
    held.find(&Query::Text(Text::new(words)), SystemTime::now())
}

#[test]
fn words_are_ranked_and_explained() {
    let held = three();
    let found = text(&held, "summarize contracts");
    assert_eq!(names(&found), ["o://law/summarizer", "o://news/digest"]);
    let why: Vec<_> = found[0]
        .matched
        .as_ref()
        .unwrap()
        .why
        .iter()
        .map(|why| &**why)
        .collect();
    // Only one has the second word, so it says more.
    assert_eq!(why, ["contracts in description", "summarize in capability"]);
    // A capability is worth more than a word in a description.
    assert_eq!(names(&text(&held, "digest")), ["o://news/digest"]);
    // The beginning of the last word is enough, of another it is not.
    assert_eq!(names(&text(&held, "lands")), ["o://art/painter"]);
    assert!(text(&held, "lands ").is_empty() && text(&held, "lands x").is_empty());
    assert!(text(&held, "").is_empty() && text(&held, "zebra").is_empty());
    let one = Query::Text(Text::new("lang de").limit(1));
    assert_eq!(held.find(&one, SystemTime::now()).len(), 1);
    let later = SystemTime::now() + 2 * HOUR;
    assert!(
        held.find(&Query::Text(Text::new("summarize")), later)
            .is_empty()
    );
}

#[test]
fn what_several_sources_found_is_ranked_by_the_words_and_not_by_what_they_claim() {
    let held = three();
    let claims = |mut found: Vec<Provider>, score: u32| {
        for provider in &mut found {
            provider.matched = Some(o_core::Match::new(score, vec!["it says so".into()]));
        }
        found
    };
    let painter = claims(text(&held, "painter"), u32::MAX);
    let others = claims(text(&held, "summarize"), 1);
    let found = [painter, others].concat();
    // Whoever has none of the words comes last, and what it claims is shown as such.
    let ranked = rank(found.clone(), &Text::new("summarize contracts"));
    let all = ["o://law/summarizer", "o://news/digest", "o://art/painter"];
    assert_eq!(names(&ranked), all);
    let why = |at: usize| ranked[at].matched.as_ref().unwrap().why[0].to_string();
    assert_eq!(
        (why(0), why(2)),
        ("contracts in description".into(), "it says so".into())
    );
    let one = rank(found, &Text::new("summarize contracts").limit(1));
    assert_eq!(names(&one), all[..1]);
}

#[test]
fn attributes_are_found_with_the_best_first() {
    let held = three();
    let by = |attributes: &[&str], least: u32| {
        let wanted = attributes.iter().map(|text| text.parse().unwrap());
        let query = Query::Attributes(o_core::Attributes::any(wanted).min_score(least));
        let found = held.find(&query, SystemTime::now());
        names(&found)
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let both = ["label:lang=de", "capability:image/*"];
    assert_eq!(by(&both, 1), ["o://art/painter", "o://law/summarizer"]);
    assert_eq!(by(&both, 2), ["o://art/painter"]);
    assert_eq!(by(&["capability:text/*"], 1).len(), 2);
    assert_eq!(by(&["below:o://law"], 1), ["o://law/summarizer"]);
    assert!(by(&["label:lang=fr"], 1).is_empty());
}

#[test]
fn one_peer_cannot_fill_it_alone() {
    let now = SystemTime::now();
    let mut held = index(IndexConfig {
        max_per_peer: 2,
        ..IndexConfig::default()
    });
    for name in ["o://a", "o://b"] {
        held.took(&signed(record(name, peer(1), 1, now)), now)
            .unwrap();
    }
    let third = held.took(&signed(record("o://c", peer(1), 1, now)), now);
    assert!(matches!(
        third,
        Err(DiscoveryError::Busy {
            limit: "max_per_peer"
        })
    ));
    // It may say something new about what it has, and others have room.
    held.took(&signed(record("o://a", peer(1), 2, now)), now)
        .unwrap();
    held.took(&signed(record("o://c", peer(2), 1, now)), now)
        .unwrap();
    assert_eq!(held.forget_peer(&peer(1)).len(), 2);
    assert_eq!((held.len(), held.of_peer(&peer(1)).count()), (1, 0));
    held.took(&signed(record("o://c", peer(1), 1, now)), now)
        .unwrap();
}

#[test]
fn bytes_are_bounded() {
    let now = SystemTime::now();
    let one = signed(record("o://a", peer(1), 1, now)).envelope().len();
    let mut held = index(IndexConfig {
        max_bytes: 2 * one,
        ..IndexConfig::default()
    });
    for name in ["o://a", "o://b"] {
        held.took(&signed(record(name, peer(1), 1, now)), now)
            .unwrap();
    }
    let third = held.took(&signed(record("o://c", peer(1), 1, now)), now);
    assert!(matches!(
        third,
        Err(DiscoveryError::Busy { limit: "max_bytes" })
    ));
    held.took(&signed(record("o://a", peer(1), 2, now)), now)
        .unwrap();
    assert_eq!(held.bytes(), 2 * one);
}

proptest! {
    /// Whatever comes and goes, the words are those of what is held.
    #[test]
    fn words_come_and_go_with_their_records(acts in vec((0..6_u8, any::<bool>()), 0..60)) {
        let now = SystemTime::now();
        let mut held = index(IndexConfig::default());
        for (at, (number, comes)) in acts.into_iter().enumerate() {
            let mut agent = record(&format!("o://a{number}"), peer(number), at as u64, now);
            agent.description = format!("word{number} common").into();
            if comes {
                let _ = held.took(&signed(agent), now);
            } else {
                held.forget_peer(&peer(number));
            }
            let common = Query::Text(Text::new("common").limit(100));
            prop_assert_eq!(held.find(&common, now).len(), held.len());
            for number in 0..6 {
                let there = held.of_peer(&peer(number)).count();
                prop_assert_eq!(text(&held, &format!("word{number} ")).len(), there);
            }
        }
        for number in 0..6 {
            held.forget_peer(&peer(number));
        }
        prop_assert!(held.is_empty() && held.words.is_empty() && held.bytes() == 0);
    }
}
