//! Who is above and below a node, as plain functions of the time.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime},
};

use o_address::{Address, PeerId, TransportAddr};
use o_core::{Chain, Policy, Record, RecordTimes};

use super::wire::{Ancestor, TreeNode};

/// Names that one peer may hold beside the one that it is called by as a child.
const EACH_HOLDS: usize = 4;

/// A node directly below.
#[derive(Clone, Debug)]
pub(crate) struct Child {
    pub(crate) name: Address,
    pub(crate) addresses: Vec<TransportAddr>,
    pub(crate) joined: Instant,
    pub(crate) heard: Instant,
    /// Nodes below it.
    pub(crate) below: u64,
    /// Which of this node's own chains it was given.
    pub(crate) generation: u64,
    /// What bounds what it is given.
    pub(crate) lent: Option<Lent>,
}

/// What bounds a name that somebody else gave: his policy, and the time that he gave it for.
#[derive(Clone, Debug)]
pub(crate) struct Lent {
    pub(crate) policy: Policy,
    pub(crate) until: RecordTimes,
}

impl Lent {
    /// How long it holds.
    pub(crate) fn left(&self, now: SystemTime) -> Duration {
        Self::left_of(self.until, now)
    }

    /// How long something of these times holds, to the second.
    pub(crate) fn left_of(until: RecordTimes, now: SystemTime) -> Duration {
        let lifetime = Duration::from_secs(until.lifetime.into());
        lifetime.saturating_sub(until.age(now))
    }
}

/// The node that this one is attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parent {
    pub(crate) peer: PeerId,
    /// The way up from there, itself first.
    pub(crate) above: Vec<Ancestor>,
    /// When it answered last.
    pub(crate) heard: Instant,
}

/// Who had a name last, and until when nobody else gets it.
#[derive(Clone, Debug)]
struct Holder {
    peer: PeerId,
    times: RecordTimes,
    lent: Option<Lent>,
}

/// The family of a node. The number of children bounds it.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) name: Address,
    local: PeerId,
    limit: usize,
    children: BTreeMap<PeerId, Child>,
    parent: Option<Parent>,
    /// Names that were given away. At most four for each child that there may be.
    holders: BTreeMap<String, Holder>,
}

impl Family {
    pub(crate) fn new(name: Address, local: PeerId, limit: usize) -> Self {
        Self {
            name,
            local,
            limit,
            children: BTreeMap::new(),
            parent: None,
            holders: BTreeMap::new(),
        }
    }

    /// Whether another child may come; one that is there already may always come again.
    pub(crate) fn has_room(&self, peer: &PeerId) -> bool {
        self.children.contains_key(peer) || self.children.len() < self.limit
    }

    /// Who holds `name`, if somebody else than `peer` does.
    pub(crate) fn held_by_another(
        &self,
        name: &Address,
        peer: &PeerId,
        now: SystemTime,
    ) -> Option<PeerId> {
        let holder = self.holder(name, now)?;
        (holder.peer != *peer).then_some(holder.peer)
    }

    /// What bounds a name that `peer` holds; `None` where it does not hold it.
    pub(crate) fn lent_to(
        &self,
        name: &Address,
        peer: &PeerId,
        now: SystemTime,
    ) -> Option<Option<Lent>> {
        let holder = self.holder(name, now)?;
        (holder.peer == *peer).then(|| holder.lent.clone())
    }

    /// Whoever holds a name holds all below it.
    fn holder(&self, name: &Address, now: SystemTime) -> Option<&Holder> {
        let mut above = Some(name.clone());
        while let Some(at) = above {
            let holder = self.holders.get(at.name());
            if let Some(holder) = holder.filter(|holder| !holder.times.is_expired(now)) {
                return Some(holder);
            }
            above = at.parent().filter(|up| self.name.is_ancestor_of(up));
        }
        None
    }

