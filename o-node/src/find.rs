//! Searching, and having each finding confirmed by the peer itself.

#[cfg(feature = "mdns")]
mod near;
mod ranked;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
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
use tokio_util::sync::CancellationToken;

#[cfg(feature = "mdns")]
pub(crate) use self::near::NearRegistries;
use self::ranked::ranked;
use crate::{authority::Authority, builtin::BuiltIn, dialer::NodeDialer, link::Link, peers::Peers};

/// How long a confirmed provider waits for others to name it too.
const SETTLE: Duration = Duration::from_millis(150);

/// Looks for agents and asks each found peer whether it is so.
#[derive(Clone, Debug)]
pub(crate) struct Finder {
    pub(crate) discovery: Arc<MergedDiscovery>,
    pub(crate) pool: Pool<NodeDialer>,
    pub(crate) peers: Arc<Peers>,
    /// What is hosted here.
    pub(crate) builtin: Arc<BuiltIn>,
    pub(crate) verifier: Arc<dyn Verifier>,
    /// What may want a chain for a name.
    pub(crate) authority: Arc<Authority>,
    pub(crate) network: NetworkId,
    pub(crate) timeout: Duration,
    pub(crate) at_once: usize,
    /// Agents of one peer whose signatures are looked at; what it describes beyond them is left out.
    pub(crate) max_described: usize,
    /// Longest description that is read, in bytes.
    pub(crate) max_description: usize,
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

/// How often a peer is asked again because the connection to it was just being closed for idleness.
const REDIALS: usize = 3;

impl Finder {
    /// Providers as each is confirmed by itself, this node's own agents first; those that do not confirm
    /// are left out, but for those that refuse us and whose signed records say that they match.
    pub(crate) fn confirmed(&self, query: Query) -> ProviderStream {
        if matches!(query, Query::Attributes(_) | Query::Text(_)) {
            return self.listed(query);
        }
        let own = stream::iter(self.builtin.find(&query)).map(Ok);
        let findings =
            self.search(query, SETTLE, false)
                .filter_map(async |finding| match finding {
                    Ok(Ok(provider)) => Some(Ok(provider)),
                    Ok(Err(unconfirmed)) => {
                        let (peer, error) = (unconfirmed.peer, unconfirmed.error);
                        tracing::debug!(%peer, %error, "a provider did not confirm");
                        None
                    }
                    Err(error) => Some(Err(error)),
                });
        own.chain(findings).boxed()
    }

    /// Whoever matches by the signed records that this node and its sources have, the best first; no provider
    /// is asked.
    fn listed(&self, query: Query) -> ProviderStream {
        let own = self.builtin.find(&query);
        let here: HashSet<_> = own.iter().filter_map(named).collect();
        let (network, wanted, ranking) = (self.network.clone(), query.clone(), query.clone());
        let (now, finder) = (SystemTime::now(), self.clone());
        let found = self.discovery.find(query).filter(move |found| {
            let good = found.as_ref().map_or(true, |provider| {
                let record = provider.record.as_ref().map(SignedRecord::record);
                // Free text is ranked by the source, against all that it has.
                let matches = |record: &Record| {
                    matches!(wanted, Query::Text(_)) || wanted.matches(record).is_some()
                };
                let current =
                    |record: &Record| record.network == network && !record.times.is_expired(now);
                record.is_some_and(|record| current(record) && matches(record))
                    && finder.is_certified(provider)
                    && named(provider).is_none_or(|named| !here.contains(&named))
            });
            std::future::ready(good)
        });
        ranked(own, found.boxed(), &ranking)
    }

    /// Everything that a search finds, with the outcome of asking each peer, as soon as it is known.
    pub(crate) fn find(&self, query: Query) -> stream::BoxStream<'static, Finding> {
        self.search(query, Duration::ZERO, false)
    }

    /// Providers for calls, which prove by themselves who answers: who has signed a record that holds
    /// and matches is not asked, and all others are.
    pub(crate) fn callable(&self, query: Query) -> ProviderStream {
        let findings = self.search(query, Duration::ZERO, true);
        let callable = findings.filter_map(async |finding| match finding {
            Ok(Ok(provider)) => Some(Ok(provider)),
            Ok(Err(_)) => None,
            Err(error) => Some(Err(error)),
        });
        callable.boxed()
    }

