//! Chains as they should be, and every way in which one can be broken.

use std::time::{Duration, UNIX_EPOCH};

use o_core::{Access, RecordTimes, Verified};

use super::*;

/// Signs by writing down who signed what.
#[derive(Debug)]
struct Fake(PeerId);

impl Signer for Fake {
    fn peer(&self) -> PeerId {
        self.0
    }

    fn sign(&self, domain: &str, kind: &[u8], payload: &[u8]) -> Result<Bytes, SignError> {
        let [kind, domain, who] = [kind, domain.as_bytes(), self.0.as_bytes()]
            .map(|part| [&[u8::try_from(part.len()).unwrap()], part].concat());
        Ok([&kind, &domain, &who, payload].concat().into())
    }
}

#[derive(Debug)]
struct Reading;

impl Verifier for Reading {
    fn verify(&self, domain: &str, kind: &[u8], bytes: &[u8]) -> Result<Verified, VerifyError> {
        let (found, rest) = part(bytes)?;
        if found != kind {
            return Err(VerifyError::WrongType);
        }
        let (found, rest) = part(rest)?;
        if found != domain.as_bytes() {
            return Err(VerifyError::BadSignature);
        }
        let (who, payload) = part(rest)?;
        Ok(Verified {
            peer: PeerId::from_bytes(who).map_err(|_| VerifyError::Malformed)?,
            payload: Bytes::copy_from_slice(payload),
        })
    }
}

fn part(bytes: &[u8]) -> Result<(&[u8], &[u8]), VerifyError> {
    let (length, rest) = bytes.split_first().ok_or(VerifyError::Malformed)?;
    rest.split_at_checked((*length).into())
        .ok_or(VerifyError::Malformed)
}

fn peer(byte: u8) -> PeerId {
    PeerId::from_bytes(&[0, 2, 7, byte]).unwrap()
}

fn made() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

fn delegation(issuer: u8, subject: u8, subtree: &str, depth: u8) -> Delegation {
    let mut policy = Policy::default();
    policy.depth = depth;
    Delegation {
        issuer: peer(issuer),
        subject: peer(subject),
        subtree: subtree.parse().unwrap(),
        policy,
        sequence: 7,
        times: RecordTimes::starting(made(), Duration::from_secs(3600)),
        network: NetworkId::default(),
    }
}

fn sealed(delegation: &Delegation) -> Bytes {
    let signed = sign_delegation(delegation, &Fake(delegation.issuer)).unwrap();
    signed.envelope().clone()
}

fn succession(old: u8, new: u8) -> Bytes {
    let successor = Successor {
        root: "o://company".parse().unwrap(),
        old: peer(old),
        new: peer(new),
        created: 1_700_000_000,
        network: NetworkId::default(),
    };
    let signed = sign_successor(&successor, &Fake(peer(old))).unwrap();
    signed.envelope().clone()
}

fn verify(envelopes: &[Bytes]) -> Result<Chain, ChainError> {
    let root = RootOfTrust::new("o://company/x".parse().unwrap(), peer(1));
    verify_chain(envelopes, &root, &Reading, made(), &NetworkId::default())
}

fn links() -> [Delegation; 3] {
    [
        delegation(1, 2, "o://company/sales", 14),
        delegation(2, 3, "o://company/sales/eu", 13),
        delegation(3, 4, "o://company/sales/eu/de/ai", 3),
    ]
}

#[test]
fn a_chain_leads_from_the_root_to_the_holder() {
    let chain = verify(&links().each_ref().map(sealed)).unwrap();
    assert_eq!(
        (chain.trusted(), chain.root(), chain.holder()),
        (peer(1), peer(1), peer(4))
    );
    assert_eq!(
        chain.subtree().unwrap().as_str(),
        "o://company/sales/eu/de/ai"
    );
    assert_eq!(chain.policy().depth, 3);
    assert_eq!(chain.envelopes(), links().each_ref().map(sealed));
    assert_eq!(verify(&[]).unwrap(), Chain::of_root(peer(1)));
}

