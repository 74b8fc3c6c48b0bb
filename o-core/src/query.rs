//! What is looked for, and how well a record matches it.

use std::{fmt, str::FromStr, sync::Arc};

use o_address::Address;

use crate::{Capability, Label, Record};

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Query {
    /// Who answers to this name.
    Name(Address),
    /// Who announces this capability.
    Capability(Capability),
    /// Who has enough of these attributes, the best first.
    Attributes(Attributes),
    /// Whose words fit these, the best first. Answered from what is known here, without a network.
    Text(Text),
}

impl Query {
    /// How well a record matches by itself; `None` where it does not, and for free text, which is
    /// ranked against all others and not alone.
    pub fn matches(&self, record: &Record) -> Option<Match> {
        match self {
            Self::Name(address) => {
                let pinned = address.pin().is_none_or(|pin| pin == record.peer);
                (pinned && record.address.name() == address.name())
                    .then(|| Match::whole(format!("named {}", address.name())))
            }
            Self::Capability(wanted) => record
                .capabilities
                .contains(wanted)
                .then(|| Match::whole(format!("announces {wanted}"))),
            Self::Attributes(attributes) => attributes.matches(record),
            Self::Text(_) => None,
        }
    }
}

/// How well somebody matches a query, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Match {
    /// In thousandths: 1000 for an exact query, 1000 for each point of the weights of attributes that
    /// were met, a sum of BM25 for free text. Scores of one search can be compared.
    pub score: u32,
    /// What made the score, for people, the weightiest first.
    pub why: Vec<Arc<str>>,
}

impl Match {
    /// A match with this score and these reasons.
    pub fn new(score: u32, why: Vec<Arc<str>>) -> Self {
        Self { score, why }
    }

    fn whole(why: String) -> Self {
        Self::new(1000, vec![why.into()])
    }
}

/// Attributes, any of which may be met: the sum of the weights of those that are is the score.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Attributes {
    /// What is wanted; at most [`Attributes::MAX`] are looked at.
    pub wanted: Vec<Wanted>,
    /// The least score of a match, in points of the weights. Zero counts as one: who meets nothing
    /// is never found.
    pub min_score: u32,
    /// Attributes that must all be met, whatever the score; at most [`Attributes::MAX`].
    pub required: Vec<Attribute>,
}

impl Attributes {
    /// The most attributes of each list.
    pub const MAX: usize = 32;

    /// Any of these, each with the weight one.
    pub fn any(wanted: impl IntoIterator<Item = Attribute>) -> Self {
        let wanted = wanted.into_iter().map(|attribute| Wanted {
            attribute,
            weight: 1,
        });
        Self {
            wanted: wanted.collect(),
            min_score: 1,
            required: Vec::new(),
        }
    }

    /// The same, for matches with at least so many points.
    #[must_use]
    pub fn min_score(mut self, min_score: u32) -> Self {
        self.min_score = min_score;
        self
    }

    /// The same, for those only who meet this attribute, too.
    #[must_use]
    pub fn require(mut self, attribute: Attribute) -> Self {
        self.required.push(attribute);
        self
    }

    /// How well a record matches.
    pub fn matches(&self, record: &Record) -> Option<Match> {
        let required = self.required.iter().take(Self::MAX);
        if !required.clone().all(|attribute| attribute.is_met(record)) {
            return None;
        }
        let wanted = self.wanted.iter().take(Self::MAX);
        let mut met: Vec<_> = wanted.filter(|w| w.attribute.is_met(record)).collect();
        met.sort_by_key(|wanted| std::cmp::Reverse(wanted.weight));
        let points = met
            .iter()
            .fold(0_u32, |sum, w| sum.saturating_add(w.weight));
        // Where nothing but requirements was given, meeting them is the match.
        if self.wanted.is_empty() && !self.required.is_empty() {
            let why = required.map(|attribute| attribute.to_string().into());
            return Some(Match::new(1000, why.collect()));
        }
        if points < self.min_score.max(1) {
            return None;
        }
        let why = met.iter().map(|wanted| wanted.to_string().into());
        Some(Match::new(points.saturating_mul(1000), why.collect()))
    }
}

/// An attribute and what it is worth.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// What is wanted.
    pub attribute: Attribute,
    /// How many points it gives.
    pub weight: u32,
}

