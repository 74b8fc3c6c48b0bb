//! Counting limits on connections: in all, in and out, for each peer and each network address.
//!
//! First in the Swarm's struct, so that nothing behind it sees a connection that it denies. What a
//! limit denies is cut without a word.

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    hash::Hash,
    net::IpAddr,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, multiaddr::Protocol, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm, dummy,
    },
};
use o_core::DenyReason;

use super::calls::denied;
use crate::config::LimitsConfig;

#[derive(Debug)]
struct Established {
    peer: PeerId,
    inbound: bool,
    ip: Option<IpAddr>,
}

/// The behaviour that counts. Its maps hold what exists and nothing of what has gone.
#[derive(Debug)]
pub(crate) struct Behaviour {
    limits: LimitsConfig,
    pending_inbound: HashMap<ConnectionId, Option<IpAddr>>,
    pending_outbound: HashSet<ConnectionId>,
    established: HashMap<ConnectionId, Established>,
    inbound: usize,
    peers: HashMap<PeerId, usize>,
    /// Inbound connections, pending and established.
    ips: HashMap<IpAddr, usize>,
}

fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        // One customer's IPv6 network is one address here.
        Protocol::Ip6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            Some(std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
        }
        _ => None,
    }
}

fn add<K: Eq + Hash>(map: &mut HashMap<K, usize>, key: K) {
    let count = map.entry(key).or_default();
    *count = count.saturating_add(1);
}

fn subtract<K: Eq + Hash>(map: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = map.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            map.remove(key);
        }
    }
}

fn under(have: usize, most: usize, limit: &'static str) -> Result<(), ConnectionDenied> {
    if have < most {
        Ok(())
    } else {
        Err(denied(DenyReason::Limit { limit }))
    }
}

impl Behaviour {
    pub(crate) fn new(limits: LimitsConfig) -> Self {
        Self {
            limits,
            pending_inbound: HashMap::new(),
            pending_outbound: HashSet::new(),
            established: HashMap::new(),
            inbound: 0,
            peers: HashMap::new(),
            ips: HashMap::new(),
        }
    }

    fn check_established(&self, peer: &PeerId) -> Result<(), ConnectionDenied> {
        under(
            self.established.len(),
            self.limits.max_connections,
            "max_connections",
        )?;
        let of_peer = self.peers.get(peer).copied().unwrap_or_default();
        under(of_peer, self.limits.max_per_peer, "max_per_peer")
    }

    fn end_pending(&mut self, connection: ConnectionId) -> Option<IpAddr> {
        self.pending_outbound.remove(&connection);
        self.pending_inbound.remove(&connection).flatten()
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        under(
            self.pending_inbound.len(),
            self.limits.max_pending_inbound,
            "max_pending_inbound",
        )?;
        under(
            self.established.len(),
            self.limits.max_connections,
            "max_connections",
        )?;
        let ip = ip_of(remote);
        if let Some(ip) = ip {
            let from_there = self.ips.get(&ip).copied().unwrap_or_default();
            under(from_there, self.limits.max_per_ip, "max_per_ip")?;
            add(&mut self.ips, ip);
        }
        self.pending_inbound.insert(connection, ip);
        Ok(())
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.check_established(&peer)?;
        under(self.inbound, self.limits.max_inbound, "max_inbound")?;
        Ok(dummy::ConnectionHandler)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        _: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let pending = self.pending_outbound.len();
        under(
            pending,
            self.limits.max_pending_outbound,
            "max_pending_outbound",
        )?;
        under(
            self.established.len(),
            self.limits.max_connections,
            "max_connections",
        )?;
        self.pending_outbound.insert(connection);
        Ok(Vec::new())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.check_established(&peer)?;
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(up) => {
                let ip = self.end_pending(up.connection_id);
                let inbound = up.endpoint.is_listener();
                self.inbound += usize::from(inbound);
                add(&mut self.peers, up.peer_id);
                let entry = Established {
                    peer: up.peer_id,
                    inbound,
                    ip,
                };
                self.established.insert(up.connection_id, entry);
            }
            FromSwarm::ConnectionClosed(closed) => {
                if let Some(gone) = self.established.remove(&closed.connection_id) {
                    self.inbound = self.inbound.saturating_sub(usize::from(gone.inbound));
                    subtract(&mut self.peers, &gone.peer);
                    if let Some(ip) = gone.ip {
                        subtract(&mut self.ips, &ip);
                    }
                }
            }
            FromSwarm::DialFailure(failed) => {
                self.end_pending(failed.connection_id);
            }
            FromSwarm::ListenFailure(failed) => {
                if let Some(ip) = self.end_pending(failed.connection_id) {
                    subtract(&mut self.ips, &ip);
                }
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}
