//! The table as a state machine: who is there, who is gone, what is missing.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use o_core::{Capability, NetworkId, Query, SignedRecord};
use o_protocol::{Alive, announced_digest};

use super::{
    GossipConfig, Moment,
    table::{Known, Said, Table, Worth},
};
use crate::testing::{peer, record, signed, tombstone};

const S: Duration = Duration::from_secs(1);

/// A table, and the time as it passes.
struct World {
    table: Table,
    now: Moment,
}

impl World {
    fn new() -> Self {
        Self::with(GossipConfig::default())
    }

    fn with(config: GossipConfig) -> Self {
        Self {
            table: Table::new(peer(0), NetworkId::default(), config),
            now: Moment {
                at: Instant::now(),
                clock: SystemTime::now(),
            },
        }
    }

    fn after(&mut self, time: Duration) -> &mut Self {
        self.now.at += time;
        self.now.clock += time;
        self
    }

    fn record(&self, name: &str, of: u8, sequence: u64) -> SignedRecord {
        signed(record(name, peer(of), sequence, self.now.clock))
    }

    fn millis(&self) -> u64 {
        let since = self.now.clock.duration_since(UNIX_EPOCH).unwrap();
        since.as_millis().try_into().unwrap()
    }

    fn hear(&mut self, record: &SignedRecord) -> Worth {
        self.table.hear_record(record, self.now)
    }

    /// That a peer is there, and announces these.
    fn alive(&mut self, of: u8, records: &[&SignedRecord]) -> Worth {
        let records = records.iter().map(|held| held.record());
        let alive = Alive {
            at: self.millis(),
            interval: 2000,
            digest: announced_digest(records.map(|record| (&record.address, record.sequence))),
        };
        self.table.hear_alive(&peer(of), alive, self.now)
    }

    fn sweep(&mut self) -> Vec<o_address::PeerId> {
        self.table.sweep(self.now)
    }

    fn found(&self) -> Vec<u8> {
        let capability: Capability = "text/summarize".parse().unwrap();
        let found = self.table.find(&Query::Capability(capability), self.now);
        found.iter().map(|found| found.peer.as_bytes()[2]).collect()
    }
}

#[test]
fn who_says_nothing_for_too_long_is_forgotten_and_comes_back_with_its_word() {
    let mut world = World::new();
    let record = world.record("o://a", 1, 1);
    assert_eq!(world.hear(&record), Worth::News);
    for _ in 0..5 {
        assert_eq!(world.after(2 * S).alive(1, &[&record]), Worth::News);
        assert!(world.sweep().is_empty());
    }
    assert!(world.after(7 * S).sweep().is_empty());
    assert_eq!(world.found(), [1]);
    assert_eq!(world.after(S).sweep(), [peer(1)]);
    assert!(world.found().is_empty());
    // What it said before can be repeated by anybody: that is no sign of life.
    assert_eq!(world.hear(&record), Worth::Nothing);
    let said = world.table.tell(None, world.now);
    assert!(said.is_empty(), "{said:?}");
    // Its word is: and then what it announces is missing.
    assert_eq!(world.alive(1, &[&record]), Worth::Incomplete);
    let newer = world.after(S).record("o://a", 1, 2);
    assert_eq!(world.hear(&newer), Worth::News);
    assert_eq!(world.found(), [1]);
}

#[test]
fn a_suspected_peer_is_forgotten_unless_it_speaks_up() {
    let mut world = World::new();
    let records = [world.record("o://a", 1, 1), world.record("o://b", 2, 1)];
    for record in &records {
        world.hear(record);
    }
    world.after(S);
    assert_eq!(world.alive(1, &[&records[0]]), Worth::News);
    assert_eq!(world.alive(2, &[&records[1]]), Worth::News);
    let at = world.table.suspect(&peer(1), world.now).unwrap();
    assert_eq!(at, world.millis());
    assert_eq!(
        world.table.suspect(&peer(1), world.now),
        None,
        "it was said"
    );
    assert_eq!(
        world.table.hear_suspicion(&peer(2), at, world.now),
        Worth::News
    );
    // Somebody who has heard less of it than this node.
    assert_eq!(
        world.table.hear_suspicion(&peer(2), at - 1, world.now),
        Worth::Nothing
    );
    assert_eq!(
        world.table.hear_suspicion(&peer(3), at, world.now),
        Worth::Nothing
    );
    world.after(S);
    assert_eq!(world.alive(2, &[&records[1]]), Worth::News);
    assert!(world.sweep().is_empty());
    world.after(S);
    assert_eq!(world.sweep(), [peer(1)]);
    assert_eq!(world.found(), [2]);
}

