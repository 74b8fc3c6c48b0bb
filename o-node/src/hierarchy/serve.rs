//! What a parent answers: join, beat, leave; and everybody: place and tree.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use futures::{StreamExt as _, stream};
use o_address::{Address, PeerId};
use o_core::{
    CallContext, CallError, Chain, Delegation, Encoding, Event, IncomingCall, MethodSpec,
    OutgoingCall, Policy, Query, Record, RecordTimes, Reply, Shape, SignedDelegation,
};
use o_protocol::{
    Blob, decode_body, encode_body, params_schema, result_schema, sign_delegation, verify_chain,
};

use super::{
    Hierarchy, ask,
    state::{Family, Lent},
    wire::{Beat, Beaten, JoinRequest, Joined, Place, TreeNode, TreeRequest, digest},
};
use crate::{config::Admit, link::Link};

pub(super) const JOIN: &str = "hierarchy.join";
pub(super) const BEAT: &str = "hierarchy.beat";
pub(super) const LEAVE: &str = "hierarchy.leave";
const PLACE: &str = "hierarchy.place";
const TREE: &str = "hierarchy.tree";

/// The methods with what they do.
const METHODS: [(&str, &str); 5] = [
    (JOIN, "Makes the caller a child of this node."),
    (BEAT, "Tells this node that a child is there."),
    (LEAVE, "Ends it that the caller is a child of this node."),
    (PLACE, "Says where this node stands in its hierarchy."),
    (TREE, "Lists this node and those below it."),
];

/// How long a child may take to answer its parent's ping.
const PING_BACK: Duration = Duration::from_secs(2);
/// How long a list of the tree may take; those below get four fifths of what is left at each level.
const LISTING: Duration = Duration::from_secs(5);
/// Children that are asked for their part of the tree at once.
const LISTING_AT_ONCE: usize = 16;

/// Whether somebody who is not of the family yet may call this method of the node.
pub(super) fn is_for_applicants(method: &str) -> bool {
    matches!(method, JOIN | PLACE | "ping")
}

/// Whether a method is about the caller itself, so that it must not be passed on.
pub(crate) fn is_direct(method: &str) -> bool {
    matches!(method, JOIN | BEAT | LEAVE)
}

/// The contract of each method.
pub(crate) fn specs() -> impl Iterator<Item = MethodSpec> {
    METHODS.iter().map(|(name, description)| {
        let shape = if *name == TREE {
            Shape::Server
        } else {
            Shape::Unary
        };
        let mut spec = MethodSpec::new(*name, shape);
        spec.description = (*description).into();
        spec.idempotent = true;
        (spec.params, spec.result) = match *name {
            JOIN => (
                Some(params_schema::<JoinRequest>()),
                Some(result_schema::<Joined>()),
            ),
            BEAT => (
                Some(params_schema::<Beat>()),
                Some(result_schema::<Beaten>()),
            ),
            TREE => (
                Some(params_schema::<TreeRequest>()),
                Some(result_schema::<TreeNode>()),
            ),
            PLACE => (None, Some(result_schema::<Place>())),
            _ => (None, None),
        };
        spec
    })
}

/// Whether a key is among those that gave a node its chain, the node's own included.
fn is_above(own: &Chain, key: &PeerId) -> bool {
    let mut given = own.delegations().iter();
    own.root() == *key || given.any(|given| given.delegation().subject == *key)
}

/// Whether a method is one of these.
pub(crate) fn is_reserved(method: &str) -> bool {
    METHODS.iter().any(|(name, _)| *name == method)
}

