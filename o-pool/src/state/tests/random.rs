//! Any sequence of events, beside a model of what must hold.

use std::collections::{BTreeMap, HashMap};

use proptest::{collection::vec, prelude::*};

use super::*;

const PEERS: u8 = 6;

#[derive(Clone, Debug)]
enum Op {
    Begin(u8),
    Leave(u8),
    Turn(u8),
    Finish(u8, bool),
    Adopt(u8, bool, u32),
    Release(usize),
    Kill(usize),
    Active(usize, usize),
    Died(usize),
    Protect(u8),
    Unprotect(u8),
    Disconnect(u8),
    Forget(usize),
    Sweep(u64),
    Trim(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let peer = 0..PEERS;
    let index = 0..64_usize;
    prop_oneof![
        6 => peer.clone().prop_map(Op::Begin),
        2 => peer.clone().prop_map(Op::Leave),
        4 => peer.clone().prop_map(Op::Turn),
        4 => (peer.clone(), any::<bool>()).prop_map(|(peer, ok)| Op::Finish(peer, ok)),
        4 => (peer.clone(), any::<bool>(), 0..2_u32)
            .prop_map(|(peer, outbound, rank)| Op::Adopt(peer, outbound, rank)),
        4 => index.clone().prop_map(Op::Release),
        1 => index.clone().prop_map(Op::Kill),
        2 => (index.clone(), 0..2_usize).prop_map(|(index, calls)| Op::Active(index, calls)),
        1 => index.clone().prop_map(Op::Died),
        1 => peer.clone().prop_map(Op::Protect),
        1 => peer.clone().prop_map(Op::Unprotect),
        1 => peer.prop_map(Op::Disconnect),
        1 => index.prop_map(Op::Forget),
        2 => (0..70_u64).prop_map(Op::Sweep),
        2 => (0..25_u64).prop_map(Op::Trim),
    ]
}

/// What the test itself knows.
struct Model {
    state: State,
    now: Instant,
    next_id: u64,
    links: Vec<(PeerId, FakeLink)>,
    leases: Vec<Lease<FakeLink>>,
    /// The waiters of each dial, by its serial number, also of dials that have ended.
    waiters: BTreeMap<u64, (PeerId, usize)>,
    /// The one dial of each peer, and whether it has begun.
    dials: HashMap<PeerId, (u64, bool)>,
    protected: HashMap<PeerId, usize>,
}

impl Model {
    fn new() -> Self {
        Self {
            state: state(|config| {
                config.max_connections = 8;
                config.max_links_per_peer = 2;
                config.max_waiters = 10;
                config.max_waiters_per_peer = 4;
                config.max_backoffs = 3;
            }),
            now: Instant::now(),
            next_id: 0,
            links: Vec::new(),
            leases: Vec::new(),
            waiters: BTreeMap::new(),
            dials: HashMap::new(),
            protected: HashMap::new(),
        }
    }

    fn link(&mut self, peer: PeerId, rank: u32) -> FakeLink {
        let link = FakeLink::ranked(self.next_id, rank);
        self.next_id += 1;
        self.links.push((peer, link.clone()));
        link
    }

    fn leases_on(&self, id: u64) -> usize {
        self.leases.iter().filter(|lease| lease.id() == id).count()
    }

    /// What is evicted may not be in use, and a protected peer keeps a connection.
    fn evicted(&mut self, closing: impl IntoIterator<Item = Closing<FakeLink>>) {
        for Closing { link, reason, .. } in closing {
            assert_eq!(
                self.leases_on(link.id()),
                0,
                "evicted under a lease: {reason}"
            );
            assert_eq!(link.active_calls(), 0, "evicted under a call: {reason}");
            let owner = self.links.iter().find(|(_, known)| known.id() == link.id());
            let (peer, _) = owner.expect("a link of the test");
            let closes_last = reason == "idle" || reason == "least recently used";
            assert!(
                !(closes_last && self.protected.contains_key(peer)),
                "{reason}"
            );
            link.close(reason);
        }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Begin(number) => self.begin(peer(number)),
            Op::Leave(number) => self.leave(peer(number)),
            Op::Turn(number) => self.turn(peer(number)),
            Op::Finish(number, ok) => self.finish(peer(number), ok),
            Op::Adopt(number, outbound, rank) => {
                let link = self.link(peer(number), rank);
                let direction = if outbound {
                    Direction::Outbound
                } else {
                    Direction::Inbound
                };
                let (_, closing) = self.state.adopt(peer(number), link, direction, self.now);
                self.evicted(closing);
            }
            Op::Release(index) => {
                if index < self.leases.len() {
                    self.leases.swap_remove(index);
                }
            }
            Op::Protect(number) => {
                self.state.protect(peer(number)).unwrap();
                *self.protected.entry(peer(number)).or_default() += 1;
            }
            Op::Unprotect(number) => {
                self.state.unprotect(&peer(number));
                if let Some(times) = self.protected.get_mut(&peer(number)) {
                    *times -= 1;
                    if *times == 0 {
                        self.protected.remove(&peer(number));
                    }
                }
            }
            Op::Disconnect(number) => {
                let closing = self.state.remove_peer(&peer(number), "test");
                closing.iter().for_each(|closing| closing.link.kill());
                assert!(!self.state.peers.contains_key(&peer(number)));
            }
            Op::Sweep(seconds) => {
                self.now += SECOND * u32::try_from(seconds).unwrap();
                let closing = self.state.sweep(self.now);
                self.evicted(closing);
                let all = self.state.peers.values().flatten();
                assert!(all.into_iter().all(|slot| slot.entry.link.is_alive()));
            }
            Op::Trim(seconds) => {
                self.now += SECOND * u32::try_from(seconds).unwrap();
                let closing = self.state.trim(self.now);
                self.evicted(closing);
            }
            on_link => self.apply_to_link(on_link),
        }
    }

