//! Two registries, one above the other, without a network between them.

mod replica;

use std::time::Duration;

use futures::StreamExt as _;
use o_core::{
    Agent as _, Attributes, Body, Encoding, IncomingCall, OutgoingCall, Reply, Shape, Text,
    Verified, VerifyError,
};
use o_protocol::{decode_body, encode_body};

use super::*;
use crate::testing::{peer, record, tombstone};

/// Takes the bytes for what was signed, by whoever stands in them first.
#[derive(Debug)]
struct Trusting;

impl Verifier for Trusting {
    fn verify(&self, _: &str, kind: &[u8], envelope: &[u8]) -> Result<Verified, VerifyError> {
        let rest = envelope
            .strip_prefix(kind)
            .ok_or(VerifyError::BadSignature)?;
        let (who, payload) = rest.split_at_checked(34).ok_or(VerifyError::Malformed)?;
        Ok(Verified {
            peer: PeerId::from_bytes(who).map_err(|_| VerifyError::Malformed)?,
            payload: bytes::Bytes::copy_from_slice(payload),
        })
    }
}

#[derive(Debug)]
struct Key(PeerId);

impl o_core::Signer for Key {
    fn peer(&self) -> PeerId {
        self.0
    }

    fn sign(
        &self,
        _: &str,
        kind: &[u8],
        payload: &[u8],
    ) -> Result<bytes::Bytes, o_core::SignError> {
        Ok([kind, self.0.as_bytes(), payload].concat().into())
    }
}

/// Whoever is called is not there.
#[derive(Debug)]
struct Nobody;

#[async_trait::async_trait]
impl o_core::Caller for Nobody {
    async fn call(&self, call: OutgoingCall) -> Result<Reply, CallError> {
        Err(CallError::NotFound {
            address: call.target,
        })
    }
}

fn registry() -> Registry {
    let check: Check = Arc::new(|record, _| match record.record().address.as_str() {
        "o://forbidden" => Err("it is forbidden".into()),
        _ => Ok(()),
    });
    let config = RegistryConfig {
        max_bad: 3,
        ..RegistryConfig::default()
    };
    Registry::new(NetworkId::default(), config, Arc::new(Trusting), check)
}

fn alone() -> Further {
    Arc::new(|_| stream::empty().boxed())
}

fn signed(name: &str, by: u8, sequence: u64) -> SignedRecord {
    let record = record(name, peer(by), sequence, SystemTime::now());
    o_protocol::sign_record(&record, &Key(peer(by))).unwrap()
}

async fn ask(
    agent: &Methods,
    from: u8,
    method: &str,
    params: &impl Serialize,
) -> Result<Reply, CallError> {
    let spec = agent
        .methods()
        .into_iter()
        .find(|spec| &*spec.name == method);
    let shape = spec.map_or(Shape::Unary, |spec| spec.shape);
    let context = CallContext::new(Registry::address(), Some(peer(from)), Default::default());
    let body = encode_body(Encoding::Json, params).unwrap();
    agent
        .call(IncomingCall::new(context, method.into(), shape, body, None))
        .await
}

async fn announce(
    agent: &Methods,
    from: u8,
    record: &SignedRecord,
) -> Result<Announced, CallError> {
    let told = ask(agent, from, "announce", &Blob(record.envelope().clone())).await?;
    let Reply::One(body) = told else {
        panic!("a stream")
    };
    Ok(decode_body(&body).unwrap())
}

async fn names(agent: &Methods, request: &SearchRequest) -> Vec<String> {
    let Reply::Stream(items) = ask(agent, 9, "search", request).await.unwrap() else {
        panic!("one value")
    };
    let name = |item: Result<Body, CallError>| {
        let entry: Entry = decode_body(&item.unwrap()).unwrap();
        let (now, network) = (SystemTime::now(), NetworkId::default());
        let record = verify_record(entry.record.0, &Trusting, now, &network).unwrap();
        record.record().address.to_string()
    };
    items.map(name).collect().await
}