    /// Notes that a name was given away, for as long as the delegation holds. Where there are too many, the one
    /// that would be free first is, unless it is a child's; where one peer has too many, it is one of its own.
    pub(crate) fn hold(
        &mut self,
        name: &Address,
        peer: PeerId,
        times: RecordTimes,
        lent: Option<Lent>,
    ) {
        let now = SystemTime::now();
        if !self.holders.contains_key(name.name()) {
            let others = self.holders.values().filter(|held| held.peer == peer);
            if others.count() >= EACH_HOLDS {
                self.free_one(now, |held| held.peer == peer);
            }
            if self.holders.len() >= self.most_holders() {
                self.holders.retain(|_, held| !held.times.is_expired(now));
            }
            if self.holders.len() >= self.most_holders() {
                self.free_one(now, |_| true);
            }
        }
        // Children have one name each, so that there is room.
        let held = Holder { peer, times, lent };
        self.holders.insert(name.name().to_owned(), held);
    }

    /// Frees the name that would be free first, of those that are not what a child is called.
    fn free_one(&mut self, now: SystemTime, may: impl Fn(&Holder) -> bool) {
        let is_called = |name: &str, held: &Holder| {
            let child = self.children.get(&held.peer);
            child.is_some_and(|child| child.name.name() == name)
        };
        let free = self.holders.iter();
        let free = free.filter(|(name, held)| may(held) && !is_called(name, held));
        let first = free.min_by_key(|(_, held)| Lent::left_of(held.times, now));
        if let Some(first) = first.map(|(name, _)| name.clone()) {
            self.holders.remove(&first);
        }
    }

    fn most_holders(&self) -> usize {
        self.limit.saturating_mul(4)
    }

    /// Notes that a peer holds a name no longer.
    pub(crate) fn release(&mut self, name: &Address, peer: &PeerId) {
        let held = self.holders.get(name.name());
        if held.is_some_and(|held| held.peer == *peer) {
            self.holders.remove(name.name());
        }
    }

    /// Notes who holds the name that this node, or one `above` it, has given on the way to whoever shows the
    /// chain: he may be gone for the moment, and nobody else gets what was his. What was given further down is
    /// below that, and anybody may have signed it.
    pub(crate) fn hold_proven(&mut self, chain: &Chain, above: impl Fn(&PeerId) -> bool) {
        let now = SystemTime::now();
        for given in chain.delegations() {
            let given = given.delegation();
            let held = self.holders.get(given.subtree.name());
            let is_free = held.is_none_or(|held| held.times.is_expired(now));
            let has_room = self.holders.len() < self.most_holders();
            if is_free
                && has_room
                && above(&given.issuer)
                && self.name.is_ancestor_of(&given.subtree)
            {
                self.hold(&given.subtree, given.subject, given.times, None);
            }
        }
    }

    /// Takes a child; `true` if it was not one before.
    pub(crate) fn add_child(
        &mut self,
        peer: PeerId,
        name: Address,
        addresses: Vec<TransportAddr>,
        now: Instant,
    ) -> bool {
        let before = self.children.get(&peer);
        let joined = before.map_or(now, |child| child.joined);
        // It has one name.
        let former = before
            .map(|child| child.name.name())
            .filter(|n| *n != name.name());
        if let Some(former) = former
            && self.holders.get(former).is_some_and(|h| h.peer == peer)
        {
            self.holders.remove(former);
        }
        let child = Child {
            name,
            addresses,
            joined,
            heard: now,
            below: 0,
            generation: 0,
            lent: None,
        };
        self.children.insert(peer, child).is_none()
    }

    pub(crate) fn child_mut(&mut self, peer: &PeerId) -> Option<&mut Child> {
        self.children.get_mut(peer)
    }

    pub(crate) fn child(&self, peer: &PeerId) -> Option<&Child> {
        self.children.get(peer)
    }

    /// A child goes. With `for_good` its name is free again.
    pub(crate) fn remove_child(&mut self, peer: &PeerId, for_good: bool) -> Option<Child> {
        let child = self.children.remove(peer)?;
        let name = child.name.name();
        if for_good && self.holders.get(name).is_some_and(|h| h.peer == *peer) {
            self.holders.remove(name);
        }
        Some(child)
    }

