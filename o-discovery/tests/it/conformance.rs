//! Every source passes a suite of `Discovery`: those that know what peers host, and those that know only
//! peers.

use std::sync::Arc;

use o_address::{PeerId, TransportAddr};
use o_discovery::{BootstrapDiscovery, MemoryDiscovery, MergedDiscovery};
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

#[tokio::test]
async fn the_bootstrap_list_tells_of_peers() {
    let peers = [test_peer(2), test_peer(3)];
    let at = |peer: &PeerId| -> TransportAddr {
        format!("/memory/7/p2p/{peer}").parse().expect("an address")
    };
    let list = BootstrapDiscovery::new(peers.iter().map(at)).expect("a list");
    let case = DiscoveryCase::one(Arc::new(list), FakeSigner::new(test_peer(1)));
    conformance::hints(&case, &peers).await;
}

#[cfg(feature = "mdns")]
#[tokio::test]
async fn mdns_tells_of_peers() {
    use std::time::{Duration, Instant};

    use libp2p::mdns::Event;
    use o_discovery::swarm::mdns::{MdnsConfig, channel};

    // All who are there have answered.
    let settled = Instant::now() - Duration::from_secs(3600);
    let (mut state, handle) = channel(MdnsConfig::default(), settled);
    let found = [(); 2].map(|()| libp2p::PeerId::random());
    let at = "/ip4/192.168.1.7/tcp/1".parse::<libp2p::Multiaddr>();
    let at = at.expect("an address");
    state.on_event(Event::Discovered(
        found.map(|peer| (peer, at.clone())).to_vec(),
    ));
    let peers = found.map(|peer| o_transport::from_peer_id(&peer).expect("a peer id"));
    let case = DiscoveryCase::one(Arc::new(handle), FakeSigner::new(test_peer(1)));
    conformance::hints(&case, &peers).await;
}
