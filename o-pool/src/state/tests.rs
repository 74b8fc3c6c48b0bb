//! The state by itself: who stays, who goes, and what holds after any sequence of events.

mod random;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, Default)]
struct FakeLink(Arc<Wire>);

#[derive(Debug, Default)]
struct Wire {
    id: u64,
    dead: AtomicBool,
    active: AtomicUsize,
    calls: AtomicU64,
    rank: AtomicU32,
}

impl FakeLink {
    fn new(id: u64) -> Self {
        Self(Arc::new(Wire {
            id,
            ..Wire::default()
        }))
    }

    fn ranked(id: u64, rank: u32) -> Self {
        let link = Self::new(id);
        link.0.rank.store(rank, Ordering::Relaxed);
        link
    }

    fn kill(&self) {
        self.0.dead.store(true, Ordering::Relaxed);
    }

    fn set_active(&self, calls: usize) {
        self.0.active.store(calls, Ordering::Relaxed);
    }

    fn count_call(&self) {
        self.0.calls.fetch_add(1, Ordering::Relaxed);
    }
}

impl Link for FakeLink {
    fn id(&self) -> u64 {
        self.0.id
    }

    fn is_alive(&self) -> bool {
        !self.0.dead.load(Ordering::Relaxed)
    }

    fn active_calls(&self) -> usize {
        self.0.active.load(Ordering::Relaxed)
    }

    fn close(&self, _: &'static str) {
        self.kill();
    }

    fn closed(&self) -> BoxFuture<'static, ()> {
        std::future::pending().boxed()
    }

    fn calls_started(&self) -> u64 {
        self.0.calls.load(Ordering::Relaxed)
    }

    fn rank(&self) -> u32 {
        self.0.rank.load(Ordering::Relaxed)
    }
}

type State = PoolState<FakeLink, u64>;

fn state(change: impl FnOnce(&mut PoolConfig)) -> State {
    let mut config = PoolConfig {
        jitter_seed: Some(1),
        ..PoolConfig::default()
    };
    change(&mut config);
    config.validate().unwrap();
    State::new(config)
}

fn peer(number: u8) -> PeerId {
    PeerId::from_bytes(&[0, 1, number]).unwrap()
}

/// Takes in an outbound connection to each of the peers, a second apart, and says when that was
/// done. Ids of links are numbers of peers.
fn fill(state: &mut State, peers: std::ops::Range<u8>, start: Instant) -> Instant {
    let mut now = start;
    for number in peers {
        let link = FakeLink::new(number.into());
        let (result, _) = state.adopt(peer(number), link, Direction::Outbound, now);
        result.unwrap();
        now += SECOND;
    }
    now
}

fn ids(closing: impl IntoIterator<Item = Closing<FakeLink>>) -> Vec<u64> {
    let mut ids: Vec<_> = closing
        .into_iter()
        .map(|closing| closing.link.0.id)
        .collect();
    ids.sort_unstable();
    ids
}

#[test]
fn an_idle_connection_goes_when_we_dialed_it() {
    let mut state = state(|_| ());
    let start = Instant::now();
    let inbound = FakeLink::new(2);
    fill(&mut state, 1..2, start);
    let (result, _) = state.adopt(peer(2), inbound, Direction::Inbound, start);
    result.unwrap();
    assert_eq!(ids(state.sweep(start + SECOND * 59)), []);
    let closing = state.sweep(start + SECOND * 60);
    assert_eq!(closing.first().map(|closing| closing.reason), Some("idle"));
    assert_eq!(ids(closing), [1]);
    assert_eq!(ids(state.sweep(start + SECOND * 3600)), []);
    let stats = state.stats();
    assert_eq!((stats.connections, stats.inbound), (1, 1));
    assert_eq!(stats.evicted_idle, 1);
}

#[test]
fn what_is_in_use_is_not_idle() {
    let mut state = state(|_| ());
    let start = Instant::now();
    fill(&mut state, 1..5, start);
    let _leased = state.lease(&peer(1)).unwrap();
    let busy = (*state.lease(&peer(2)).unwrap()).clone();
    busy.set_active(1);
    let called = (*state.lease(&peer(3)).unwrap()).clone();
    state.protect(peer(4)).unwrap();
    assert_eq!(ids(state.sweep(start + SECOND * 50)), []);
    called.count_call();
    assert_eq!(ids(state.sweep(start + SECOND * 100)), []);
    busy.set_active(0);
    assert_eq!(ids(state.sweep(start + SECOND * 159)), []);
    assert_eq!(ids(state.sweep(start + SECOND * 160)), [2, 3]);
    state.unprotect(&peer(4));
    assert_eq!(ids(state.sweep(start + SECOND * 160)), [4]);
}