    /// Children that have not been heard for longer than `patience`.
    pub(crate) fn silent(&self, patience: Duration, now: Instant) -> Vec<PeerId> {
        let silent = |child: &Child| now.saturating_duration_since(child.heard) > patience;
        let children = self.children.iter().filter(|(_, child)| silent(child));
        children.map(|(peer, _)| *peer).collect()
    }

    pub(crate) fn children(&self) -> impl Iterator<Item = (&PeerId, &Child)> {
        self.children.iter()
    }

    /// Nodes below this one.
    pub(crate) fn below(&self) -> u64 {
        let counts = self
            .children
            .values()
            .map(|child| child.below.saturating_add(1));
        counts.fold(0, u64::saturating_add)
    }

    pub(crate) fn parent(&self) -> Option<&Parent> {
        self.parent.as_ref()
    }

    /// The parent has answered.
    pub(crate) fn hear_parent(&mut self, now: Instant) {
        if let Some(parent) = &mut self.parent {
            parent.heard = now;
        }
    }

    pub(crate) fn set_parent(&mut self, parent: Option<Parent>) -> Option<Parent> {
        std::mem::replace(&mut self.parent, parent)
    }

    /// The way up as a child of this node sees it: this node first.
    pub(crate) fn above(&self, addresses: &[TransportAddr]) -> Vec<Ancestor> {
        let own = Ancestor {
            name: self.name.clone(),
            peer: self.local,
            addresses: addresses
                .iter()
                .take(Record::MAX_ADDRESSES)
                .cloned()
                .collect(),
        };
        let further = self.parent.iter().flat_map(|parent| parent.above.clone());
        // What somebody says who says that we are above him.
        let further = further.filter(|ancestor| ancestor.peer != self.local);
        [own]
            .into_iter()
            .chain(further)
            .take(Address::MAX_SEGMENTS)
            .collect()
    }

    /// Whether `peer` stands above this node: a node that took it for a child would close a ring.
    pub(crate) fn is_above(&self, peer: &PeerId) -> bool {
        let above = self.parent.iter().flat_map(|parent| &parent.above);
        above.into_iter().any(|ancestor| ancestor.peer == *peer)
    }

    /// To whom a call to `target` goes next that came from `from` (`None`: from this node).
    ///
    /// Down to the child whose name is the longest at or above the target's, else up. A call that has
    /// come from above never goes up again, and none goes back to where it came from: so none ends in
    /// a ring.
    pub(crate) fn next_hop(&self, target: &Address, from: Option<&PeerId>) -> Option<PeerId> {
        if let Some(pin) = target.pin().filter(|pin| self.children.contains_key(pin)) {
            return (from != Some(&pin)).then_some(pin);
        }
        let leads =
            |child: &Child| child.name.name() == target.name() || child.name.is_ancestor_of(target);
        let down = self.children.iter().filter(|(_, child)| leads(child));
        let down = down.filter(|(peer, _)| from != Some(*peer));
        if let Some((peer, _)) = down.max_by_key(|(_, child)| child.name.depth()) {
            return Some(*peer);
        }
        let up = self.parent.as_ref()?.peer;
        (from != Some(&up)).then_some(up)
    }

    /// This node and its children, as an answer to `tree` begins.
    pub(crate) fn listed(&self, started: Instant, now: Instant) -> Vec<TreeNode> {
        let millis = |since: Instant| {
            let passed = now.saturating_duration_since(since).as_millis();
            u64::try_from(passed).unwrap_or(u64::MAX)
        };
        let own = TreeNode {
            name: self.name.clone(),
            peer: self.local,
            parent: None,
            heard_ms: 0,
            since_ms: millis(started),
            silent: false,
        };
        let children = self.children.iter().map(|(peer, child)| TreeNode {
            name: child.name.clone(),
            peer: *peer,
            parent: Some(self.local),
            heard_ms: millis(child.heard),
            since_ms: millis(child.joined),
            silent: false,
        });
        [own].into_iter().chain(children).collect()
    }
}

