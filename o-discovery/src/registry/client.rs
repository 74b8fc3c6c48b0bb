//! A registry as a source of discovery: one's own, and those further up.

use std::{
    collections::HashSet,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use futures::{FutureExt as _, StreamExt as _, stream, stream::BoxStream};
use o_address::{Address, PeerId};
use o_core::{
    CallError, Caller, Discovery, DiscoveryError, Encoding, Match, NetworkId, OutgoingCall,
    Provider, ProviderStream, Query, Record, Reply, SignedRecord, SignedTombstone, Source,
    Verifier,
};
use o_protocol::{Blob, decode_body, encode_body, verify_record};

use super::{Entry, Registry, Replica, SearchRequest};

/// Where the registries are that are asked beside one's own: the address of each, pinned to its peer.
pub type Registries = Arc<dyn Fn() -> Vec<Address> + Send + Sync>;

/// How long a registry may take for a search, the further ones included.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Announces to a node's own registry, and searches there and in others. What others tell is verified.
///
/// Whoever passes records on to the registry further up is not this type's matter: see
/// [`Registry::changes`].
#[derive(Clone)]
pub struct RegistryDiscovery {
    own: Option<(Registry, PeerId)>,
    standby: Option<Replica>,
    others: Registries,
    caller: Arc<dyn Caller>,
    verifier: Arc<dyn Verifier>,
    network: NetworkId,
}

impl fmt::Debug for RegistryDiscovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryDiscovery")
            .field("own", &self.own)
            .finish_non_exhaustive()
    }
}

impl RegistryDiscovery {
    /// Asks these registries.
    pub fn new(
        others: Registries,
        caller: Arc<dyn Caller>,
        verifier: Arc<dyn Verifier>,
        network: NetworkId,
    ) -> Self {
        Self {
            own: None,
            standby: None,
            others,
            caller,
            verifier,
            network,
        }
    }

    /// The same for the node `local` with a registry of its own.
    #[must_use]
    pub fn with_own(mut self, own: Registry, local: PeerId) -> Self {
        self.own = Some((own, local));
        self
    }

    /// The same with a copy that is searched where the others cannot be.
    #[must_use]
    pub fn with_standby(mut self, copy: Replica) -> Self {
        self.standby = Some(copy);
        self
    }
}

/// Asks a registry; its answers as they come.
pub fn search_at(
    caller: Arc<dyn Caller>,
    registry: Address,
    request: SearchRequest,
) -> BoxStream<'static, Result<Entry, CallError>> {
    let asked = async move {
        let internal = |error: o_protocol::EncodeError| CallError::Internal {
            message: error.to_string(),
        };
        let body = encode_body(Encoding::Cbor, &request).map_err(internal)?;
        let call = OutgoingCall::server_streaming(registry, "search", body).timeout(TIMEOUT);
        // Connecting counts, too.
        let called = tokio::time::timeout(TIMEOUT, caller.call(call)).await;
        match called.unwrap_or(Err(CallError::TimedOut { after: TIMEOUT }))? {
            Reply::Stream(items) => Ok(items),
            Reply::One(body) => Ok(stream::iter([Ok(body)]).boxed()),
        }
    };
    let answers = asked.map(|answer| match answer {
        Ok(items) => items,
        Err(error) => stream::iter([Err(error)]).boxed(),
    });
    let entries = answers.flatten_stream().map(|item| {
        let invalid = |error: o_protocol::DecodeError| CallError::InvalidReply {
            message: error.to_string(),
        };
        decode_body(&item?).map_err(invalid)
    });
    entries.boxed()
}

/// Tells a registry of a record or, with the method `remove`, of a withdrawal.
///
/// # Errors
/// Those of a call.
///
/// # Cancel safety
/// Dropping the future may leave it told.
pub async fn tell(
    caller: &dyn Caller,
    registry: Address,
    method: &'static str,
    params: impl serde::Serialize,
) -> Result<(), CallError> {
    let internal = |error: o_protocol::EncodeError| CallError::Internal {
        message: error.to_string(),
    };
    let body = encode_body(Encoding::Cbor, &params).map_err(internal)?;
    let call = OutgoingCall::unary(registry, method, body).timeout(TIMEOUT);
    caller.call(call).await.map(drop)
}

