//! Whether a fixed port is free, asked before libp2p shares it.

#[cfg(test)]
mod tests;

use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
};

use libp2p::multiaddr::Protocol;
use o_address::TransportAddr;

use crate::to_multiaddr;

/// Takes the fixed TCP or UDP port of `addr` for a moment, alone, to see whether it can be had.
///
/// libp2p opens TCP listeners with `SO_REUSEPORT`, so that two processes of one user can listen at
/// the same port without an error and share the connections between them. Ask this first. An address
/// with port 0, a name, or neither TCP nor UDP needs no asking and is `Ok`. Between this call and
/// the real one somebody else can be quicker.
///
/// # Errors
/// `AddrInUse` when somebody listens there, and whatever else the system says: `AddrNotAvailable`,
/// `PermissionDenied`. `InvalidInput` when `addr` is no multiaddr.
pub fn probe_fixed_port(addr: &TransportAddr) -> io::Result<()> {
    let Some((socket, udp)) = fixed_port(addr)? else {
        return Ok(());
    };
    // libp2p takes `::` for IPv6 alone, the standard library for IPv4 as well, where somebody else
    // may rightly have the port. The loopback address collides with every other `::` there is.
    let every_ipv6 = socket.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let probed = match every_ipv6 {
        true => SocketAddr::new(Ipv6Addr::LOCALHOST.into(), socket.port()),
        false => socket,
    };
    let result = match udp {
        true => UdpSocket::bind(probed).map(drop),
        false => TcpListener::bind(probed).map(drop),
    };
    match result {
        Err(error) if every_ipv6 && error.kind() == io::ErrorKind::AddrNotAvailable => Ok(()),
        done => done,
    }
}

/// The socket address if it is a fixed one, and whether it is UDP's.
fn fixed_port(addr: &TransportAddr) -> io::Result<Option<(SocketAddr, bool)>> {
    let addr =
        to_multiaddr(addr).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let mut protocols = addr.iter();
    let ip: IpAddr = match protocols.next() {
        Some(Protocol::Ip4(ip)) => ip.into(),
        Some(Protocol::Ip6(ip)) => ip.into(),
        _ => return Ok(None),
    };
    Ok(match protocols.next() {
        Some(Protocol::Tcp(port)) if port != 0 => Some((SocketAddr::new(ip, port), false)),
        Some(Protocol::Udp(port)) if port != 0 => Some((SocketAddr::new(ip, port), true)),
        _ => None,
    })
}
