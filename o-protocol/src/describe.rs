//! What a node says about itself and its agents: the answer of the built-in `describe`.

use std::{borrow::Cow, fmt};

use o_address::{Address, PeerId};
use o_core::{Capability, Label, MethodSpec, NetworkId, Schema, SchemaHash, Shape};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::cbor::Blob;

/// A node and the agents on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct NodeDescription {
    /// Its peer id.
    #[schemars(with = "String")]
    pub peer: PeerId,
    /// The network that it belongs to.
    #[schemars(with = "String")]
    pub network: NetworkId,
    /// Program and version, for people.
    #[serde(default)]
    pub software: String,
    /// Its agents.
    #[serde(default)]
    pub agents: Vec<AgentDescription>,
}

impl NodeDescription {
    /// A node without agents.
    pub fn new(peer: PeerId, network: NetworkId, software: impl Into<String>) -> Self {
        let (software, agents) = (software.into(), Vec::new());
        Self {
            peer,
            network,
            software,
            agents,
        }
    }
}

/// An agent: what it can do, and how it is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct AgentDescription {
    /// Its name.
    #[schemars(with = "String")]
    pub address: Address,
    /// What it announces that it can do.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub capabilities: Vec<Capability>,
    /// What it says that it is especially good at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub specialisations: Vec<Capability>,
    /// What else it says about itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub labels: Vec<Label>,
    /// What it is for, for people and models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its methods.
    #[serde(default)]
    pub methods: Vec<MethodDescription>,
    /// Its record as its node signed it, for [`verify_record`](crate::verify_record).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Blob>,
}

impl AgentDescription {
    /// An agent with these methods and nothing else.
    pub fn new(address: Address, methods: &[MethodSpec]) -> Self {
        Self {
            address,
            capabilities: Vec::new(),
            specialisations: Vec::new(),
            labels: Vec::new(),
            description: None,
            methods: methods.iter().map(MethodDescription::from).collect(),
            record: None,
        }
    }
}

/// The contract of a method.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct MethodDescription {
    /// Its name.
    pub name: String,
    /// How many values go each way: `unary`, `server`, `client` or `bidirectional`.
    #[schemars(with = "String")]
    pub shape: Shape,
    /// What it does, for people and models.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Whether calling it twice does what calling it once does.
    #[serde(default)]
    pub idempotent: bool,
    /// JSON Schema of the parameters or of each item of the caller's stream. It is the very text
    /// that is hashed, and therefore text and not an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<String>,
    /// JSON Schema of the result or of each item of it, as text too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// [`MethodSpec::hash`] in hexadecimal digits.
    #[serde(serialize_with = "write_hash", deserialize_with = "read_hash")]
    #[schemars(with = "String")]
    pub hash: SchemaHash,
}

impl MethodDescription {
    /// Whether the hash is that of the shape and schemas beside it.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        MethodSpec::from(self).hash() == self.hash
    }
}

impl From<&MethodSpec> for MethodDescription {
    fn from(spec: &MethodSpec) -> Self {
        let text = |schema: &Schema| schema.json().to_owned();
        Self {
            name: spec.name.to_string(),
            shape: spec.shape,
            description: spec.description.to_string(),
            idempotent: spec.idempotent,
            params: spec.params.as_ref().map(text),
            result: spec.result.as_ref().map(text),
            hash: spec.hash(),
        }
    }
}

impl From<&MethodDescription> for MethodSpec {
    fn from(description: &MethodDescription) -> Self {
        let schema = |text: &String| Schema::new(text.as_str());
        let mut spec = Self::new(description.name.as_str(), description.shape);
        spec.description = description.description.as_str().into();
        spec.idempotent = description.idempotent;
        spec.params = description.params.as_ref().map(schema);
        spec.result = description.result.as_ref().map(schema);
        spec
    }
}

fn write_hash<S: Serializer>(hash: &SchemaHash, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(hash)
}