impl Hierarchy {
    /// Answers one of [`METHODS`].
    pub(crate) async fn call(&self, call: IncomingCall) -> Result<Reply, CallError> {
        let encoding = call.body.encoding;
        let params = |error: o_protocol::DecodeError| CallError::InvalidParams {
            message: error.to_string(),
        };
        // They are about the peer at the other end: passed on by another, they would be about that one.
        if is_direct(&call.method) && call.context.terms.origin.is_some() {
            let method = &call.method;
            return Err(self.refused(format!("{method} is not taken from whoever passes it on")));
        }
        match &*call.method {
            JOIN => {
                let (peer, request) = (peer(&call.context)?, decode_body(&call.body));
                one(encoding, &self.join(peer, request.map_err(params)?).await?)
            }
            BEAT => {
                let (peer, beat) = (peer(&call.context)?, decode_body(&call.body));
                one(encoding, &self.beat(peer, beat.map_err(params)?)?)
            }
            LEAVE => {
                self.child_gone(&peer(&call.context)?, "it left", true);
                one(encoding, &())
            }
            PLACE => one(encoding, &self.place()),
            TREE => {
                let request = decode_body(&call.body).map_err(params)?;
                if !call.shape.streams_out() {
                    return Err(CallError::WrongShape {
                        method: Shape::Server,
                        call: call.shape,
                    });
                }
                let left = call.context.terms.remaining(Instant::now());
                let nodes = self
                    .tree(request, left.unwrap_or(LISTING).min(LISTING))
                    .await;
                let items = nodes.into_iter().map(move |node| body(encoding, &node));
                Ok(Reply::Stream(stream::iter(items).boxed()))
            }
            method => Err(CallError::UnknownMethod {
                method: method.to_owned(),
            }),
        }
    }

    /// Makes a peer a child, if it may be one, answers over its connection, and its name is free.
    async fn join(&self, peer: PeerId, request: JoinRequest) -> Result<Joined, CallError> {
        let (chain, generation) = self.own_chain()?;
        let subtree = request.name.without_pin();
        // Before any signature is looked at.
        self.may_come(&self.lock(), &peer, &subtree, &chain)?;
        let proven = self.proven(&peer, &subtree, &request.chain);
        self.may_join(&self.lock(), &peer, &subtree, &chain, proven.as_ref())?;
        let link = self
            .peers
            .get(&peer)
            .ok_or_else(|| CallError::Unreachable {
                address: subtree.clone(),
                reason: "there is no connection to answer over".into(),
            })?;
        ping(&link).await?;

        let lent = self.lent(&self.lock(), &peer, &subtree, proven.as_ref(), &chain);
        let delegation = self.delegate(peer, subtree.clone(), &chain, lent.as_ref())?;
        let mut addresses = request.addresses;
        addresses.truncate(Record::MAX_ADDRESSES);
        let (is_new, above) = {
            let mut family = self.lock();
            // Looked at again: others may have joined while this one was pinged.
            self.may_join(&family, &peer, &subtree, &chain, proven.as_ref())?;
            if let Some(proven) = &proven {
                family.hold_proven(proven, |peer| is_above(&chain, peer));
            }
            family.hold(&subtree, peer, delegation.delegation().times, lent.clone());
            let is_new = family.add_child(peer, subtree.clone(), addresses, Instant::now());
            if let Some(child) = family.child_mut(&peer) {
                (child.generation, child.lent) = (generation, lent);
            }
            // It can hold as many.
            let _ = self.gate.family().add_child(peer);
            (is_new, family.above(&self.addresses.borrow()))
        };
        if is_new {
            // Or it would be closed between two heartbeats. Where the pool protects nobody more, they
            // go over a new connection each time.
            let _ = self.pool.protect(peer);
            tracing::info!(child = %subtree, %peer, "a child joined");
            let (name, peer) = (subtree, peer);
            self.publish(Event::ChildJoined { name, peer });
        }
        let (heartbeat, patience) = (self.config.heartbeat, self.patience());
        Ok(Joined {
            chain: blobs(&chain.extended(delegation)),
            root: self.name.root(),
            root_key: chain.trusted(),
            above,
            heartbeat_ms: millis(heartbeat),
            patience_ms: millis(patience),
        })
    }