fn by_capability(hops: u8) -> SearchRequest {
    SearchRequest {
        capability: Some("text/summarize".into()),
        hops,
        ..SearchRequest::default()
    }
}

#[test]
fn its_name_is_a_name() {
    assert_eq!(Registry::address().as_str(), "o://network/registry");
    assert!(is_reserved(&"o://network/x".parse().unwrap()));
    assert!(!is_reserved(&"o://networks".parse().unwrap()));
}

#[tokio::test]
async fn what_is_announced_is_found_until_it_is_withdrawn() {
    let registry = registry();
    let agent = registry.agent(alone());
    let first = signed("o://a", 1, 1);
    assert!(announce(&agent, 1, &first).await.unwrap().changed);
    assert!(!announce(&agent, 2, &first).await.unwrap().changed);
    announce(&agent, 1, &signed("o://b", 1, 1)).await.unwrap();
    assert_eq!(names(&agent, &by_capability(0)).await, ["o://a", "o://b"]);
    let mut one = by_capability(0);
    one.limit = Some(1);
    assert_eq!(names(&agent, &one).await.len(), 1);
    let below = SearchRequest {
        all: vec!["below:o://b".into()],
        ..SearchRequest::default()
    };
    assert_eq!(names(&agent, &below).await, ["o://b"]);

    let stone = tombstone(first.record());
    let stone = o_protocol::sign_tombstone(stone.tombstone(), &Key(peer(1))).unwrap();
    ask(&agent, 1, "remove", &Blob(stone.envelope().clone()))
        .await
        .unwrap();
    assert_eq!(names(&agent, &by_capability(0)).await, ["o://b"]);
    let again = announce(&agent, 1, &first).await;
    assert!(
        matches!(again, Err(CallError::InvalidParams { .. })),
        "{again:?}"
    );
}

#[tokio::test]
async fn a_search_goes_up_as_far_as_it_may() {
    let (below, above) = (registry(), registry());
    let top = above.agent(alone());
    announce(&top, 1, &signed("o://top", 1, 1)).await.unwrap();
    let up: Further = Arc::new(move |request| {
        let top = top.clone();
        let asked = async move {
            let Reply::Stream(items) = ask(&top, 5, "search", &request).await.unwrap() else {
                panic!("one value")
            };
            items.map(|item| Ok(decode_body(&item?).unwrap()))
        };
        stream::once(asked).flatten().boxed()
    });
    let agent = below.agent(up);
    announce(&agent, 2, &signed("o://below", 2, 1))
        .await
        .unwrap();
    assert_eq!(names(&agent, &by_capability(0)).await, ["o://below"]);
    assert_eq!(
        names(&agent, &by_capability(1)).await,
        ["o://below", "o://top"]
    );
}

#[tokio::test]
async fn who_is_lost_takes_along_what_came_by_way_of_it() {
    let registry = registry();
    let agent = registry.agent(alone());
    let mut changes = registry.changes();
    for (name, by, via) in [("o://a", 1, 1), ("o://a/x", 2, 1), ("o://b", 3, 3)] {
        announce(&agent, via, &signed(name, by, 1)).await.unwrap();
    }
    changes.mark_unchanged();
    // Only the one by way of which they came may say so.
    let gone = Lost {
        peers: vec![peer(2)],
    };
    ask(&agent, 3, "lost", &gone).await.unwrap();
    assert_eq!(registry.len(), 3);
    ask(&agent, 1, "lost", &gone).await.unwrap();
    assert_eq!(registry.len(), 2);
    assert!(changes.has_changed().unwrap());
    announce(&agent, 1, &signed("o://a/x", 2, 2)).await.unwrap();
    let mut lost = registry.lost(&peer(1));
    lost.sort();
    assert_eq!(lost, [peer(1), peer(2)]);
    assert_eq!(names(&agent, &by_capability(0)).await, ["o://b"]);
}

