//! The suite of sources that know peers, and nothing of what these host.

use std::collections::BTreeSet;

use o_address::{Address, PeerId};
use o_core::{Query, Text};

use super::{DiscoveryCase, SUITE, by_capability, by_name, name};
use crate::test_peer;

/// Checks that every search yields each of `peers` once, as a hint with addresses and nothing more, that a pin
/// leaves only its own peer, that searches end, and that announcing and withdrawing succeed and change
/// nothing: the bootstrap list and mDNS.
///
/// # Panics
/// When the source does not conform.
///
/// # Cancel safety
/// Dropping the future ends the suite.
pub async fn hints(case: &DiscoveryCase, peers: &[PeerId]) {
    let record = case.record("hinted", &["hinted"], 1);
    tells_everybody(case, peers).await;
    let step = "announcing to a source that knows no names";
    SUITE
        .ok_within(step, case.announcer.announce(&record))
        .await;
    tells_everybody(case, peers).await;
    let tombstone = case.tombstone(&record);
    let step = "withdrawing from a source that knows no names";
    SUITE
        .ok_within(step, case.announcer.withdraw(&tombstone))
        .await;
    tells_everybody(case, peers).await;
    pinned(case, peers).await;
    // Dropped before anything was read.
    drop(case.seeker.find(by_name("hinted")));
    tells_everybody(case, peers).await;
}

async fn tells_everybody(case: &DiscoveryCase, peers: &[PeerId]) {
    let queries = [
        ("a search by name", by_name("hinted")),
        ("a search by capability", by_capability("hinted")),
        ("a search by words", Query::Text(Text::new("hinted"))),
    ];
    let everybody: BTreeSet<_> = peers.iter().copied().collect();
    for (step, query) in queries {
        tells(case, step, query, &everybody).await;
    }
}

async fn pinned(case: &DiscoveryCase, peers: &[PeerId]) {
    let at = |peer: PeerId| -> Address { name("hinted").pinned(peer) };
    for peer in peers {
        let step = "a name that is pinned to a known peer";
        tells(case, step, Query::Name(at(*peer)), &BTreeSet::from([*peer])).await;
    }
    let step = "a name that is pinned to somebody else";
    let stranger = Query::Name(at(test_peer(u64::MAX)));
    tells(case, step, stranger, &BTreeSet::new()).await;
}

async fn tells(case: &DiscoveryCase, step: &str, query: Query, wanted: &BTreeSet<PeerId>) {
    let found = case.search(step, &query).await;
    let peers: Vec<_> = found.iter().map(|hint| hint.peer).collect();
    let told: BTreeSet<_> = peers.iter().copied().collect();
    SUITE.equal(step, &told, wanted);
    SUITE.equal(&format!("{step}: each once"), &peers.len(), &told.len());
    for hint in found {
        let bare = hint.record.is_none() && !hint.confirmed;
        SUITE.check(step, bare, "more than a hint");
        let whole = !hint.addresses.is_empty() && !hint.sources.is_empty();
        SUITE.check(step, whole, "no address, or no source");
    }
}
