//! From a name to the connections that lead to it.

mod cache;

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use o_address::{Address, TransportAddr};
use o_core::{
    CallError, DialError, Direction, DiscoveryError, Query, ResolveError, Resolver, Route,
    SignedRecord, Source,
};
use o_discovery::registry;
use o_pool::AcquireError;

pub(crate) use self::cache::RouteCache;
use crate::{
    find::{Finder, Unconfirmed},
    hierarchy::Hierarchy,
    hosting::Agents,
    peers::Peers,
};

/// Asks, in this order: the user's resolvers, what is hosted here, what was found lately, who is connected,
/// the family in the hierarchy, the sources of discovery that know or ask one node (gossip, mDNS, registries,
/// bootstrap peers), the distributed hash table.
#[derive(Clone, Debug)]
pub(crate) struct NodeResolver {
    pub(crate) local: o_address::PeerId,
    /// What the user brought, asked before everything else.
    pub(crate) first: Vec<Arc<dyn Resolver>>,
    pub(crate) agents: Arc<Agents>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) cache: Arc<RouteCache>,
    pub(crate) hierarchy: Option<Arc<Hierarchy>>,
    pub(crate) finder: Finder,
    /// Whose registries are asked by a node that keeps none.
    pub(crate) bootstrap: Vec<o_address::PeerId>,
}

fn route(peer: o_address::PeerId, addresses: Vec<TransportAddr>, source: Source) -> Route {
    Route {
        peer,
        addresses,
        source,
        age: Duration::ZERO,
    }
}

impl NodeResolver {
    /// What the user's resolvers say: the routes of the first that knows the address, if one does.
    ///
    /// # Errors
    /// That of the first that fails otherwise than by not knowing it.
    pub(crate) async fn told(&self, address: &Address) -> Result<Option<Vec<Route>>, ResolveError> {
        for resolver in &self.first {
            let mut routes = match resolver.resolve(address).await {
                Ok(routes) => routes,
                Err(ResolveError::NotFound { .. }) => continue,
                Err(error) => return Err(error),
            };
            routes.retain(|route| address.pin().is_none_or(|pin| pin == route.peer));
            if !routes.is_empty() {
                return Ok(Some(routes));
            }
        }
        Ok(None)
    }

    /// Who is first of those that [`known`](Self::known) gives, if that is another node and no
    /// resolver of the user's comes before: the same choice, for a call that is made at once.
    pub(crate) fn first_known(&self, address: &Address) -> Option<o_address::PeerId> {
        let here = address.pin().is_none_or(|pin| pin == self.local);
        let local = here && (address.is_node() || self.agents.get(address).is_some());
        if local || !self.first.is_empty() {
            return None;
        }
        let pinned = address.pin().filter(|pin| self.peers.get(pin).is_some());
        pinned
            .or_else(|| self.cache.peer(address))
            .or_else(|| match self.wants_chain(address) {
                // A claim is not enough.
                true => None,
                false => self.peers.first_hosting(address),
            })
    }

    /// Whether only who has the root's chain for the name is believed to have it.
    fn wants_chain(&self, address: &Address) -> bool {
        self.finder.authority.wants_chain(address)
    }

    /// What is known without asking anybody.
    pub(crate) fn known(&self, address: &Address) -> Vec<Route> {
        let here = address.pin().is_none_or(|pin| pin == self.local);
        if here && (address.is_node() || self.agents.get(address).is_some()) {
            return vec![route(self.local, Vec::new(), Source::Local)];
        }
        if let Some(pin) = address.pin()
            && self.peers.get(&pin).is_some()
        {
            return vec![route(pin, Vec::new(), Source::Connected)];
        }
        // What a search confirmed goes before what a HELLO claims, and whom we dialed before who
        // came to us: nobody takes over a name by connecting.
        let mut routes: Vec<Route> = self.cache.get(address).into_iter().collect();
        let mut hosting = match self.wants_chain(address) {
            true => Vec::new(),
            false => self.peers.hosting(address),
        };
        hosting.retain(|link| address.pin().is_none_or(|pin| pin == link.peer));
        hosting.sort_by_key(|link| link.direction == Direction::Inbound);
        for link in hosting {
            if routes.iter().all(|route| route.peer != link.peer) {
                routes.push(route(link.peer, Vec::new(), Source::Connected));
            }
        }
        let family = self
            .hierarchy
            .as_ref()
            .map(|hierarchy| hierarchy.known(address));
        for known in family.unwrap_or_default() {
            if routes.iter().all(|route| route.peer != known.peer) {
                routes.push(known);
            }
        }
        routes
    }

