//! Who is above and below a node, as plain functions of the time.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime},
};

use o_address::{Address, PeerId, TransportAddr};
use o_core::{Record, RecordTimes};

use super::wire::{Ancestor, TreeNode};

/// A node directly below.
#[derive(Clone, Debug)]
pub(crate) struct Child {
    pub(crate) name: Address,
    pub(crate) addresses: Vec<TransportAddr>,
    pub(crate) joined: Instant,
    pub(crate) heard: Instant,
    /// Nodes below it.
    pub(crate) below: u64,
}

/// The node that this one is attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parent {
    pub(crate) peer: PeerId,
    /// The way up from there, itself first.
    pub(crate) above: Vec<Ancestor>,
}

/// Who had a name last, and until when nobody else gets it.
#[derive(Clone, Copy, Debug)]
struct Holder {
    peer: PeerId,
    times: RecordTimes,
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
        // Whoever holds a name holds all below it.
        let mut above = Some(name.clone());
        while let Some(at) = above {
            let holder = self.holders.get(at.name());
            if let Some(holder) = holder.filter(|holder| !holder.times.is_expired(now)) {
                return (holder.peer != *peer).then_some(holder.peer);
            }
            above = at.parent().filter(|up| self.name.is_ancestor_of(up));
        }
        None
    }

    /// Notes that a name was given away, for as long as the delegation holds.
    pub(crate) fn hold(&mut self, name: &Address, peer: PeerId, times: RecordTimes) {
        let now = SystemTime::now();
        if self.holders.len() >= self.limit.saturating_mul(4) {
            self.holders.retain(|_, held| !held.times.is_expired(now));
        }
        if self.holders.len() < self.limit.saturating_mul(4) {
            let held = Holder { peer, times };
            self.holders.insert(name.name().to_owned(), held);
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
        let child = Child {
            name,
            addresses,
            joined,
            heard: now,
            below: 0,
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
