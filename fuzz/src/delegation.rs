//! Payloads of delegations and successions, and chains of them: what is believed leads from the trusted key down, and
//! means the same when signed again.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use o_address::{Address, PeerId};
use o_core::{
    Access, Chain, Delegation, NetworkId, Policy, Record, RecordTimes, SignError, Signer,
    Successor, Verified, Verifier, VerifyError,
};
use o_protocol::{
    RootOfTrust, sign_delegation, sign_successor, verify_chain, verify_delegation, verify_successor,
};

use crate::Seed;

/// Signs by writing down which type it is and who signed.
#[derive(Debug)]
struct Fake(PeerId);

impl Signer for Fake {
    fn peer(&self) -> PeerId {
        self.0
    }

    fn sign(&self, _domain: &str, kind: &[u8], payload: &[u8]) -> Result<Bytes, SignError> {
        let who = self.0.as_bytes().last().copied().unwrap_or_default();
        Ok([&[letter(kind), who], payload].concat().into())
    }
}

/// Reads what [`Fake`] signed.
#[derive(Debug)]
struct Reading;

impl Verifier for Reading {
    fn verify(&self, _domain: &str, kind: &[u8], bytes: &[u8]) -> Result<Verified, VerifyError> {
        let [found, who, payload @ ..] = bytes else {
            return Err(VerifyError::Malformed);
        };
        if *found != letter(kind) {
            return Err(VerifyError::WrongType);
        }
        Ok(Verified {
            peer: peer(*who),
            payload: Bytes::copy_from_slice(payload),
        })
    }
}

/// The letter that tells the two types apart: `/o-delegation/1` and `/o-successor/1`.
fn letter(kind: &[u8]) -> u8 {
    kind.get(3).copied().unwrap_or_default()
}

fn peer(byte: u8) -> PeerId {
    let Ok(peer) = PeerId::from_bytes(&[0, 2, 7, byte]) else {
        panic!("any two bytes are an identity hash");
    };
    peer
}

fn address(text: &str) -> Address {
    let Ok(address) = text.parse() else {
        panic!("a good address: {text}");
    };
    address
}

fn made() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

fn root() -> RootOfTrust {
    RootOfTrust::new(address("o://company"), peer(1))
}

/// Envelopes, each after its length in two bytes; the last one may be cut off.
///
/// # Panics
/// When something does not hold.
pub fn run(data: &[u8]) {
    let envelopes = split(data);
    for envelope in &envelopes {
        one(envelope);
    }
    let network = NetworkId::default();
    if let Ok(chain) = verify_chain(&envelopes, &root(), &Reading, made(), &network) {
        leads_down(&chain, &envelopes);
    }
}

fn split(mut data: &[u8]) -> Vec<Bytes> {
    let mut envelopes = Vec::new();
    while let [high, low, rest @ ..] = data {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (envelope, rest) = rest.split_at(length);
        envelopes.push(Bytes::copy_from_slice(envelope));
        data = rest;
    }
    envelopes
}

fn one(envelope: &Bytes) {
    let network = NetworkId::default();
    if let Ok(signed) = verify_delegation(envelope.clone(), &Reading, made(), &network) {
        assert_eq!(signed.envelope(), envelope, "it is relayed as it came");
        let found = signed.delegation();
        assert_eq!(found.network, network);
        assert!(!found.times.is_expired(made()));
        assert!(found.policy.denied.len() <= Policy::MAX);
        // libFuzzer's inputs are at most half of the largest envelope.
        let again = match sign_delegation(found, &Fake(found.issuer)) {
            Ok(again) => again.envelope().clone(),
            Err(error) => panic!("what was believed is not signed again: {error}"),
        };
        let again = verify_delegation(again, &Reading, made(), &network);
        let again = again.map(|again| again.delegation().clone());
        assert_eq!(again.ok().as_ref(), Some(found));
    }
    if let Ok(signed) = verify_successor(envelope.clone(), &Reading, &network) {
        assert_eq!(signed.envelope(), envelope, "it is relayed as it came");
        let found = signed.successor();
        assert_eq!(found.network, network);
        let again = match sign_successor(found, &Fake(found.old)) {
            Ok(again) => again.envelope().clone(),
            Err(error) => panic!("what was believed is not signed again: {error}"),
        };
        let again = verify_successor(again, &Reading, &network);
        let again = again.map(|again| again.successor().clone());
        assert_eq!(again.ok().as_ref(), Some(found));
    }
}

/// Each link is signed by whoever the one before names, and gives nothing more.
fn leads_down(chain: &Chain, envelopes: &[Bytes]) {
    assert!(envelopes.len() <= Record::MAX_CHAIN);
    assert_eq!(chain.envelopes(), envelopes);
    let mut key = root().key;
    for next in chain.successors() {
        assert_eq!(next.successor().old, key);
        key = next.successor().new;
    }
    let mut policy = Policy::default();
    for next in chain.delegations() {
        let next = next.delegation();
        assert_eq!(next.issuer, key);
        assert_eq!(next.subtree.root().name(), root().name.name());
        assert!(next.policy.is_within(&policy) && next.policy.depth < policy.depth);
        key = next.subject;
        policy = next.policy.clone();
    }
    assert_eq!(chain.holder(), key);
}

fn delegation(issuer: u8, subject: u8, subtree: &str, depth: u8) -> Vec<u8> {
    let mut policy = Policy::default();
    policy.depth = depth;
    policy.access = Access::Family;
    policy.denied = [peer(99)].into();
    let delegation = Delegation {
        issuer: peer(issuer),
        subject: peer(subject),
        subtree: address(subtree),
        policy,
        sequence: 7,
        times: RecordTimes::starting(made(), Duration::from_secs(3600)),
        network: NetworkId::default(),
    };
    let signed = sign_delegation(&delegation, &Fake(delegation.issuer));
    after_length(
        &signed
            .map(|signed| signed.envelope().clone())
            .unwrap_or_default(),
    )
}

fn successor(old: u8, new: u8) -> Vec<u8> {
    let successor = Successor {
        root: address("o://company"),
        old: peer(old),
        new: peer(new),
        created: 1_700_000_000,
        network: NetworkId::default(),
    };
    let signed = sign_successor(&successor, &Fake(successor.old));
    after_length(
        &signed
            .map(|signed| signed.envelope().clone())
            .unwrap_or_default(),
    )
}

fn after_length(envelope: &[u8]) -> Vec<u8> {
    let length = u16::try_from(envelope.len()).unwrap_or_default();
    [&length.to_be_bytes(), envelope].concat()
}

/// Chains that hold, and some that must not be believed.
pub fn seeds() -> Vec<Seed> {
    let sales = || delegation(1, 2, "o://company/sales", 5);
    let europe = |depth| delegation(2, 3, "o://company/sales/europe", depth);
    let seeds = [
        ("delegation", sales()),
        ("successor", successor(1, 4)),
        ("chain", [sales(), europe(4)].concat()),
        (
            "chain-after-rotation",
            [successor(1, 4), delegation(4, 2, "o://company/sales", 5)].concat(),
        ),
        ("wider", [sales(), europe(5)].concat()),
        ("wrong-issuer", [europe(5), sales()].concat()),
        ("successor-below", [sales(), successor(2, 4)].concat()),
    ];
    seeds.map(|(name, bytes)| (name.to_owned(), bytes)).into()
}
