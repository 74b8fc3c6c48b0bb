//! Descriptions of nodes, agents and methods: both encodings carry them, and a method keeps its hash.

use std::fmt::Debug;

use o_address::PeerId;
use o_core::{Body, Encoding, MethodSpec, NetworkId, Schema, Shape};
use o_protocol::{
    AgentDescription, Blob, MethodDescription, NodeDescription, decode_body, encode_body,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::Seed;

/// The first byte chooses the encoding and what is described, the rest is the body.
///
/// # Panics
/// When something does not hold.
pub fn run(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    let encoding = match choice & 1 {
        0 => Encoding::Cbor,
        _ => Encoding::Json,
    };
    let body = Body::new(encoding, bytes.to_vec());
    match choice >> 1 & 3 {
        0 => {
            if let Some(method) = read::<MethodDescription>(&body) {
                check(&method);
            }
        }
        1 => {
            if let Some(agent) = read::<AgentDescription>(&body) {
                agent.methods.iter().for_each(check);
                let specs: Vec<_> = agent.methods.iter().map(MethodSpec::from).collect();
                let plain = AgentDescription::new(agent.address.clone(), &specs);
                assert_eq!(plain.methods.len(), agent.methods.len());
            }
        }
        _ => {
            if let Some(node) = read::<NodeDescription>(&body) {
                let methods = node.agents.iter().flat_map(|agent| &agent.methods);
                methods.for_each(check);
            }
        }
    }
}

/// What a body holds, if it is one; both encodings bring it back.
fn read<T: Serialize + DeserializeOwned + PartialEq + Debug>(body: &Body) -> Option<T> {
    let value = decode_body::<T>(body).ok()?;
    for encoding in [Encoding::Cbor, Encoding::Json] {
        let Ok(written) = encode_body(encoding, &value) else {
            panic!("{value:?} cannot be written");
        };
        match decode_body::<T>(&written) {
            Ok(again) => assert_eq!(again, value),
            Err(error) => panic!("{error}: {value:?}"),
        }
    }
    Some(value)
}

fn check(method: &MethodDescription) {
    let spec = MethodSpec::from(method);
    let described = MethodDescription::from(&spec);
    assert!(described.is_consistent(), "{described:?}");
    assert_eq!(MethodSpec::from(&described), spec);
    assert_eq!(described == *method, method.is_consistent(), "{method:?}");
}

/// A node, its agent and its methods in both encodings, and a method with a wrong hash.
pub fn seeds() -> Vec<Seed> {
    let parts = (
        "o://a/b".parse(),
        "text/echo".parse(),
        PeerId::from_bytes(&[0, 2, 7, 7]),
    );
    let (Ok(address), Ok(capability), Ok(peer)) = parts else {
        panic!("good texts");
    };
    let mut echo = MethodSpec::new("echo", Shape::Bidirectional);
    echo.params = Some(Schema::new("true"));
    echo.idempotent = true;
    let mut plain = MethodSpec::new("m", Shape::Unary);
    plain.description = "does".into();
    plain.result = Some(Schema::new(r#"{"type":"string"}"#));
    let mut agent = AgentDescription::new(address, &[echo, plain.clone()]);
    agent.capabilities = vec![capability];
    agent.description = Some("for tests".to_owned());
    agent.record = Some(Blob::from(vec![0, 255]));
    let mut node = NodeDescription::new(peer, NetworkId::default(), "test/1");
    node.agents.push(agent.clone());
    let method = MethodDescription::from(&plain);
    let mut wrong = method.clone();
    wrong.result = None;
    let mut seeds = Vec::new();
    for (which, (suffix, encoding)) in
        (0..).zip([("cbor", Encoding::Cbor), ("json", Encoding::Json)])
    {
        let bodies = [
            ("method", 0, encode_body(encoding, &method)),
            ("wrong-hash", 0, encode_body(encoding, &wrong)),
            ("agent", 2, encode_body(encoding, &agent)),
            ("node", 4, encode_body(encoding, &node)),
        ];
        for (name, kind, body) in bodies {
            let bytes = body.map(|body| body.bytes.to_vec()).unwrap_or_default();
            seeds.push((
                format!("{name}-{suffix}"),
                [vec![kind | which], bytes].concat(),
            ));
        }
    }
    seeds
}
