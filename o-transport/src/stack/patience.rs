//! How long the dial of one address may take: the nearer it is, the shorter.

use std::{
    io,
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::FutureExt;
use libp2p::{
    Multiaddr,
    core::{
        Transport,
        transport::{DialOpts, ListenerId, TransportError, TransportEvent},
    },
    multiaddr::Protocol,
};

use super::{BoxedTransport, ProvedMuxer};
use crate::TransportConfig;

/// A transport that gives up the dial of a near datagram address early. Nobody refuses anything
/// there, so that only time tells that nobody is there, and next door a little is enough. A dead
/// address of a stream transport is refused by the system, and a slow one is only busy.
///
/// It stands behind the resolver of names, so that a name has the patience of what it leads to.
pub(super) struct Patience {
    inner: BoxedTransport,
    loopback: Duration,
    lan: Duration,
}

/// Where an address leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Loopback,
    Lan,
    Far,
}

impl Patience {
    pub(super) fn new(inner: BoxedTransport, config: &TransportConfig) -> Self {
        Self {
            inner,
            loopback: config.loopback_timeout,
            lan: config.lan_timeout,
        }
    }

    fn limit(&self, address: &Multiaddr) -> Option<Duration> {
        let datagrams = address.iter().any(|part| matches!(part, Protocol::Udp(_)));
        if !datagrams {
            return None;
        }
        match scope(address) {
            Scope::Loopback => Some(self.loopback),
            Scope::Lan => Some(self.lan),
            Scope::Far => None,
        }
    }
}

impl Transport for Patience {
    type Output = ProvedMuxer;
    type Error = io::Error;
    type ListenerUpgrade = <BoxedTransport as Transport>::ListenerUpgrade;
    type Dial = <BoxedTransport as Transport>::Dial;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<io::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        opts: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        let limit = self.limit(&address);
        let dial = self.inner.dial(address, opts)?;
        let Some(limit) = limit else {
            return Ok(dial);
        };
        let in_time = tokio::time::timeout(limit, dial);
        Ok(in_time
            .map(|done| done.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())))
            .boxed())
    }

    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        Pin::new(&mut self.inner).poll(context)
    }
}

/// An address through a relay ends wherever the relay leads.
fn scope(address: &Multiaddr) -> Scope {
    if address.iter().any(|part| part == Protocol::P2pCircuit) {
        return Scope::Far;
    }
    match address.iter().next() {
        Some(Protocol::Ip4(ip)) => ip_scope(ip.into()),
        Some(Protocol::Ip6(ip)) => ip_scope(ip.to_canonical()),
        _ => Scope::Far,
    }
}

fn ip_scope(ip: IpAddr) -> Scope {
    let near = match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    };
    match (ip.is_loopback(), near) {
        (true, _) => Scope::Loopback,
        (false, true) => Scope::Lan,
        (false, false) => Scope::Far,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_datagrams_are_given_up_early() {
        let config = TransportConfig::default();
        let nowhere = libp2p::core::transport::dummy::DummyTransport::<ProvedMuxer>::new();
        let nowhere = nowhere.map_err(|error: io::Error| error).boxed();
        let patience = Patience::new(nowhere, &config);
        let limit = |text: &str| patience.limit(&text.parse().unwrap());
        let quic = limit("/ip4/127.0.0.1/udp/1/quic-v1");
        assert_eq!(quic, Some(config.loopback_timeout));
        assert_eq!(
            limit("/ip4/10.0.0.1/udp/1/quic-v1"),
            Some(config.lan_timeout)
        );
        assert_eq!(limit("/ip4/1.2.3.4/udp/1/quic-v1"), None);
        assert_eq!(limit("/ip4/127.0.0.1/tcp/1"), None);
        assert_eq!(limit("/ip4/127.0.0.1/tcp/1/ws"), None);
    }

    #[test]
    fn the_scope_is_that_of_the_first_host() {
        let cases = [
            ("/ip4/127.0.0.1/udp/1/quic-v1", Scope::Loopback),
            ("/ip4/127.9.9.9/tcp/1/ws", Scope::Loopback),
            ("/ip6/::1/tcp/1", Scope::Loopback),
            ("/ip6/::ffff:127.0.0.1/tcp/1", Scope::Loopback),
            ("/ip4/10.0.0.1/tcp/1", Scope::Lan),
            ("/ip4/192.168.1.2/udp/1/quic-v1", Scope::Lan),
            ("/ip4/169.254.1.2/tcp/1", Scope::Lan),
            ("/ip6/fc00::1/tcp/1", Scope::Lan),
            ("/ip6/fe80::1/tcp/1", Scope::Lan),
            ("/ip4/1.2.3.4/tcp/1", Scope::Far),
            ("/ip4/100.64.0.1/tcp/1", Scope::Far),
            ("/ip6/2606:4700::1/tcp/1", Scope::Far),
            ("/dns4/localhost/tcp/1", Scope::Far),
            ("/memory/1", Scope::Far),
            ("/ip4/127.0.0.1/tcp/1/p2p-circuit", Scope::Far),
        ];
        for (text, expected) in cases {
            assert_eq!(scope(&text.parse().unwrap()), expected, "{text}");
        }
    }
}