    /// What nobody announces: the nodes themselves, and their registries.
    fn reserved(&self, address: &Address) -> Vec<Route> {
        let peers = match address.pin() {
            Some(pin) => vec![pin],
            None if self.hierarchy.is_some() => vec![self.local],
            None => self.bootstrap.clone(),
        };
        let given = |peer| route(peer, Vec::new(), Source::Given);
        peers.into_iter().map(given).collect()
    }

    /// Asks discovery, and takes the first that confirms. A name that nobody has is not looked for again
    /// at once.
    async fn search(&self, address: &Address) -> Result<Vec<Route>, SearchError> {
        if address.is_node() || registry::is_reserved(address) {
            let routes = self.reserved(address);
            let nobody = SearchError::Discovery(DiscoveryError::NoNetwork);
            return (!routes.is_empty()).then_some(routes).ok_or(nobody);
        }
        if self.cache.is_absent(address) {
            return Err(SearchError::NotFound);
        }
        let found = self.ask(address).await;
        if matches!(found, Err(SearchError::NotFound)) {
            self.cache.miss(address);
        }
        found
    }

    async fn ask(&self, address: &Address) -> Result<Vec<Route>, SearchError> {
        let mut findings = self.finder.find(Query::Name(address.clone()));
        // Of those who are said to have the name, and of those who were only asked on the off chance.
        let (mut failed, mut elsewhere): (Option<SearchError>, Option<SearchError>) = (None, None);
        let mut answered = false;
        while let Some(finding) = findings.next().await {
            match finding {
                Ok(Ok(provider)) if address.pin().is_none_or(|pin| pin == provider.peer) => {
                    let source = provider.sources.first().copied().unwrap_or(Source::Dht);
                    let addresses = provider.addresses;
                    let found = Route {
                        peer: provider.peer,
                        addresses,
                        source,
                        age: provider.age,
                    };
                    let record = provider.record.as_ref().map(SignedRecord::record);
                    self.cache.put(address, found.clone(), record);
                    return Ok(vec![found]);
                }
                Ok(Ok(_)) => {}
                Ok(Err(Unconfirmed {
                    error: CallError::NotFound { .. },
                    ..
                })) => answered = true,
                Ok(Err(Unconfirmed {
                    peer,
                    error,
                    claimed,
                })) => {
                    let wanted = address.pin().is_none_or(|pin| pin == peer);
                    let slot = if claimed || address.pin() == Some(peer) {
                        &mut failed
                    } else {
                        &mut elsewhere
                    };
                    // Who refuses us is more to the point than who is not there.
                    let refused = matches!(error, CallError::Refused { certain: true, .. });
                    if wanted && refused && !matches!(slot, Some(SearchError::Refused(_))) {
                        *slot = Some(SearchError::Refused(error));
                    } else if slot.is_none() {
                        *slot = Some(SearchError::Unreachable(why_not(&peer, error)));
                    }
                }
                Err(source) if failed.is_none() && elsewhere.is_none() && !answered => {
                    return Err(SearchError::Discovery(source));
                }
                Err(error) => tracing::debug!(%error, "a search failed"),
            }
        }
        // Where somebody answered, a bootstrap peer that did not says nothing about the name.
        let elsewhere = elsewhere.filter(|_| !answered);
        Err(failed.or(elsewhere).unwrap_or(SearchError::NotFound))
    }

    /// Whoever answers to a name, without a call.
    ///
    /// # Errors
    /// Not found, found but unreachable or refused, or nobody to ask.
    pub(crate) async fn resolve(&self, address: &Address) -> Result<Vec<Route>, ResolveError> {
        if let Some(told) = self.told(address).await? {
            return Ok(told);
        }
        let known = self.known(address);
        if !known.is_empty() {
            return Ok(known);
        }
        let address = address.clone();
        self.search(&address).await.map_err(|error| match error {
            SearchError::NotFound => ResolveError::NotFound { address },
            SearchError::Discovery(DiscoveryError::NoNetwork) if self.peers.count() > 0 => {
                ResolveError::NotFound { address }
            }
            SearchError::Discovery(source) => ResolveError::Discovery { address, source },
            SearchError::Unreachable(reason) => ResolveError::Unreachable { address, reason },
            SearchError::Refused(error) => refused(address, error),
        })
    }

