//! What parents and children say to each other: the methods of `o://~` that make the hierarchy.
//!
//! docs/wire.md specifies them.

use o_address::{Address, PeerId, TransportAddr};
use o_core::Record;
use o_protocol::Blob;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Parameters of `join`: a node asks to be a child.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct JoinRequest {
    /// The name that it wants, below the parent's.
    #[schemars(with = "String")]
    pub(crate) name: Address,
    /// The chain that it has for that name, from an earlier join.
    #[serde(default)]
    pub(crate) chain: Vec<Blob>,
    /// Where it listens.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(crate) addresses: Vec<TransportAddr>,
}

/// Result of `join`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Joined {
    /// Successions of the root and delegations down to the child, the root's first.
    pub(crate) chain: Vec<Blob>,
    /// The root's name.
    #[schemars(with = "String")]
    pub(crate) root: Address,
    /// The key with which the chain begins.
    #[schemars(with = "String")]
    pub(crate) root_key: PeerId,
    /// The way up, the parent first, the leader last.
    pub(crate) above: Vec<Ancestor>,
    /// How often the parent wants to hear from the child, in milliseconds.
    pub(crate) heartbeat_ms: u64,
    /// After how much silence it takes the child for lost, in milliseconds.
    pub(crate) patience_ms: u64,
}

/// A node further up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ancestor {
    /// Its name.
    #[schemars(with = "String")]
    pub name: Address,
    /// Its key.
    #[schemars(with = "String")]
    pub peer: PeerId,
    /// Where it listens.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub addresses: Vec<TransportAddr>,
}

/// Parameters of `beat`: a child is there.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Beat {
    /// The hash of `above` as the child knows it, so that it is sent only when it has changed.
    #[serde(default)]
    pub(crate) above: u64,
    /// Where the child listens, when that has changed since the last beat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<String>>")]
    pub(crate) addresses: Option<Vec<TransportAddr>>,
    /// Nodes below the child.
    #[serde(default)]
    pub(crate) below: u64,
    /// Whether the child wants its delegation renewed.
    #[serde(default)]
    pub(crate) renew: bool,
}

/// Result of `beat`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Beaten {
    /// Whether the caller is a child here. Where not, it has to join anew.
    pub(crate) known: bool,
    /// The way up, if it is another than the child knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) above: Option<Vec<Ancestor>>,
    /// The chain, if the child asked for a new one or the parent's own has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) chain: Option<Vec<Blob>>,
}

/// Parameters of `tree`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct TreeRequest {
    /// How many levels below the node are asked.
    pub(crate) depth: u8,
}

/// A node of the tree, as the node above it sees it; the answer of `tree` is a stream of them, each
/// before those below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct TreeNode {
    /// Its name.
    #[schemars(with = "String")]
    pub name: Address,
    /// Its key.
    #[schemars(with = "String")]
    pub peer: PeerId,
    /// The key of the node that it is attached to; `None` for the one that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub parent: Option<PeerId>,
    /// Milliseconds since it was last heard; zero for the one that was asked.
    #[serde(default)]
    pub heard_ms: u64,
    /// Milliseconds since it joined, or was started.
    #[serde(default)]
    pub since_ms: u64,
    /// Whether it answered when it was asked for those below it.
    #[serde(default)]
    pub silent: bool,
}

/// Bounds what a peer says about the way up.
pub(crate) fn bounded(mut above: Vec<Ancestor>) -> Vec<Ancestor> {
    above.truncate(Address::MAX_SEGMENTS);
    for ancestor in &mut above {
        ancestor.addresses.truncate(Record::MAX_ADDRESSES);
    }
    above
}

/// FNV-1a over what is said about the way up: whether two sides know the same of it.
///
/// A child that is told nothing new for a collision is told at the next change.
pub(crate) fn digest(above: &[Ancestor]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut add = |text: &str| {
        for byte in text.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for ancestor in above {
        add(ancestor.name.as_str());
        add(&ancestor.peer.to_string());
        for address in &ancestor.addresses {
            add(address.as_str());
        }
    }
    hash
}

/// Result of `place`: where a node stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Place {
    /// Its name.
    #[schemars(with = "String")]
    pub name: Address,
    /// Its key.
    #[schemars(with = "String")]
    pub peer: PeerId,
    /// The root's key; `None` while it has joined nobody yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub root: Option<PeerId>,
    /// The way up, the parent first, the leader last; empty for the root.
    #[serde(default)]
    pub above: Vec<Ancestor>,
    /// Nodes directly below it.
    #[serde(default)]
    pub children: u64,
}
