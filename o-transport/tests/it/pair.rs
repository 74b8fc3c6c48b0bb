//! Two transports in one test: one listens, the other dials, and a muxer is kept going.
#![cfg(any(
    feature = "noise",
    feature = "quic",
    all(feature = "tcp", feature = "tls")
))]
#![expect(clippy::unwrap_used, reason = "a failed step of a test ends the test")]

use std::{
    future::{pending, poll_fn},
    io,
    pin::pin,
    task::Poll,
    time::Duration,
};

use futures::{
    AsyncReadExt, AsyncWriteExt, StreamExt,
    future::{Either, select},
};
use libp2p::{
    Multiaddr,
    core::{
        Endpoint, Transport,
        muxing::{StreamMuxerBox, StreamMuxerExt},
        transport::{DialOpts, ListenerId, PortUse, TransportEvent},
    },
};
use o_address::TransportAddr;
use o_transport::{
    BoxedTransport, Keypair, ProvedMuxer, Security, TransportConfig, build_transport,
    from_multiaddr, to_multiaddr,
};

/// No step of a test takes longer.
const DEADLINE: Duration = Duration::from_secs(20);

/// Turns on the transport that `listen` is an address of.
pub(crate) fn config_for(listen: &str, security: &[Security]) -> TransportConfig {
    let mut config = TransportConfig::default();
    config.security = security.to_vec();
    match addr(listen).transport_label() {
        "tcp" => config.tcp.enabled = true,
        "ws" => config.websocket.enabled = true,
        "quic" => config.quic.enabled = true,
        "memory" => config.memory.enabled = true,
        other => panic!("{other}"),
    }
    config
}

pub(crate) fn build(config: &TransportConfig, keys: &Keypair) -> BoxedTransport {
    build_transport(config, keys, Vec::new()).unwrap()
}

pub(crate) fn addr(text: &str) -> TransportAddr {
    TransportAddr::parse(text).unwrap()
}

/// Listens at `address` and says where that is.
pub(crate) async fn listen(transport: &mut BoxedTransport, address: &str) -> TransportAddr {
    let address = to_multiaddr(&addr(address)).unwrap();
    transport.listen_on(ListenerId::next(), address).unwrap();
    within(async {
        loop {
            if let TransportEvent::NewAddress { listen_addr, .. } =
                transport.select_next_some().await
            {
                return from_multiaddr(&listen_addr).unwrap();
            }
        }
    })
    .await
}

pub(crate) async fn dial(
    transport: &mut BoxedTransport,
    address: &TransportAddr,
) -> io::Result<ProvedMuxer> {
    let options = DialOpts {
        role: Endpoint::Dialer,
        port_use: PortUse::New,
    };
    let dialing = transport.dial(to_multiaddr(address).unwrap(), options);
    within(dialing.map_err(io::Error::other)?).await
}

/// Takes one connection, with where it comes from.
pub(crate) async fn accept(transport: &mut BoxedTransport) -> (io::Result<ProvedMuxer>, Multiaddr) {
    within(async {
        loop {
            if let TransportEvent::Incoming {
                upgrade,
                send_back_addr,
                ..
            } = transport.select_next_some().await
            {
                return (upgrade.await, send_back_addr);
            }
        }
    })
    .await
}

/// What the dialer and what the listener gets.
pub(crate) async fn connect(
    dialer: &mut BoxedTransport,
    listener: &mut BoxedTransport,
    address: &TransportAddr,
) -> (io::Result<ProvedMuxer>, io::Result<ProvedMuxer>) {
    let (dialing, accepting) = (pin!(dial(dialer, address)), pin!(accept(listener)));
    match select(dialing, accepting).await {
        // The choice of yamux is sent with the first bytes, which driving the muxer brings out.
        Either::Left((Ok((peer, mut muxer)), accepting)) => {
            let (accepted, _) = drive(&mut muxer, accepting).await;
            (Ok((peer, muxer)), accepted)
        }
        Either::Left((error, accepting)) => (error, accepting.await.0),
        Either::Right(((accepted, _), dialing)) => (dialing.await, accepted),
    }
}

/// Sends `bytes` over one substream and back.
pub(crate) async fn echo(dialed: StreamMuxerBox, accepted: StreamMuxerBox, bytes: &[u8]) {
    let near = async {
        let mut muxer = dialed;
        let opening = poll_fn(|cx| muxer.poll_outbound_unpin(cx));
        let mut stream = opening.await.unwrap();
        drive(&mut muxer, async {
            let mut back = vec![0; bytes.len()];
            stream.write_all(bytes).await.unwrap();
            stream.flush().await.unwrap();
            stream.read_exact(&mut back).await.unwrap();
            assert_eq!(back, bytes);
        })
        .await;
    };
    let far = async {
        let mut muxer = accepted;
        let mut stream = loop {
            let taken = poll_fn(|cx| match muxer.poll_inbound_unpin(cx) {
                Poll::Pending => match muxer.poll_unpin(cx) {
                    Poll::Ready(event) => Poll::Ready(event.map(|_| None)),
                    Poll::Pending => Poll::Pending,
                },
                Poll::Ready(stream) => Poll::Ready(stream.map(Some)),
            });
            if let Some(stream) = taken.await.unwrap() {
                break stream;
            }
        };
        drive(&mut muxer, async {
            let mut buffer = vec![0; bytes.len()];
            stream.read_exact(&mut buffer).await.unwrap();
            stream.write_all(&buffer).await.unwrap();
            stream.flush().await.unwrap();
            // The muxer still has to send what was flushed; the near side ends the test.
            pending::<()>().await;
        })
        .await;
    };
    within(select(pin!(near), pin!(far))).await;
}

/// Runs `work` while the connection below it is kept going.
async fn drive<T>(muxer: &mut StreamMuxerBox, work: impl Future<Output = T>) -> T {
    let connection = poll_fn(|cx| {
        while let Poll::Ready(event) = muxer.poll_unpin(cx) {
            if event.is_err() {
                break;
            }
        }
        Poll::<()>::Pending
    });
    match select(pin!(work), pin!(connection)).await {
        Either::Left((output, _)) => output,
        Either::Right(((), _)) => unreachable!("a connection is driven for ever"),
    }
}

async fn within<T>(step: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, step).await.unwrap()
}
