//! The keys under which names and capabilities are announced.

use std::ops::Range;

use o_address::PeerId;
use o_core::{Capability, Query, Record};
use o_protocol::{capability_shard_key, name_key};

/// A SHA-256 digest.
pub(crate) type Digest = [u8; 32];

/// Most shards of a capability; every node of a network agrees on it.
pub(crate) const MAX_SHARDS: u8 = 64;

/// What a query asks the table for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// One key, and the one peer that is meant.
    Name(Digest, Option<PeerId>),
    /// As many keys as the capability has shards.
    Capability(Capability),
}

/// What a query asks for; `None` for a kind of query that exact keys cannot answer.
pub(crate) fn of_query(query: &Query) -> Option<Target> {
    match query {
        Query::Name(address) => Some(Target::Name(name_key(address), address.pin())),
        Query::Capability(capability) => Some(Target::Capability(capability.clone())),
        _ => None,
    }
}

/// The key of a record's name.
pub(crate) fn of_name(record: &Record) -> Digest {
    name_key(&record.address)
}

/// The capabilities of a record, each once.
pub(crate) fn capabilities(record: &Record) -> Vec<Capability> {
    let capabilities = record.capabilities.iter().take(Record::MAX_CAPABILITIES);
    let mut capabilities: Vec<_> = capabilities.cloned().collect();
    capabilities.sort_unstable();
    capabilities.dedup();
    capabilities
}

/// The key of a shard of a capability.
pub(crate) fn shard(capability: &Capability, shard: u8) -> Digest {
    capability_shard_key(capability, shard)
}

/// The shards of a level: those where every provider is found, and after them twice as many with
/// each level as there were before. Empty when there are no more.
pub(crate) fn level(everywhere: u8, level: u32) -> Range<u8> {
    let everywhere = everywhere.clamp(1, MAX_SHARDS);
    let end = |level| {
        let shards = u32::from(everywhere).checked_shl(level).unwrap_or(u32::MAX);
        u8::try_from(shards).unwrap_or(u8::MAX).min(MAX_SHARDS)
    };
    match level.checked_sub(1) {
        None => 0..everywhere,
        Some(before) => end(before)..end(level),
    }
}

/// The shard of a level that is the one of `peer`.
pub(crate) fn home(shards: &Range<u8>, peer: &libp2p::PeerId) -> Option<u8> {
    let count = shards
        .end
        .checked_sub(shards.start)
        .filter(|count| *count > 0)?;
    // The end of a peer id is the end of a public key or of a hash: as good as drawn.
    let bytes = peer.to_bytes();
    let last = bytes
        .last_chunk::<8>()
        .map_or(0, |last| u64::from_be_bytes(*last));
    let place = u8::try_from(last % u64::from(count)).unwrap_or_default();
    Some(shards.start.saturating_add(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_has_as_many_shards_as_all_before_it() {
        let levels = |everywhere| -> Vec<_> { (0..9).map(|n| level(everywhere, n)).collect() };
        assert_eq!(levels(4)[..6], [0..4, 4..8, 8..16, 16..32, 32..64, 64..64]);
        assert_eq!(levels(1)[..4], [0..1, 1..2, 2..4, 4..8]);
        assert_eq!(levels(1)[6..8], [32..64, 64..64]);
        assert_eq!(levels(48)[..3], [0..48, 48..64, 64..64]);
        assert_eq!(levels(0)[0], 0..1);
        assert_eq!(levels(255)[..2], [0..64, 64..64]);
        assert!(level(4, u32::MAX).is_empty());
    }

    #[test]
    fn the_home_of_a_peer_is_one_of_the_shards() {
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..1000 {
            let peer = libp2p::PeerId::random();
            seen.extend(home(&(8..16), &peer));
            assert_eq!(home(&(8..16), &peer), home(&(8..16), &peer));
            assert_eq!(home(&(64..64), &peer), None);
        }
        assert_eq!(
            seen.into_iter().collect::<Vec<_>>(),
            (8..16).collect::<Vec<_>>()
        );
    }
}