    /// Everything that a search finds. Who has confirmed is held back for `settle`, or until every
    /// source is through, so that all who named him are told. With `signed`, a record is as good as
    /// asking.
    fn search(
        &self,
        query: Query,
        settle: Duration,
        signed: bool,
    ) -> stream::BoxStream<'static, Finding> {
        let asked = Arc::new(Asked::default());
        let all_told = asked.clone();
        let hints = self
            .connected(&query)
            .chain(self.discovery.find(query.clone()))
            .chain(
                stream::once(async move {
                    all_told.ended.cancel();
                    None
                })
                .filter_map(std::future::ready),
            );
        let news = asked.clone();
        let mut shown = HashSet::new();
        let (finder, at_once) = (self.clone(), self.at_once.max(1));
        let (wanted, sought) = (query.clone(), query.clone());
        let certifier = self.clone();
        let is_signed =
            move |hint: &Provider| signed && vouched(hint, &wanted) && certifier.is_certified(hint);
        let is_enough = is_signed.clone();
        let local = self.builtin.peer;
        hints
            // What is hosted here needs no search.
            .filter(move |hint| {
                std::future::ready(hint.as_ref().map_or(true, |hint| hint.peer != local))
            })
            .filter_map(move |hint| {
                // A peer is asked again only when a source brings an address that was not tried.
                let fresh = hint.as_ref().map_or(true, |hint| {
                    // One peer may have several records that match.
                    news.is_news(hint, &sought) || is_signed(hint)
                });
                std::future::ready(fresh.then_some(hint))
            })
            .map(move |hint| {
                let (finder, query, asked) = (finder.clone(), query.clone(), asked.clone());
                let enough = hint.as_ref().is_ok_and(&is_enough);
                async move {
                    match hint {
                        Ok(hint) if enough => vec![Ok(Ok(hint))],
                        Ok(hint) => {
                            let mut findings = finder.ask(hint, &query).await;
                            asked.attribute(&mut findings, settle).await;
                            findings
                        }
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
        // A node is its key, which the connection has proved: there is nothing to describe.
        let node = matches!(query, Query::Name(address) if address.is_node() && address.pin() == Some(peer));
        let asked = async {
            let mut again = REDIALS;
            loop {
                let link = self.link(&hint).await?;
                if node {
                    return Ok(Vec::new());
                }
                match self.describe(&link, query).await {
                    // The connection was just being closed for idleness; the peer goes on.
                    Err(_) if link.session.is_parting() && again > 0 => again -= 1,
                    described => return described,
                }
            }
        };
        let after = self.timeout;
        let answer = tokio::time::timeout(after, asked)
            .await
            .unwrap_or(Err(CallError::TimedOut { after }));
        let claimed = !hint.is_only_there();
        let unconfirmed = |error| {
            vec![Ok(Err(Unconfirmed {
                peer,
                error,
                claimed,
            }))]
        };
        match answer {
            Ok(_) if node => vec![Ok(Ok(hint))],
            Ok(records) => match self.sort_out(&hint, records, query) {
                Ok(found) => found,
                Err(error) => unconfirmed(error),
            },
            // It is there and tells us nothing. What it signed says that it matches, and a call may reach it
            // by way of those whom it takes calls from.
            Err(CallError::Refused { certain: true, .. })
                if vouched(&hint, query) && self.is_certified(&hint) =>
            {
                vec![Ok(Ok(hint))]
            }
            Err(error) => unconfirmed(error),
        }
    }

    /// What a peer's records make of the question.
    ///
    /// # Errors
    /// `NotFound` where none matches; `Refused` where one does whose name the peer has not been given.
    fn sort_out(
        &self,
        hint: &Provider,
        records: Vec<SignedRecord>,
        query: &Query,
    ) -> Result<Vec<Finding>, CallError> {
        let peer = hint.peer;
        let matching = records
            .into_iter()
            .filter(|record| query.matches(record.record()).is_some());
        let (mut found, mut denied) = (Vec::<Finding>::new(), None);
        for record in matching {
            match self.authority.certified(&record) {
                Ok(()) => found.push(Ok(Ok(confirm(hint, record, query)))),
                Err(reason) => denied = Some((record.record().address.clone(), reason)),
            }
        }
        if let Some(Ok(Ok(provider))) = found.first() {
            self.peers.meet(peer, &provider.addresses);
            return Ok(found);
        }
        Err(match denied {
            Some((address, reason)) => CallError::Refused {
                peer: Some(peer),
                reason: format!(
                    "{} says that it is {address}, and is {reason}",
                    peer.short()
                ),
                certain: true,
            },
            None => CallError::NotFound {
                address: Address::node().pinned(peer),
            },
        })
    }

    /// Whether what a source has of a peer may be believed as far as its name goes.
    fn is_certified(&self, hint: &Provider) -> bool {
        let record = hint.record.as_ref();
        record.is_none_or(|record| match self.authority.certified(record) {
            Ok(()) => true,
            Err(reason) => {
                tracing::debug!(peer = %hint.peer, name = %record.record().address, reason);
                false
            }
        })
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
        let limit = self.max_description;
        if body.len() > limit {
            return Err(invalid(format!("a description over {limit} bytes")));
        }
        let description: NodeDescription =
            decode_body(&body).map_err(|error| invalid(error.to_string()))?;
        let now = SystemTime::now();
        let agents = description.agents.into_iter().take(self.max_described);
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

/// What the sources of one search said about each peer. The sources' limit on providers bounds it.
#[derive(Default)]
struct Asked {
    peers: Mutex<HashMap<PeerId, Told>>,
    /// Cancelled when every source is through.
    ended: CancellationToken,
}

/// What was said about one peer.
#[derive(Default)]
struct Told {
    /// Addresses that were tried.
    addresses: Vec<TransportAddr>,
    /// Who named it, each once.
    sources: Vec<Source>,
    /// Whether somebody had its record.
    vouched: bool,
}

impl Asked {
    /// Whether a hint is about a peer that was not asked yet, or brings an address that was not
    /// tried, or the first record that matches: who refuses us is believed with one. Who it comes from is
    /// remembered in any case.
    fn is_news(&self, hint: &Provider, query: &Query) -> bool {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = !peers.contains_key(&hint.peer);
        let told = peers.entry(hint.peer).or_default();
        let proof = !told.vouched && vouched(hint, query);
        told.vouched |= proof;
        for source in &hint.sources {
            if !told.sources.contains(source) {
                told.sources.push(*source);
            }
        }
        let before = told.addresses.len();
        for address in &hint.addresses {
            if !told.addresses.contains(address) && before < Record::MAX_ADDRESSES {
                told.addresses.push(address.clone());
            }
        }
        told.addresses.truncate(Record::MAX_ADDRESSES);
        fresh || proof || told.addresses.len() > before
    }

    /// Adds to each confirmed provider everybody who named it, also those who do so shortly after.
    async fn attribute(&self, findings: &mut [Finding], settle: Duration) {
        let any = findings.iter().any(|finding| matches!(finding, Ok(Ok(_))));
        if any && !settle.is_zero() {
            // Either way what was told by then is all.
            let _ = tokio::time::timeout(settle, self.ended.cancelled()).await;
        }
        let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        for finding in findings {
            if let Ok(Ok(provider)) = finding
                && let Some(told) = peers.get(&provider.peer)
            {
                provider.sources.clone_from(&told.sources);
            }
        }
    }
}

/// Whether a hint comes with a record of its peer that matches.
fn vouched(hint: &Provider, query: &Query) -> bool {
    let record = hint.record.as_ref().map(SignedRecord::record);
    record.is_some_and(|record| {
        let current = !record.times.is_expired(SystemTime::now());
        record.peer == hint.peer && current && query.matches(record).is_some()
    })
}

/// Whom a finding is about: a peer and one of its names.
fn named(provider: &Provider) -> Option<(PeerId, Address)> {
    let record = provider.record.as_ref()?.record();
    Some((record.peer, record.address.clone()))
}

fn confirm(hint: &Provider, record: SignedRecord, query: &Query) -> Provider {
    let age = record.record().times.age(SystemTime::now());
    let mut addresses = record.record().addresses.clone();
    if addresses.is_empty() {
        addresses.clone_from(&hint.addresses);
    }
    Provider {
        matched: query.matches(record.record()),
        record: Some(record),
        confirmed: true,
        age,
        addresses,
        ..hint.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(source: Source, port: u16) -> Provider {
        let peer = "12D3KooWQA9eZ7s8E7KvNJGG7AXRioyASFicECjdKL1DS2C1Duoo";
        let address = format!("/ip4/127.0.0.1/tcp/{port}");
        Provider::hint(
            peer.parse().unwrap(),
            vec![address.parse().unwrap()],
            source,
        )
    }

    fn query() -> Query {
        Query::Capability("text/summarize".parse().unwrap())
    }

    #[test]
    fn only_a_new_peer_or_address_is_asked() {
        let asked = Asked::default();
        let news = [
            (Source::Bootstrap, 1),
            (Source::Bootstrap, 1),
            (Source::Dht, 1),
            (Source::Mdns, 2),
            (Source::Dht, 2),
        ]
        .map(|(source, port)| asked.is_news(&hint(source, port), &query()));
        assert_eq!(news, [true, false, false, true, false]);
    }

    #[tokio::test]
    async fn everybody_who_names_a_peer_in_time_is_told() {
        let asked = Asked::default();
        assert!(asked.is_news(&hint(Source::Bootstrap, 1), &query()));
        let mut findings = vec![Ok(Ok(hint(Source::Bootstrap, 1)))];
        // While the confirmation waits, another source names the same peer and the search ends.
        let settling = asked.attribute(&mut findings, Duration::from_secs(60));
        let telling = async {
            assert!(!asked.is_news(&hint(Source::Dht, 1), &query()));
            asked.ended.cancel();
        };
        futures::join!(settling, telling);
        let Some(Ok(Ok(provider))) = findings.first() else {
            panic!("{findings:?}");
        };
        assert_eq!(provider.sources, [Source::Bootstrap, Source::Dht]);
    }
}
