//! Every source passes the suite of `Discovery`.
//!
//! The bootstrap list and mDNS tell of peers whatever is asked, so the suite does not fit them.

use std::sync::Arc;

use o_discovery::{MemoryDiscovery, MergedDiscovery};
use o_testkit::{
    FakeSigner,
    conformance::{self, DiscoveryCase},
    test_peer,
};

#[tokio::test]
async fn a_directory_in_memory_conforms() {
    let source = Arc::new(MemoryDiscovery::default());
    let case = DiscoveryCase::one(source, FakeSigner::new(test_peer(1)));
    conformance::discovery(&case).await;
    conformance::searching(&case).await;
}

#[tokio::test]
async fn merged_sources_conform() {
    let merged = MergedDiscovery::default()
        .with(MemoryDiscovery::default())
        .with(MemoryDiscovery::default());
    let case = DiscoveryCase::one(Arc::new(merged), FakeSigner::new(test_peer(1)));
    conformance::discovery(&case).await;
    conformance::searching(&case).await;
}

#[cfg(feature = "kad")]
#[tokio::test]
async fn the_table_conforms() {
    use std::time::Duration;

    use crate::dht::{Node, client, server};

    // What is withdrawn is gone when others have forgotten it; so they forget quickly.
    let mut quick = server();
    quick.provider_ttl = Duration::from_secs(2);
    quick.republish_interval = Duration::from_millis(300);
    let bootstrap = Node::start("main", quick.clone()).await;
    let announcer = Node::start("main", quick).await;
    let seeker = Node::start("main", client()).await;
    announcer.join(&bootstrap).await;
    seeker.join(&bootstrap).await;
    let peer = o_transport::from_peer_id(&announcer.peer).expect("a peer id");
    let mut case = DiscoveryCase::one(Arc::new(announcer.handle.clone()), FakeSigner::new(peer));
    case.seeker = Arc::new(seeker.handle.clone());
    conformance::discovery(&case).await;
}
