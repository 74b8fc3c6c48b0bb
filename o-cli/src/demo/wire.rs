//! What the demo's agents say to each other.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The capability, and with it the method's name, of finding files.
pub(super) const SEARCH: (&str, &str) = ("files/search", "search");
/// The same of reading them.
pub(super) const READ: (&str, &str) = ("files/read", "read");
/// The same of summarizing text.
pub(super) const SUMMARIZE: (&str, &str) = ("text/summarize", "summarize");

/// The capability that two agents have, and the method of it that is called again and again.
pub(super) const KEYWORDS: (&str, &str) = (SUMMARIZE.0, "keywords");

/// What `keywords` takes.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct KeywordsParams {
    /// A text of at most 64 KiB.
    pub(super) text: String,
}

/// Which files are wanted.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct SearchParams {
    /// Words that the files are about; without, what looks like the most important documents.
    #[serde(default)]
    pub(super) query: Option<String>,
    /// Most files in the answer, 1 to 50.
    pub(super) limit: usize,
}

/// The answer to a search.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(super) struct Found {
    /// The best first.
    pub(super) hits: Vec<Hit>,
    /// Files under the root.
    pub(super) files: usize,
    /// Those of them that were read and are text.
    pub(super) searched: usize,
    /// Those of them that were left out: no text, too large, or not readable.
    pub(super) skipped: usize,
    /// Whether a limit was reached and there are more files.
    pub(super) truncated: bool,
}

/// A file that was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(super) struct Hit {
    /// Its path below the root, with `/` between the parts.
    pub(super) path: String,
    /// How well it fits; comparable within one answer only.
    pub(super) score: f64,
    /// Its length in bytes.
    pub(super) bytes: usize,
}

/// Which files are to be read.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct ReadParams {
    /// Paths as a search found them, at most 50.
    pub(super) paths: Vec<String>,
}

/// A piece of a document: what `read` answers and `summarize` takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(super) struct Piece {
    /// The document's name. The pieces of a document follow each other.
    pub(super) document: String,
    /// Its text, or the next part of it.
    pub(super) text: String,
    /// Whether this is the document's last piece.
    #[serde(default)]
    pub(super) last: bool,
}

/// A sentence that says much about its document, or about all of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(super) struct Picked {
    /// The document that it is from.
    pub(super) document: String,
    /// The sentence, as it stands there but for line breaks.
    pub(super) sentence: String,
    /// Its share of the attention; those of all sentences ranked with it add up to 1.
    pub(super) score: f64,
    /// How many sentences were ranked with it.
    pub(super) of: usize,
    /// Whether it stands for all documents and not only for its own.
    pub(super) overall: bool,
}