#[test]
fn a_successor_takes_the_place_of_the_root() {
    let chain = verify(&[succession(1, 8), succession(8, 9)]).unwrap();
    assert_eq!(
        (chain.trusted(), chain.root(), chain.holder()),
        (peer(1), peer(9), peer(9))
    );
    let below = sealed(&delegation(9, 2, "o://company/a", 1));
    let chain = verify(&[succession(1, 9), below.clone()]).unwrap();
    assert_eq!(chain.holder(), peer(2));
    let skipped = verify(&[succession(8, 9), below.clone()]);
    assert!(matches!(
        skipped,
        Err(ChainError::WrongIssuer { link: 1, .. })
    ));
    // Whoever trusts the new key is not asked to know the old ones.
    let before = [succession(7, 8), succession(8, 1)];
    let all = [&before[..], &[succession(1, 9), below.clone()]].concat();
    let chain = verify(&all).unwrap();
    assert_eq!((chain.trusted(), chain.root()), (peer(1), peer(9)));
    assert_eq!(chain.successors().len(), 1);
    assert_eq!(verify(&before).unwrap(), Chain::of_root(peer(1)));
    for astray in [&before[..1], &[succession(7, 8), below.clone()]] {
        let astray = verify(astray);
        assert!(
            matches!(astray, Err(ChainError::WrongIssuer { link: 1, .. })),
            "{astray:?}"
        );
    }
    let from_the_old_key = [succession(1, 9), sealed(&links()[0])];
    assert!(matches!(
        verify(&from_the_old_key),
        Err(ChainError::WrongIssuer { link: 2, .. })
    ));
    let late = verify(&[sealed(&links()[0]), succession(2, 3)]);
    assert!(
        matches!(late, Err(ChainError::Link { link: 2, .. })),
        "{late:?}"
    );
}

/// What is wrong with the link that does not hold.
fn of_link(error: &ChainError) -> Option<&DelegationError> {
    match error {
        ChainError::Link { source, .. } => Some(source),
        _ => None,
    }
}

#[test]
fn each_link_that_is_broken_is_named() {
    type Break = fn(&mut Delegation);
    type Expected = fn(&ChainError) -> bool;
    let breaks: [(Break, Expected); 8] = [
        (
            |d| d.issuer = peer(66),
            |e| matches!(e, ChainError::WrongIssuer { .. }),
        ),
        (
            |d| d.subtree = "o://company".parse().unwrap(),
            |e| matches!(e, ChainError::NotWithin { .. }),
        ),
        (
            |d| d.subtree = "o://companysales/x".parse().unwrap(),
            |e| matches!(e, ChainError::NotWithin { .. }),
        ),
        (
            |d| d.policy.depth = 15,
            |e| matches!(e, ChainError::Wider { .. }),
        ),
        (
            |d| d.network = "other".parse().unwrap(),
            |e| matches!(of_link(e), Some(DelegationError::WrongNetwork { .. })),
        ),
        (
            |d| d.times.created = 1_600_000_000,
            |e| matches!(of_link(e), Some(DelegationError::Expired)),
        ),
        (
            |d| d.times.created = 4_000_000_000,
            |e| matches!(of_link(e), Some(DelegationError::Future)),
        ),
        (|d| d.policy.denied = [peer(4)].into(), |_| true),
    ];
    for (at, (change, expected)) in breaks.iter().enumerate() {
        for link in 0..3 {
            let mut links = links();
            change(&mut links[link]);
            let result = verify(&links.each_ref().map(sealed));
            // Who denies more in the last link narrows, which is allowed.
            if at + 1 == breaks.len() && link == 2 {
                assert!(result.is_ok());
                continue;
            }
            let error = result.unwrap_err();
            assert!(expected(&error), "{at} {link} {error:?}");
        }
    }
}

#[test]
fn chains_and_envelopes_have_a_length() {
    let long = vec![sealed(&links()[0]); 17];
    assert!(matches!(
        verify(&long),
        Err(ChainError::TooLong { links: 17 })
    ));
    let large = [Bytes::from(vec![0; 8193])];
    let refused = verify(&large);
    assert!(matches!(
        refused,
        Err(ChainError::Link {
            link: 1,
            source: DelegationError::TooLarge { length: 8193 }
        })
    ));
    let mut crowded = links()[0].clone();
    crowded.policy.denied = (0..65).map(peer).collect();
    let refused = sign_delegation(&crowded, &Fake(peer(1)));
    assert!(matches!(refused, Err(DelegationError::TooMany)));
    let read = verify_with(&payload::of_delegation(&crowded), peer(1));
    assert!(matches!(read, Err(DelegationError::TooMany)), "{read:?}");
}

