//! The keys under which names and capabilities are announced.

use o_address::{Address, PeerId};
use o_core::{Capability, Query, Record};
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest.
pub(crate) type Digest = [u8; 32];

/// `SHA-256("o-capability/1\0" + text)`.
pub(crate) fn capability_key(capability: &Capability) -> Digest {
    hash(b"o-capability/1\0", capability.as_str())
}

/// `SHA-256("o-name/1\0" + name)`, the name without its pin.
pub(crate) fn name_key(address: &Address) -> Digest {
    hash(b"o-name/1\0", address.name())
}

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

fn hash(domain: &[u8], text: &str) -> Digest {
    Sha256::new()
        .chain_update(domain)
        .chain_update(text)
        .finalize()
        .into()
}
