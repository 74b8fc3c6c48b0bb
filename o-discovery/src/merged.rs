//! Many sources joined into one, with provenance.

mod merge;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use futures::{
    StreamExt,
    future::join_all,
    stream::{self, SelectAll},
};
use o_core::{
    Discovery, DiscoveryError, ProviderStream, Query, Record, SignedRecord, SignedTombstone,
};
use serde::{Deserialize, Serialize};
use tracing::{debug, warn};

use self::merge::Merge;

/// Limits of a [`MergedDiscovery`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct MergedConfig {
    /// Most providers of one search; it ends when they are found. Default 256.
    pub max_providers: usize,
    /// Most transport addresses of one provider; later ones are left out. Default 16.
    pub max_addresses: usize,
}

impl Default for MergedConfig {
    fn default() -> Self {
        Self {
            max_providers: 256,
            max_addresses: Record::MAX_ADDRESSES,
        }
    }
}

/// Several sources as one.
///
/// `find` asks all of them at once and yields a provider at its first sighting. When a later
/// sighting of the same peer tells something new (another source, an address, a newer record, that
/// it is confirmed) the merged provider is yielded **again**: a consumer keeps one entry for each
/// peer and name and replaces it. A source that fails ends no other; its error is the last item if
/// nothing was found, and is traced otherwise. A search yields `NoNetwork` where no source has anybody
/// to ask, or there is no source.
///
/// `announce` tells every source and succeeds when one of them accepted; without any source it is
/// `NoNetwork`. `withdraw` tells every source and fails if one of them could not be told.
#[derive(Clone, Debug, Default)]
pub struct MergedDiscovery {
    sources: Vec<Arc<dyn Discovery>>,
    config: MergedConfig,
}

impl MergedDiscovery {
    /// Joins nothing yet.
    pub fn new(config: MergedConfig) -> Self {
        Self {
            sources: Vec::new(),
            config,
        }
    }

    /// The same with one more source; `Arc<dyn Discovery>` is one too.
    #[must_use]
    pub fn with(mut self, source: impl Discovery) -> Self {
        self.sources.push(Arc::new(source));
        self
    }

    /// How many sources it joins.
    pub fn len(&self) -> usize {
        self.sources.len()
    }

    /// Whether it joins no source.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }
}

#[async_trait]
impl Discovery for MergedDiscovery {
    async fn announce(&self, record: &SignedRecord) -> Result<(), DiscoveryError> {
        let results = join_all(self.sources.iter().map(|source| source.announce(record))).await;
        let mut accepted = false;
        let mut failure = None;
        for result in results {
            match result {
                Ok(()) => accepted = true,
                Err(error) => {
                    warn!(name = %record.record().address, %error, "a source did not announce");
                    failure = Some(worse(failure, error));
                }
            }
        }
        if accepted {
            Ok(())
        } else {
            Err(failure.unwrap_or(DiscoveryError::NoNetwork))
        }
    }

    async fn withdraw(&self, tombstone: &SignedTombstone) -> Result<(), DiscoveryError> {
        let results = join_all(self.sources.iter().map(|source| source.withdraw(tombstone))).await;
        let mut failure = None;
        for error in results.into_iter().filter_map(Result::err) {
            failure = Some(worse(failure, error));
        }
        failure.map_or(Ok(()), Err)
    }

    fn find(&self, query: Query) -> ProviderStream {
        let sources = self
            .sources
            .iter()
            .map(|source| source.find(query.clone()))
            .collect();
        let search = Search {
            sources,
            merge: Merge::new(self.config.clone()),
            asking: self.sources.len(),
            failure: self.sources.is_empty().then_some(DiscoveryError::NoNetwork),
        };
        stream::unfold(search, |mut search| async move {
            let item = search.next().await?;
            Some((item, search))
        })
        .boxed()
    }
}

/// A search that is under way.
struct Search {
    sources: SelectAll<ProviderStream>,
    merge: Merge,
    /// Sources that have not said that they have nobody to ask.
    asking: usize,
    failure: Option<DiscoveryError>,
}

impl Search {
    async fn next(&mut self) -> Option<Result<o_core::Provider, DiscoveryError>> {
        while let Some(item) = self.sources.next().await {
            match item {
                Ok(found) => {
                    let learned = self.merge.add(found);
                    if self.merge.is_full() {
                        self.sources.clear();
                    }
                    if let Some(provider) = learned {
                        return Some(Ok(provider));
                    }
                }
                Err(error) => {
                    debug!(%error, "a source of a search failed");
                    if matches!(error, DiscoveryError::NoNetwork) {
                        self.asking = self.asking.saturating_sub(1);
                    }
                    self.failure = Some(worse(self.failure.take(), error));
                }
            }
        }
        let failure = self.failure.take()?;
        if matches!(failure, DiscoveryError::NoNetwork) && self.asking > 0 {
            return None;
        }
        self.merge.is_empty().then_some(Err(failure))
    }
}

/// The error that tells more: the first, unless it only says that there is no network.
fn worse(first: Option<DiscoveryError>, next: DiscoveryError) -> DiscoveryError {
    match first {
        None | Some(DiscoveryError::NoNetwork) => next,
        Some(first) => first,
    }
}