    fn apply_to_link(&mut self, op: Op) {
        let (Op::Kill(index) | Op::Active(index, _) | Op::Died(index) | Op::Forget(index)) = op
        else {
            panic!("{op:?} is for no link");
        };
        // The last ones are the likeliest to be in the pool.
        let Some((peer, link)) = self.links.iter().rev().nth(index % 12).cloned() else {
            return;
        };
        match op {
            Op::Kill(_) => link.kill(),
            Op::Active(_, calls) => link.set_active(calls),
            Op::Forget(_) => {
                self.state.forget(&peer, &link);
                assert!(!self.state.forget(&peer, &link));
            }
            _ => {
                let entry = self.state.known(&peer, &link);
                if let Some(entry) = entry {
                    self.state.died(&peer, entry.serial);
                }
            }
        }
    }

    fn begin(&mut self, peer: PeerId) {
        let mut started = false;
        let begun = self.state.begin(peer, &[], self.now, |serial| {
            started = true;
            serial
        });
        match begun {
            Ok(Begin::Ready(lease)) => {
                assert!(lease.is_alive());
                assert!(!started);
                self.leases.push(lease);
            }
            Ok(Begin::Wait { serial, ticket }) => {
                assert_eq!(serial, ticket);
                match self.dials.get(&peer) {
                    Some((known, _)) => assert_eq!((*known, started), (serial, false)),
                    None => {
                        assert!(started);
                        self.dials.insert(peer, (serial, false));
                    }
                }
                self.waiters.entry(serial).or_insert((peer, 0)).1 += 1;
            }
            Err(_) => assert!(!started),
        }
    }

    /// The oldest waiter for this peer leaves, of a dial under way or ended.
    fn leave(&mut self, peer: PeerId) {
        let waiting = |(serial, (of, count)): (&u64, &(PeerId, usize))| {
            (*of == peer && *count > 0).then_some(*serial)
        };
        let Some(serial) = self.waiters.iter().find_map(waiting) else {
            return;
        };
        let count = &mut self.waiters.get_mut(&serial).unwrap().1;
        *count -= 1;
        let current = self.dials.get(&peer).is_some_and(|dial| dial.0 == serial);
        let last = *count == 0 && current;
        assert_eq!(self.state.leave(&peer, serial), last.then_some(serial));
        if last {
            self.dials.remove(&peer);
        }
    }

    fn turn(&mut self, peer: PeerId) {
        let Some((serial, begun)) = self.dials.get(&peer).copied() else {
            return;
        };
        if begun {
            return;
        }
        match self.state.turn(&peer, serial) {
            Turn::Dial(_) => {
                self.dials.insert(peer, (serial, true));
            }
            Turn::Ready(lease) => {
                self.dials.remove(&peer);
                self.leases.push(lease);
            }
            Turn::Cancelled => panic!("it has waiters"),
        }
    }

    fn finish(&mut self, peer: PeerId, ok: bool) {
        let Some((serial, true)) = self.dials.get(&peer).copied() else {
            return;
        };
        let result = if ok {
            Ok(self.link(peer, 0))
        } else {
            let after = SECOND;
            Err(DialError::TimedOut { peer, after })
        };
        let (result, closing) = self.state.finish(peer, serial, &[], result, self.now);
        self.dials.remove(&peer);
        self.evicted(closing);
        self.leases.extend(result);
    }

    fn check(&self) {
        let state = &self.state;
        let slots: Vec<_> = state.peers.values().flatten().collect();
        assert_eq!(slots.len(), state.connections);
        assert!(state.connections <= state.config.max_connections);
        assert!(state.peers.values().all(|slots| !slots.is_empty()));
        assert!(state.peers.values().all(|slots| slots.len() <= 2));
        for slot in &slots {
            let id = slot.entry.link.id();
            assert_eq!(slot.entry.leases(), self.leases_on(id));
            assert_eq!(
                slots
                    .iter()
                    .filter(|other| other.entry.link.id() == id)
                    .count(),
                1
            );
        }
        // Nobody takes the new ones to watch them, so all that are in the pool are there.
        assert_eq!(state.unwatched.len(), state.connections);

        let waiting: usize = self.waiters.values().map(|(_, count)| count).sum();
        assert_eq!(state.waiters, waiting);
        assert!(waiting <= state.config.max_waiters);
        assert_eq!(state.dials.len(), self.dials.len());
        for (peer, (serial, begun)) in &self.dials {
            let dial = &state.dials[peer];
            assert_eq!((dial.serial, dial.addresses.is_none()), (*serial, *begun));
            assert_eq!(dial.waiters, self.waiters[serial].1);
            assert!((1..=4).contains(&dial.waiters));
        }
        assert!(state.backoffs.len() <= 3);
        let stats = state.stats();
        assert_eq!(stats.dialing + stats.queued, self.dials.len());
        assert_eq!(stats.waiters, waiting);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_stays_consistent(ops in vec(op(), 1..200)) {
        let mut model = Model::new();
        for op in ops {
            model.apply(op);
            model.check();
        }
        let connections = model.state.connections;
        let (links, tickets) = model.state.close();
        prop_assert_eq!((links.len(), tickets.len()), (connections, model.dials.len()));
        prop_assert_eq!(model.state.connections, 0);
        let begun = model.state.begin(super::peer(0), &[], model.now, |serial| serial);
        prop_assert!(matches!(begun, Err(AcquireError::Closed)));
    }
}
