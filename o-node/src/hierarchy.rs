//! Parents and children: who joins whom, who is gone, and which way through the tree a call goes.

mod forward;
mod gate;
mod keep;
mod member;
#[cfg(feature = "store")]
mod persist;
mod replica;
mod serve;
mod state;
mod upstream;
mod wire;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use o_address::{Address, PeerId, TransportAddr};
use o_core::{
    Access, CallError, Chain, Event, Events as _, NetworkId, OutgoingCall, Policy, Reply, Route,
    Signer, Source, Verifier,
};
use o_discovery::registry::{Check, Registry, RegistryConfig, Replica};
use o_pool::Pool;
use o_protocol::{RootOfTrust, decode_body, encode_body, verify_record_chain};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::watch;

#[cfg(feature = "store")]
pub(crate) use self::persist::{keep as keep_registry, restore as restore_registry};
use self::state::Family;
pub use self::wire::{Ancestor, Place, TreeNode};
pub(crate) use self::{
    forward::Hop,
    gate::FamilyGate,
    keep::keep,
    member::Member,
    replica::replicate,
    serve::{is_direct, is_reserved, specs},
    upstream::tell_upstream,
};
use crate::{
    config::{Admit, Forward, HierarchyConfig},
    dialer::NodeDialer,
    events::EventBus,
    link::Link,
    peers::Peers,
    trust::{Trust, read_successors},
};

/// What makes a node part of a hierarchy, for one run of it.
#[derive(Debug)]
pub(crate) struct Hierarchy {
    pub(crate) config: HierarchyConfig,
    pub(crate) name: Address,
    local: PeerId,
    network: NetworkId,
    /// What this node forbids, beside what its parent does.
    own: Policy,
    gate: FamilyGate,
    family: Mutex<Family>,
    /// What gives the node its name, once it has joined; that of a root from the start.
    chain: watch::Sender<Option<Chain>>,
    /// How often that has changed.
    generation: AtomicU64,
    trust: Arc<Trust>,
    peers: Arc<Peers>,
    pool: Pool<NodeDialer>,
    signer: Arc<dyn Signer>,
    verifier: Arc<dyn Verifier>,
    addresses: watch::Receiver<Vec<TransportAddr>>,
    events: EventBus,
    started: Instant,
    /// What the nodes below announce, and this one.
    registry: Registry,
    /// What the parent's registry holds, for the time in which it cannot be asked.
    replica: Replica,
    /// Counts how often this node was attached to somebody.
    attached: watch::Sender<u64>,
}

/// What a hierarchy is made from.
pub(crate) struct HierarchyParts {
    pub(crate) config: HierarchyConfig,
    pub(crate) name: Address,
    pub(crate) network: NetworkId,
    pub(crate) gate: FamilyGate,
    pub(crate) trust: Arc<Trust>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) pool: Pool<NodeDialer>,
    pub(crate) signer: Arc<dyn Signer>,
    pub(crate) verifier: Arc<dyn Verifier>,
    pub(crate) addresses: watch::Receiver<Vec<TransportAddr>>,
    pub(crate) events: EventBus,
    pub(crate) registry: RegistryConfig,
}

/// The gate of a node with this configuration, before it has joined anybody.
///
/// # Errors
/// A policy that cannot be read, in words.
pub(crate) fn gate(config: &HierarchyConfig) -> Result<FamilyGate, String> {
    let friends = config.friends.iter().copied().collect();
    let applicants = config.admit != Admit::Nobody;
    let children = config.max_children;
    Ok(FamilyGate::new(
        own_policy(config)?,
        friends,
        applicants,
        children,
    ))
}

/// What the node forbids itself: a child lets in its family only, unless it is told otherwise.
fn own_policy(config: &HierarchyConfig) -> Result<Policy, String> {
    let mut policy = config.policy.policy()?;
    if config.policy.access.is_none() && config.parent.is_some() {
        policy.access = Access::Family;
    }
    Ok(policy)
}