#[cfg(test)]
mod tests {
    use o_core::{Delegation, NetworkId};
    use o_protocol::sign_delegation;
    use o_transport::Keypair;

    use super::*;

    fn peer(byte: u8) -> PeerId {
        PeerId::from_bytes(&[0, 2, 7, byte]).unwrap()
    }

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    /// `o://a/b` of peer 1, below peer 2, above `o://a/b/c` of peer 3 and `o://a/b/c/d` of peer 4.
    fn family() -> Family {
        let mut family = Family::new(address("o://a/b"), peer(1), 2);
        let now = Instant::now();
        family.add_child(peer(3), address("o://a/b/c"), Vec::new(), now);
        family.add_child(peer(4), address("o://a/b/c/d"), Vec::new(), now);
        let leader = Ancestor {
            name: address("o://a"),
            peer: peer(2),
            addresses: Vec::new(),
        };
        family.set_parent(Some(Parent {
            peer: peer(2),
            above: vec![leader],
            heard: now,
        }));
        family
    }

    #[test]
    fn a_call_goes_down_to_the_longest_name_else_up_and_never_back() {
        let family = family();
        let next = |target: &str, from: Option<u8>| {
            let from = from.map(peer);
            family.next_hop(&address(target), from.as_ref())
        };
        assert_eq!(next("o://a/b/c", None), Some(peer(3)));
        assert_eq!(next("o://a/b/c/x", Some(2)), Some(peer(3)));
        assert_eq!(next("o://a/b/c/d/e", Some(2)), Some(peer(4)));
        assert_eq!(next("o://a/other", None), Some(peer(2)));
        assert_eq!(next("o://a/other", Some(3)), Some(peer(2)));
        // What came from above and is not below goes nowhere, nor does what would go back.
        assert_eq!(next("o://a/other", Some(2)), None);
        let pinned = address("o://x").pinned(peer(4));
        assert_eq!(family.next_hop(&pinned, Some(&peer(3))), Some(peer(4)));
        assert_eq!(family.next_hop(&pinned, Some(&peer(4))), None);
        // Its own subtree is not offered to it again: the next longest name has it, or nobody.
        assert_eq!(next("o://a/b/c/d/e", Some(4)), Some(peer(3)));
    }

    #[test]
    fn who_stands_above_is_known_and_nobody_hears_of_himself_from_above() {
        let mut family = family();
        assert!(family.is_above(&peer(2)) && !family.is_above(&peer(3)));
        // A parent that says that we are above it.
        let own = Ancestor {
            name: address("o://a/b"),
            peer: peer(1),
            addresses: Vec::new(),
        };
        let mut above = family.parent().unwrap().above.clone();
        above.push(own);
        family.set_parent(Some(Parent {
            peer: peer(2),
            above,
            heard: Instant::now(),
        }));
        let told: Vec<_> = family.above(&[]).iter().map(|a| a.peer).collect();
        assert_eq!(told, [peer(1), peer(2)]);
    }

    #[test]
    fn a_full_family_takes_back_only_whom_it_has() {
        let mut family = family();
        assert!(family.has_room(&peer(3)) && !family.has_room(&peer(5)));
        let (heard, patience) = (Instant::now(), Duration::from_secs(1));
        let later = heard + 2 * patience;
        family.child_mut(&peer(4)).unwrap().heard = later;
        assert_eq!(family.silent(patience, later), [peer(3)]);
        let (now, times) = (
            SystemTime::now(),
            RecordTimes::starting(SystemTime::now(), Duration::from_secs(60)),
        );
        family.hold(&address("o://a/b/c"), peer(3), times, None);
        let below = address("o://a/b/c/x");
        assert_eq!(family.held_by_another(&below, &peer(5), now), Some(peer(3)));
        assert_eq!(family.held_by_another(&below, &peer(3), now), None);
        // Who was lost keeps the name, who left gives it back.
        family.remove_child(&peer(3), false);
        assert_eq!(family.held_by_another(&below, &peer(5), now), Some(peer(3)));
        family.add_child(peer(3), address("o://a/b/c"), Vec::new(), heard);
        family.remove_child(&peer(3), true);
        assert_eq!(family.held_by_another(&below, &peer(5), now), None);
    }

