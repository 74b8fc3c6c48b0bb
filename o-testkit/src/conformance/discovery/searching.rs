//! The suite of sources that answer searches by attributes and by words.

use futures::StreamExt as _;
use o_core::{Attributes, Query, Record, SignedRecord, Text};

use super::{DiscoveryCase, SUITE, capability, name};

/// Whoever has more points comes first.
async fn best_first(case: &DiscoveryCase) {
    let step = "the best first";
    let orders = [
        ("german", ["label:lang=de^3", "label:lang=en"]),
        ("english", ["label:lang=de", "label:lang=en^3"]),
    ];
    for (best, wanted) in orders {
        let mut found = case.seeker.find(any(&wanted, 1));
        let first = SUITE.within(step, found.next()).await;
        let first = SUITE.ok(step, SUITE.some(step, first));
        let first = first.record.map(|record| record.record().address.clone());
        SUITE.equal(step, &first, &Some(name(best)));
    }
}

/// Checks that searches by attributes (any of them with points and a least score, all of them, beginnings)
/// and by words find exactly who matches, the best first, and with the reason.
///
/// The source must hold nothing below `o://conformance` before. Sources that need time to spread what they
/// learn get it. The bootstrap list, mDNS and the distributed hash table cannot answer such questions.
///
/// # Panics
/// When the source does not conform.
///
/// # Cancel safety
/// Dropping the future ends the suite; what it has announced may stay until it expires.
pub async fn searching(case: &DiscoveryCase) {
    let german = case.described(
        "german",
        "text/summarize",
        "lang=de",
        "Shortens long contracts",
    );
    let english = case.described(
        "english",
        "text/translate",
        "lang=en",
        "Puts letters into English",
    );
    for record in [&german, &english] {
        SUITE
            .ok_within("announcing a record", case.announcer.announce(record))
            .await;
    }
    for (step, query, wanted) in queries() {
        case.until(step, &query, |found| {
            let mut names: Vec<_> = found
                .iter()
                .filter_map(|found| Some(found.record.as_ref()?.record().address.clone()))
                .collect();
            names.sort();
            let mut wanted: Vec<_> = wanted.iter().map(|text| name(text)).collect();
            wanted.sort();
            names == wanted
        })
        .await;
    }
    best_first(case).await;
    let step = "why somebody was found";
    for query in [words("contracts"), any(&["label:lang=de"], 1)] {
        for found in case.search(step, &query).await {
            let why = found.matched.map_or(0, |matched| matched.why.len());
            SUITE.check(step, why > 0, "no reason");
        }
    }
    for record in [german, english] {
        let tombstone = case.tombstone(&record);
        SUITE
            .ok_within("withdrawing a name", case.announcer.withdraw(&tombstone))
            .await;
    }
    case.until(
        "then nothing is left",
        &any(&["label:lang=*"], 1),
        <[_]>::is_empty,
    )
    .await;
}

/// What is asked, and who must be found.
fn queries() -> Vec<(&'static str, Query, &'static [&'static str])> {
    const BOTH: &[&str] = &["german", "english"];
    vec![
        ("a label", any(&["label:lang=de"], 1), &["german"]),
        (
            "any of two labels",
            any(&["label:lang=de", "label:lang=en"], 1),
            BOTH,
        ),
        (
            "points for both of two attributes",
            any(&["label:lang=de", "capability:conformance/text/*"], 2),
            &["german"],
        ),
        (
            "an attribute with points of its own",
            any(&["label:lang=en^3", "capability:conformance/text/*"], 4),
            &["english"],
        ),
        (
            "more points than anybody has",
            any(&["label:lang=de"], 2),
            &[],
        ),
        (
            "the beginning of a capability",
            any(&["capability:conformance/text/*"], 1),
            BOTH,
        ),
        (
            "names below another",
            any(&["below:o://conformance"], 1),
            BOTH,
        ),
        (
            "an attribute that must be met",
            required("label:lang=en"),
            &["english"],
        ),
        ("words of a description", words("contracts"), &["german"]),
        ("words that nobody uses", words("zeppelins"), &[]),
    ]
}

fn any(wanted: &[&str], min_score: u32) -> Query {
    let mut attributes = Attributes::any([]).min_score(min_score);
    let parsed = wanted
        .iter()
        .map(|text| SUITE.ok("an attribute", text.parse()));
    attributes.wanted = parsed.collect();
    Query::Attributes(attributes)
}

fn required(attribute: &str) -> Query {
    let attribute = SUITE.ok("an attribute", attribute.parse());
    Query::Attributes(Attributes::any([]).require(attribute))
}

fn words(text: &str) -> Query {
    Query::Text(Text::new(text))
}

impl DiscoveryCase {
    fn described(&self, name: &str, can: &str, label: &str, description: &str) -> SignedRecord {
        let record = self.record(name, &[], 1);
        let record = Record {
            capabilities: vec![capability(can)],
            labels: vec![SUITE.ok("a label", label.parse())],
            description: description.into(),
            ..record.record().clone()
        };
        SUITE.ok(
            "signing a record",
            o_protocol::sign_record(&record, &*self.signer),
        )
    }
}
