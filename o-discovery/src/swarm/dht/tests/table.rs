//! The routing table: who enters and who leaves.

use std::io;

use libp2p::{
    core::transport::{ListenerId, TransportError},
    swarm::behaviour::NewListenAddr,
};

use super::*;

/// A dial of these addresses has failed.
fn dial_failed(bench: &mut Bench, peer: PeerId, ports: &[u16], kind: io::ErrorKind) {
    let failed = full(&peer, ports.iter().copied())
        .into_iter()
        .map(|address| (address, TransportError::Other(kind.into())));
    let failure = DialFailure {
        peer_id: Some(peer),
        error: &DialError::Transport(failed.collect()),
        connection_id: ConnectionId::new_unchecked(1),
    };
    bench.kad.on_swarm_event(FromSwarm::DialFailure(failure));
}

fn addresses(bench: &mut Bench, peer: &PeerId) -> Vec<Multiaddr> {
    let buckets: Vec<_> = bench
        .kad
        .kbuckets()
        .flat_map(|bucket| {
            let entries = bucket.iter().map(|entry| entry.to_owned().node);
            entries.collect::<Vec<_>>()
        })
        .collect();
    let node = buckets.into_iter().find(|node| node.key.preimage() == peer);
    node.map(|node| node.value.into_vec()).unwrap_or_default()
}

fn full(peer: &PeerId, ports: impl IntoIterator<Item = u16>) -> Vec<Multiaddr> {
    ports
        .into_iter()
        .map(|port| at(port).with_p2p(*peer).unwrap())
        .collect()
}

#[test]
fn only_peers_of_our_network_enter() {
    let mut bench = Bench::local();
    let peer = PeerId::random();
    bench.identify(&peer, "other", &[at(1)]);
    assert!(addresses(&mut bench, &peer).is_empty());
    bench.identify(&peer, "main", &[at(1)]);
    assert_eq!(addresses(&mut bench, &peer), full(&peer, [1]));
    bench.identify(&peer, "other", &[at(1)]);
    assert!(
        addresses(&mut bench, &peer).is_empty(),
        "it no longer speaks our protocol"
    );
}

#[test]
fn a_list_of_addresses_is_bounded_and_replaced() {
    let mut bench = Bench::local();
    let peer = PeerId::random();
    let many: Vec<_> = (1..50).map(at).collect();
    bench.identify(&peer, "main", &many);
    assert_eq!(addresses(&mut bench, &peer), full(&peer, 1..=8));
    bench.identify(&peer, "main", &[at(8), at(60)]);
    assert_eq!(addresses(&mut bench, &peer), full(&peer, [8, 60]));
    bench.identify(&peer, "main", &[]);
    assert_eq!(
        addresses(&mut bench, &peer),
        full(&peer, [8, 60]),
        "an empty list says nothing"
    );
}

#[test]
fn private_addresses_stay_out_unless_allowed() {
    let mut bench = Bench::new(DhtConfig::default());
    let peer = PeerId::random();
    let public: Multiaddr = "/ip4/1.2.3.4/tcp/1".parse().unwrap();
    bench.identify(&peer, "main", &[at(1), public.clone()]);
    assert_eq!(
        addresses(&mut bench, &peer),
        [public.with_p2p(peer).unwrap()]
    );
}

#[tokio::test]
async fn a_bootstrap_peer_of_another_network_is_dropped_when_it_identifies() {
    let mut bench = Bench::local();
    let handle = bench.handle.clone();
    assert!(matches!(
        bench.wait(handle.bootstrap()).await,
        Err(DiscoveryError::NoNetwork)
    ));
    let peer = PeerId::random();
    let ours = from_peer_id(&peer).unwrap();
    let address: o_address::TransportAddr = at(1).to_string().parse().unwrap();
    bench
        .wait(handle.add_peer(ours, address.clone()))
        .await
        .unwrap();
    bench
        .wait(handle.add_peer(ours, address.with_peer(&ours)))
        .await
        .unwrap();
    assert_eq!(addresses(&mut bench, &peer), full(&peer, [1]));

    let elsewhere: o_address::TransportAddr = "/unix/tmp".parse().unwrap();
    let refused = bench.wait(handle.add_peer(ours, elsewhere)).await;
    assert!(
        matches!(refused, Err(DiscoveryError::Failed { .. })),
        "{refused:?}"
    );
    for port in 2..=8 {
        let address = at(port).to_string().parse().unwrap();
        bench.wait(handle.add_peer(ours, address)).await.unwrap();
    }
    let ninth = at(9).to_string().parse().unwrap();
    let refused = bench.wait(handle.add_peer(ours, ninth)).await;
    assert!(matches!(
        refused,
        Err(DiscoveryError::Busy {
            limit: "max_addresses"
        })
    ));

    bench.identify(&peer, "other", &[at(1)]);
    assert!(addresses(&mut bench, &peer).is_empty());
}

#[test]
fn what_others_announce_is_checked() {
    let mut bench = Bench::local();
    let peer = PeerId::random();
    let other = at(1).with_p2p(PeerId::random()).unwrap();
    let mut told: Vec<_> = (1..20).map(at).collect();
    told.insert(0, other);
    told.insert(0, "/ip4/0.0.0.0/tcp/1".parse().unwrap());
    bench.receive(ProviderRecord::new(key(1), peer, told));
    let kept = bench.kad.store_mut().providers(&key(1));
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].addresses, (1..=8).map(at).collect::<Vec<_>>());

    let odd = kad::RecordKey::new(b"not a multihash");
    bench.receive(ProviderRecord::new(odd.clone(), peer, Vec::new()));
    assert!(bench.kad.store_mut().providers(&odd).is_empty());
    let local = bench.local;
    bench.receive(ProviderRecord::new(key(2), local, Vec::new()));
    assert_eq!(bench.provided(), 0, "nobody else says what we provide");
}