    /// How what this node gives is bounded: by what another allowed who has given the name, and for as long as he
    /// gave it, unless he stands above this node and the name is this node's own to give. The same holds for what
    /// this node gave itself, as far as it does not know that it was its own; and whoever proves nothing gets no
    /// more than what he has.
    fn lent(
        &self,
        family: &Family,
        peer: &PeerId,
        subtree: &Address,
        proven: Option<&Chain>,
        own: &Chain,
    ) -> Option<Lent> {
        if self.config.listed.contains(peer) {
            return None;
        }
        let now = self.now();
        let known = family.lent_to(subtree, peer, now);
        let Some(proven) = proven else {
            return known.flatten();
        };
        let given = || proven.delegations().iter().map(|link| link.delegation());
        let last = given().last()?;
        let from_above = is_above(own, &last.issuer);
        let is_directly_below = subtree
            .parent()
            .is_some_and(|up| up.name() == self.name.name());
        if from_above && last.issuer != self.local && is_directly_below {
            return None;
        }
        known.filter(|_| from_above).unwrap_or_else(|| {
            let others = given().filter(|given| !is_above(own, &given.issuer));
            let times = others.map(|given| given.times);
            let first = times.min_by_key(|times| Lent::left_of(*times, now));
            Some(Lent {
                policy: proven.policy(),
                until: first.unwrap_or(last.times),
            })
        })
    }

    /// # Errors
    /// Why this peer cannot be a child under this name, whatever it proves.
    fn may_come(
        &self,
        family: &Family,
        peer: &PeerId,
        subtree: &Address,
        chain: &Chain,
    ) -> Result<(), CallError> {
        let own = &self.name;
        if !own.is_ancestor_of(subtree) {
            return Err(CallError::InvalidParams {
                message: format!(
                    "{subtree} is not below {own}: a child's name begins with its parent's, as in {own}/{}",
                    subtree.leaf()
                ),
            });
        }
        if *peer == self.local || family.is_above(peer) {
            return Err(self.refused(format!("{} stands above {own}", peer.short())));
        }
        if self.config.admit == Admit::Nobody {
            return Err(self.refused(format!("{own} takes no children")));
        }
        if chain.policy().narrowed(&self.own).depth == 0 {
            return Err(self.refused(format!("the tree may not grow below {own}")));
        }
        match family.has_room(peer) {
            true => Ok(()),
            false => Err(CallError::Busy {
                reason: format!("{own} has {} children", self.config.max_children),
            }),
        }
    }

    /// # Errors
    /// Why this peer cannot be a child under this name.
    fn may_join(
        &self,
        family: &Family,
        peer: &PeerId,
        subtree: &Address,
        chain: &Chain,
        proven: Option<&Chain>,
    ) -> Result<(), CallError> {
        self.may_come(family, peer, subtree, chain)?;
        let (own, proven) = (&self.name, proven.is_some());
        let listed = self.config.listed.contains(peer);
        let child = family.child(peer).is_some();
        match self.config.admit {
            Admit::Listed if !(listed || proven || child) => {
                return Err(self.refused(format!(
                    "{own} takes only children that its operator named (--admit {peer})"
                )));
            }
            // Who takes nobody was asked before.
            Admit::Everybody | Admit::Listed | Admit::Nobody => {}
        }
        let held = family.held_by_another(subtree, peer, self.now());
        let held = held.or_else(|| self.announced_by_another(subtree, peer));
        match held.filter(|_| !proven && !listed) {
            Some(holder) => Err(self.refused(format!(
                "{subtree} belongs to {holder}; if {peer} may have it, too, start {own} with --admit {peer}"
            ))),
            None => Ok(()),
        }
    }

    fn refused(&self, reason: String) -> CallError {
        CallError::Refused {
            peer: Some(self.local),
            reason,
            certain: true,
        }
    }

    /// Who announces an agent of this name, as far as it is known here: this node itself, or somebody of before
    /// it was started anew.
    fn announced_by_another(&self, name: &Address, peer: &PeerId) -> Option<PeerId> {
        let found = self.registry.find(&Query::Name(name.clone()));
        found.iter().map(|p| p.peer).find(|found| found != peer)
    }

    /// The chain with which the tree has given the name to the peer before, if it has.
    fn proven(&self, peer: &PeerId, subtree: &Address, chain: &[Blob]) -> Option<Chain> {
        let root = self.root_of_trust().filter(|_| !chain.is_empty())?;
        let envelopes: Vec<_> = chain.iter().map(|blob| blob.0.clone()).collect();
        let (verifier, now) = (&*self.verifier, self.now());
        let chain = verify_chain(&envelopes, &root, verifier, now, &self.network).ok()?;
        let given = chain.subtree()?;
        let is_given = given.name() == subtree.name() || given.is_ancestor_of(subtree);
        // To the second: five minutes more would be five minutes in which it can be renewed.
        let until = chain.delegations().last()?.delegation().times;
        let holds = !Lent::left_of(until, now).is_zero();
        (is_given && holds && chain.holder() == *peer).then_some(chain)
    }