/// `ATTRIBUTE` or `ATTRIBUTE^WEIGHT`.
impl FromStr for Wanted {
    type Err = AttributeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (attribute, weight) = match text.rsplit_once('^') {
            Some((attribute, weight)) => (attribute, weight.parse().ok()),
            None => (text, Some(1)),
        };
        let weight = weight.ok_or_else(|| AttributeError::Weight { text: text.into() })?;
        let attribute = attribute.parse()?;
        Ok(Self { attribute, weight })
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.weight {
            1 => self.attribute.fmt(f),
            weight => write!(f, "{}^{weight}", self.attribute),
        }
    }
}

/// One thing that a record may say, written `capability:text/*`, `specialisation:law/contracts`,
/// `label:lang=de`, `label:gpu*`, `method:summarize` or `below:o://company/sales`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Attribute {
    /// It announces such a capability.
    Capability(Pattern),
    /// It is especially good at such a thing.
    Specialisation(Pattern),
    /// It has such a label.
    Label(Pattern),
    /// It has a method of such a name.
    Method(Pattern),
    /// Its name is this one or stands below it.
    Below(Address),
}

impl Attribute {
    /// Whether a record has it.
    pub fn is_met(&self, record: &Record) -> bool {
        match self {
            Self::Capability(pattern) => {
                any(pattern, record.capabilities.iter().map(Capability::as_str))
            }
            Self::Specialisation(pattern) => any(
                pattern,
                record.specialisations.iter().map(Capability::as_str),
            ),
            Self::Label(pattern) => any(pattern, record.labels.iter().map(Label::as_str)),
            Self::Method(pattern) => any(pattern, record.methods.iter().map(|m| &*m.name)),
            Self::Below(address) => is_within(&record.address, address),
        }
    }
}

fn any<'a>(pattern: &Pattern, mut texts: impl Iterator<Item = &'a str>) -> bool {
    texts.any(|text| pattern.matches(text))
}

/// Whether `address` is `subtree` or stands below it; pins do not count.
pub(crate) fn is_within(address: &Address, subtree: &Address) -> bool {
    address.name() == subtree.name() || subtree.is_ancestor_of(address)
}

impl FromStr for Attribute {
    type Err = AttributeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || AttributeError::Kind { text: text.into() };
        let (kind, rest) = text.split_once(':').ok_or_else(unknown)?;
        let pattern = || Pattern::parse(rest);
        Ok(match kind {
            "capability" => Self::Capability(pattern()?),
            "specialisation" | "specialization" => Self::Specialisation(pattern()?),
            "label" => Self::Label(pattern()?),
            "method" => Self::Method(pattern()?),
            "below" => Self::Below(
                rest.parse()
                    .map_err(|source| AttributeError::Address { source })?,
            ),
            _ => return Err(unknown()),
        })
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capability(pattern) => write!(f, "capability:{pattern}"),
            Self::Specialisation(pattern) => write!(f, "specialisation:{pattern}"),
            Self::Label(pattern) => write!(f, "label:{pattern}"),
            Self::Method(pattern) => write!(f, "method:{pattern}"),
            Self::Below(address) => write!(f, "below:{address}"),
        }
    }
}

/// A text, or with a `*` at its end everything that begins with what stands before it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern {
    text: Arc<str>,
    prefix: bool,
}

impl Pattern {
    /// Longest text, in bytes.
    pub const MAX_LENGTH: usize = 256;

    /// Reads a pattern.
    ///
    /// # Errors
    /// No text at all, a `*` elsewhere than at the end, or more than [`Pattern::MAX_LENGTH`] bytes.
    pub fn parse(text: &str) -> Result<Self, AttributeError> {
        let (text, prefix) = match text.strip_suffix('*') {
            Some(text) => (text, true),
            None => (text, false),
        };
        let bad = (text.is_empty() && !prefix) || text.contains('*');
        if bad || text.len() > Self::MAX_LENGTH {
            return Err(AttributeError::Pattern { text: text.into() });
        }
        let text = text.into();
        Ok(Self { text, prefix })
    }

    /// Whether `text` fits.
    pub fn matches(&self, text: &str) -> bool {
        match self.prefix {
            true => text.starts_with(&*self.text),
            false => text == &*self.text,
        }
    }

    /// Whether everything that fits the other fits this one.
    pub fn covers(&self, other: &Self) -> bool {
        match (self.prefix, other.prefix) {
            (true, _) => other.text.starts_with(&*self.text),
            (false, true) => false,
            (false, false) => self.text == other.text,
        }
    }
}

impl FromStr for Pattern {
    type Err = AttributeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.text, if self.prefix { "*" } else { "" })
    }
}

/// Words, and how many hits are wanted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Text {
    /// The words; at most [`Text::MAX_LENGTH`] bytes of them are looked at.
    pub words: String,
    /// The most hits; at most [`Text::MAX_HITS`].
    pub limit: usize,
}