#[test]
fn protection_is_counted_and_bounded() {
    let mut state = state(|config| config.max_protected = 1);
    let start = Instant::now();
    fill(&mut state, 1..2, start);
    state.protect(peer(1)).unwrap();
    state.protect(peer(1)).unwrap();
    let limit = "max_protected";
    assert_eq!(state.protect(peer(2)), Err(PoolFull { limit }));
    state.unprotect(&peer(1));
    state.unprotect(&peer(2));
    assert_eq!(ids(state.sweep(start + SECOND * 60)), []);
    state.unprotect(&peer(1));
    assert_eq!(ids(state.sweep(start + SECOND * 60)), [1]);
}

#[test]
fn the_least_recently_used_go_from_high_to_low_water() {
    let mut state = state(|config| {
        config.high_water = Some(6);
        config.low_water = Some(3);
    });
    let now = fill(&mut state, 0..6, Instant::now()) + SECOND * 20;
    assert_eq!(ids(state.trim(now)), [], "the mark is not passed");
    let now = fill(&mut state, 6..9, now);
    // Nine: the last three are in their grace, peer 1 is leased, 2 busy, 3 protected.
    let _leased = state.lease(&peer(1)).unwrap();
    state.lease(&peer(2)).unwrap().set_active(1);
    state.protect(peer(3)).unwrap();
    assert_eq!(ids(state.trim(now)), [0, 4, 5], "grace spares the others");
    let now = now + SECOND * 20;
    assert_eq!(ids(state.trim(now)), [], "six are not too many");
    let now = fill(&mut state, 20..21, now);
    assert_eq!(ids(state.trim(now)), [6, 7, 8], "and 20 is new");
    assert_eq!(
        (state.stats().connections, state.stats().evicted_lru),
        (4, 6)
    );
}

#[test]
fn the_order_of_eviction_is_that_of_use() {
    let mut state = state(|config| {
        config.high_water = Some(3);
        config.low_water = Some(2);
    });
    let now = fill(&mut state, 0..4, Instant::now()) + SECOND * 20;
    state.lease(&peer(0)).unwrap().count_call();
    state.lease(&peer(1)).unwrap().count_call();
    // The sweep sees the calls, then trims.
    assert_eq!(ids(state.sweep(now)), [2, 3]);
}

#[test]
fn at_the_hard_limit_an_old_connection_makes_room() {
    let mut state = state(|config| config.max_connections = 2);
    let now = fill(&mut state, 1..3, Instant::now());
    let link = FakeLink::new(3);
    let (result, closing) = state.adopt(peer(3), link.clone(), Direction::Inbound, now);
    let limit = "max_connections";
    assert_eq!(
        result,
        Err(PoolFull { limit }),
        "the others are in their grace"
    );
    assert_eq!(ids(closing), [3], "the new one is closed");
    assert!(matches!(
        state.begin(peer(3), &[], now, |serial| serial),
        Err(AcquireError::Busy {
            limit: "max_connections"
        })
    ));

    let now = now + SECOND * 20;
    let (result, closing) = state.adopt(peer(3), link, Direction::Inbound, now);
    assert_eq!((result, ids(closing)), (Ok(()), vec![1]));
    let serial = begin(&mut state, 4, now);
    assert_eq!(state.stats().connections, 2, "a dial alone evicts nobody");
    assert!(matches!(state.turn(&peer(4), serial), Turn::Dial(_)));
    let (result, closing) = state.finish(peer(4), serial, &[], Ok(FakeLink::new(4)), now);
    assert_eq!((result.unwrap().id(), ids(closing)), (4, vec![2]));
    assert_eq!(state.stats().connections, 2);
}

fn begin(state: &mut State, number: u8, now: Instant) -> u64 {
    match state
        .begin(peer(number), &[], now, |serial| serial)
        .unwrap()
    {
        Begin::Wait { serial, ticket } => {
            assert_eq!(serial, ticket);
            serial
        }
        Begin::Ready(lease) => panic!("no dial is needed: {lease:?}"),
    }
}