#[test]
fn a_digest_that_differs_says_that_something_is_missing() {
    let mut world = World::new();
    let [a, b] = ["o://a", "o://b"].map(|name| world.record(name, 1, 1));
    world.hear(&a);
    assert_eq!(world.after(S).alive(1, &[&a, &b]), Worth::Incomplete);
    world.hear(&b);
    assert_eq!(world.after(S).alive(1, &[&a, &b]), Worth::News);
    let gone = tombstone(a.record());
    assert_eq!(world.table.hear_tombstone(&gone, world.now), Worth::News);
    assert_eq!(world.after(S).alive(1, &[&b]), Worth::News);
    assert_eq!(world.hear(&a), Worth::Nothing, "it is withdrawn");
}

#[test]
fn a_newcomer_learns_what_is_known_and_believes_nobody_dead_alive() {
    let mut old = World::new();
    let [a, b] = [old.record("o://a", 1, 1), old.record("o://b", 2, 1)];
    old.hear(&a);
    old.hear(&b);
    old.after(S).alive(1, &[&a]);
    old.after(6 * S);
    old.alive(2, &[&b]);
    let mut new = World::new();
    new.now = old.now;
    for known in old.table.tell(None, old.now) {
        new.table.learn(known, new.now);
    }
    assert_eq!(new.found(), [1, 2]);
    // It has heard as little of the first as the one who told it.
    assert_eq!(new.after(2 * S).sweep(), [peer(1)]);
    // Who lags behind still has it.
    for known in old.table.tell(None, old.now) {
        new.table.learn(known, new.now);
    }
    assert_eq!(new.found(), [2]);
    let own = new.record("o://c", 0, 1);
    new.table.announce(&own);
    let told = new.table.tell(Some(&peer(0)), new.now);
    let [
        Known {
            said: Said::Record(told),
            ..
        },
    ] = &told[..]
    else {
        panic!("{told:?}");
    };
    assert_eq!(told, &own);
}

#[test]
fn clocks_may_differ_and_nobody_lives_in_the_future() {
    let mut world = World::new();
    let record = world.record("o://a", 1, 1);
    world.hear(&record);
    let now = world.millis();
    let mut alive = |at: u64| {
        let alive = Alive {
            at,
            interval: 2000,
            digest: 0,
        };
        world.table.hear_alive(&peer(1), alive, world.now)
    };
    assert_eq!(alive(now + 301_000), Worth::Nothing);
    assert_eq!(alive(now + 299_000), Worth::Incomplete);
    assert_eq!(alive(now + 1000), Worth::Nothing, "it said that before");
}

#[test]
fn many_say_that_they_are_there_less_often() {
    let mut world = World::new();
    assert_eq!(world.table.interval(), 2 * S);
    for n in 1..=100 {
        let record = world.record(&format!("o://n{n}"), n, 1);
        world.hear(&record);
    }
    assert_eq!(world.table.interval(), 101 * S / 5);
    let candidates = world.table.candidates(3);
    assert_eq!(candidates.len(), 3);
    world.table.connected(candidates[0].0);
    assert_eq!(world.table.lacking(), 3);
    let others = world.table.candidates(200);
    assert!(others.len() == 99 && others.iter().all(|(peer, _)| *peer != candidates[0].0));
}

#[test]
fn those_who_went_are_remembered_within_a_bound() {
    let mut world = World::with(GossipConfig {
        max_gone: 2,
        ..GossipConfig::default()
    });
    let records: Vec<_> = (1..=3)
        .map(|n| world.record(&format!("o://n{n}"), n, 1))
        .collect();
    for record in &records {
        world.hear(record);
        world.after(S);
    }
    assert_eq!(world.after(60 * S).sweep().len(), 3);
    // The first is forgotten: what it said is news again.
    let worths: Vec<_> = records.iter().map(|record| world.hear(record)).collect();
    assert_eq!(
        worths.iter().filter(|worth| **worth == Worth::News).count(),
        1
    );
}
