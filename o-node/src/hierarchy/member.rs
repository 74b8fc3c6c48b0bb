//! A child's side: it joins its parent, tells it that it is there, and goes to the next one above
//! when the parent is gone.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures::{
    FutureExt as _,
    future::{BoxFuture, OptionFuture},
};
use o_address::{PeerId, TransportAddr};
use o_core::{CallError, Chain, DialError, Direction, Event};
use o_pool::{AcquireError, Pool};
use o_protocol::{Blob, ChainError, RootOfTrust, verify_chain};
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    Hierarchy, ask,
    serve::{BEAT, JOIN, LEAVE},
    state::Parent,
    wire::{Ancestor, Beat, Beaten, JoinRequest, Joined, bounded, digest},
};
use crate::{
    dialer::NodeDialer,
    link::Link,
    route,
    trust::{TrustError, keys},
};

/// The shortest and the longest heartbeat that a parent may ask for.
const HEARTBEAT: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(60)];
/// The least that a parent that was lost is waited for before the next one above is asked.
const LOST_PARENT: Duration = Duration::from_millis(500);
/// The longest pause between two rounds of asking everybody above to take this node.
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// A node that has a parent.
pub(crate) struct Member {
    pub(crate) hierarchy: Arc<Hierarchy>,
    pub(crate) pool: Pool<NodeDialer>,
    pub(crate) dialer: NodeDialer,
    /// Where the parent is that the operator chose.
    pub(crate) home: TransportAddr,
}

/// Somebody who may become the parent.
#[derive(Clone, Debug)]
struct Candidate {
    /// `None`: whoever answers at the address.
    peer: Option<PeerId>,
    addresses: Vec<TransportAddr>,
    /// Whether it is the parent that the operator chose.
    home: bool,
}

/// A parent that has taken this node.
struct Attachment {
    link: Link,
    home: bool,
    heartbeat: Duration,
    patience: Duration,
    /// The address list that the parent knows.
    told: Vec<TransportAddr>,
    /// When it was asked last for a new delegation, or this one came.
    asked: Instant,
}

