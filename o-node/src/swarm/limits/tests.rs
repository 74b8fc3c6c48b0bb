//! The counts, asked as the Swarm would ask.

use libp2p::{
    core::ConnectedPoint,
    swarm::{
        ConnectionClosed, DialFailure, ListenError, ListenFailure, behaviour::ConnectionEstablished,
    },
};

use super::*;

/// A behaviour with these limits, and connections with rising numbers.
struct Node {
    limits: Behaviour,
    next: usize,
}

fn address(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

fn inbound(from: &Multiaddr) -> ConnectedPoint {
    let local_addr = address("/ip4/127.0.0.1/tcp/1");
    ConnectedPoint::Listener {
        local_addr,
        send_back_addr: from.clone(),
    }
}

impl Node {
    fn new(change: impl FnOnce(&mut LimitsConfig)) -> Self {
        let mut limits = LimitsConfig::default();
        change(&mut limits);
        Self {
            limits: Behaviour::new(limits),
            next: 0,
        }
    }

    fn id(&mut self) -> ConnectionId {
        self.next += 1;
        ConnectionId::new_unchecked(self.next)
    }

    fn knock(&mut self, from: &Multiaddr) -> Result<ConnectionId, ConnectionDenied> {
        let (id, local) = (self.id(), address("/ip4/127.0.0.1/tcp/1"));
        self.limits
            .handle_pending_inbound_connection(id, &local, from)
            .map(|()| id)
    }

    fn arrive(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        from: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let local = address("/ip4/127.0.0.1/tcp/1");
        self.limits
            .handle_established_inbound_connection(id, peer, &local, from)?;
        self.limits
            .on_swarm_event(FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id: peer,
                connection_id: id,
                endpoint: &inbound(from),
                failed_addresses: &[],
                other_established: 0,
            }));
        Ok(())
    }

    fn accept(&mut self, peer: PeerId, from: &Multiaddr) -> Result<ConnectionId, ConnectionDenied> {
        let id = self.knock(from)?;
        let arrived = self.arrive(id, peer, from);
        if arrived.is_err() {
            self.fail(id, from);
        }
        arrived.map(|()| id)
    }

    fn fail(&mut self, id: ConnectionId, from: &Multiaddr) {
        self.limits
            .on_swarm_event(FromSwarm::ListenFailure(ListenFailure {
                local_addr: &address("/ip4/127.0.0.1/tcp/1"),
                send_back_addr: from,
                error: &ListenError::Aborted,
                connection_id: id,
                peer_id: None,
            }));
    }

    fn close(&mut self, id: ConnectionId, peer: PeerId, from: &Multiaddr) {
        self.limits
            .on_swarm_event(FromSwarm::ConnectionClosed(ConnectionClosed {
                peer_id: peer,
                connection_id: id,
                endpoint: &inbound(from),
                cause: None,
                remaining_established: 0,
            }));
    }

    fn dial(&mut self) -> Result<ConnectionId, ConnectionDenied> {
        let id = self.id();
        let dialed =
            self.limits
                .handle_pending_outbound_connection(id, None, &[], Endpoint::Dialer);
        dialed.map(|_| id)
    }

    fn dial_fails(&mut self, id: ConnectionId) {
        self.limits
            .on_swarm_event(FromSwarm::DialFailure(DialFailure {
                peer_id: None,
                error: &libp2p::swarm::DialError::Aborted,
                connection_id: id,
            }));
    }

    fn is_empty(&self) -> bool {
        let Behaviour {
            pending_inbound,
            pending_outbound,
            established,
            inbound,
            peers,
            ips,
            ..
        } = &self.limits;
        pending_inbound.is_empty()
            && pending_outbound.is_empty()
            && established.is_empty()
            && *inbound == 0
            && peers.is_empty()
            && ips.is_empty()
    }
}

