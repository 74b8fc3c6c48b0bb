//! The keys under which names and capabilities are announced.

use o_address::PeerId;
use o_core::{Query, Record};
use o_protocol::{capability_key, name_key};

/// A SHA-256 digest.
pub(crate) type Digest = [u8; 32];

/// The key of a record's name and of each of its capabilities, each once.
pub(crate) fn of_record(record: &Record) -> Vec<Digest> {
    let capabilities = record.capabilities.iter().take(Record::MAX_CAPABILITIES);
    let mut keys: Vec<Digest> = capabilities.map(capability_key).collect();
    keys.push(name_key(&record.address));
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// The key that answers a query, and the one peer that is meant; `None` for a kind of query that
/// an exact key cannot answer.
pub(crate) fn of_query(query: &Query) -> Option<(Digest, Option<PeerId>)> {
    match query {
        Query::Name(address) => Some((name_key(address), address.pin())),
        Query::Capability(capability) => Some((capability_key(capability), None)),
        _ => None,
    }
}
