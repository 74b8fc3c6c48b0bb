//! Signed delegations and successions: their bytes, and the chains that they make.
//!
//! # Layout
//! Both travel in an envelope as `o_core::Signer` makes it, each over a domain of its own. The
//! payload type of a delegation is `/o-delegation/1`, of a succession `/o-successor/1`, both as ASCII.
//! The envelope has at most 8192 bytes. The payload is a CBOR map as that of a record: integer keys,
//! unknown keys from 0 up ignored, unknown negative keys, keys of another type, doubled ones and tags
//! refused.
//!
//! | key | in a delegation | in a succession |
//! |---|---|---|
//! | 1 | network id: text | the same |
//! | 2 | subtree: text, the name that is given with all below it | the root's name: text |
//! | 3 | issuer: byte string, the signer's peer id | the old key: byte string, the signer's peer id |
//! | 4 | sequence number: unsigned | |
//! | 5 | made at: unsigned, seconds since 1970 | the same |
//! | 6 | holds for: unsigned, seconds | |
//! | 7 | subject: byte string, a peer id | the new key: byte string, a peer id |
//! | 8 | access: unsigned; 1 the family, 2 everybody | |
//! | 9 | depth: unsigned, levels of children below the subject | |
//! | 10 | capabilities: array of at most 64 patterns; absent: any | |
//! | 11 | allowed: array of at most 64 byte strings, peer ids; absent: anybody | |
//! | 12 | denied: array of at most 64 byte strings, peer ids | |

mod payload;
#[cfg(test)]
mod tests;

use std::time::SystemTime;

use bytes::Bytes;
use o_address::{Address, PeerId};
use o_core::{
    Chain, Delegation, NetworkId, Policy, Record, SignError, SignedDelegation, SignedSuccessor,
    Signer, Successor, Verifier, VerifyError,
};

use crate::cbor::{self, DecodeError, EncodeError, Limits};

/// The domain and the payload type of delegations.
const DELEGATION: Kind = ("o-delegation/1", b"/o-delegation/1");
/// The domain and the payload type of successions.
const SUCCESSOR: Kind = ("o-successor/1", b"/o-successor/1");
/// Largest envelope, in bytes.
const MAX_ENVELOPE: usize = 8192;

/// What a signature is for: the domain, and what an envelope says that it holds.
type Kind = (&'static str, &'static [u8]);

const LIMITS: Limits = Limits {
    max_bytes: MAX_ENVELOPE,
    max_depth: 16,
};

/// Whose key is trusted for a name and all below it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RootOfTrust {
    /// The root's name: one segment.
    pub name: Address,
    /// Its key.
    pub key: PeerId,
}

impl RootOfTrust {
    /// The key of the root that `name` stands at or below.
    pub fn new(name: Address, key: PeerId) -> Self {
        let name = name.root();
        Self { name, key }
    }
}