/// Why a candidate did not take this node.
#[derive(Debug, thiserror::Error)]
enum JoinError {
    #[error("cannot be reached: {0}")]
    Dial(String),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("its chain does not hold: {0}")]
    Chain(#[from] ChainError),
    #[error("its chain is for {holder} and {subtree}")]
    NotOurs { holder: String, subtree: String },
    #[error(transparent)]
    Trust(#[from] TrustError),
}

impl Member {
    /// Joins, and stays joined until it is dropped.
    pub(crate) async fn run(self) {
        // The way up as it was heard last: it outlives the parent that told it.
        let mut above: Vec<Ancestor> = Vec::new();
        let mut pause = Duration::from_millis(50);
        let mut warned = false;
        loop {
            let Some(attachment) = self.seek(&above, &mut warned).await else {
                sleep(pause).await;
                pause = (pause * 2)
                    .min(MAX_PAUSE)
                    .min(self.hierarchy.config.return_interval);
                continue;
            };
            pause = Duration::from_millis(50);
            warned = false;
            self.stay(attachment, &mut above).await;
        }
    }

    /// Asks the chosen parent, then everybody who was known above it, the nearest first.
    async fn seek(&self, above: &[Ancestor], warned: &mut bool) -> Option<Attachment> {
        let home = self.home();
        let others = above
            .iter()
            .filter(|a| Some(a.peer) != home.peer && a.peer != self.hierarchy.local);
        let others = others.map(|ancestor| Candidate {
            peer: Some(ancestor.peer),
            addresses: ancestor.addresses.clone(),
            home: false,
        });
        for candidate in [home.clone()].into_iter().chain(others) {
            let limit = match candidate.home && !above.is_empty() {
                true => self.hierarchy.config.heartbeat.max(LOST_PARENT),
                false => self.hierarchy.config.join_timeout,
            };
            match self.join(&candidate, limit).await {
                Ok(attachment) => return Some(attachment),
                Err(JoinError::Trust(TrustError::Changed { .. })) => *warned = true,
                Err(error) if candidate.home && !*warned => {
                    *warned = true;
                    let parent = &self.home;
                    tracing::warn!(%parent, %error, "the parent did not take this node, will try again");
                }
                Err(error) => tracing::debug!(?candidate, %error, "not taken as a child"),
            }
        }
        None
    }

    fn home(&self) -> Candidate {
        Candidate {
            peer: self.home.peer_id(),
            addresses: vec![self.home.clone()],
            home: true,
        }
    }

    /// Connects within `limit`; somebody who is there has longer to answer, for a leader that has come back
    /// is asked by all of its children at once.
    async fn join(&self, candidate: &Candidate, limit: Duration) -> Result<Attachment, JoinError> {
        let timed_out = |after| JoinError::from(CallError::TimedOut { after });
        let connecting = tokio::time::timeout(limit, self.connect(candidate));
        let link = connecting.await.unwrap_or_else(|_| Err(timed_out(limit)))?;
        let limit = self.hierarchy.config.join_timeout;
        let joining = tokio::time::timeout(limit, self.join_over(link, candidate));
        joining.await.unwrap_or_else(|_| Err(timed_out(limit)))
    }

    async fn join_over(&self, link: Link, candidate: &Candidate) -> Result<Attachment, JoinError> {
        let hierarchy = &self.hierarchy;
        let told = hierarchy.addresses.borrow().clone();
        let held = hierarchy.chain.borrow().clone();
        let request = JoinRequest {
            name: hierarchy.name.clone(),
            chain: held.iter().flat_map(Chain::envelopes).map(Blob).collect(),
            addresses: told.clone(),
        };
        let limit = hierarchy.config.join_timeout;
        let joined: Joined = ask(&link, JOIN, &request, limit).await?;
        let [shortest, longest] = HEARTBEAT;
        let heartbeat = Duration::from_millis(joined.heartbeat_ms).clamp(shortest, longest);
        let patience = Duration::from_millis(joined.patience_ms).clamp(heartbeat * 2, longest * 10);
        let chain = self.check(&joined, &link, candidate)?;
        let above = certified(joined.above, &chain);
        hierarchy.adopt(chain);
        self.attached(&link, above);
        Ok(Attachment {
            link,
            home: candidate.home,
            heartbeat,
            patience,
            told,
            asked: Instant::now(),
        })
    }

    async fn connect(&self, candidate: &Candidate) -> Result<Link, JoinError> {
        let failed = |error: &dyn std::fmt::Display| JoinError::Dial(error.to_string());
        if let Some(peer) = candidate.peer {
            // Who asks has paused. A pause of the pool's, which grows to a minute, would come on top of it
            // when the parent has long been back.
            self.pool.clear_backoff(Some(&peer));
            match self.pool.acquire(peer, &candidate.addresses).await {
                Ok(lease) => return Ok((*lease).clone()),
                // Who is there may have succeeded the key that was known: see `check`.
                Err(AcquireError::Dial(error)) if matches!(*error, DialError::WrongPeer { .. }) => {
                }
                Err(error) => return Err(failed(&error)),
            }
        }
        let mut places = candidate.addresses.iter();
        let there = places.find_map(TransportAddr::without_peer);
        let there = there.ok_or_else(|| failed(&"its address names a peer and nothing else"))?;
        let link = self.dialer.dial_anybody(there).await;
        let link =
            link.map_err(|error| failed(&route::dial_error(&error, &self.hierarchy.name)))?;
        let adopted = self
            .pool
            .adopt(link.peer, link.clone(), Direction::Outbound);
        adopted.map_err(|full| failed(&format!("{} is reached", full.limit)))?;
        Ok(link)
    }

    /// What a parent says that it gives, if a root that is trusted gave it to the parent.
    fn check(
        &self,
        joined: &Joined,
        link: &Link,
        candidate: &Candidate,
    ) -> Result<Chain, JoinError> {
        let hierarchy = &self.hierarchy;
        let root = RootOfTrust::new(joined.root.clone(), joined.root_key);
        let chain = self.verify(&joined.chain, &root)?;
        let root_is_ours = joined.root.name() == hierarchy.name.root().name();
        if !root_is_ours || !self.is_ours(&chain, link.peer) {
            return Err(JoinError::NotOurs {
                holder: chain.holder().to_string(),
                subtree: chain.subtree().map(ToString::to_string).unwrap_or_default(),
            });
        }
        let was_root = |key: &PeerId| keys(&chain).contains(key);
        let named = candidate.peer.filter(|named| *named != link.peer);
        if let Some(named) = named
            && !(was_root(&named) && chain.root() == link.peer)
        {
            return Err(JoinError::Dial(format!(
                "{} is there and not {named}, whose successor it is not",
                link.peer
            )));
        }
        let config = &hierarchy.config;
        // The operator named a key: the root's, or that of a parent who vouches for the root.
        let given = config
            .root_key
            .or_else(|| self.home.peer_id().filter(was_root));
        let trusted = match given {
            Some(key) => hierarchy.trust.given(&root, &chain, key),
            None => hierarchy.trust.first_use(&root, &chain),
        };
        if let Err(TrustError::Changed {
            remembered,
            presented,
            ..
        }) = &trusted
        {
            let (name, remembered, presented) = (root.name.clone(), *remembered, *presented);
            tracing::error!(%name, %remembered, %presented, "THE KEY OF THE ROOT HAS CHANGED: not joined; if that is right, `o trust forget {name}`");
            hierarchy.publish(Event::RootChanged {
                name,
                remembered,
                presented,
            });
        }
        trusted?;
        Ok(chain)
    }

    fn verify(&self, chain: &[Blob], root: &RootOfTrust) -> Result<Chain, ChainError> {
        let envelopes: Vec<_> = chain.iter().map(|blob| blob.0.clone()).collect();
        let hierarchy = &self.hierarchy;
        let (verifier, network) = (&*hierarchy.verifier, &hierarchy.network);
        verify_chain(&envelopes, root, verifier, SystemTime::now(), network)
    }

    fn attached(&self, link: &Link, above: Vec<Ancestor>) {
        let hierarchy = &self.hierarchy;
        let peer = link.peer;
        hierarchy.gate.family().set_parent(Some(peer));
        // The limit on protected peers is above what a node's own peers need.
        let _ = self.pool.protect(peer);
        let name = above
            .first()
            .map_or_else(|| hierarchy.name.root(), |first| first.name.clone());
        let before = hierarchy.lock().set_parent(Some(Parent {
            peer,
            above,
            heard: std::time::Instant::now(),
        }));
        hierarchy.attached.send_modify(|count| *count += 1);
        if before.is_none_or(|before| before.peer != peer) {
            tracing::info!(parent = %name, %peer, "joined");
            hierarchy.publish(Event::Attached { name, peer });
        }
    }

    /// Tells the parent again and again that this node is there. Returns when the parent is lost, or
    /// no longer knows it.
    async fn stay(&self, mut attachment: Attachment, above: &mut Vec<Ancestor>) {
        let mut back = Instant::now() + self.hierarchy.config.return_interval;
        let mut heard = Instant::now();
        let mut next = Instant::now() + attachment.heartbeat;
        self.keep_above(above);
        // Under way beside the heartbeats: a parent that is silent must not cost the one that is there.
        let mut returning: Option<BoxFuture<'_, Result<Attachment, JoinError>>> = None;
        loop {
            let session = attachment.link.session.clone();
            tokio::select! {
                biased;
                _ = session.closed() => {
                    // Another connection may be up; a parent that is there takes this node back.
                    return self.detached(&attachment, "the connection is gone");
                }
                home = OptionFuture::from(returning.as_mut()), if returning.is_some() => {
                    returning = None;
                    back = Instant::now() + self.hierarchy.config.return_interval;
                    if let Some(Ok(home)) = home {
                        // The chosen parent may have been found by the way up, too.
                        match attachment.link.peer == home.link.peer {
                            true => self.pool.unprotect(&home.link.peer),
                            false => self.leave(&attachment).await,
                        }
                        attachment = home;
                        heard = Instant::now();
                        next = heard + attachment.heartbeat;
                        self.keep_above(above);
                    }
                    continue;
                }
                () = sleep_until(next) => {}
            }
            match self.beat(&mut attachment, above).await {
                Ok(true) => {
                    heard = Instant::now();
                    self.hierarchy.lock().hear_parent(heard.into_std());
                }
                Ok(false) => {
                    return self.detached(&attachment, "it does not know this node any more");
                }
                Err(error) => tracing::debug!(%error, "the parent did not answer"),
            }
            if heard.elapsed() > attachment.patience {
                return self.detached(&attachment, "it does not answer");
            }
            next = (next + attachment.heartbeat).max(Instant::now());
            if !attachment.home && returning.is_none() && Instant::now() >= back {
                let limit = self.hierarchy.config.join_timeout;
                returning = Some(async move { self.join(&self.home(), limit).await }.boxed());
            }
        }
    }

    /// One heartbeat: whether the parent knows this node.
    async fn beat(
        &self,
        attachment: &mut Attachment,
        above: &mut Vec<Ancestor>,
    ) -> Result<bool, JoinError> {
        let hierarchy = &self.hierarchy;
        let now = hierarchy.addresses.borrow().clone();
        let (known, below) = {
            let family = hierarchy.lock();
            let known = family.parent().map_or(0, |parent| digest(&parent.above));
            (known, family.below())
        };
        let beat = Beat {
            above: known,
            addresses: (now != attachment.told).then(|| now.clone()),
            below,
            renew: self.is_to_be_renewed(attachment.asked),
        };
        if beat.renew {
            attachment.asked = Instant::now();
        }
        let answer: Beaten = ask(&attachment.link, BEAT, &beat, attachment.patience).await?;
        if !answer.known {
            return Ok(false);
        }
        attachment.told = now;
        if let Some(chain) = answer.chain
            && !self.renew(&chain, attachment.link.peer)
        {
            return Ok(false);
        }
        if let Some(changed) = answer.above {
            let held = hierarchy.held();
            let changed = held.map_or_else(Vec::new, |held| certified(changed, &held));
            let peer = attachment.link.peer;
            hierarchy.lock().set_parent(Some(Parent {
                peer,
                above: changed,
                heard: std::time::Instant::now(),
            }));
            self.keep_above(above);
        }
        Ok(true)
    }

    /// Takes over what the parent gives anew, if it gives the same name. `false` where it has got its own from
    /// another root by now: whether that one is to be trusted shows when this node joins once more.
    fn renew(&self, chain: &[Blob], parent: PeerId) -> bool {
        let hierarchy = &self.hierarchy;
        let Some(held) = hierarchy.held() else {
            return true;
        };
        // From the first key on, or those who trust that one would no longer believe this node's records.
        let root = RootOfTrust::new(hierarchy.name.root(), held.trusted());
        match self.verify(chain, &root) {
            Err(error) => {
                tracing::debug!(%parent, %error, "what the parent renewed does not hold");
                return !matches!(error, ChainError::WrongIssuer { link: 1, .. });
            }
            Ok(chain) if !keys(&chain).contains(&held.root()) => {
                tracing::debug!(%parent, "the parent has not heard yet of the key of the root");
            }
            Ok(chain) if self.is_ours(&chain, parent) => hierarchy.adopt(chain),
            Ok(_) => tracing::warn!(%parent, "the parent renewed another name than this node's"),
        }
        true
    }

    /// Whether a chain gives this node its name, and `parent` has signed that.
    fn is_ours(&self, chain: &Chain, parent: PeerId) -> bool {
        let giver = chain.delegations().last();
        let giver = giver.map(|last| last.delegation().issuer);
        let given = chain.subtree().map(|given| given.name());
        chain.holder() == self.hierarchy.local
            && given == Some(self.hierarchy.name.name())
            && giver == Some(parent)
    }

    /// Remembers the way up from the chosen parent, and that from another one behind it.
    fn keep_above(&self, above: &mut Vec<Ancestor>) {
        let now = self
            .hierarchy
            .lock()
            .parent()
            .map(|parent| parent.above.clone());
        let now = now.unwrap_or_default();
        let older: Vec<_> = above
            .iter()
            .filter(|old| now.iter().all(|new| new.peer != old.peer))
            .cloned()
            .collect();
        *above = bounded(now.into_iter().chain(older).collect());
    }

    /// Whether half of the time is over for which the delegation holds. To a clock that is ahead every one that
    /// is short seems old at once; so an eighth of the time has to pass here, too.
    fn is_to_be_renewed(&self, asked: Instant) -> bool {
        let chain = self.hierarchy.chain.borrow();
        let own = chain.as_ref().and_then(|chain| chain.delegations().last());
        own.is_some_and(|own| {
            let times = own.delegation().times;
            let lifetime = Duration::from_secs(times.lifetime.into());
            times.age(SystemTime::now()) > lifetime / 2 && asked.elapsed() >= lifetime / 8
        })
    }

    fn detached(&self, attachment: &Attachment, reason: &'static str) {
        let peer = attachment.link.peer;
        self.pool.unprotect(&peer);
        self.hierarchy.gate.family().set_parent(None);
        let before = self.hierarchy.lock().set_parent(None);
        let Some(before) = before else { return };
        let name = before
            .above
            .first()
            .map_or_else(|| self.hierarchy.name.root(), |first| first.name.clone());
        tracing::warn!(parent = %name, %peer, reason, "the parent is lost");
        self.hierarchy.publish(Event::Detached {
            name,
            peer,
            reason: reason.to_owned(),
        });
    }

    /// Says to a parent that another one has taken its place.
    async fn leave(&self, attachment: &Attachment) {
        let limit = self.hierarchy.config.heartbeat;
        let left: Result<(), _> = ask(&attachment.link, LEAVE, &(), limit).await;
        if let Err(error) = left {
            tracing::debug!(%error, "the parent was not told that this node left");
        }
        self.pool.unprotect(&attachment.link.peer);
    }
}

/// Those of the way up that the own chain names, at most as many as there can be: a parent must not say who else is
/// there under which name.
fn certified(above: Vec<Ancestor>, chain: &Chain) -> Vec<Ancestor> {
    let mut above = bounded(above);
    above.retain(|ancestor| {
        let mut given = chain.delegations().iter().map(|given| given.delegation());
        match given.find(|given| given.subtree.name() == ancestor.name.name()) {
            Some(given) => given.subject == ancestor.peer,
            None => ancestor.peer == chain.root(),
        }
    });
    above
}

#[cfg(test)]
mod tests {
    use o_core::{Delegation, NetworkId, Policy, RecordTimes};
    use o_protocol::sign_delegation;
    use o_transport::Keypair;

    use super::*;

    #[test]
    fn a_parent_cannot_say_who_else_is_above() {
        let [root, parent, own, evil] = [(); 4].map(|()| Keypair::generate());
        let given = |by: &Keypair, to: &Keypair, name: &str| {
            let delegation = Delegation {
                issuer: by.peer_id(),
                subject: to.peer_id(),
                subtree: name.parse().unwrap(),
                policy: Policy::default(),
                sequence: 1,
                times: RecordTimes::starting(SystemTime::now(), Duration::from_secs(60)),
                network: NetworkId::default(),
            };
            sign_delegation(&delegation, by).unwrap()
        };
        let links = vec![
            given(&root, &parent, "o://a/b"),
            given(&parent, &own, "o://a/b/c"),
        ];
        let chain = Chain::new_verified(root.peer_id(), Vec::new(), links);
        let at = |name: &str, key: &Keypair| Ancestor {
            name: name.parse().unwrap(),
            peer: key.peer_id(),
            addresses: Vec::new(),
        };
        let good = vec![at("o://a/b", &parent), at("o://a", &root)];
        assert_eq!(certified(good.clone(), &chain), good);
        let bad = vec![
            at("o://a/b", &evil),
            at("o://a/b", &root),
            at("o://a", &evil),
            at("o://a/hr", &evil),
            at("o://bank", &evil),
        ];
        assert_eq!(certified(bad, &chain), []);
    }
}
