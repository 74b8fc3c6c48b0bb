//! JSON Schemas of Rust types, as the one text that is hashed.

use std::collections::BTreeMap;

use o_core::Schema;
use schemars::{JsonSchema, generate::SchemaSettings};
use serde::{Serialize, Serializer, ser::SerializeSeq as _};
use serde_json::Value;

/// The schema of what a method takes as `T`: JSON Schema 2020-12 as schemars makes it, in one line
/// with the keys of each object in ascending order.
///
/// Comments on the type and its fields are part of it, and so of its hash.
pub fn params_schema<T: JsonSchema + ?Sized>() -> Schema {
    schema::<T>(SchemaSettings::draft2020_12().for_deserialize())
}

/// The schema of what a method answers as `T`; differs from [`params_schema`] where `T` is written
/// otherwise than it is read, for example by leaving a field out.
pub fn result_schema<T: JsonSchema + ?Sized>() -> Schema {
    schema::<T>(SchemaSettings::draft2020_12().for_serialize())
}

fn schema<T: JsonSchema + ?Sized>(settings: SchemaSettings) -> Schema {
    let schema = settings.into_generator().into_root_schema_for::<T>();
    // A `Value` of serde_json has no form that its writer refuses.
    let text = serde_json::to_string(&Sorted(schema.as_value())).unwrap_or_default();
    Schema::new(text)
}

/// Writes the keys in order, also when some crate of the program turns on serde_json's
/// `preserve_order`.
struct Sorted<'a>(&'a Value);

impl Serialize for Sorted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(entries) => {
                let sorted: BTreeMap<_, _> = entries
                    .iter()
                    .map(|(key, value)| (key, Sorted(value)))
                    .collect();
                sorted.serialize(serializer)
            }
            Value::Array(items) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    seq.serialize_element(&Sorted(item))?;
                }
                seq.end()
            }
            other => other.serialize(serializer),
        }
    }
}