    /// What gives this node its name, and which one it is of those that it has had.
    fn own_chain(&self) -> Result<(Chain, u64), CallError> {
        // In this order: a newer chain is at worst given once more.
        let generation = self.generation.load(Ordering::Acquire);
        let chain = self.chain.borrow().clone().ok_or_else(|| CallError::Busy {
            reason: format!("{} has not joined its own parent yet", self.name),
        });
        Ok((chain?, generation))
    }

    fn delegate(
        &self,
        subject: PeerId,
        subtree: Address,
        chain: &Chain,
        lent: Option<&Lent>,
    ) -> Result<SignedDelegation, CallError> {
        let stated = self.config.policy.policy().unwrap_or_default();
        let mut policy: Policy = chain.policy().narrowed(&stated);
        policy.depth = policy.depth.saturating_sub(1);
        let (now, mut lifetime) = (self.now(), self.config.delegation_lifetime);
        if let Some(lent) = lent {
            policy = policy.narrowed(&lent.policy);
            lifetime = lifetime.min(lent.left(now));
        }
        let since = now.duration_since(std::time::SystemTime::UNIX_EPOCH);
        let delegation = Delegation {
            issuer: self.local,
            subject,
            subtree,
            policy,
            sequence: since.map_or(0, millis),
            times: RecordTimes::starting(now, lifetime),
            network: self.network.clone(),
        };
        sign_delegation(&delegation, &*self.signer).map_err(|error| CallError::Internal {
            message: error.to_string(),
        })
    }

    fn beat(&self, peer: PeerId, beat: Beat) -> Result<Beaten, CallError> {
        let mut family = self.lock();
        let Some(child) = family.child_mut(&peer) else {
            return Ok(Beaten::default());
        };
        child.heard = Instant::now();
        child.below = beat.below;
        if let Some(mut addresses) = beat.addresses {
            addresses.truncate(Record::MAX_ADDRESSES);
            child.addresses = addresses;
        }
        let (name, given) = (child.name.clone(), child.generation);
        self.registry.touch(&peer);
        let above = family.above(&self.addresses.borrow());
        drop(family);
        let mut answer = Beaten {
            known: true,
            above: (digest(&above) != beat.above).then_some(above),
            chain: None,
        };
        // Also where what gave this node its name has changed: those below hear of it one after the other.
        if beat.renew || given != self.generation.load(Ordering::Acquire) {
            answer = self.renew(peer, name, answer)?;
        }
        Ok(answer)
    }

    /// Gives a child its name anew, unless it was lent and that is over.
    fn renew(&self, peer: PeerId, name: Address, answer: Beaten) -> Result<Beaten, CallError> {
        let (chain, generation) = self.own_chain()?;
        let mut family = self.lock();
        let mut lent = family.child(&peer).and_then(|child| child.lent.clone());
        if lent
            .as_ref()
            .is_some_and(|lent| lent.left(self.now()).is_zero())
        {
            family.release(&name, &peer);
            // From now on it is as anybody else who asks.
            let held = family.held_by_another(&name, &peer, self.now());
            let held = held.or_else(|| self.announced_by_another(&name, &peer));
            if self.config.admit != Admit::Everybody || held.is_some() {
                drop(family);
                self.child_gone(&peer, "what it was lent has expired", true);
                return Ok(Beaten::default());
            }
            lent = None;
        }
        let delegation = self.delegate(peer, name.clone(), &chain, lent.as_ref())?;
        family.hold(&name, peer, delegation.delegation().times, lent.clone());
        if let Some(child) = family.child_mut(&peer) {
            (child.generation, child.lent) = (generation, lent);
        }
        drop(family);
        let chain = Some(blobs(&chain.extended(delegation)));
        Ok(Beaten { chain, ..answer })
    }

    /// A child is no longer one.
    pub(super) fn child_gone(&self, peer: &PeerId, reason: &'static str, for_good: bool) {
        let mut family = self.lock();
        let Some(child) = family.remove_child(peer, for_good) else {
            return;
        };
        self.gate.family().remove_child(peer);
        drop(family);
        self.pool.unprotect(peer);
        self.registry.lost(peer);
        tracing::info!(child = %child.name, %peer, reason, "a child is gone");
        self.publish(Event::ChildLost {
            name: child.name,
            peer: *peer,
            reason: reason.to_owned(),
        });
    }