#[test]
fn what_others_announced_expires() {
    let mut bench = Bench::local();
    let expires = Some(bench.now + Duration::from_secs(3600));
    let record = ProviderRecord::new(key(1), PeerId::random(), Vec::new());
    bench.receive(ProviderRecord { expires, ..record });
    bench.pass(Duration::from_secs(3599));
    assert_eq!(bench.kad.store_mut().stored(), 1);
    bench.pass(Duration::from_secs(31));
    assert_eq!(bench.kad.store_mut().stored(), 0);
}

#[test]
fn addresses_that_others_give_are_dialed_only_if_they_are_allowed() {
    let mut bench = Bench::new(DhtConfig {
        max_addresses: 3,
        ..DhtConfig::default()
    });
    let peer = PeerId::random();
    let public = |port| {
        format!("/ip4/1.2.3.4/tcp/{port}")
            .parse::<Multiaddr>()
            .unwrap()
    };
    bench.kad.add_address(&peer, at(1));
    for port in 1..9 {
        bench.kad.add_address(&peer, public(port));
    }
    let id = ConnectionId::new_unchecked(1);
    let role = libp2p::core::Endpoint::Dialer;
    let dialed = bench
        .kad
        .handle_pending_outbound_connection(id, Some(peer), &[], role)
        .unwrap();
    assert_eq!(dialed, [public(1), public(2), public(3)]);
}

#[test]
fn who_cannot_be_reached_anywhere_leaves() {
    let mut bench = Bench::local();
    let peer = PeerId::random();
    bench.identify(&peer, "main", &[at(1), at(2)]);
    // One address is left that nobody has tried.
    dial_failed(&mut bench, peer, &[1], io::ErrorKind::ConnectionRefused);
    assert_eq!(addresses(&mut bench, &peer), full(&peer, [2]));
    // While we have no network ourselves, it says nothing about the peer.
    dial_failed(&mut bench, peer, &[2], io::ErrorKind::NetworkUnreachable);
    assert_eq!(addresses(&mut bench, &peer), full(&peer, [2]));
    dial_failed(&mut bench, peer, &[2], io::ErrorKind::TimedOut);
    assert!(addresses(&mut bench, &peer).is_empty());
}

#[test]
fn who_was_lost_is_dialed_only_if_it_is_in_the_table() {
    let mut bench = Bench::local();
    let peer = bench.meet();
    while bench.poll() {}
    bench.state.on_lost(&mut bench.kad, PeerId::random());
    assert!(!bench.poll());
    bench.state.on_lost(&mut bench.kad, peer);
    assert!(bench.poll(), "a dial");
}

#[test]
fn only_the_address_that_leads_nowhere_takes_an_announcement_back() {
    let mut bench = Bench::local();
    let (peer, other) = (PeerId::random(), PeerId::random());
    let nowhere = |peer: &PeerId| format!("/p2p/{peer}").parse::<Multiaddr>().unwrap();
    let announcing = |peer, addresses| ProviderRecord::new(key(1), peer, addresses);
    for there in [vec![at(1)], Vec::new(), vec![nowhere(&peer), at(1)]] {
        bench.receive(announcing(peer, vec![nowhere(&peer)]));
        assert_eq!(bench.kad.store_mut().stored(), 0);
        bench.receive(announcing(peer, there));
        assert_eq!(bench.kad.store_mut().stored(), 1);
        // Of itself only; and nobody else's record is touched.
        bench.receive(announcing(other, vec![nowhere(&other)]));
        assert_eq!(bench.kad.store_mut().stored(), 1);
    }
}

#[tokio::test]
async fn the_table_is_refreshed_when_asked_and_every_interval() {
    let mut bench = Bench::local();
    for _ in 0..60 {
        bench.meet();
    }
    let handle = bench.handle.clone();
    let (first, second) = (handle.bootstrap(), handle.bootstrap());
    // Whoever asks while one is under way gets a new one, and both are answered.
    let (first, second) = bench.wait(async { futures::join!(first, second) }).await;
    // Nobody answers here.
    for done in [first, second] {
        assert!(matches!(done, Err(DiscoveryError::TimedOut { .. })));
    }
    while bench.poll() {}
    assert_eq!(bench.queries(), 0);

    let interval = DhtConfig::default().bootstrap_interval;
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.queries(), 0);
    bench.meet();
    bench.pass(interval);
    assert_eq!(bench.queries(), 1);
    while bench.poll() {}
    assert_eq!(bench.queries(), 0);
}

#[test]
fn a_node_that_others_can_dial_is_a_server() {
    let listens = |mode, address: &str| {
        let mut bench = Bench::new(DhtConfig {
            mode,
            ..DhtConfig::default()
        });
        let (listener_id, addr) = (ListenerId::next(), address.parse().unwrap());
        let new = NewListenAddr {
            listener_id,
            addr: &addr,
        };
        bench.kad.on_swarm_event(FromSwarm::NewListenAddr(new));
        bench.kad.mode() == kad::Mode::Server
    };
    assert!(listens(DhtMode::Auto, "/ip4/1.2.3.4/tcp/1"));
    assert!(!listens(DhtMode::Auto, "/ip4/192.168.1.2/tcp/1"));
    assert!(!listens(DhtMode::Client, "/ip4/1.2.3.4/tcp/1"));
    assert!(listens(DhtMode::Server, "/ip4/192.168.1.2/tcp/1"));
}
