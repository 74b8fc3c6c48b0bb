//! The network itself: numbers, limits, and what a partition hides.

use futures::{AsyncReadExt, AsyncWriteExt, FutureExt};
use o_core::{Connection, ConnectionError, DialError, ListenError, Listener, Transport};

use super::*;
use crate::test_peer;

struct Joined {
    network: MemoryNetwork,
    listener: Box<dyn Listener>,
    dialed: Arc<dyn Connection>,
    accepted: Arc<dyn Connection>,
}

async fn joined(config: MemoryConfig) -> Joined {
    let network = MemoryNetwork::with_config(config);
    let bob = network.transport(test_peer(2));
    let mut listener = bob.listen(&"/memory/5".parse().unwrap()).await.unwrap();
    let alice = network.transport(test_peer(1));
    let dialed = alice
        .dial(test_peer(2), &[listener.address()])
        .await
        .unwrap();
    let accepted = listener.accept().await.unwrap();
    Joined {
        network,
        listener,
        dialed,
        accepted,
    }
}

#[tokio::test]
async fn numbers_are_chosen_or_given() {
    let network = MemoryNetwork::new();
    let alice = network.transport(test_peer(1));
    let listen = async |text: &str| alice.listen(&text.parse().unwrap()).await;
    let seven = listen("/memory/7").await.unwrap();
    assert_eq!(seven.address().as_str(), "/memory/7");
    assert!(matches!(listen("/memory/7").await, Err(ListenError::InUse)));
    let given = listen("/memory/0").await.unwrap();
    assert_ne!(
        given.address(),
        listen("/memory/0").await.unwrap().address()
    );
    drop(seven);
    assert!(listen("/memory/7").await.is_ok());
    for text in [
        "/memory/",
        "/memory/-1",
        "/memory/+1",
        "/memory/x",
        "/tcp/7",
        "/memory/1/ws",
    ] {
        let Ok(address) = text.parse() else { continue };
        assert!(!alice.handles(&address), "{text}");
    }
    let with_peer = seven_of(test_peer(1));
    assert!(alice.handles(&with_peer));
}

fn seven_of(peer: PeerId) -> o_address::TransportAddr {
    format!("/memory/7/p2p/{peer}").parse().unwrap()
}

#[tokio::test]
async fn networks_are_apart() {
    let one = joined(MemoryConfig::default()).await;
    let other = MemoryNetwork::new().transport(test_peer(1));
    let dialed = other.dial(test_peer(2), &[one.listener.address()]).await;
    assert!(
        matches!(dialed, Err(DialError::Failed { .. })),
        "{dialed:?}"
    );
}