/// Tells a registry of a record.
///
/// # Errors
/// Those of a call.
///
/// # Cancel safety
/// Dropping the future may leave it told.
pub async fn announce_at(
    caller: &dyn Caller,
    registry: Address,
    record: &SignedRecord,
) -> Result<(), CallError> {
    tell(
        caller,
        registry,
        "announce",
        Blob(record.envelope().clone()),
    )
    .await
}

/// Whom an answer tells of, if it is to be believed.
fn provider(
    entry: Entry,
    verifier: &dyn Verifier,
    network: &NetworkId,
    query: &Query,
) -> Option<Provider> {
    let now = SystemTime::now();
    let verified = verify_record(entry.record.0, verifier, now, network);
    let record = verified
        .inspect_err(|error| tracing::debug!(%error, "a registry told of a record that is not to be believed"))
        .ok()?;
    let matched = match query {
        Query::Text(_) => {
            let why = entry.why.iter().take(MAX_WHY);
            let why = why.map(|why| o_core::plain_text(why, Record::MAX_METHOD_DESCRIPTION).into());
            Match::new(entry.score, why.collect())
        }
        _ => query.matches(record.record())?,
    };
    let told = record.record();
    let mut provider = Provider::hint(told.peer, told.addresses.clone(), Source::Registry);
    let heard = Duration::from_millis(entry.age_ms);
    provider.age = told.times.age(now).min(heard);
    provider.matched = Some(matched);
    provider.record = Some(record);
    Some(provider)
}

/// Reasons of one hit that are passed on.
const MAX_WHY: usize = 32;

#[async_trait]
impl Discovery for RegistryDiscovery {
    async fn announce(&self, record: &SignedRecord) -> Result<(), DiscoveryError> {
        match &self.own {
            Some((own, local)) => own.insert(record, *local).map(drop),
            None => Err(DiscoveryError::NoNetwork),
        }
    }

    async fn withdraw(&self, tombstone: &SignedTombstone) -> Result<(), DiscoveryError> {
        if let Some((own, _)) = &self.own {
            own.withdraw(tombstone);
        }
        Ok(())
    }

    fn find(&self, query: Query) -> ProviderStream {
        let own = self.own.as_ref().map(|(own, _)| own.find(&query));
        let own = own.unwrap_or_default();
        let others = (self.others)();
        let Some(request) = SearchRequest::of(&query) else {
            return stream::empty().boxed();
        };
        // Whom the copy knows, beside those that are known here.
        let here: HashSet<PeerId> = own.iter().map(|found| found.peer).collect();
        let copied = self.standby.clone();
        let standby = move |query: &Query| -> Vec<Provider> {
            let copied = copied.as_ref().map(|copy| copy.find(query));
            let copied = copied.into_iter().flatten();
            copied.filter(|found| !here.contains(&found.peer)).collect()
        };
        let instead = match others.is_empty() {
            true => standby(&query),
            false => Vec::new(),
        };
        let nobody = own.is_empty() && others.is_empty() && instead.is_empty();
        let nobody = nobody.then_some(Err(DiscoveryError::NoNetwork));
        let own = own.into_iter().chain(instead).map(Ok).chain(nobody);
        let own = stream::iter(own);
        let asked = others.into_iter().map(|registry| {
            let caller = self.caller.clone();
            search_at(caller, registry, request.clone())
        });
        let (verifier, network) = (self.verifier.clone(), self.network.clone());
        let found = stream::select_all(asked).flat_map(move |entry| {
            let found = match entry {
                Ok(entry) => provider(entry, &*verifier, &network, &query).map(Ok),
                // A peer without a registry, or one that lets nobody ask, is no failed search.
                Err(
                    CallError::NotFound { .. }
                    | CallError::Refused { .. }
                    | CallError::UnknownMethod { .. },
                ) => None,
                Err(error) => {
                    let copied = standby(&query);
                    if !copied.is_empty() {
                        return stream::iter(copied.into_iter().map(Ok).collect::<Vec<_>>());
                    }
                    Some(Err(DiscoveryError::Failed {
                        origin: Source::Registry,
                        source: error.into(),
                    }))
                }
            };
            stream::iter(Vec::from_iter(found))
        });
        own.chain(found).boxed()
    }
}