fn read_hash<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SchemaHash, D::Error> {
    let text = Cow::<'_, str>::deserialize(deserializer)?;
    parse_hash(&text).ok_or_else(|| de::Error::invalid_value(de::Unexpected::Str(&text), &HashText))
}

struct HashText;

impl de::Expected for HashText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("64 hexadecimal digits")
    }
}

fn parse_hash(text: &str) -> Option<SchemaHash> {
    let mut digits = text.bytes().map(|digit| char::from(digit).to_digit(16));
    let mut hash = [0; 32];
    for byte in &mut hash {
        let (high, low) = (digits.next()??, digits.next()??);
        *byte = u8::try_from(high << 4 | low).ok()?;
    }
    digits.next().is_none().then_some(SchemaHash(hash))
}

#[cfg(test)]
mod tests {
    use o_core::{Body, Encoding};

    use super::*;
    use crate::cbor::{decode_body, encode_body};

    /// What [`description`] says, as CBOR in hexadecimal digits.
    const GOLDEN: &[&str] = &[
        "a464706565726431675674676e6574776f726b646d61696e68736f66747761726566746573742f31",
        "666167656e747381a46761646472657373676f3a2f2f612f626c6361706162696c69746965738169",
        "746578742f6563686f676d6574686f647381a5646e616d65646563686f6573686170656d62696469",
        "72656374696f6e616c6a6964656d706f74656e74f566706172616d73647472756564686173687840",
        "61386632363637313361396430353039323733373263616238336662393237366537383961303636",
        "333333363435336431373662323361396438363962666563667265636f72644200ff",
    ];

    fn description() -> NodeDescription {
        let mut echo = MethodSpec::new("echo", Shape::Bidirectional);
        echo.params = Some(Schema::new("true"));
        echo.idempotent = true;
        let mut agent = AgentDescription::new("o://a/b".parse().unwrap(), &[echo]);
        agent.capabilities = vec!["text/echo".parse().unwrap()];
        agent.record = Some(Blob::from(vec![0, 255]));
        let peer = PeerId::from_bytes(&[0, 2, 7, 7]).unwrap();
        let mut node = NodeDescription::new(peer, NetworkId::default(), "test/1");
        node.agents.push(agent);
        node
    }

    #[test]
    fn the_golden_bytes_stay() {
        let bytes = encode_body(Encoding::Cbor, &description()).unwrap().bytes;
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, GOLDEN.concat());
    }

    #[test]
    fn it_reads_back_in_both_encodings() {
        for encoding in [Encoding::Cbor, Encoding::Json] {
            let body = encode_body(encoding, &description()).unwrap();
            assert_eq!(decode_body(&body), Ok(description()));
        }
        let json = serde_json::to_string(&description()).unwrap();
        assert!(json.contains(r#""record":{"$bytes":"AP8="}"#), "{json}");
        assert_eq!(decode_body(&Body::json(json)), Ok(description()));
    }

    #[test]
    fn a_method_survives_the_way_there_and_back() {
        let mut spec = MethodSpec::new("m", Shape::Client);
        spec.description = "does".into();
        spec.result = Some(Schema::new("{ }"));
        let mut described = MethodDescription::from(&spec);
        assert_eq!(MethodSpec::from(&described), spec);
        assert!(described.is_consistent());
        described.result = Some("{}".to_owned());
        assert!(!described.is_consistent());
    }

    #[test]
    fn unknown_fields_are_ignored_and_bad_hashes_are_not() {
        let text =
            |hash: &str| format!(r#"{{"name":"m","shape":"unary","new":1,"hash":"{hash}"}}"#);
        let read = |hash: &str| decode_body::<MethodDescription>(&Body::json(text(hash)));
        assert_eq!(read(&"0a".repeat(32)).unwrap().hash, SchemaHash([10; 32]));
        for hash in [
            "",
            "0",
            &"0a".repeat(31),
            &"0a".repeat(33),
            &"+1".repeat(32),
        ] {
            assert!(read(hash).is_err(), "{hash}");
        }
    }
}
