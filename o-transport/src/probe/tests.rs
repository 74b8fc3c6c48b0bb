//! Ports that are taken, free, or none.

use super::*;

fn probe(text: String) -> io::Result<()> {
    probe_fixed_port(&TransportAddr::parse(&text).unwrap())
}

#[test]
fn taken_tcp_port_is_in_use_until_it_is_free() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    for text in [
        format!("/ip4/127.0.0.1/tcp/{port}"),
        format!("/ip4/127.0.0.1/tcp/{port}/ws"),
    ] {
        let error = probe(text).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
    // UDP has ports of its own.
    probe(format!("/ip4/127.0.0.1/udp/{port}/quic-v1")).unwrap();
    drop(taken);
    probe(format!("/ip4/127.0.0.1/tcp/{port}")).unwrap();
}

#[test]
fn taken_udp_port_is_in_use() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = probe(format!("/ip4/127.0.0.1/udp/{port}/quic-v1")).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn every_ipv6_address_does_not_collide_with_ipv4() {
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    probe(format!("/ip6/::/tcp/{port}")).unwrap();
}

#[test]
fn addresses_without_a_fixed_port_need_no_asking() {
    for text in [
        "/ip4/127.0.0.1/tcp/0",
        "/ip4/127.0.0.1/udp/0/quic-v1",
        "/memory/7",
        "/dns4/a.example/tcp/443",
    ] {
        probe(text.to_owned()).unwrap();
    }
    let error = probe("/what/ever".to_owned()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}