    #[test]
    fn who_asks_for_many_names_takes_none_from_the_children_that_are_there() {
        let mut family = family();
        let now = SystemTime::now();
        let times = RecordTimes::starting(now, Duration::from_secs(60));
        let child = address("o://a/b/c");
        family.hold(&child, peer(3), times, None);
        for n in 0..100 {
            family.hold(&address(&format!("o://a/b/n{n}")), peer(9), times, None);
        }
        assert_eq!(family.holders.len(), 1 + EACH_HOLDS);
        for n in 0..100 {
            let name = format!("o://a/b/n{n}");
            family.hold(&address(&name), peer(100 + n), times, None);
        }
        // Two children may be there.
        assert_eq!(family.holders.len(), 8);
        assert_eq!(family.held_by_another(&child, &peer(9), now), Some(peer(3)));
        // What is held is renewed, however full it is.
        let later = RecordTimes::starting(now, Duration::from_secs(600));
        family.hold(&child, peer(3), later, None);
        assert_eq!(family.holders[child.name()].times, later);
    }

    #[test]
    fn a_chain_that_its_holder_has_signed_itself_takes_no_names() {
        let [leader, child] = [(); 2].map(|()| Keypair::generate());
        let given = |by: &Keypair, to: &Keypair, name: &str| {
            let delegation = Delegation {
                issuer: by.peer_id(),
                subject: to.peer_id(),
                subtree: address(name),
                policy: Policy::default(),
                sequence: 1,
                times: RecordTimes::starting(SystemTime::now(), Duration::from_secs(60)),
                network: NetworkId::default(),
            };
            sign_delegation(&delegation, by).unwrap()
        };
        let (root, own) = (leader.peer_id(), child.peer_id());
        let mut family = Family::new(address("o://a"), root, 2);
        family.add_child(own, address("o://a/q"), Vec::new(), Instant::now());
        let absent = RecordTimes::starting(SystemTime::now(), Duration::from_secs(30));
        family.hold(&address("o://a/absent"), peer(5), absent, None);
        for n in 0..50 {
            let name = format!("o://a/q/n{n}");
            let links = vec![
                given(&leader, &child, "o://a/q"),
                given(&child, &child, &name),
                given(&child, &child, &format!("{name}/x")),
            ];
            let chain = Chain::new_verified(root, Vec::new(), links);
            family.hold_proven(&chain, |issuer| *issuer == root);
        }
        let held: Vec<_> = family.holders.keys().map(String::as_str).collect();
        assert_eq!(held, ["o://a/absent", "o://a/q"]);
        // Nor does what the leader gave it under many names.
        for n in 0..50 {
            let links = vec![given(&leader, &child, &format!("o://a/m{n}"))];
            let chain = Chain::new_verified(root, Vec::new(), links);
            family.hold_proven(&chain, |issuer| *issuer == root);
        }
        assert!(family.holders.len() <= 2 + EACH_HOLDS);
        let now = SystemTime::now();
        let absent = family.held_by_another(&address("o://a/absent"), &own, now);
        assert_eq!(absent, Some(peer(5)));
    }

    #[test]
    fn what_is_lent_ends_with_what_it_was_lent_from() {
        let now = SystemTime::now();
        let lent = Lent {
            policy: Policy::default(),
            until: RecordTimes::starting(now, Duration::from_secs(60)),
        };
        let in_between = lent.left(now + Duration::from_secs(20));
        assert!((39..=40).contains(&in_between.as_secs()), "{in_between:?}");
        assert_eq!(lent.left(now + Duration::from_secs(90)), Duration::ZERO);
    }
}