/// Why a delegation or succession was not signed, or is not believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DelegationError {
    /// The signed form is too large.
    #[error("{length} signed bytes are more than {MAX_ENVELOPE}")]
    TooLarge {
        /// Its length, in bytes.
        length: usize,
    },
    /// The envelope proves nothing.
    #[error("the envelope cannot be verified")]
    Envelope(#[source] VerifyError),
    /// The key did not sign.
    #[error("it cannot be signed")]
    Sign(#[source] SignError),
    /// What was signed has not the layout.
    #[error("the payload cannot be read")]
    Payload(#[source] DecodeError),
    /// It could not be written.
    #[error("the payload cannot be written")]
    Encode(#[source] EncodeError),
    /// One peer signed what another is said to say.
    #[error("it names {named} and was signed by {signer}")]
    WrongPeer {
        /// Who signed.
        signer: PeerId,
        /// Who is said to.
        named: PeerId,
    },
    /// A list of the policy is too long.
    #[error("a list of the policy has more than {} entries", Policy::MAX)]
    TooMany,
    /// It belongs to another network.
    #[error("it belongs to the network {found}")]
    WrongNetwork {
        /// That network.
        found: NetworkId,
    },
    /// It no longer holds.
    #[error("it has expired")]
    Expired,
    /// It was made more than five minutes from now: it would hold for longer than it says.
    #[error("it was made in the future: the clock of this machine or of its issuer is wrong")]
    Future,
    /// A name that nobody can be given.
    #[error("the name {name} is reserved or pinned")]
    Reserved {
        /// The name.
        name: Address,
    },
}

/// Why a chain does not hold: which link, and what is wrong with it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// More links than a chain may have.
    #[error("{links} links are more than {}", Record::MAX_CHAIN)]
    TooLong {
        /// How many.
        links: usize,
    },
    /// A link is not to be believed.
    #[error("link {link}: {source}")]
    Link {
        /// Which, from 1.
        link: usize,
        /// Why.
        #[source]
        source: DelegationError,
    },
    /// A link was not signed by whoever the link before it names, or the first one not by the root.
    #[error("link {link} was signed by {found}, not by {expected}")]
    WrongIssuer {
        /// Which, from 1.
        link: usize,
        /// Who signed.
        found: PeerId,
        /// Who should have.
        expected: PeerId,
    },
    /// A link gives what whoever signed it does not have.
    #[error("link {link} gives {found}, which is not below {within}")]
    NotWithin {
        /// Which, from 1.
        link: usize,
        /// What it gives.
        found: Address,
        /// What its issuer has.
        within: Address,
    },
    /// A link allows what the one before it forbids.
    #[error("link {link} allows more than whoever signed it may")]
    Wider {
        /// Which, from 1.
        link: usize,
    },
    /// The chain holds, and gives something else or to somebody else.
    #[error("it gives nothing to {peer} at {address}, or not what is announced there")]
    NotGiven {
        /// Who says that it has the name.
        peer: PeerId,
        /// The name.
        address: Address,
    },
}

/// Signs a delegation.
///
/// # Errors
/// One that others would not believe for its content, and a key that does not sign.
pub fn sign_delegation(
    delegation: &Delegation,
    signer: &dyn Signer,
) -> Result<SignedDelegation, DelegationError> {
    check_parties(delegation.issuer, signer.peer(), &delegation.subtree)?;
    check_policy(&delegation.policy)?;
    let envelope = sign(&payload::of_delegation(delegation), DELEGATION, signer)?;
    Ok(SignedDelegation::new_verified(delegation.clone(), envelope))
}

/// Reads a delegation as it came from anybody: signed by its issuer, of this `network`, and still
/// holding at `now`.
///
/// # Errors
/// Whatever is wrong with it; the size is looked at first, the signature next.
pub fn verify_delegation(
    envelope: Bytes,
    verifier: &dyn Verifier,
    now: SystemTime,
    network: &NetworkId,
) -> Result<SignedDelegation, DelegationError> {
    let (signer, fields) = open(&envelope, DELEGATION, verifier)?;
    let delegation = fields.into_delegation().map_err(DelegationError::Payload)?;
    check_parties(delegation.issuer, signer, &delegation.subtree)?;
    check_policy(&delegation.policy)?;
    check_network(&delegation.network, network)?;
    if delegation.times.is_expired(now) {
        return Err(DelegationError::Expired);
    }
    if delegation.times.is_from_the_future(now) {
        return Err(DelegationError::Future);
    }
    Ok(SignedDelegation::new_verified(delegation, envelope))
}

/// Signs a succession, with the old key.
///
/// # Errors
/// One that others would not believe for its content, and a key that does not sign.
pub fn sign_successor(
    successor: &Successor,
    signer: &dyn Signer,
) -> Result<SignedSuccessor, DelegationError> {
    check_parties(successor.old, signer.peer(), &successor.root)?;
    let envelope = sign(&payload::of_successor(successor), SUCCESSOR, signer)?;
    Ok(SignedSuccessor::new_verified(successor.clone(), envelope))
}

/// Reads a succession as it came from anybody: signed by the old key, of this `network`.
///
/// # Errors
/// Whatever is wrong with it; the size is looked at first, the signature next.
pub fn verify_successor(
    envelope: Bytes,
    verifier: &dyn Verifier,
    network: &NetworkId,
) -> Result<SignedSuccessor, DelegationError> {
    let (signer, fields) = open(&envelope, SUCCESSOR, verifier)?;
    let successor = fields.into_successor().map_err(DelegationError::Payload)?;
    check_parties(successor.old, signer, &successor.root)?;
    check_network(&successor.network, network)?;
    Ok(SignedSuccessor::new_verified(successor, envelope))
}

/// Follows a chain from a trusted key down: first the successions of the root, each signed by the key
/// before it, then the delegations, each signed by whoever the one before it names, for a name below
/// that one's, within its policy. No envelopes at all are the chain of the root itself. Successions that
/// come before the one that made the trusted key the root's are passed over: whoever trusts the new key
/// need not know the old ones.
///
/// # Errors
/// The first link that does not hold, and why.
pub fn verify_chain(
    envelopes: &[Bytes],
    root: &RootOfTrust,
    verifier: &dyn Verifier,
    now: SystemTime,
    network: &NetworkId,
) -> Result<Chain, ChainError> {
    let links = envelopes.len();
    if links > Record::MAX_CHAIN {
        return Err(ChainError::TooLong { links });
    }
    let (mut successors, mut delegations) = (Vec::new(), Vec::new());
    let mut key = root.key;
    // Set while the successions have not come to the trusted key yet.
    let mut earlier = Ok(());
    for (at, envelope) in envelopes.iter().enumerate() {
        let link = at + 1;
        let wrong = |source| ChainError::Link { link, source };
        let successor = match delegations.is_empty() {
            true => verify_successor(envelope.clone(), verifier, network),
            false => Err(DelegationError::Envelope(VerifyError::WrongType)),
        };
        match successor {
            Ok(successor) => {
                let next = successor.successor();
                if next.root.name() != root.name.name() {
                    let (found, within) = (next.root.clone(), root.name.clone());
                    return Err(ChainError::NotWithin {
                        link,
                        found,
                        within,
                    });
                }
                if successors.is_empty() && next.old != root.key {
                    earlier = match next.new == root.key {
                        true => Ok(()),
                        false => earlier.and(check_issuer(link, next.old, key)),
                    };
                    continue;
                }
                earlier?;
                check_issuer(link, next.old, key)?;
                key = next.new;
                successors.push(successor);
                earlier = Ok(());
                continue;
            }
            Err(DelegationError::Envelope(VerifyError::WrongType)) => {}
            Err(error) => return Err(wrong(error)),
        }
        earlier?;
        earlier = Ok(());
        let next = verify_delegation(envelope.clone(), verifier, now, network).map_err(wrong)?;
        check_link(link, &next, key, root, delegations.last())?;
        key = next.delegation().subject;
        delegations.push(next);
    }
    earlier?;
    Ok(Chain::new_verified(root.key, successors, delegations))
}

/// Follows the chain that a record carries, and checks that it gives the record's name to its peer and
/// lets it announce what it does.
///
/// # Errors
/// The first link that does not hold, or that the chain gives something else.
pub fn verify_record_chain(
    record: &Record,
    root: &RootOfTrust,
    verifier: &dyn Verifier,
    now: SystemTime,
) -> Result<Chain, ChainError> {
    let chain = verify_chain(&record.chain, root, verifier, now, &record.network)?;
    let at_root = record.address.root().name() == root.name.name();
    match at_root && chain.allows(record) {
        true => Ok(chain),
        false => Err(ChainError::NotGiven {
            peer: record.peer,
            address: record.address.clone(),
        }),
    }
}

/// Whether a delegation may follow the one before it, or the root.
fn check_link(
    link: usize,
    next: &SignedDelegation,
    key: PeerId,
    root: &RootOfTrust,
    before: Option<&SignedDelegation>,
) -> Result<(), ChainError> {
    let next = next.delegation();
    check_issuer(link, next.issuer, key)?;
    let within = before.map_or(&root.name, |before| &before.delegation().subtree);
    if !within.is_ancestor_of(&next.subtree) {
        let (found, within) = (next.subtree.clone(), within.clone());
        return Err(ChainError::NotWithin {
            link,
            found,
            within,
        });
    }
    let widest = Policy::default();
    let policy = before.map_or(&widest, |before| &before.delegation().policy);
    // Each level has one less below it.
    match next.policy.is_within(policy) && next.policy.depth < policy.depth {
        true => Ok(()),
        false => Err(ChainError::Wider { link }),
    }
}

fn check_issuer(link: usize, found: PeerId, expected: PeerId) -> Result<(), ChainError> {
    match found == expected {
        true => Ok(()),
        false => Err(ChainError::WrongIssuer {
            link,
            found,
            expected,
        }),
    }
}

fn sign(
    payload: &payload::Payload<'_>,
    (domain, payload_type): Kind,
    signer: &dyn Signer,
) -> Result<Bytes, DelegationError> {
    let payload = cbor::to_vec(payload).map_err(DelegationError::Encode)?;
    let envelope = signer.sign(domain, payload_type, &payload);
    let envelope = envelope.map_err(DelegationError::Sign)?;
    check_size(&envelope)?;
    Ok(envelope)
}

fn open(
    envelope: &Bytes,
    (domain, payload_type): Kind,
    verifier: &dyn Verifier,
) -> Result<(PeerId, payload::Fields), DelegationError> {
    check_size(envelope)?;
    let verified = verifier.verify(domain, payload_type, envelope);
    let verified = verified.map_err(DelegationError::Envelope)?;
    let fields = cbor::from_slice(&verified.payload, LIMITS).map_err(DelegationError::Payload)?;
    Ok((verified.peer, fields))
}

fn check_size(envelope: &Bytes) -> Result<(), DelegationError> {
    let length = envelope.len();
    match length > MAX_ENVELOPE {
        true => Err(DelegationError::TooLarge { length }),
        false => Ok(()),
    }
}

fn check_parties(named: PeerId, signer: PeerId, name: &Address) -> Result<(), DelegationError> {
    if named != signer {
        return Err(DelegationError::WrongPeer { signer, named });
    }
    if name.root().is_node() || name.pin().is_some() {
        let name = name.clone();
        return Err(DelegationError::Reserved { name });
    }
    Ok(())
}

fn check_policy(policy: &Policy) -> Result<(), DelegationError> {
    let counts = [
        policy.capabilities.as_ref().map_or(0, |list| list.len()),
        policy.allowed.as_ref().map_or(0, |list| list.len()),
        policy.denied.len(),
    ];
    match counts.iter().any(|count| *count > Policy::MAX) {
        true => Err(DelegationError::TooMany),
        false => Ok(()),
    }
}

fn check_network(found: &NetworkId, network: &NetworkId) -> Result<(), DelegationError> {
    match found == network {
        true => Ok(()),
        false => Err(DelegationError::WrongNetwork {
            found: found.clone(),
        }),
    }
}
