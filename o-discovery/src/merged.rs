//! Many sources joined into one, with provenance.

mod merge;
#[cfg(test)]
mod tests;

use std::{pin::Pin, sync::Arc, time::Duration};

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
use tokio::time::{Sleep, sleep};
use tracing::{debug, warn};

use self::merge::Merge;

/// Limits of a [`MergedDiscovery`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct MergedConfig {
    /// Most providers of one search, each name of a peer counted; it ends when they are found. One peer
    /// gets at most half of the places that the others leave. Default 256.
    pub max_providers: usize,
    /// Most transport addresses of one provider; later ones are left out. Default 16.
    pub max_addresses: usize,
    /// How long the other sources may look for a name before those of [`MergedDiscovery::with_last`] are
    /// asked too. Default 250 ms.
    #[serde(with = "humantime_serde")]
    pub head_start: Duration,
}

impl Default for MergedConfig {
    fn default() -> Self {
        Self {
            max_providers: 256,
            max_addresses: Record::MAX_ADDRESSES,
            head_start: Duration::from_millis(250),
        }
    }
}

/// Several sources as one.
///
/// `find` asks all of them at once, but for the name of an agent: there the sources that were added with
/// [`with_last`](Self::with_last) are asked only when none of the others has found anybody, or when they
/// have had their head start and somebody still reads. It yields a provider at its first sighting. When a later
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
    last: Vec<Arc<dyn Discovery>>,
    config: MergedConfig,
}

impl MergedDiscovery {
    /// Joins nothing yet.
    pub fn new(config: MergedConfig) -> Self {
        Self {
            sources: Vec::new(),
            last: Vec::new(),
            config,
        }
    }

    /// The same with one more source; `Arc<dyn Discovery>` is one too.
    #[must_use]
    pub fn with(mut self, source: impl Discovery) -> Self {
        self.sources.push(Arc::new(source));
        self
    }

    /// The same with one more source, which costs more than the others to ask for a name.
    #[must_use]
    pub fn with_last(mut self, source: impl Discovery) -> Self {
        self.last.push(Arc::new(source));
        self
    }

    /// How many sources it joins.
    pub fn len(&self) -> usize {
        self.all().count()
    }

    /// Whether it joins no source.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn all(&self) -> impl Iterator<Item = &Arc<dyn Discovery>> {
        self.sources.iter().chain(&self.last)
    }
}

#[async_trait]
impl Discovery for MergedDiscovery {
    async fn announce(&self, record: &SignedRecord) -> Result<(), DiscoveryError> {
        let results = join_all(self.all().map(|source| source.announce(record))).await;
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
        let results = join_all(self.all().map(|source| source.withdraw(tombstone))).await;
        let mut failure = None;
        for error in results.into_iter().filter_map(Result::err) {
            failure = Some(worse(failure, error));
        }
        failure.map_or(Ok(()), Err)
    }

    fn find(&self, query: Query) -> ProviderStream {
        let find = |source: &Arc<dyn Discovery>| source.find(query.clone());
        let mut sources: SelectAll<_> = self.sources.iter().map(find).collect();
        // A stream that nobody has read from has asked nobody.
        let last: Vec<_> = self.last.iter().map(find).collect();
        let later = match &query {
            Query::Name(_) if !sources.is_empty() && !last.is_empty() => Some(Later {
                sources: last,
                head_start: self.config.head_start,
                wait: None,
            }),
            _ => {
                sources.extend(last);
                None
            }
        };
        let search = Search {
            sources,
            later,
            claimed: false,
            merge: Merge::new(self.config.clone()),
            asking: self.len(),
            failure: self.is_empty().then_some(DiscoveryError::NoNetwork),
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
    later: Option<Later>,
    /// Whether a source has said of somebody that they have what is sought, and not only that they are
    /// there.
    claimed: bool,
    merge: Merge,
    /// Sources that have not said that they have nobody to ask.
    asking: usize,
    failure: Option<DiscoveryError>,
}

/// Sources that wait for the others.
struct Later {
    sources: Vec<ProviderStream>,
    head_start: Duration,
    /// Runs from the first time that somebody reads.
    wait: Option<Pin<Box<Sleep>>>,
}

impl Search {
    /// What a source says next; asks those that wait when their time has come.
    async fn item(&mut self) -> Option<Result<o_core::Provider, DiscoveryError>> {
        if let Some(later) = &mut self.later {
            let head_start = later.head_start;
            let wait = later
                .wait
                .get_or_insert_with(|| Box::pin(sleep(head_start)));
            let item = tokio::select! {
                biased;
                item = self.sources.next() => item,
                () = wait.as_mut() => None,
            };
            if item.is_some() {
                return item;
            }
            if self.claimed && !wait.is_elapsed() {
                // Whoever searches is asking those who were found.
                wait.as_mut().await;
            }
            if let Some(later) = self.later.take() {
                self.sources.extend(later.sources);
            }
        }
        self.sources.next().await
    }

    async fn next(&mut self) -> Option<Result<o_core::Provider, DiscoveryError>> {
        while let Some(item) = self.item().await {
            match item {
                Ok(found) => {
                    self.claimed |= !found.is_only_there();
                    let learned = self.merge.add(found);
                    if self.merge.is_full() {
                        self.sources.clear();
                        self.later = None;
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