#[tokio::test]
async fn substreams_and_connections_are_limited() {
    let config = MemoryConfig {
        max_substreams: 2,
        max_connections: 1,
        ..Default::default()
    };
    let Joined {
        network,
        listener,
        dialed,
        accepted,
    } = joined(config).await;
    let first = dialed.open().await.unwrap();
    let second = accepted.open().await.unwrap();
    for connection in [&dialed, &accepted] {
        assert!(matches!(
            connection.open().await,
            Err(ConnectionError::Busy)
        ));
    }
    drop((first, second));
    // Each is free again when both of its ends are gone.
    drop((
        accepted.accept().await.unwrap(),
        dialed.accept().await.unwrap(),
    ));
    assert!(dialed.open().await.is_ok());

    let alice = network.transport(test_peer(1));
    let again = alice.dial(test_peer(2), &[listener.address()]).await;
    assert!(
        matches!(
            again,
            Err(DialError::Busy {
                limit: "max_connections"
            })
        ),
        "{again:?}"
    );
    dialed.close().await;
    assert!(
        alice
            .dial(test_peer(2), &[listener.address()])
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_cut_loses_what_is_under_way_and_a_close_does_not() {
    let Joined {
        network,
        dialed,
        accepted,
        ..
    } = joined(MemoryConfig::default()).await;
    let mut here = dialed.open().await.unwrap();
    let mut there = accepted.accept().await.unwrap();
    here.write_all(b"lost").await.unwrap();
    assert_eq!(network.cut(test_peer(2), test_peer(1)), 1);
    let mut read = Vec::new();
    let error = there.read_to_end(&mut read).await.unwrap_err();
    assert_eq!(
        (error.kind(), read.len()),
        (std::io::ErrorKind::ConnectionReset, 0)
    );
    assert!(here.write_all(b"more").await.is_err());

    let Joined {
        dialed, accepted, ..
    } = joined(MemoryConfig::default()).await;
    let mut here = dialed.open().await.unwrap();
    let mut there = accepted.accept().await.unwrap();
    here.write_all(b"last words").await.unwrap();
    dialed.close().await;
    there.read_to_end(&mut read).await.unwrap();
    assert_eq!(read, b"last words");
    assert!(there.write_all(b"too late").await.is_err());
}

#[tokio::test]
async fn a_partition_hides_bytes_substreams_and_ends() {
    let Joined {
        network,
        dialed,
        accepted,
        ..
    } = joined(MemoryConfig::default()).await;
    let mut here = dialed.open().await.unwrap();
    let mut there = accepted.accept().await.unwrap();
    network.partition(test_peer(1), test_peer(2));

    here.write_all(b"held").await.unwrap();
    let mut second = dialed.open().await.unwrap();
    second.write_all(b"too").await.unwrap();
    drop((here, second));
    dialed.close().await;
    let mut buffer = [0; 8];
    assert!(there.read(&mut buffer).now_or_never().is_none());
    assert!(accepted.accept().now_or_never().is_none());
    there.write_all(b"into the void").await.unwrap();

    network.heal(test_peer(1), test_peer(2));
    let mut read = Vec::new();
    there.read_to_end(&mut read).await.unwrap();
    assert_eq!(read, b"held");
    assert!(there.write_all(b"now it is known").await.is_err());
    let error = accepted.accept().await.map(drop).unwrap_err();
    assert!(matches!(&error, ConnectionError::Closed { reason } if reason.contains("other side")));
}

#[tokio::test(start_paused = true)]
async fn a_dial_into_a_partition_times_out() {
    let Joined {
        network, listener, ..
    } = joined(MemoryConfig::default()).await;
    network.partition(test_peer(1), test_peer(2));
    let alice = network.transport(test_peer(1));
    let dialed = alice.dial(test_peer(2), &[listener.address()]).await;
    assert!(
        matches!(dialed, Err(DialError::TimedOut { .. })),
        "{dialed:?}"
    );
    // Others are not concerned.
    let carol = network.transport(test_peer(3));
    assert!(
        carol
            .dial(test_peer(2), &[listener.address()])
            .await
            .is_ok()
    );
}

/// Counts how often a task was woken.
#[derive(Default)]
struct Woken(std::sync::atomic::AtomicUsize);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

#[tokio::test]
async fn whoever_waits_is_woken_by_the_other_end_only() {
    let config = MemoryConfig {
        buffer: 4,
        ..Default::default()
    };
    let Joined {
        dialed, accepted, ..
    } = joined(config).await;
    let mut here = dialed.open().await.unwrap();
    let mut there = accepted.accept().await.unwrap();
    let (reader, writer) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
    let count = |woken: &Woken| woken.0.load(std::sync::atomic::Ordering::Relaxed);
    let mut buffer = [0; 4];
    for _ in 0..3 {
        let waker = reader.clone().into();
        let mut cx = std::task::Context::from_waker(&waker);
        assert!(there.as_mut().poll_read(&mut cx, &mut buffer).is_pending());
    }
    assert_eq!(count(&reader), 0);
    here.write_all(b"full").await.unwrap();
    assert_eq!(count(&reader), 1);
    for _ in 0..3 {
        let waker = writer.clone().into();
        let mut cx = std::task::Context::from_waker(&waker);
        assert!(here.as_mut().poll_write(&mut cx, b"more").is_pending());
    }
    assert_eq!(count(&writer), 0);
    there.read_exact(&mut buffer).await.unwrap();
    assert_eq!(count(&writer), 1);
}
