//! One order for what several sources found by words.

use std::collections::HashMap;

use o_core::{Provider, Text};

use super::{share, words::Words};

/// At most as many as `text` asks for, the best first, one peer with at most a quarter of them where others
/// match, too.
///
/// Sources rank among records that others do not have, and one that lies may claim any score. So those whose
/// records have the words are ranked anew, among each other; after them come those that were found in some
/// other way, in their order.
pub fn rank(found: Vec<Provider>, text: &Text) -> Vec<Provider> {
    let mut words = Words::default();
    for provider in &found {
        if let Some(record) = &provider.record {
            words.add(record.record());
        }
    }
    let hits = words.search(&text.words).into_iter().enumerate();
    let mut places: HashMap<_, _> = hits.map(|(at, hit)| (hit.key, (at, hit.matched))).collect();
    let ranked = found.into_iter().map(|mut provider| {
        let record = provider.record.as_ref().map(|record| record.record());
        let key = record.map(|record| (record.address.without_pin(), record.peer));
        let place = key.and_then(|key| places.remove(&key));
        let Some((at, matched)) = place else {
            return (usize::MAX, provider);
        };
        provider.matched = Some(matched);
        (at, provider)
    });
    let mut ranked: Vec<_> = ranked.collect();
    ranked.sort_by_key(|(at, _)| *at);
    let ranked = ranked.into_iter().map(|(_, provider)| provider).collect();
    share(ranked, text.limit.min(Text::MAX_HITS), |provider| {
        provider.peer
    })
}