#[tokio::test]
async fn nobody_is_forgotten_because_somebody_else_repeats_his_record_and_goes() {
    let registry = registry();
    let agent = registry.agent(alone());
    let honest = signed("o://a/x", 2, 1);
    announce(&agent, 1, &honest).await.unwrap();
    announce(&agent, 4, &honest).await.unwrap();
    let gone = Lost {
        peers: vec![peer(2)],
    };
    ask(&agent, 4, "lost", &gone).await.unwrap();
    assert_eq!(registry.lost(&peer(4)), []);
    assert_eq!(registry.len(), 1);
    // It moves to another parent, and the first one says that it has gone.
    announce(&agent, 3, &honest).await.unwrap();
    ask(&agent, 1, "lost", &gone).await.unwrap();
    assert_eq!(registry.len(), 1);
    ask(&agent, 3, "lost", &gone).await.unwrap();
    assert_eq!(registry.len(), 0);
}

#[tokio::test]
async fn who_says_too_much_is_not_heard_for_a_while() {
    let config = RegistryConfig {
        max_per_second: 1,
        max_bad: 3,
        ..RegistryConfig::default()
    };
    let check: Check = Arc::new(|_, _| Ok(()));
    let registry = Registry::new(NetworkId::default(), config, Arc::new(Trusting), check);
    let agent = registry.agent(alone());
    let same = signed("o://a", 1, 1);
    let mut refused = 0;
    for _ in 0..40 {
        refused += u32::from(announce(&agent, 1, &same).await.is_err());
    }
    assert!(refused > 3, "{refused}");
    assert!(registry.lock().throttle.is_silent(&peer(1), Instant::now()));
    assert!(announce(&agent, 2, &same).await.is_ok());
}

#[tokio::test]
async fn bad_records_are_refused_and_their_sender_is_not_heard_for_a_while() {
    let registry = registry();
    let agent = registry.agent(alone());
    let forbidden = announce(&agent, 1, &signed("o://forbidden", 1, 1)).await;
    assert!(matches!(forbidden, Err(CallError::InvalidParams { .. })));
    for bad in [&b"nothing"[..], &[0; 20_000], b"/o-record/1"] {
        let told = ask(&agent, 4, "announce", &Blob::from(bad.to_vec())).await;
        assert!(
            matches!(told, Err(CallError::InvalidParams { .. })),
            "{told:?}"
        );
    }
    let good = signed("o://a", 4, 1);
    assert!(matches!(
        announce(&agent, 4, &good).await,
        Err(CallError::Busy { .. })
    ));
    assert!(announce(&agent, 1, &good).await.is_ok());
    let local = IncomingCall::new(
        CallContext::new(Registry::address(), None, Default::default()),
        "announce".into(),
        Shape::Unary,
        encode_body(Encoding::Json, &Blob(good.envelope().clone())).unwrap(),
        None,
    );
    assert!(matches!(
        agent.call(local).await,
        Err(CallError::Unsupported { .. })
    ));
}

#[test]
fn a_search_asks_for_one_thing() {
    let mut request = by_capability(0);
    assert!(request.query().is_ok());
    request.text = Some("words".into());
    assert!(request.query().is_err());
    assert!(SearchRequest::default().query().is_err());
    let many = SearchRequest {
        any: vec!["label:a".into(); 33],
        ..SearchRequest::default()
    };
    assert!(many.query().is_err());
    for query in [
        Query::Name("o://a/b".parse().unwrap()),
        Query::Capability("a/b".parse().unwrap()),
        Query::Text(Text::new("some words").limit(7)),
        Query::Attributes(o_core::Attributes::any(["label:a".parse().unwrap()]).min_score(2)),
    ] {
        assert_eq!(SearchRequest::of(&query).unwrap().query().unwrap(), query);
    }
}