impl Text {
    /// Bytes of the words that are looked at.
    pub const MAX_LENGTH: usize = 1024;
    /// The most hits.
    pub const MAX_HITS: usize = 256;

    /// The twenty that fit best.
    pub fn new(words: impl Into<String>) -> Self {
        let words = words.into();
        Self { words, limit: 20 }
    }

    /// The same, with so many hits at most.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit.min(Self::MAX_HITS);
        self
    }
}

/// Why a text is no attribute.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttributeError {
    /// It does not begin with a kind that is known.
    #[error(
        "`{text}` is no attribute: write capability:…, specialisation:…, label:…, method:… or below:o://…"
    )]
    Kind {
        /// The text.
        text: String,
    },
    /// What is to be matched is empty, too long, or has a `*` elsewhere than at its end.
    #[error("`{text}` is no pattern: a text, or the beginning of one and a `*`")]
    Pattern {
        /// The text.
        text: String,
    },
    /// The weight is no number.
    #[error("`{text}` has no number behind its ^")]
    Weight {
        /// The text.
        text: String,
    },
    /// The address is none.
    #[error("not an address")]
    Address {
        /// What is wrong with it.
        #[source]
        source: o_address::AddressError,
    },
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::{NetworkId, RecordTimes};

    fn record() -> Record {
        let peer = "12D3KooWQA9eZ7s8E7KvNJGG7AXRioyASFicECjdKL1DS2C1Duoo";
        let times = RecordTimes::starting(SystemTime::UNIX_EPOCH, Duration::from_secs(60));
        let address = "o://company/sales/ai".parse().unwrap();
        Record {
            capabilities: vec!["text/summarize".parse().unwrap()],
            specialisations: vec!["law/contracts".parse().unwrap()],
            labels: vec!["lang=de".parse().unwrap(), "gpu".parse().unwrap()],
            ..Record::new(address, peer.parse().unwrap(), NetworkId::default(), times)
        }
    }

    fn attribute(text: &str) -> Attribute {
        text.parse().unwrap()
    }

    #[test]
    fn each_kind_of_attribute_is_met() {
        for met in [
            "capability:text/*",
            "capability:text/summarize",
            "specialisation:law*",
            "label:lang=de",
            "label:lang=*",
            "label:gpu",
            "below:o://company",
            "below:o://company/sales/ai",
        ] {
            assert!(attribute(met).is_met(&record()), "{met}");
            assert_eq!(attribute(met).to_string(), met);
        }
        for unmet in [
            "capability:text",
            "capability:image/*",
            "label:lang",
            "method:m",
            "below:o://comp",
            "below:o://company/sales/ai/x",
        ] {
            assert!(!attribute(unmet).is_met(&record()), "{unmet}");
        }
    }

    #[test]
    fn weights_add_up_and_the_least_score_holds() {
        let wanted = ["label:gpu^3", "capability:text/*", "label:lang=fr^9"];
        let wanted = wanted.map(|text| text.parse::<Wanted>().unwrap());
        let mut query = Attributes::any([]);
        query.wanted = wanted.to_vec();
        let found = query.matches(&record()).unwrap();
        assert_eq!(found.score, 4000);
        assert_eq!(
            found.why,
            ["label:gpu^3".into(), "capability:text/*".into()]
        );
        assert!(query.clone().min_score(4).matches(&record()).is_some());
        assert!(query.clone().min_score(5).matches(&record()).is_none());
        let refused = query.require(attribute("label:lang=fr"));
        assert!(refused.matches(&record()).is_none());
        assert!(Attributes::any([]).matches(&record()).is_none());
        let only_required = Attributes::any([]).require(attribute("label:gpu"));
        assert!(only_required.matches(&record()).is_some());
    }

    #[test]
    fn patterns_cover_what_is_narrower() {
        let covers = |one: &str, other: &str| {
            let [one, other] = [one, other].map(|text| Pattern::parse(text).unwrap());
            one.covers(&other)
        };
        assert!(covers("*", "a") && covers("a*", "ab*") && covers("a*", "a") && covers("a", "a"));
        assert!(!covers("ab*", "a*") && !covers("a", "a*") && !covers("a", "b"));
    }

    #[test]
    fn what_is_no_attribute_says_so() {
        for text in [
            "",
            "text/summarize",
            "colour:red",
            "label:",
            "label:a*b",
            "below:x",
            "label:a^b",
        ] {
            assert!(text.parse::<Wanted>().is_err(), "{text}");
        }
    }
}
