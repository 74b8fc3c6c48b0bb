//! The best first, from several sources that answer one after the other.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    time::Duration,
};

use futures::{StreamExt as _, stream};
use o_address::{Address, PeerId};
use o_core::{DiscoveryError, Provider, ProviderStream, Query, Text};
use o_discovery::rank;

use super::named;

/// How long sources are waited for before what there is is shown in its order.
const PATIENCE: Duration = Duration::from_millis(500);

/// Of what is found within half a second, or until every source is through, the best first, `own` before others
/// that are as good; then what comes later, as it comes. No more than the query asks for.
pub(super) fn ranked(
    own: Vec<Provider>,
    mut found: ProviderStream,
    query: &Query,
) -> ProviderStream {
    let text = match query {
        Query::Text(text) => Some(text.clone()),
        _ => None,
    };
    let limit = text.as_ref().map(|text| text.limit.min(Text::MAX_HITS));
    let limit = limit.unwrap_or(usize::MAX);
    let sorted = async move {
        let mut hits = Hits::default();
        own.into_iter().for_each(|provider| hits.add(provider));
        let mut failed: Vec<Result<Provider, DiscoveryError>> = Vec::new();
        let collecting = async {
            while let Some(item) = found.next().await {
                match item {
                    Ok(provider) => hits.add(provider),
                    Err(error) => failed.push(Err(error)),
                }
            }
        };
        let complete = tokio::time::timeout(PATIENCE, collecting).await.is_ok();
        let mut hits = hits.found;
        match text {
            Some(text) => hits = rank(hits, &text),
            None => hits.sort_by_key(score),
        }
        let left = limit - hits.len();
        let shown: HashSet<_> = hits.iter().filter_map(named).collect();
        // A stream that has ended is not asked again.
        let late = match complete {
            true => stream::empty().boxed(),
            false => found,
        };
        let late = late.filter(move |item| {
            let hit = item.as_ref().ok().and_then(named);
            std::future::ready(hit.is_none_or(|hit| !shown.contains(&hit)))
        });
        let hits = stream::iter(hits.into_iter().map(Ok));
        hits.chain(stream::iter(failed)).chain(late.take(left))
    };
    stream::once(sorted).flatten().boxed()
}

fn score(hit: &Provider) -> Reverse<Option<u32>> {
    Reverse(hit.matched.as_ref().map(|matched| matched.score))
}

/// Each peer and name once, as it was told of last.
#[derive(Default)]
struct Hits {
    found: Vec<Provider>,
    places: HashMap<(PeerId, Address), usize>,
}

impl Hits {
    fn add(&mut self, provider: Provider) {
        let Some(name) = named(&provider) else {
            return;
        };
        let place = *self.places.entry(name).or_insert(self.found.len());
        match self.found.get_mut(place) {
            Some(known) => *known = provider,
            None => self.found.push(provider),
        }
    }
}