#[test]
fn one_peer_has_few_connections_and_the_best_is_lent() {
    let mut state = state(|config| config.max_links_per_peer = 3);
    let now = Instant::now();
    let relayed = FakeLink::new(1);
    let direct = FakeLink::ranked(2, 1);
    let later = FakeLink::ranked(3, 1);
    for link in [&relayed, &direct, &later] {
        let (result, _) = state.adopt(peer(1), link.clone(), Direction::Inbound, now);
        result.unwrap();
    }
    assert_eq!(
        state.lease(&peer(1)).unwrap().id(),
        3,
        "the newest of rank 1"
    );
    later.set_active(1);
    direct.set_active(1);
    // At the limit the idle one goes, whatever its grace; then there is no idle one.
    let fourth = FakeLink::new(4);
    let (result, closing) = state.adopt(peer(1), fourth.clone(), Direction::Inbound, now);
    assert_eq!((result, ids(closing)), (Ok(()), vec![1]));
    fourth.set_active(1);
    let (result, closing) = state.adopt(peer(1), FakeLink::new(5), Direction::Inbound, now);
    let limit = "max_links_per_peer";
    assert_eq!((result, ids(closing)), (Err(PoolFull { limit }), vec![5]));
    later.kill();
    assert_eq!(
        state.lease(&peer(1)).unwrap().id(),
        2,
        "the best of the living"
    );
    assert_eq!(state.stats().lost_total, 1);
    // A link that is there is not taken in twice.
    let (result, _) = state.adopt(peer(1), direct, Direction::Inbound, now);
    assert_eq!((result, state.stats().connections), (Ok(()), 2));
}

#[test]
fn idle_duplicates_go_and_one_stays() {
    let now = Instant::now();
    for protected in [false, true] {
        let mut state = state(|_| ());
        if protected {
            state.protect(peer(1)).unwrap();
        }
        for link in [
            FakeLink::new(1),
            FakeLink::ranked(2, 1),
            FakeLink::ranked(3, 1),
        ] {
            let (result, _) = state.adopt(peer(1), link, Direction::Inbound, now);
            result.unwrap();
        }
        let closing = state.sweep(now + SECOND * 60);
        assert!(closing.iter().all(|closing| closing.reason == "duplicate"));
        let gone = ids(closing);
        // The other side may prefer 2: if both are protected there and here, both stay.
        assert_eq!(gone, if protected { vec![1] } else { vec![1, 2] });
        assert_eq!(ids(state.sweep(now + SECOND * 3600)), []);
    }
}

#[test]
fn the_newest_is_preferred_until_it_is_forgotten() {
    let mut state = state(|_| ());
    let now = Instant::now();
    let (first, second) = (FakeLink::new(1), FakeLink::new(2));
    let (result, _) = state.adopt(peer(1), first, Direction::Inbound, now);
    result.unwrap();
    for _ in 0..3 {
        assert_eq!(state.lease(&peer(1)).unwrap().id(), 1);
    }
    let (result, _) = state.adopt(peer(1), second.clone(), Direction::Inbound, now);
    result.unwrap();
    for _ in 0..3 {
        assert_eq!(state.lease(&peer(1)).unwrap().id(), 2, "the newest");
    }
    assert!(state.forget(&peer(1), &second));
    assert!(!state.forget(&peer(1), &second));
    assert!(second.is_alive(), "forgetting does not close");
    assert_eq!(state.lease(&peer(1)).unwrap().id(), 1);
}

#[test]
fn a_failure_is_covered_by_a_connection_from_the_other_side() {
    let mut state = state(|_| ());
    let now = Instant::now();
    let serial = begin(&mut state, 1, now);
    assert!(matches!(state.turn(&peer(1), serial), Turn::Dial(_)));
    let (result, _) = state.adopt(peer(1), FakeLink::new(7), Direction::Inbound, now);
    result.unwrap();
    let failure = DialError::TimedOut {
        peer: peer(1),
        after: SECOND,
    };
    let (result, _) = state.finish(peer(1), serial, &[], Err(failure), now);
    assert_eq!(result.unwrap().id(), 7);
    assert_eq!(state.stats().backing_off, 0);
}

#[test]
fn a_queued_dial_takes_further_addresses_and_may_become_needless() {
    let mut state = state(|config| config.max_addresses = 2);
    let now = Instant::now();
    let addresses: Vec<TransportAddr> = ["/memory/1", "/memory/2", "/memory/3"]
        .map(|text| text.parse().unwrap())
        .into();
    let join = |state: &mut State, range: std::ops::Range<usize>| {
        let begun = state.begin(peer(1), &addresses[range], now, |serial| serial);
        match begun.unwrap() {
            Begin::Wait { serial, .. } => serial,
            Begin::Ready(_) => panic!("there is no connection"),
        }
    };
    let serial = join(&mut state, 0..1);
    assert_eq!(join(&mut state, 0..3), serial);
    match state.turn(&peer(1), serial) {
        Turn::Dial(dialed) => assert_eq!(dialed, addresses[..2]),
        other => panic!("{other:?}"),
    }
    assert!(
        matches!(state.turn(&peer(1), serial), Turn::Cancelled),
        "only once"
    );
    assert_eq!(state.leave(&peer(1), serial), None);
    assert_eq!(state.leave(&peer(1), serial), Some(serial));

    let serial = join(&mut state, 0..1);
    let (result, _) = state.adopt(peer(1), FakeLink::new(9), Direction::Inbound, now);
    result.unwrap();
    assert!(matches!(state.turn(&peer(1), serial), Turn::Ready(lease) if lease.id() == 9));
    assert_eq!(state.stats().dialing + state.stats().queued, 0);
}

