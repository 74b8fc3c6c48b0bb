//! Joins what several sources tell about one peer.

use std::collections::HashMap;

use o_address::{Address, PeerId};
use o_core::Provider;

use super::MergedConfig;
use crate::index::has_place;

/// What a search has found so far.
pub(super) struct Merge {
    config: MergedConfig,
    found: Vec<Provider>,
    /// Where in `found` the entries of a peer stand: one for each name that it was found under.
    places: HashMap<PeerId, Vec<usize>>,
}

impl Merge {
    pub(super) fn new(config: MergedConfig) -> Self {
        Self {
            config,
            found: Vec::new(),
            places: HashMap::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.found.len() >= self.config.max_providers
    }

    /// Takes in a sighting; the merged provider, if it told something new.
    pub(super) fn add(&mut self, mut sighting: Provider) -> Option<Provider> {
        if sighting
            .record
            .as_ref()
            .is_some_and(|record| record.record().peer != sighting.peer)
        {
            sighting.record = None; // Of somebody else, so it says nothing about this peer.
        }
        let places = self.places.entry(sighting.peer).or_default();
        let known = places.iter().copied().find(|place| {
            let known = self.found.get(*place).and_then(name);
            name(&sighting).is_none_or(|name| known.is_none_or(|known| known.name() == name.name()))
        });
        if let Some(known) = known.and_then(|place| self.found.get_mut(place)) {
            let learned = merge(known, sighting, self.config.max_addresses);
            return learned.then(|| known.clone());
        }
        if !has_place(places.len(), self.found.len(), self.config.max_providers) {
            return None;
        }
        let mut fresh = Provider {
            addresses: Vec::new(),
            sources: Vec::new(),
            ..sighting.clone()
        };
        merge(&mut fresh, sighting, self.config.max_addresses); // Each source and address once.
        places.push(self.found.len());
        self.found.push(fresh.clone());
        Some(fresh)
    }
}

/// The name that a provider's record is about.
fn name(provider: &Provider) -> Option<&Address> {
    provider
        .record
        .as_ref()
        .map(|record| &record.record().address)
}

/// Adds a sighting to what is known; whether anything but the age is new.
fn merge(known: &mut Provider, sighting: Provider, max_addresses: usize) -> bool {
    let mut learned = false;
    for source in sighting.sources {
        if !known.sources.contains(&source) {
            known.sources.push(source);
            learned = true;
        }
    }
    for address in sighting.addresses {
        if known.addresses.len() < max_addresses && !known.addresses.contains(&address) {
            known.addresses.push(address);
            learned = true;
        }
    }
    if let Some(record) = sighting.record {
        let sequence = |record: &o_core::SignedRecord| record.record().sequence;
        if known
            .record
            .as_ref()
            .is_none_or(|held| sequence(held) < sequence(&record))
        {
            known.record = Some(record);
            learned = true;
        }
    }
    if sighting.confirmed && !known.confirmed {
        known.confirmed = true;
        learned = true;
    }
    known.age = known.age.min(sighting.age);
    let score = |matched: &Option<o_core::Match>| matched.as_ref().map(|m| m.score);
    if score(&sighting.matched) > score(&known.matched) {
        known.matched = sighting.matched;
        learned = true;
    }
    learned
}