impl Hierarchy {
    /// # Errors
    /// A policy that cannot be read, in words.
    pub(crate) fn new(parts: HierarchyParts) -> Result<Self, String> {
        let local = parts.signer.peer();
        let is_root = parts.config.parent.is_none();
        let chain = is_root.then(|| root_chain(&parts)).transpose()?;
        let chain = watch::Sender::new(chain);
        let root = parts.name.root();
        let gate = parts.gate.clone();
        let check = certified(root, chain.subscribe(), parts.verifier.clone(), local, gate);
        let (network, verifier) = (parts.network.clone(), parts.verifier.clone());
        let registry = Registry::new(network, parts.registry, verifier, check);
        let max_children = parts.config.max_children;
        Ok(Self {
            own: own_policy(&parts.config)?,
            config: parts.config,
            local,
            network: parts.network,
            gate: parts.gate,
            family: Mutex::new(Family::new(parts.name.clone(), local, max_children)),
            name: parts.name,
            chain,
            generation: AtomicU64::new(0),
            replica: Replica::like(&registry),
            registry,
            trust: parts.trust,
            peers: parts.peers,
            pool: parts.pool,
            signer: parts.signer,
            verifier: parts.verifier,
            addresses: parts.addresses,
            events: parts.events,
            started: Instant::now(),
            attached: watch::Sender::new(0),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Family> {
        self.family.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this node believes a name only with the root's chain: a name below the root of its own
    /// tree, once that root is known. Who is no child and not at the top leads nobody but itself, and
    /// its neighbors in a flat network owe it no chain.
    pub(crate) fn wants_chain(&self, address: &Address) -> bool {
        let root = self.name.root();
        let in_tree = self.config.parent.is_some() || self.name.name() == root.name();
        in_tree && address.root().name() == root.name() && self.chain.borrow().is_some()
    }

    /// What a record must pass before it is believed.
    ///
    /// # Errors
    /// Why its name is not its peer's, in words.
    pub(crate) fn certified(&self, record: &o_core::SignedRecord) -> Result<(), String> {
        if self.wants_chain(&record.record().address) {
            self.registry.check(record)
        } else {
            Ok(())
        }
    }

    /// The node that this one is attached to.
    pub(crate) fn parent(&self) -> Option<PeerId> {
        self.lock().parent().map(|parent| parent.peer)
    }

    /// The nodes directly below.
    pub(crate) fn children(&self) -> Vec<(Address, PeerId)> {
        let family = self.lock();
        let children = family.children();
        children
            .map(|(peer, child)| (child.name.clone(), *peer))
            .collect()
    }

    /// What the nodes below announce, and this one.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// A copy of the registry of the parent; empty where there has been none.
    pub(crate) fn replica(&self) -> &Replica {
        &self.replica
    }

    /// When this node has been attached to a parent.
    pub(crate) fn attached(&self) -> watch::Receiver<u64> {
        self.attached.subscribe()
    }

    /// What gives the node its name, and when that changes.
    pub(crate) fn chain(&self) -> watch::Receiver<Option<Chain>> {
        self.chain.subscribe()
    }

    /// The chain as it is now.
    pub(crate) fn held(&self) -> Option<Chain> {
        self.chain.borrow().clone()
    }

    /// Whether a call of `peer` to `method` of `target` is answered.
    ///
    /// # Errors
    /// Refused: a stranger may only ask to join.
    pub(crate) fn admit_call(
        &self,
        peer: &PeerId,
        target: &Address,
        method: &str,
    ) -> Result<(), CallError> {
        let is_here = target.is_node() && target.pin().is_none_or(|pin| pin == self.local);
        if self.gate.may_call(peer) || (is_here && serve::is_for_applicants(method)) {
            return Ok(());
        }
        Err(CallError::Refused {
            peer: Some(self.local),
            reason: REFUSED.into(),
            certain: true,
        })
    }

    /// The way on for a call that came from `from` (`None`: from this node) and that nobody here
    /// answers, if there is one.
    pub(crate) fn hop(&self, target: &Address, from: Option<&PeerId>) -> Option<Hop> {
        let forwards = match (self.config.forward, from) {
            (_, None) | (Forward::Everybody, _) => true,
            (Forward::Family, Some(peer)) => self.gate.is_family(peer),
            (Forward::Nobody, Some(_)) => false,
        };
        let root = self.name.root();
        let ours = root.name() == target.name() || root.is_ancestor_of(target) || target.is_node();
        if !forwards || !ours {
            return None;
        }
        let next = self.lock().next_hop(target, from)?;
        let link = self.peers.get(&next)?;
        let max_hops = self.config.max_hops;
        Some(Hop { link, max_hops })
    }

    /// Where a node of the family is that has this name.
    pub(crate) fn known(&self, address: &Address) -> Vec<Route> {
        let family = self.lock();
        let now = std::time::Instant::now();
        let route = |peer, addresses: &Vec<TransportAddr>, heard| Route {
            peer,
            addresses: addresses.clone(),
            source: Source::Hierarchy,
            age: now.saturating_duration_since(heard),
        };
        let wanted = |name: &Address, peer: &PeerId| {
            name.name() == address.name() && address.pin().is_none_or(|pin| pin == *peer)
        };
        let above = family.parent().into_iter().flat_map(|parent| {
            let above = parent.above.iter();
            let named = above.filter(|ancestor| wanted(&ancestor.name, &ancestor.peer));
            // What is further up is as the parent said last.
            named.map(|ancestor| route(ancestor.peer, &ancestor.addresses, parent.heard))
        });
        let below = family.children();
        let below = below.filter(|(peer, child)| wanted(&child.name, peer));
        let below = below.map(|(peer, child)| route(*peer, &child.addresses, child.heard));
        above.chain(below).collect()
    }

    /// Takes over what a chain says about this node.
    fn adopt(&self, chain: Chain) {
        let policy = chain.policy().narrowed(&self.own);
        self.gate.set_policy(policy);
        let leader = chain.root();
        let family = self.gate.family();
        family.set_leader((leader != self.local).then_some(leader));
        let changed = self.chain.send_if_modified(|held| {
            let changed = held.as_ref() != Some(&chain);
            *held = Some(chain);
            changed
        });
        if changed {
            self.generation.fetch_add(1, Ordering::Release);
        }
    }

    /// The key that is trusted as the root of this node's name: the last of those that succeeded each other.
    fn root_of_trust(&self) -> Option<RootOfTrust> {
        match &*self.chain.borrow() {
            Some(chain) => Some(RootOfTrust::new(self.name.root(), chain.root())),
            None => self.trust.root_for(&self.name),
        }
    }

    /// Says to the parent that this node goes, and nothing more to those that copy its registry.
    pub(crate) async fn leave(&self) {
        self.registry.close();
        let parent = self.lock().parent().map(|parent| parent.peer);
        let link = parent.and_then(|peer| self.peers.get(&peer));
        if let Some(link) = link {
            // A parent that does not hear it will notice.
            let _: Result<(), _> = ask(&link, serve::LEAVE, &(), LEAVING).await;
        }
    }

    fn publish(&self, event: Event) {
        self.events.publish(event);
    }

    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// The chain of a root: nothing, but how its key succeeded others.
///
/// # Errors
/// The file of successions cannot be used, or leads to another key or name, in words.
fn root_chain(parts: &HierarchyParts) -> Result<Chain, String> {
    let local = parts.signer.peer();
    let Some(path) = &parts.config.successors else {
        return Ok(Chain::of_root(local));
    };
    let successors = read_successors(path, &*parts.verifier, &parts.network);
    let successors = successors.map_err(|error| error.to_string())?;
    let Some([first, last]) = successors
        .first()
        .zip(successors.last())
        .map(|ends| <[_; 2]>::from(ends).map(o_core::SignedSuccessor::successor))
    else {
        return Ok(Chain::of_root(local));
    };
    if last.new != local || last.root.name() != parts.name.root().name() {
        return Err(format!(
            "{} makes {} the key of {}: this node is {} with the key {local}",
            path.display(),
            last.new,
            last.root,
            parts.name.root(),
        ));
    }
    Ok(Chain::new_verified(first.old, successors, Vec::new()))
}

/// What a record must pass to enter the registry: a name below the root needs the chain that gives it, and
/// another one has to come from somebody of the family, or strangers could fill it.
fn certified(
    root: Address,
    chain: watch::Receiver<Option<Chain>>,
    verifier: Arc<dyn Verifier>,
    local: PeerId,
    gate: FamilyGate,
) -> Check {
    Arc::new(move |signed, teller| {
        let record = signed.record();
        if record.peer == local {
            return Ok(());
        }
        if record.address.root().name() != root.name() {
            let stranger = teller.filter(|peer| **peer != local && !gate.is_family(peer));
            return match stranger {
                Some(_) => Err(format!("only members of {root} may tell of other names")),
                None => Ok(()),
            };
        }
        // The last key: whoever has one that was succeeded may have stolen it.
        let trusted = chain.borrow().as_ref().map(Chain::root);
        let Some(key) = trusted else {
            // What was kept before this start is checked when it is told of again.
            return match teller {
                Some(_) => Err("this node does not know yet whose its own name is".into()),
                None => Ok(()),
            };
        };
        let root = RootOfTrust::new(root.clone(), key);
        let checked = verify_record_chain(record, &root, &*verifier, SystemTime::now());
        checked
            .map(drop)
            .map_err(|error| format!("not certified: {error}"))
    })
}

/// What a caller reads whom the hierarchy refuses.
const REFUSED: &str =
    "this node accepts only its parent, its children, the leader and peers named with --allow";

/// How long a parent may take to hear that a child goes.
const LEAVING: Duration = Duration::from_millis(500);

/// Asks the node at the other end of a connection.
async fn ask<P: Serialize, R: DeserializeOwned>(
    link: &Link,
    method: &'static str,
    params: &P,
    timeout: Duration,
) -> Result<R, CallError> {
    let invalid = |message: String| CallError::InvalidReply { message };
    let body = encode_body(o_core::Encoding::Cbor, params);
    let body = body.map_err(|error| CallError::Internal {
        message: error.to_string(),
    })?;
    let call = OutgoingCall::unary(Address::node(), method, body).timeout(timeout);
    let asked = tokio::time::timeout(timeout, o_core::Caller::call(&link.session, call)).await;
    let reply = asked.unwrap_or(Err(CallError::TimedOut { after: timeout }))?;
    match reply {
        Reply::One(body) => decode_body(&body).map_err(|error| invalid(error.to_string())),
        Reply::Stream(_) => Err(invalid("a stream came".into())),
    }
}
