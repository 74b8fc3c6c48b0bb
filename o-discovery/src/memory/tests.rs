//! Two handles of one directory.

use super::*;
use crate::testing::{peer, record, signed, tombstone};

fn name(text: &str) -> Query {
    Query::Name(text.parse().unwrap())
}

fn capability(text: &str) -> Query {
    Query::Capability(text.parse().unwrap())
}

#[tokio::test]
async fn what_one_clone_announces_the_other_finds() {
    let ours = MemoryDiscovery::default();
    let theirs = ours.clone();
    let announced = signed(record("o://a/b", peer(1), 1, SystemTime::now()));
    ours.announce(&announced).await.unwrap();

    for query in [name("o://a/b"), capability("text/summarize")] {
        let found: Vec<_> = theirs.find(query).map(Result::unwrap).collect().await;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].peer, peer(1));
        assert_eq!(found[0].sources, [o_core::Source::Memory]);
        assert_eq!(found[0].addresses, announced.record().addresses);
        assert_eq!(found[0].record.as_ref(), Some(&announced));
        assert!(!found[0].confirmed);
    }
    assert_eq!(theirs.find(name("o://a")).count().await, 0);
    assert_eq!(theirs.find(capability("text")).count().await, 0);

    theirs
        .withdraw(&tombstone(announced.record()))
        .await
        .unwrap();
    assert_eq!(ours.find(name("o://a/b")).count().await, 0);
    assert!(ours.is_empty());
}