    /// Routes for a call, looked for anew.
    ///
    /// # Errors
    /// Not found, found but unreachable or refused, or nobody to ask.
    pub(crate) async fn routes(&self, address: &Address) -> Result<Vec<Route>, CallError> {
        let address = address.clone();
        match self.search(&address).await {
            Ok(routes) => Ok(routes),
            Err(SearchError::Refused(error)) => Err(error),
            Err(SearchError::Unreachable(reason)) => {
                Err(CallError::Unreachable { address, reason })
            }
            Err(SearchError::Discovery(DiscoveryError::NoNetwork)) if self.peers.count() > 0 => {
                Err(CallError::NotFound { address })
            }
            Err(SearchError::Discovery(source)) => Err(discovery_error(source, address)),
            Err(SearchError::NotFound) => Err(CallError::NotFound { address }),
        }
    }
}

/// Why somebody who was found did not confirm, in words that can stand after the name that was sought.
fn why_not(peer: &o_address::PeerId, error: CallError) -> String {
    match error {
        // Its own address is that of the peer, in a sentence that would be said twice.
        CallError::Unreachable { reason, .. } => reason,
        other => format!("{}: {other}", peer.short()),
    }
}

fn discovery_error(error: DiscoveryError, address: Address) -> CallError {
    match error {
        DiscoveryError::NoNetwork => CallError::NoNetwork { address },
        DiscoveryError::Busy { limit } => CallError::Busy {
            reason: limit.into(),
        },
        DiscoveryError::Shutdown => CallError::ShuttingDown,
        _ => CallError::NotFound { address },
    }
}

/// What a resolver of the user's that failed means for a call to `address`.
pub(crate) fn resolve_error(error: ResolveError, address: &Address) -> CallError {
    let address = address.clone();
    match error {
        ResolveError::NotFound { .. } => CallError::NotFound { address },
        ResolveError::Unreachable { reason, .. } => CallError::Unreachable { address, reason },
        ResolveError::Refused { peer, reason, .. } => CallError::Refused {
            peer,
            reason,
            certain: true,
        },
        ResolveError::Discovery {
            source: DiscoveryError::Failed { origin, source },
            ..
        } => CallError::Unreachable {
            address,
            reason: format!("{origin} failed: {source}"),
        },
        ResolveError::Discovery {
            source: DiscoveryError::TimedOut { after },
            ..
        } => CallError::TimedOut { after },
        ResolveError::Discovery { source, .. } => discovery_error(source, address),
        other => CallError::Unreachable {
            address,
            reason: other.to_string(),
        },
    }
}

enum SearchError {
    NotFound,
    /// Somebody was found and did not answer.
    Unreachable(String),
    /// Somebody was found and does not want us.
    Refused(CallError),
    Discovery(DiscoveryError),
}

fn refused(address: Address, error: CallError) -> ResolveError {
    let (peer, reason) = match error {
        CallError::Refused { peer, reason, .. } => (peer, reason),
        other => (None, other.to_string()),
    };
    ResolveError::Refused {
        address,
        peer,
        reason,
    }
}

/// What a connection that could not be had means for a call to `address`.
pub(crate) fn call_error(error: &AcquireError, address: &Address) -> CallError {
    match error {
        AcquireError::Dial(error) => dial_error(error, address),
        AcquireError::Busy { limit } => CallError::Busy {
            reason: format!("{limit} is reached"),
        },
        _ => CallError::ShuttingDown,
    }
}

/// What a failed dial means for a call to `address`.
pub(crate) fn dial_error(error: &DialError, address: &Address) -> CallError {
    match error {
        DialError::Refused {
            peer,
            reason,
            certain,
        } => CallError::Refused {
            peer: Some(*peer),
            reason: reason.clone(),
            certain: *certain,
        },
        DialError::BackingOff {
            peer,
            reason,
            refused: true,
            ..
        } => CallError::Refused {
            peer: Some(*peer),
            reason: reason.clone(),
            certain: true,
        },
        DialError::Busy { limit } => CallError::Busy {
            reason: format!("{limit} is reached"),
        },
        DialError::PeerBusy { reason, .. } => CallError::Busy {
            reason: reason.clone(),
        },
        DialError::Shutdown => CallError::ShuttingDown,
        other => CallError::Unreachable {
            address: address.clone(),
            reason: other.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_be_reached_is_told_in_one_sentence() {
        let peer: o_address::PeerId = "12D3KooWQA9eZ7s8E7KvNJGG7AXRioyASFicECjdKL1DS2C1Duoo"
            .parse()
            .unwrap();
        let dial = DialError::Failed {
            peer,
            reason: "connection refused".into(),
        };
        let error = dial_error(&dial, &Address::node());
        assert_eq!(
            why_not(&peer, error),
            format!("dialing {peer} failed: connection refused")
        );
        let after = Duration::from_secs(5);
        let short = peer.short();
        assert_eq!(
            why_not(&peer, CallError::TimedOut { after }),
            format!("{short}: timed out after 5s")
        );
    }
}