/// Reads a payload that nobody checked before it was signed.
fn verify_with(
    payload: &payload::Payload<'_>,
    signer: PeerId,
) -> Result<SignedDelegation, DelegationError> {
    let bytes = cbor::to_vec(payload).unwrap();
    let envelope = Fake(signer)
        .sign(DELEGATION.0, DELEGATION.1, &bytes)
        .unwrap();
    verify_delegation(envelope, &Reading, made(), &NetworkId::default())
}

#[test]
fn who_signs_for_another_is_refused_on_both_sides() {
    let forged = &links()[0];
    let refused = sign_delegation(forged, &Fake(peer(9)));
    assert!(matches!(refused, Err(DelegationError::WrongPeer { .. })));
    let refused = verify_with(&payload::of_delegation(forged), peer(9));
    assert!(matches!(refused, Err(DelegationError::WrongPeer { .. })));
    for name in [
        "o://~/x",
        "o://a#12D3KooWQA9eZ7s8E7KvNJGG7AXRioyASFicECjdKL1DS2C1Duoo",
    ] {
        let mut reserved = forged.clone();
        reserved.subtree = name.parse().unwrap();
        let refused = sign_delegation(&reserved, &Fake(peer(1)));
        assert!(matches!(refused, Err(DelegationError::Reserved { .. })));
        let refused = verify_with(&payload::of_delegation(&reserved), peer(1));
        assert!(matches!(refused, Err(DelegationError::Reserved { .. })));
    }
}

#[test]
fn a_record_is_believed_for_the_name_that_its_chain_gives() {
    let root = RootOfTrust::new("o://company".parse().unwrap(), peer(1));
    let mut links = links();
    links[2].policy.capabilities = Some(["text/*".parse().unwrap()].into());
    let record = |address: &str, from: u8, capability: &str, chain: Vec<Bytes>| {
        let times = RecordTimes::starting(made(), Duration::from_secs(60));
        let address: Address = address.parse().unwrap();
        let record = Record {
            capabilities: vec![capability.parse().unwrap()],
            chain,
            ..Record::new(address, peer(from), NetworkId::default(), times)
        };
        verify_record_chain(&record, &root, &Reading, made())
    };
    let chain = links.each_ref().map(sealed).to_vec();
    for name in ["o://company/sales/eu/de/ai", "o://company/sales/eu/de/ai/x"] {
        assert!(record(name, 4, "text/echo", chain.clone()).is_ok());
    }
    let not_given = [
        record("o://company/sales/eu/de", 4, "text/echo", chain.clone()),
        record("o://company/sales/eu/de/ai", 3, "text/echo", chain.clone()),
        record("o://company/sales/eu/de/ai", 4, "image/ocr", chain.clone()),
        record("o://other/sales", 4, "text/echo", chain),
        record("o://company/sales", 2, "text/echo", Vec::new()),
        record("o://other", 1, "text/echo", Vec::new()),
    ];
    for refused in not_given {
        assert!(
            matches!(refused, Err(ChainError::NotGiven { .. })),
            "{refused:?}"
        );
    }
    // The root itself needs nobody's word.
    assert!(record("o://company", 1, "text/echo", Vec::new()).is_ok());
    assert!(record("o://company/anything", 1, "image/ocr", Vec::new()).is_ok());
}

#[test]
fn the_golden_payloads_stay() {
    let mut given = delegation(1, 2, "o://company/sales", 3);
    given.policy.access = Access::Family;
    given.policy.capabilities = Some(["text/*".parse().unwrap()].into());
    given.policy.allowed = Some([peer(5)].into());
    given.policy.denied = [peer(6)].into();
    let hex = |payload: &payload::Payload<'_>| -> String {
        let bytes = cbor::to_vec(payload).unwrap();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    assert_eq!(
        hex(&payload::of_delegation(&given)),
        "ac01646d61696e02716f3a2f2f636f6d70616e792f73616c657303440002070104070\
         51a6553f10006190e10074400020702080109030a8166746578742f2a0b814400020705\
         0c814400020706"
            .replace(' ', "")
    );
    let read = verify_with(&payload::of_delegation(&given), peer(1)).unwrap();
    assert_eq!(read.delegation(), &given);
    let successor = Successor {
        root: "o://company".parse().unwrap(),
        old: peer(1),
        new: peer(2),
        created: 1,
        network: NetworkId::default(),
    };
    assert_eq!(
        hex(&payload::of_successor(&successor)),
        "a501646d61696e026b6f3a2f2f636f6d70616e7903440002070105010744 00020702".replace(' ', "")
    );
}
