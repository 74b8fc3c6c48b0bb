//! What is said to a registry and what it says.

use std::time::Duration;

use o_address::{Address, PeerId};
use o_core::{Attribute, Attributes, CallError, Provider, Query, Text, Wanted};
use o_protocol::Blob;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Result of `announce`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Announced {
    /// The sequence number that holds now.
    pub sequence: u64,
    /// Whether that is news here.
    pub changed: bool,
}

/// Parameters of `lost`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lost {
    /// Who is gone.
    #[schemars(with = "Vec<String>")]
    pub peers: Vec<PeerId>,
}

/// An item of `watch`: some of what is held, or what of it has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Watched {
    /// What is held now under some names.
    pub changes: Vec<Change>,
    /// With the last of what was held when the stream began.
    #[serde(default)]
    pub complete: bool,
}

/// What a registry holds now of a peer under a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Change {
    /// The name.
    #[schemars(with = "String")]
    pub name: Address,
    /// The peer.
    #[schemars(with = "String")]
    pub peer: PeerId,
    /// The envelope of its record; none where it is held no longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Blob>,
}

/// Result of `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(super) struct Status {
    /// Records that are held.
    pub(super) entries: usize,
}

/// Parameters of `search`: one of name, capability, words, or attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[non_exhaustive]
pub struct SearchRequest {
    /// A name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A capability.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capability: Option<String>,
    /// Words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Attributes with weights, any of which may be met, as in `label:lang=de^2`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub any: Vec<String>,
    /// Attributes that must all be met.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub all: Vec<String>,
    /// The least number of points of those of which any may be met.
    pub min_score: u32,
    /// The most answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// How many registries further up are asked, too.
    pub hops: u8,
}

impl SearchRequest {
    /// A request for a query, which goes up to the leader; `None` for a kind that cannot be asked.
    pub fn of(query: &Query) -> Option<Self> {
        let mut request = Self {
            hops: 16,
            ..Self::default()
        };
        match query {
            Query::Name(address) => request.name = Some(address.to_string()),
            Query::Capability(capability) => request.capability = Some(capability.to_string()),
            Query::Text(text) => {
                request.text = Some(text.words.clone());
                request.limit = Some(text.limit);
            }
            Query::Attributes(attributes) => {
                request.any = attributes.wanted.iter().map(Wanted::to_string).collect();
                request.all = attributes
                    .required
                    .iter()
                    .map(Attribute::to_string)
                    .collect();
                request.min_score = attributes.min_score;
            }
            _ => return None,
        }
        Some(request)
    }

    /// What is asked for.
    ///
    /// # Errors
    /// `InvalidParams` where it is none of these, more than one, or one that cannot be read.
    pub fn query(&self) -> Result<Query, CallError> {
        let invalid = |message: String| CallError::InvalidParams { message };
        let attributes = !self.any.is_empty() || !self.all.is_empty();
        let given = [
            self.name.is_some(),
            self.capability.is_some(),
            self.text.is_some(),
            attributes,
        ];
        if given.iter().filter(|given| **given).count() != 1 {
            let one = "one of name, capability, text, or any and all";
            return Err(invalid(format!("ask for {one}")));
        }
        if let Some(name) = &self.name {
            let name: Address = name.parse().map_err(|e| invalid(format!("{name}: {e}")))?;
            return Ok(Query::Name(name));
        }
        if let Some(text) = &self.capability {
            let parsed = text.parse().map_err(|e| invalid(format!("{text}: {e}")));
            return Ok(Query::Capability(parsed?));
        }
        if let Some(words) = &self.text {
            let limit = self.limit.unwrap_or(Text::MAX_HITS);
            return Ok(Query::Text(Text::new(words).limit(limit)));
        }
        if self.any.len() > Attributes::MAX || self.all.len() > Attributes::MAX {
            return Err(invalid(format!("more than {} attributes", Attributes::MAX)));
        }
        let mut attributes = Attributes::any([]).min_score(self.min_score);
        for text in &self.any {
            let wanted = text.parse().map_err(|e| invalid(format!("{text}: {e}")));
            attributes.wanted.push(wanted?);
        }
        for text in &self.all {
            let required = text.parse().map_err(|e| invalid(format!("{text}: {e}")));
            attributes.required.push(required?);
        }
        Ok(Query::Attributes(attributes))
    }
}

/// An answer to `search`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Entry {
    /// The signed record, for `o_protocol::verify_record`.
    pub record: Blob,
    /// Milliseconds since somebody said last that it holds.
    #[serde(default)]
    pub age_ms: u64,
    /// How well it matches, in thousandths.
    #[serde(default)]
    pub score: u32,
    /// Why it matches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub why: Vec<String>,
}

impl Entry {
    /// The answer for somebody who was found with a record.
    pub fn of(provider: &Provider) -> Option<Self> {
        let record = provider.record.as_ref()?.envelope().clone();
        let matched = provider.matched.as_ref();
        let why = matched.map(|matched| matched.why.iter().map(ToString::to_string).collect());
        Some(Self {
            record: Blob(record),
            age_ms: millis(provider.age),
            score: matched.map_or(0, |matched| matched.score),
            why: why.unwrap_or_default(),
        })
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
