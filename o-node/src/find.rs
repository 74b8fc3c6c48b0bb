//! Searching, and having each finding confirmed by the peer itself.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use futures::{FutureExt, StreamExt, stream};
use o_address::{Address, PeerId, TransportAddr};
use o_core::{
    Body, CallError, Caller, Discovery, DiscoveryError, Encoding, NetworkId, OutgoingCall,
    Provider, ProviderStream, Query, Record, Reply, SignedRecord, Source, Verifier,
};
use o_discovery::MergedDiscovery;
use o_pool::Pool;
use o_protocol::{Blob, NodeDescription, decode_body, encode_body, verify_record};

use crate::{dialer::NodeDialer, link::Link, peers::Peers};

/// Agents of one peer whose signatures are looked at; what it describes beyond them is left out.
const MAX_DESCRIBED: usize = 1024;
/// Longest description that is read, in bytes.
const MAX_DESCRIPTION: usize = 1024 * 1024;

/// Looks for agents and asks each found peer whether it is so.
#[derive(Clone, Debug)]
pub(crate) struct Finder {
    pub(crate) discovery: Arc<MergedDiscovery>,
    pub(crate) pool: Pool<NodeDialer>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) verifier: Arc<dyn Verifier>,
    pub(crate) network: NetworkId,
    pub(crate) timeout: Duration,
    pub(crate) at_once: usize,
}

/// A found peer that did not confirm, and why.
#[derive(Clone, Debug)]
pub(crate) struct Unconfirmed {
    pub(crate) peer: PeerId,
    pub(crate) error: CallError,
    /// Whether its source said that it has what is sought, and not only that it is there.
    pub(crate) claimed: bool,
}

/// What a search gives: somebody who confirmed, or somebody who did not.
pub(crate) type Finding = Result<Result<Provider, Unconfirmed>, DiscoveryError>;

impl Finder {
    /// Providers as each is confirmed by itself; those that do not confirm are left out.
    pub(crate) fn confirmed(&self, query: Query) -> ProviderStream {
        let findings = self.find(query).filter_map(async |finding| match finding {
            Ok(Ok(provider)) => Some(Ok(provider)),
            Ok(Err(unconfirmed)) => {
                let (peer, error) = (unconfirmed.peer, unconfirmed.error);
                tracing::debug!(%peer, %error, "a provider did not confirm");
                None
            }
            Err(error) => Some(Err(error)),
        });
        findings.boxed()
    }

    /// Everything that a search finds, with the outcome of asking each peer.
    pub(crate) fn find(&self, query: Query) -> stream::BoxStream<'static, Finding> {
        let hints = self
            .connected(&query)
            .chain(self.discovery.find(query.clone()));
        let asked = Arc::new(Mutex::new(HashMap::new()));
        let mut shown = HashSet::new();
        let (finder, at_once) = (self.clone(), self.at_once.max(1));
        hints
            .filter_map(move |hint| {
                // A peer is asked again only when a source brings an address that was not tried.
                let fresh = hint.as_ref().map_or(true, |hint| is_news(&asked, hint));
                std::future::ready(fresh.then_some(hint))
            })
            .map(move |hint| {
                let (finder, query) = (finder.clone(), query.clone());
                async move {
                    match hint {
                        Ok(hint) => finder.ask(hint, &query).await,
                        Err(error) => vec![Err(error)],
                    }
                }
                .boxed()
            })
            .buffer_unordered(at_once)
            .flat_map(stream::iter)
            .filter(move |finding| {
                // Asked twice, a peer is still shown once for each name.
                std::future::ready(match finding {
                    Ok(Ok(Provider {
                        peer,
                        record: Some(record),
                        ..
                    })) => shown.insert((*peer, record.record().address.clone())),
                    _ => true,
                })
            })
            .boxed()
    }

    /// Peers that are connected anyway and say that they host the name.
    fn connected(&self, query: &Query) -> ProviderStream {
        let links = match query {
            Query::Name(address) => self.peers.hosting(address),
            _ => Vec::new(),
        };
        let hints = links.into_iter().map(|link| {
            let addresses = vec![(*link.remote).clone()];
            Ok(Provider::hint(link.peer, addresses, Source::Connected))
        });
        stream::iter(hints.collect::<Vec<_>>()).boxed()
    }

    async fn ask(&self, hint: Provider, query: &Query) -> Vec<Finding> {
        let peer = hint.peer;
        let asked = async {
            let link = self.link(&hint).await?;
            self.describe(&link, query).await
        };
        let after = self.timeout;
        let answer = tokio::time::timeout(after, asked)
            .await
            .unwrap_or(Err(CallError::TimedOut { after }));
        // Bootstrap and mDNS say that a peer is there, not that it has what is sought.
        let claimed = !hint
            .sources
            .iter()
            .all(|source| matches!(source, Source::Bootstrap | Source::Mdns));
        let unconfirmed = |error| {
            vec![Ok(Err(Unconfirmed {
                peer,
                error,
                claimed,
            }))]
        };
        match answer {
            Ok(records) => {
                let matching = records.into_iter().filter(|record| matches(record, query));
                let found: Vec<Finding> = matching
                    .map(|record| Ok(Ok(confirm(&hint, record))))
                    .collect();
                if found.is_empty() {
                    let address = Address::node().pinned(peer);
                    unconfirmed(CallError::NotFound { address })
                } else {
                    found
                }
            }
            Err(error) => unconfirmed(error),
        }
    }

    async fn link(&self, hint: &Provider) -> Result<Link, CallError> {
        if let Some(link) = self.peers.get(&hint.peer) {
            return Ok(link);
        }
        let lease = self.pool.acquire(hint.peer, &hint.addresses).await;
        Ok((*lease.map_err(|error| crate::route::call_error(&error, &Address::node()))?).clone())
    }

    /// The records that a peer signed about its agents.
    async fn describe(&self, link: &Link, query: &Query) -> Result<Vec<SignedRecord>, CallError> {
        let params = encode_body(Encoding::Cbor, &()).unwrap_or_default();
        let call = OutgoingCall::unary(Address::node(), "describe", params).timeout(self.timeout);
        let body: Body = match link.session.call(call).await? {
            Reply::One(body) => body,
            Reply::Stream(_) => Body::default(),
        };
        let invalid = |message: String| CallError::InvalidReply { message };
        if body.len() > MAX_DESCRIPTION {
            return Err(invalid(format!(
                "a description over {MAX_DESCRIPTION} bytes"
            )));
        }
        let description: NodeDescription =
            decode_body(&body).map_err(|error| invalid(error.to_string()))?;
        let now = SystemTime::now();
        let agents = description.agents.into_iter().take(MAX_DESCRIBED);
        // A signature costs time: only what could match is looked at.
        let agents = agents.filter(|agent| match query {
            Query::Name(address) => agent.address.name() == address.name(),
            Query::Capability(capability) => agent.capabilities.contains(capability),
            _ => true,
        });
        let verified = agents.filter_map(|agent| {
            let Blob(envelope) = agent.record?;
            match verify_record(envelope, &*self.verifier, now, &self.network) {
                // Only the peer itself speaks for itself.
                Ok(record) if record.record().peer == link.peer => Some(record),
                Ok(_) => None,
                Err(error) => {
                    tracing::debug!(peer = %link.peer, %error, "a record was dropped");
                    None
                }
            }
        });
        Ok(verified.collect())
    }
}

