//! What it costs to search the local index of five hundred agents.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot be set up may panic"
)]

use std::{
    hint::black_box,
    time::{Duration, SystemTime},
};

use criterion::{Criterion, criterion_group, criterion_main};
use o_address::PeerId;
use o_core::{
    Attributes, MethodDigest, NetworkId, Query, Record, RecordTimes, SchemaHash, Shape,
    SignedRecord, Source, Text,
};
use o_discovery::{Index, IndexConfig};

const AGENTS: u16 = 500;

/// Words of which descriptions are made; the first ones come more often, as in any language.
const WORDS: [&str; 40] = [
    "answers",
    "documents",
    "customers",
    "reads",
    "writes",
    "orders",
    "text",
    "reports",
    "checks",
    "invoices",
    "summarizes",
    "contracts",
    "translates",
    "mail",
    "finds",
    "prices",
    "plans",
    "routes",
    "compares",
    "offers",
    "books",
    "travel",
    "explains",
    "law",
    "reviews",
    "code",
    "tests",
    "builds",
    "forecasts",
    "weather",
    "tracks",
    "parcels",
    "sorts",
    "photos",
    "hears",
    "complaints",
    "counts",
    "stock",
    "paints",
    "logos",
];

fn index(now: SystemTime) -> Index {
    let mut index = Index::new(NetworkId::default(), IndexConfig::default());
    let mut state = 1_u64;
    let mut draw = move |below: usize| {
        // Knuth's linear congruential generator (MMIX).
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    for n in 0..AGENTS {
        let [high, low] = n.to_be_bytes();
        let peer = PeerId::from_bytes(&[0, 3, 7, high, low]).unwrap();
        let times = RecordTimes::starting(now, Duration::from_secs(3600));
        let name = format!("o://company/team-{}/agent-{n}", n % 25);
        let mut record = Record::new(name.parse().unwrap(), peer, NetworkId::default(), times);
        let mut word = || WORDS[draw(WORDS.len()).min(draw(WORDS.len()))];
        record.capabilities = (0..3)
            .map(|_| format!("{}/{}", word(), word()).parse().unwrap())
            .collect();
        record.labels = vec![
            format!("lang={}", ["de", "en", "fr"][usize::from(n % 3)])
                .parse()
                .unwrap(),
        ];
        let description: Vec<_> = (0..30).map(|_| word()).collect();
        record.description = description.join(" ").into();
        record.methods = (0..5)
            .map(|_| {
                let (verb, noun) = (word(), word());
                MethodDigest {
                    name: format!("{verb}_{noun}").into(),
                    shape: Shape::Unary,
                    hash: SchemaHash([0; 32]),
                    description: format!("{verb} {noun} of {} for {}", word(), word()).into(),
                }
            })
            .collect();
        record.sequence = 1;
        let signed = SignedRecord::new_verified(record, vec![0; 600].into());
        index.insert(&signed, Source::Memory, now).unwrap();
    }
    assert_eq!(index.len(), usize::from(AGENTS));
    index
}

fn search(criterion: &mut Criterion) {
    let now = SystemTime::now();
    let index = index(now);
    let mut attributes = Attributes::any([]).min_score(2);
    let wanted = ["label:lang=de", "capability:text/*^2"];
    attributes.wanted = wanted.map(|text| text.parse().unwrap()).to_vec();
    let queries = [
        (
            "text, two words",
            Query::Text(Text::new("summarizes contracts")),
        ),
        (
            "text, eight words",
            Query::Text(Text::new(
                "who answers complaints of customers about travel and invoices",
            )),
        ),
        ("attributes", Query::Attributes(attributes)),
        (
            "capability",
            Query::Capability("text/documents".parse().unwrap()),
        ),
    ];
    let mut group = criterion.benchmark_group("find among 500 agents");
    for (name, query) in queries {
        group.bench_function(name, |bench| {
            bench.iter(|| black_box(index.find(black_box(&query), now)));
        });
    }
    group.finish();
}

criterion_group!(benches, search);
criterion_main!(benches);