#[test]
fn a_stale_dial_changes_nothing() {
    let mut state = state(|_| ());
    let now = Instant::now();
    let stale = begin(&mut state, 1, now);
    assert_eq!(state.leave(&peer(1), stale), Some(stale));
    let current = begin(&mut state, 1, now);
    assert!(matches!(state.turn(&peer(1), stale), Turn::Cancelled));
    assert_eq!(
        state.leave(&peer(1), stale),
        None,
        "it is not this one's waiter"
    );
    let (_, _) = state.finish(peer(1), stale, &[], Err(DialError::Shutdown), now);
    assert!(matches!(state.turn(&peer(1), current), Turn::Dial(_)));
}

#[test]
fn dead_connections_leave_room_for_a_new_one() {
    let mut state = state(|config| config.max_links_per_peer = 1);
    let now = Instant::now();
    let dead = FakeLink::new(1);
    dead.set_active(1);
    let (result, _) = state.adopt(peer(1), dead.clone(), Direction::Inbound, now);
    result.unwrap();
    dead.kill();
    let (result, closing) = state.adopt(peer(1), FakeLink::new(2), Direction::Inbound, now);
    assert_eq!((result, ids(closing)), (Ok(()), vec![]));
    assert_eq!(
        (state.stats().connections, state.stats().lost_total),
        (1, 1)
    );
}

#[test]
fn who_is_outranked_goes_when_its_calls_have_ended() {
    let mut state = state(|_| ());
    let now = Instant::now();
    let (relayed, direct) = (FakeLink::ranked(1, 0), FakeLink::ranked(2, 2));
    for (link, direction) in [
        (&relayed, Direction::Outbound),
        (&direct, Direction::Inbound),
    ] {
        let (result, _) = state.adopt(peer(1), link.clone(), direction, now);
        result.unwrap();
        relayed.set_active(1);
    }
    assert_eq!(state.lease(&peer(1)).unwrap().id(), 2, "at once");
    assert_eq!(ids(state.sweep(now + SECOND * 30)), [], "a call runs");
    relayed.set_active(0);
    assert_eq!(
        ids(state.sweep(now + SECOND * 30)),
        [],
        "it has only just ended"
    );
    let closing = state.sweep(now + SECOND * 31);
    assert_eq!(closing[0].reason, "duplicate");
    assert_eq!(ids(closing), [1]);
}

#[test]
fn below_the_minimum_known_peers_are_dialed_and_nobody_who_refused() {
    let mut state = state(|config| config.min_connections = 3);
    let now = Instant::now();
    assert_eq!(state.missing(), 3);
    fill(&mut state, 1..2, now);
    let (result, _) = state.adopt(peer(1), FakeLink::new(9), Direction::Inbound, now);
    result.unwrap();
    assert_eq!(state.missing(), 2, "two connections to one peer are one");
    let serial = begin(&mut state, 2, now);
    assert_eq!(state.missing(), 1, "a dial may succeed");
    let refusal = DialError::Refused {
        peer: peer(2),
        reason: "no".into(),
        certain: true,
    };
    let (_, _) = state.finish(peer(2), serial, &[], Err(refusal), now);
    let serial = begin(&mut state, 3, now);
    let failure = DialError::TimedOut {
        peer: peer(3),
        after: SECOND,
    };
    let (_, _) = state.finish(peer(3), serial, &[], Err(failure), now);
    let known = || (1..8).map(|number| (peer(number), Vec::new())).collect();
    let chosen = |state: &State, now| -> Vec<PeerId> {
        let chosen = state.choose(known(), now);
        chosen.into_iter().map(|(peer, _)| peer).collect()
    };
    assert_eq!(chosen(&state, now), [peer(4), peer(5)]);
    let later = now + SECOND * 3600;
    assert_eq!(
        chosen(&state, later),
        [peer(3), peer(4)],
        "the pause is over"
    );
    state.sweep(later);
    state.clear_backoff(Some(&peer(2)));
    assert_eq!(
        chosen(&state, later),
        [peer(2), peer(3)],
        "somebody insists"
    );
    state.close();
    assert_eq!(chosen(&state, later), []);
}

#[test]
fn idleness_leaves_the_minimum() {
    let mut state = state(|config| config.min_connections = 2);
    let now = fill(&mut state, 1..5, Instant::now());
    assert_eq!(
        ids(state.sweep(now + SECOND * 60)),
        [1, 2],
        "the longest unused"
    );
    assert_eq!(ids(state.sweep(now + SECOND * 3600)), []);
    assert_eq!(state.stats().evicted_idle, 2);
}