/// Whether a hint is about a peer that was not asked yet, or brings an address that was not tried.
/// The source's limit on providers bounds the map.
fn is_news(asked: &Mutex<HashMap<PeerId, Vec<TransportAddr>>>, hint: &Provider) -> bool {
    let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(tried) = asked.get_mut(&hint.peer) else {
        asked.insert(hint.peer, hint.addresses.clone());
        return true;
    };
    let before = tried.len();
    for address in &hint.addresses {
        if !tried.contains(address) && tried.len() < Record::MAX_ADDRESSES {
            tried.push(address.clone());
        }
    }
    tried.len() > before
}

fn matches(record: &SignedRecord, query: &Query) -> bool {
    let record = record.record();
    match query {
        Query::Name(address) => {
            record.address.name() == address.name()
                && address.pin().is_none_or(|pin| pin == record.peer)
        }
        Query::Capability(capability) => record.capabilities.contains(capability),
        _ => false,
    }
}

fn confirm(hint: &Provider, record: SignedRecord) -> Provider {
    let age = record.record().times.age(SystemTime::now());
    let mut addresses = record.record().addresses.clone();
    if addresses.is_empty() {
        addresses.clone_from(&hint.addresses);
    }
    Provider {
        record: Some(record),
        confirmed: true,
        age,
        addresses,
        ..hint.clone()
    }
}

/// Names that were found lately.
#[derive(Debug)]
pub(crate) struct RouteCache {
    routes: Mutex<HashMap<String, (Instant, o_core::Route)>>,
    lifetime: Duration,
    limit: usize,
}

impl RouteCache {
    pub(crate) fn new(lifetime: Duration, limit: usize) -> Self {
        Self {
            routes: Mutex::default(),
            lifetime,
            limit,
        }
    }

    pub(crate) fn get(&self, address: &Address) -> Option<o_core::Route> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let (found, route) = routes.get(address.as_str())?;
        let age = found.elapsed();
        if age > self.lifetime {
            routes.remove(address.as_str());
            return None;
        }
        Some(o_core::Route {
            age: route.age + age,
            ..route.clone()
        })
    }

    pub(crate) fn put(&self, address: &Address, route: o_core::Route) {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        if routes.len() >= self.limit {
            // Full: what has expired goes, and if nothing has, everything does; it is only a cache.
            routes.retain(|_, (found, _)| found.elapsed() <= self.lifetime);
            if routes.len() >= self.limit {
                routes.clear();
            }
        }
        routes.insert(address.as_str().to_owned(), (Instant::now(), route));
    }

    pub(crate) fn forget(&self, address: &Address) {
        self.routes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(address.as_str());
    }
}