#[tokio::test]
async fn it_conforms_as_a_source() {
    use o_testkit::conformance::{DiscoveryCase, discovery, searching};

    let key = Key(peer(7));
    let nobody: Registries = Arc::new(Vec::new);
    let caller = Arc::new(Nobody);
    let source = RegistryDiscovery::new(nobody, caller, Arc::new(Trusting), NetworkId::default());
    let source = source.with_own(registry(), peer(7));
    let case = DiscoveryCase::one(Arc::new(source), key);
    tokio::time::timeout(Duration::from_secs(60), discovery(&case))
        .await
        .unwrap();
    tokio::time::timeout(Duration::from_secs(60), searching(&case))
        .await
        .unwrap();
}

/// Passes calls on to the agent of a registry, from another peer.
#[derive(Debug)]
struct Afar(Registry);

#[async_trait::async_trait]
impl o_core::Caller for Afar {
    async fn call(&self, call: OutgoingCall) -> Result<Reply, CallError> {
        let context = CallContext::new(call.target, Some(peer(9)), call.terms);
        let call = IncomingCall::new(context, call.method, call.shape, call.body, None);
        self.0.agent(alone()).call(call).await
    }
}

#[tokio::test]
async fn it_conforms_as_a_source_for_those_who_ask_it() {
    use o_testkit::conformance::{DiscoveryCase, discovery, searching};

    let there = registry();
    let source = |others: Registries| {
        let (caller, verifier) = (Arc::new(Afar(there.clone())), Arc::new(Trusting));
        RegistryDiscovery::new(others, caller, verifier, NetworkId::default())
    };
    let own = source(Arc::new(Vec::new)).with_own(there.clone(), peer(7));
    let mut case = DiscoveryCase::one(Arc::new(own), Key(peer(7)));
    case.seeker = Arc::new(source(Arc::new(|| vec![Registry::address()])));
    let within = Duration::from_secs(60);
    tokio::time::timeout(within, discovery(&case))
        .await
        .unwrap();
    tokio::time::timeout(within, searching(&case))
        .await
        .unwrap();
}

#[tokio::test]
async fn who_tells_again_and_again_what_is_old_is_not_listened_to() {
    let registry = registry();
    let agent = registry.agent(alone());
    announce(&agent, 7, &signed("o://a", 7, 9)).await.unwrap();
    for sequence in 1..=3 {
        let old = announce(&agent, 7, &signed("o://a", 7, sequence)).await;
        assert!(
            matches!(old, Err(CallError::InvalidParams { .. })),
            "{old:?}"
        );
    }
    let muted = announce(&agent, 7, &signed("o://a", 7, 10)).await;
    assert!(matches!(muted, Err(CallError::Busy { .. })), "{muted:?}");
}

#[cfg(feature = "store")]
#[tokio::test]
async fn what_is_restored_stays_only_if_it_is_announced_anew() {
    let old = registry();
    for (name, by) in [("o://a", 1), ("o://b", 2), ("o://forbidden", 3)] {
        let _ = old.insert(&signed(name, by, 1), peer(by));
    }
    let (records, _) = old.contents();
    let held = records.iter().map(|held| held.envelope().clone());
    let stored = Stored {
        records: held.chain([b"rubbish".as_slice().into()]).collect(),
        ..Stored::default()
    };
    let new = registry();
    assert_eq!(new.restore(stored), 2);
    assert_eq!(new.len(), 2);
    // The same as before is enough, told by somebody by way of whom it comes now.
    let agent = new.agent(alone());
    let again = Blob(records[0].envelope().clone());
    assert!(ask(&agent, 9, "announce", &again).await.is_ok());
    assert_eq!(new.forget_unrenewed(), [peer(2)]);
    assert_eq!(new.len(), 1);
    assert!(new.forget_unrenewed().is_empty());
    assert_eq!(new.lost(&peer(9)), [peer(1)]);
}
