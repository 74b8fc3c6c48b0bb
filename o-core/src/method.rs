//! What a method takes and returns, as part of its contract.

use std::{fmt, sync::Arc};

use sha2::{Digest, Sha256};

use crate::Shape;

/// SHA-256 of a schema's text, or of several in a row.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaHash(pub [u8; 32]);

impl fmt::Display for SchemaHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SchemaHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SchemaHash({self})")
    }
}

/// A JSON Schema (2020-12) as text, with its SHA-256. Cloning is cheap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    json: Arc<str>,
    hash: SchemaHash,
}

impl Schema {
    /// Keeps the text and hashes it as it is: two texts of one meaning are two schemas.
    pub fn new(json: impl Into<Arc<str>>) -> Self {
        let json = json.into();
        let hash = SchemaHash(Sha256::digest(json.as_bytes()).into());
        Self { json, hash }
    }

    /// The schema's JSON text.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// SHA-256 of the text.
    pub fn hash(&self) -> SchemaHash {
        self.hash
    }
}

/// The contract of a method.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MethodSpec {
    /// Its name: 1 to 128 bytes.
    pub name: Arc<str>,
    /// How many values go each way.
    pub shape: Shape,
    /// What it does, for people and models.
    pub description: Arc<str>,
    /// Schema of the parameters; for the shapes with an input stream, of each item too.
    pub params: Option<Schema>,
    /// Schema of the result, or of each item of it.
    pub result: Option<Schema>,
    /// Whether calling it twice does what calling it once does.
    pub idempotent: bool,
}

impl MethodSpec {
    /// Longest name, in bytes.
    pub const MAX_NAME: usize = 128;

    /// A method without description or schemas.
    pub fn new(name: impl Into<Arc<str>>, shape: Shape) -> Self {
        Self {
            name: name.into(),
            shape,
            description: "".into(),
            params: None,
            result: None,
            idempotent: false,
        }
    }

    /// One hash over shape and both schemas: what a caller may pin.
    ///
    /// SHA-256 of `o-method/1\0`, the shape's wire number as one byte, then the 32-byte hash of the
    /// parameters' schema and of the result's, zeros where there is none.
    pub fn hash(&self) -> SchemaHash {
        let part = |schema: &Option<Schema>| schema.as_ref().map_or([0; 32], |s| s.hash().0);
        let mut hasher = Sha256::new();
        hasher.update(b"o-method/1\0");
        hasher.update([self.shape.number()]);
        hasher.update(part(&self.params));
        hasher.update(part(&self.result));
        SchemaHash(hasher.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_covers_shape_and_schemas_but_not_prose() {
        let mut method = MethodSpec::new("m", Shape::Unary);
        let plain = method.hash();
        method.description = "something else".into();
        assert_eq!(method.hash(), plain);
        method.params = Some(Schema::new("{}"));
        let with_params = method.hash();
        assert_ne!(with_params, plain);
        method.shape = Shape::Server;
        assert_ne!(method.hash(), with_params);
    }

    #[test]
    fn the_schema_hash_is_plain_sha256_of_the_text() {
        assert_eq!(
            Schema::new("{}").hash().to_string(),
            "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        );
    }
}