    /// After how much silence a child is lost.
    pub(super) fn patience(&self) -> Duration {
        self.config
            .heartbeat
            .saturating_mul(self.config.missed_beats)
    }

    fn place(&self) -> Place {
        let family = self.lock();
        let above = family.parent().map(|parent| parent.above.clone());
        Place {
            name: self.name.clone(),
            peer: self.local,
            root: self.chain.borrow().as_ref().map(Chain::root),
            above: above.unwrap_or_default(),
            children: u64::try_from(family.children().count()).unwrap_or(u64::MAX),
        }
    }

    /// This node, its children, and what each of them says about those below it.
    async fn tree(&self, request: TreeRequest, within: Duration) -> Vec<TreeNode> {
        let listed = self.lock().listed(self.started, Instant::now());
        let mut listed = listed.into_iter();
        let mut nodes: Vec<TreeNode> = listed.next().into_iter().collect();
        let Some(depth) = request.depth.min(MAX_DEPTH).checked_sub(1) else {
            return nodes;
        };
        let parts = stream::iter(listed).map(|child| async move {
            let below = self.below(&child, depth, within * 4 / 5).await;
            (child, below)
        });
        let mut parts = parts.buffered(LISTING_AT_ONCE);
        let until = tokio::time::Instant::now() + within;
        // What is there by then is the answer.
        while let Ok(Some((mut child, below))) = tokio::time::timeout_at(until, parts.next()).await
        {
            child.silent = below.is_none();
            nodes.push(child);
            nodes.extend(below.unwrap_or_default());
            if nodes.len() >= self.config.max_listed_nodes {
                nodes.truncate(self.config.max_listed_nodes);
                break;
            }
        }
        nodes
    }

    /// What a child says about those below it; `None` where it says nothing.
    async fn below(&self, child: &TreeNode, depth: u8, within: Duration) -> Option<Vec<TreeNode>> {
        let link = self.peers.get(&child.peer)?;
        let body = encode_body(Encoding::Cbor, &TreeRequest { depth }).ok()?;
        let call = OutgoingCall::server_streaming(Address::node(), TREE, body).timeout(within);
        let asked = async {
            let Ok(Reply::Stream(items)) = o_core::Caller::call(&link.session, call).await else {
                return None;
            };
            let limit = self.config.max_listed_nodes;
            // The first is the child itself.
            let items = items.skip(1).take(limit);
            let nodes = items.map(|item| decode_body::<TreeNode>(&item.ok()?).ok());
            nodes.collect::<Vec<_>>().await.into_iter().collect()
        };
        tokio::time::timeout(within, asked).await.ok().flatten()
    }
}

/// The deepest that a tree can be.
const MAX_DEPTH: u8 = 16;

async fn ping(link: &Link) -> Result<(), CallError> {
    let answer = ask::<_, u64>(link, "ping", &7_u64, PING_BACK).await;
    match answer {
        Ok(7) => Ok(()),
        Ok(_) => Err(CallError::Protocol {
            reason: "the answer to a ping is another than was asked for".into(),
        }),
        Err(error) => Err(CallError::Unreachable {
            address: Address::node().pinned(link.peer),
            reason: format!("it was pinged over its own connection and did not answer: {error}"),
        }),
    }
}

fn peer(context: &CallContext) -> Result<PeerId, CallError> {
    let missing = || CallError::Unsupported {
        what: "a call of a node to itself".into(),
    };
    context.peer.ok_or_else(missing)
}

fn blobs(chain: &Chain) -> Vec<Blob> {
    chain.envelopes().into_iter().map(Blob).collect()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn body<T: serde::Serialize>(encoding: Encoding, value: &T) -> Result<o_core::Body, CallError> {
    encode_body(encoding, value).map_err(|error| CallError::Internal {
        message: error.to_string(),
    })
}

fn one<T: serde::Serialize>(encoding: Encoding, value: &T) -> Result<Reply, CallError> {
    body(encoding, value).map(Reply::One)
}