/// Which limit denied.
fn limit<T: std::fmt::Debug>(outcome: Result<T, ConnectionDenied>) -> &'static str {
    let denied = outcome.unwrap_err();
    match &o_transport::find_cause::<super::super::calls::Denied>(&denied)
        .unwrap()
        .0
    {
        DenyReason::Limit { limit } => limit,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_limit_denies_by_its_name_and_a_failure_makes_room() {
    let (here, there) = (
        address("/ip4/10.0.0.1/tcp/9"),
        address("/ip4/10.0.0.2/tcp/9"),
    );
    let mut node = Node::new(|limits| limits.max_pending_inbound = 1);
    let first = node.knock(&here).unwrap();
    assert_eq!(limit(node.knock(&there)), "max_pending_inbound");
    node.fail(first, &here);
    node.knock(&there).unwrap();

    let mut node = Node::new(|limits| limits.max_pending_outbound = 1);
    let first = node.dial().unwrap();
    assert_eq!(limit(node.dial()), "max_pending_outbound");
    node.dial_fails(first);
    let second = node.dial().unwrap();
    node.dial_fails(second);
    assert!(node.is_empty());

    let mut node = Node::new(|limits| limits.max_inbound = 1);
    let peer = PeerId::random();
    let only = node.accept(peer, &here).unwrap();
    assert_eq!(limit(node.accept(PeerId::random(), &there)), "max_inbound");
    // Outbound ones are still taken.
    let dialed = node.dial().unwrap();
    node.dial_fails(dialed);
    node.close(only, peer, &here);
    assert!(node.is_empty());
}

#[test]
fn connections_of_one_peer_and_from_one_address_are_counted() {
    let here = address("/ip4/10.0.0.1/tcp/9");
    let mut node = Node::new(|limits| {
        limits.max_per_peer = 2;
        limits.max_per_ip = 3;
    });
    let peer = PeerId::random();
    let ids = [
        node.accept(peer, &here).unwrap(),
        node.accept(peer, &here).unwrap(),
    ];
    assert_eq!(limit(node.accept(peer, &here)), "max_per_peer");
    // One that only knocks counts for its address too.
    let knocking = node.knock(&here).unwrap();
    assert_eq!(
        limit(node.knock(&address("/ip4/10.0.0.1/tcp/10"))),
        "max_per_ip"
    );
    node.knock(&address("/ip4/10.0.0.2/tcp/9")).unwrap();
    node.fail(knocking, &here);
    for id in ids {
        node.close(id, peer, &here);
    }
    node.accept(peer, &here).unwrap();
}

#[test]
fn an_ipv6_network_is_one_address_and_memory_is_none() {
    let mut node = Node::new(|limits| limits.max_per_ip = 1);
    node.knock(&address("/ip6/2001:db8:1:2::1/tcp/9")).unwrap();
    assert_eq!(
        limit(node.knock(&address("/ip6/2001:db8:1:2:ffff::9/udp/9/quic-v1"))),
        "max_per_ip"
    );
    node.knock(&address("/ip6/2001:db8:1:3::1/tcp/9")).unwrap();
    for _ in 0..5 {
        node.knock(&address("/memory/7")).unwrap();
    }
}

#[test]
fn the_total_counts_both_directions_and_what_is_gone_is_forgotten() {
    let here = address("/ip4/10.0.0.1/tcp/9");
    let mut node = Node::new(|limits| limits.max_connections = 2);
    let peers = [PeerId::random(), PeerId::random()];
    let ids = [
        node.accept(peers[0], &here).unwrap(),
        node.accept(peers[1], &here).unwrap(),
    ];
    assert_eq!(limit(node.knock(&here)), "max_connections");
    assert_eq!(limit(node.dial()), "max_connections");
    for (id, peer) in ids.into_iter().zip(peers) {
        node.close(id, peer, &here);
    }
    assert!(node.is_empty());
    // What was never there changes nothing when it goes.
    node.close(ConnectionId::new_unchecked(99), peers[0], &here);
    node.fail(ConnectionId::new_unchecked(98), &here);
    assert!(node.is_empty());
}
